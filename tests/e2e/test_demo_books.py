"""The demo's judge can say no: each fault that it looks for, made on purpose."""

from __future__ import annotations

import json

from localcloud.demo import books


def order(seq: int, n: int) -> books.Row:
    return books.Row("events", "e" * 16, seq, "orders", json.dumps({"n": n}))


def log(*pairs: tuple[int, int]) -> list[tuple[str, int, int]]:
    return [("events", seq, n) for seq, n in pairs]


def latest(seq: int, n: int) -> dict[str, object]:
    return {"seq": seq, "data": json.dumps({"n": n})}


def test_orders_in_order_with_a_resent_one_are_fine() -> None:
    assert books.order_faults([order(1, 1), order(2, 1), order(3, 2)], log((2, 1), (3, 2)), latest(3, 2)) == []


def test_an_acknowledged_order_that_is_not_in_the_lake_is_a_fault() -> None:
    assert "acknowledged orders are not in the lake" in books.order_faults([order(1, 1)], log((1, 1), (2, 2)), latest(1, 1))[0]


def test_an_order_with_other_content_is_a_fault() -> None:
    assert "acknowledged orders are not in the lake" in books.order_faults([order(1, 7)], log((1, 1)), latest(1, 7))[0]


def test_orders_out_of_order_are_a_fault() -> None:
    assert any("order in which they were sent" in fault for fault in books.order_faults([order(1, 2), order(2, 1)], [], latest(2, 1)))


def test_a_state_that_is_not_the_last_order_is_a_fault() -> None:
    assert "state table" in books.order_faults([order(1, 1), order(2, 2)], [], latest(1, 1))[0]
    assert "state table" in books.order_faults([order(1, 1)], [], None)[0]


def test_holes_and_doubles_are_counted() -> None:
    found = [order(1, 1), order(1, 1), order(3, 3)]
    assert books.holes(found, {"events": 4, "telemetry": 0}) == {"events": 2, "telemetry": 0}
    assert books.doubles(found) == 1


def test_a_balance_tells_programs_apart_by_their_topics() -> None:
    rows = [order(1, 1), books.Row("telemetry", "e" * 16, 1, "weather/x", ""), books.Row("telemetry", "e" * 16, 2, "cpu/0", "")]
    counted = {name: books.balance(name, {"sent": 3}, rows, None).received for name in ("orders", "weather", "sensors")}
    assert counted == {"orders": 1, "weather": 1, "sensors": 1}
    missing = books.balance("orders", {"sent": 3}, rows, log((1, 1), (2, 2)))
    assert (missing.acknowledged, missing.missing, missing.unacknowledged) == (2, 1, 2)
