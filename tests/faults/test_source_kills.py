"""Inputs that are not ZeroMQ, with the real agent and real brokers: `kill -9` of either between any two steps of a message.

`make torture-sources` does the same for longer, at more points.
"""

# it is skipped before what needs those libraries is imported

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("aiocoap")  # these are extras, and not in the environment of `make test-oldest`
pytest.importorskip("aiohttp")
pytest.importorskip("paho.mqtt")
pytest.importorskip("pika")
pytest.importorskip("pynng")
pytest.importorskip("stomp")

from tests.lab import traced
from tests.lab.sourcekills import judge, kills
from tests.lab.sourcekills.flood import flood
from tests.lab.sourcekills.kinds import KINDS, world
from tests.lab.sourcekills.log import Reading

#: Less than a burst, so that messages wait in the broker.
WINDOW = 16
#: Of each kind's points those that differ most: read, handed over, written, on disk, acknowledged.
CHOSEN = (1, 3, 4, 6, 7, 8)
#: RabbitMQ takes eight seconds for a start.
STEPS = {"mqtt": ("publishing", "delivered", "both"), "stomp": ("delivered", "both"), "amqp": ("delivered",)}
BROKERS = [name for name, kind in KINDS.items() if kind.broker is not None]


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_kill_between_any_two_steps_loses_nothing_that_was_accepted(name: str, tmp_path: Path) -> None:
    """And doubles what was not acknowledged, which says so where the broker says it."""
    if reason := traced.missing():
        pytest.skip(reason)
    kind = KINDS[name]
    with world(kind, tmp_path, window=WINDOW) as made:
        points = [kind.points[number] for number in CHOSEN]
        for point in points:
            kills.kill_agent(made, point)  # fails if the point is not reached
        assert kills.verdict(made, len(points), flagged=kind.flagged) == []
        for step in STEPS.get(name, ()):
            kills.kill_broker(made, step)
        assert kills.verdict(made, len(points) + len(STEPS.get(name, ())), flagged=False) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKERS)
def test_ten_thousand_messages_need_no_more_memory_than_a_window_of_them(name: str, tmp_path: Path) -> None:
    """160 MB in all, and less than 100 of them may be in memory; `make torture-sources` sends 100,000 messages."""
    found = flood(KINDS[name], tmp_path, 10_000, size=16_384)
    assert found.faults == [], found


def test_the_judge_would_notice() -> None:
    one, two = "0.1.1", "0.2.1"
    for readings, said in {
        (Reading(one), Reading(two)): "",
        (Reading(one),): "1 of 2 accepted messages are not there, the first: 0.2.1",
        (Reading(one), Reading(two), Reading("0.3.1")): "1 readings were never sent: 0.3.1",
        (Reading(two), Reading(one)): "the messages of sender 0 are not in order",
        (Reading(one), Reading(two), Reading(one)): "1 are there again and do not say so: 0.1.1",
        (Reading(one), Reading(two), Reading(one, redelivered=True)): "",
    }.items():
        assert [*judge.faults(readings, sent={one, two}, accepted=[one, two], flagged=True)] == [said] * bool(said)
    assert judge.doubled([Reading(one), Reading(one), Reading("0.1.2")]) == 1
    assert judge.doubled([Reading(one), Reading(one), Reading("0.1.2")], attempts=True) == 2
