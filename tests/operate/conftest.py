"""The same cloud in process as the functions' tests."""

from tests.lambdas.conftest import aws

__all__ = ["aws"]
