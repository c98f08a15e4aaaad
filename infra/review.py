"""Policy: cdk-nag at every synth, and the one way to accept a finding: at the construct, with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Acknowledgment, Validations
from cdk_nag import AwsSolutionsChecks, ServerlessChecks

if TYPE_CHECKING:
    from aws_cdk import App
    from constructs import Construct


def add_checks(app: App) -> None:
    """Make the synth fail on a finding of AwsSolutions or Serverless that nobody accepted."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app), ServerlessChecks(app))


def accept(construct: Construct, finding: str, reason: str) -> None:
    """Accept one finding on one construct and what is below it; the reason is for the next reader."""
    Validations.of(construct).acknowledge(Acknowledgment(id=finding, reason=reason))
