"""Fixtures of the whole suite: the one local cloud that every end-to-end test of a session shares, and the leak check of every test."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.lab.leaks import nothing_is_left_open

if TYPE_CHECKING:
    from localcloud import LocalCloud

__all__ = ["nothing_is_left_open"]  # fixture

# The suite tries the same examples each time; `make fuzz` looks for others. What fails there becomes an `@example` or a test.
settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None, print_blob=True)
settings.load_profile("suite")


def pytest_configure() -> None:
    """Undo what `make test &` and `nohup make test` do: SIGINT and SIGHUP ignored, here and in every program that a test stops by them."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    """A local cloud (stage dev, SSE-SQS) with the app of this checkout. Shared: use device ids of your own, and leave its network up."""
    from localcloud import LocalCloud

    with LocalCloud.start() as running:
        yield running
