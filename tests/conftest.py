"""Fixtures of the whole suite: the one local cloud that every end-to-end test of a session shares, and the leak check of every test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.lab.leaks import nothing_is_left_open

if TYPE_CHECKING:
    from localcloud import LocalCloud

__all__ = ["nothing_is_left_open"]  # fixture


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    """A local cloud (stage dev, SSE-SQS) with the app of this checkout. Shared: use device ids of your own, and leave its network up."""
    from localcloud import LocalCloud

    with LocalCloud.start() as running:
        yield running
