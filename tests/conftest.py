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


#: Fixtures of a session that take long to make: all tests that want one run in the same of pytest's workers.
_MADE_ONCE = ("cloud", "_synthesised")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Say which tests share a worker: those of a file, or that want the same of `_MADE_ONCE`. Long ones begin, so that they end in time."""
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        shared = next((name for name in _MADE_ONCE if name in getattr(item, "fixturenames", ())), item.path.stem)
        groups.setdefault(shared, []).append(item)
    for name, members in groups.items():
        for item in members:
            item.add_marker(pytest.mark.xdist_group(name))
    order = sorted(groups, key=lambda name: (name not in _MADE_ONCE, not any(map(_is_long, groups[name]))))
    items[:] = [item for name in order for item in groups[name]]


def _is_long(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("slow", "e2e"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Iterator[None]:
    """A broker that is not installed is a skip that says how to install it."""
    yield from _unless_missing()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    yield from _unless_missing()


def _unless_missing() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if type(error).__name__ == "MissingError":  # of localcloud.brokers, which is not imported for this
            pytest.skip(str(error))
        raise


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    """A local cloud (stage dev, SSE-SQS) with the app of this checkout. Shared: use device ids of your own, and leave its network up."""
    from localcloud import LocalCloud

    with LocalCloud.start() as running:
        yield running
