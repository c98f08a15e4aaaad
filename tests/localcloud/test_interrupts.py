"""The first signal interrupts; what follows does not disturb the cleaning up."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from localcloud.interrupts import Interrupts

_ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _handlers_are_put_back() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in _ALL}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("first", _ALL)
def test_the_first_interrupts_and_the_next_does_not(first: signal.Signals) -> None:
    interrupts = Interrupts()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), first)
    for number in _ALL:
        os.kill(os.getpid(), number)
    interrupts.arm()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_what_a_destructor_swallowed_interrupts_at_the_next_step() -> None:
    lines: list[str] = []
    interrupts = Interrupts()
    say = interrupts.checked(lines.append)
    say("before")
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        say("while it is on its way")  # cleaning up tells what it does
    with pytest.raises(KeyboardInterrupt):
        say("after")
    interrupts.arm()
    say("armed again")
    assert lines == ["before", "while it is on its way", "armed again"]


def test_none_interrupts_cleaning_up_at_the_usual_end() -> None:
    Interrupts().disarm()
    os.kill(os.getpid(), signal.SIGINT)


def test_what_was_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    Interrupts()
    os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
