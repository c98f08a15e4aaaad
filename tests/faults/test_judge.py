"""The laboratory's judge can say no: each fault that it looks for, made on purpose."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from tests.lab.books import Acknowledged, Row, faults
from tests.lab.killing import quiet

ROWS = [Row("events", "e", seq, "orders", "req1", seq * 10) for seq in range(1, 6)]
ANSWERS = [Acknowledged("events", seq, "req1", seq * 10) for seq in (2, 4)]
GOOD = {"committed": {"events": 5, "telemetry": 0}, "newest": {"orders": 5}}


def test_good_books_are_good() -> None:
    assert faults(ROWS, ANSWERS, **GOOD) == []


def test_a_lost_acknowledged_reading_is_a_fault() -> None:
    assert any("not in the lake" in one for one in faults(ROWS[:3] + ROWS[4:], ANSWERS, **GOOD))


def test_a_hole_is_a_fault_though_nobody_was_promised_it() -> None:
    assert any("1 of 5 sequence numbers are missing" in one for one in faults(ROWS[:2] + ROWS[3:], ANSWERS, **GOOD))


def test_a_changed_reading_is_a_fault() -> None:
    assert any("another content" in one for one in faults(ROWS, [replace(ANSWERS[0], number=21)], **GOOD))


def test_a_row_that_stands_twice_is_a_fault() -> None:
    assert any("stand twice" in one for one in faults([*ROWS, ROWS[1]], ANSWERS, **GOOD))


def test_a_reading_committed_twice_is_a_fault() -> None:
    assert any("committed twice" in one for one in faults([*ROWS[:4], replace(ROWS[4], number=40)], ANSWERS, **GOOD))


def test_a_program_out_of_order_is_a_fault() -> None:
    assert any("stands behind" in one for one in faults([*ROWS[:4], replace(ROWS[4], number=5)], ANSWERS, **GOOD))


def test_a_number_acknowledged_twice_is_a_fault() -> None:
    assert any("acknowledged twice" in one for one in faults(ROWS, [*ANSWERS, ANSWERS[0]], **GOOD))


def test_a_row_beyond_what_was_committed_is_a_fault() -> None:
    assert any("outside" in one for one in faults(ROWS, ANSWERS, committed={"events": 4}, newest={"orders": 5}))


def test_a_second_epoch_is_a_fault() -> None:
    assert any("more than one epoch" in one for one in faults([*ROWS[:4], replace(ROWS[4], epoch="f")], ANSWERS, **GOOD))


def test_a_stale_state_is_a_fault() -> None:
    assert any("state table" in one for one in faults(ROWS, ANSWERS, committed={"events": 5}, newest={"orders": 4}))


def test_readings_that_zeromq_still_held_when_the_backlog_was_empty_are_waited_for() -> None:
    """They were not, and stood in the lake behind the last number that the judge had asked for: a false alarm after 175 kills."""
    looks = iter([(3, {"a": 5}), (0, {"a": 5}), (0, {"a": 5}), (170, {"a": 175}), (0, {"a": 175})])
    last = (0, {"a": 175})
    assert quiet(lambda: next(looks, last), time.monotonic() + 30, what=str, still=0.25) == {"a": 175}
    with pytest.raises(AssertionError, match="never"):
        quiet(lambda: (1, {}), time.monotonic() + 0.2, what=lambda: "never", still=0.1)
