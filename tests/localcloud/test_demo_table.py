"""The demo's table of programs: an order that was tried again is neither lost nor counted twice."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from localcloud.demo import books, show, story


def order(seq: int, n: int) -> books.Row:
    return books.Row("events", "e" * 16, seq, "orders", json.dumps({"n": n}))


def numbers(balance: books.Balance) -> tuple[int | None, ...]:
    return (balance.sent, balance.again, balance.acknowledged, balance.received, balance.unacknowledged)


def test_a_try_that_was_lost_at_the_kill_and_sent_again_is_not_lost() -> None:
    count = {"sent": 3, "acknowledged": 2, "repeated": 1, "refused": 0}
    found, log = [order(1, 1), order(2, 2)], [("events", 1, 1), ("events", 2, 2)]
    assert numbers(books.balance("orders", count, found, log)) == (2, 1, 2, 2, 0)


def test_an_order_of_which_both_tries_were_committed_hides_no_lost_one() -> None:
    count = {"sent": 4, "acknowledged": 2, "repeated": 1, "refused": 0}  # the third order got no reply before the end
    found, log = [order(1, 1), order(2, 1), order(3, 2)], [("events", 2, 1), ("events", 3, 2)]
    assert numbers(books.balance("orders", count, found, log)) == (3, 1, 2, 3, 1)


def test_a_program_without_acknowledgement_tries_once() -> None:
    found = [books.Row("telemetry", "e" * 16, 1, "cpu/0", "")]
    assert numbers(books.balance("sensors", {"sent": 3}, found, None)) == (3, None, None, 1, 2)


def test_the_tables_fit_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(width=80)
    monkeypatch.setattr(show, "_console", console)
    balances = [
        books.Balance("sensors", "telemetry", 123_456, None, None, 123_456, 0, 0, 0),
        books.Balance("orders", "events", 12_345, 12, 12_345, 12_345, 0, 0, 0),
    ]
    committed, missing = {"telemetry": 123_456, "events": 12_345}, {"telemetry": 0, "events": 0}
    with console.capture() as captured:
        show._show(story.Result(balances=balances, committed=committed, missing=missing, applied=12_345, faults=[]))
    shown = captured.get()
    assert "…" not in shown
    assert all(word in shown for word in ("program", "again*", "in lake", "lost*", "123,456"))
    tables = shown[: shown.index("The books balance")]
    assert max(len(line.rstrip()) for line in tables.splitlines()) <= 80
