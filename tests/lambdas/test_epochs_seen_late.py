"""An old epoch that is seen for the first time by a redrive: archived, not applied, and the live epoch goes on."""

from __future__ import annotations

from lambdas.landing.batch import Landing
from lambdas.landing.messages import decoded
from lambdas.latest import Place, Standing
from lambdas.state import Applier
from tests.lambdas.fakes import FakeAside, FakeLake, FakeLedger, FakeStates, InlinePool
from tests.lambdas.samples import E1, E2, RECEIVED, body, message

HOUR = 3_600 * 1_000_000


class Site:
    def __init__(self) -> None:
        self.books, self.lake, self.states, self.runs = FakeLedger(), FakeLake(), FakeStates(), 0

    def handle(self, first: int, payload: bytes, *, epoch: str, received: int, arrived: int = 0, synced: bool = True) -> Standing:
        self.runs += 1
        now = (arrived or received) / 1e6
        landing = Landing(
            ledger=self.books, lake=self.lake, aside=FakeAside(), pool=InlinePool(), now=lambda: now, new_run=lambda: f"{self.runs:032x}"
        )
        text = body(first, [payload], epoch=epoch, stream="events", topics="door", received=received, synced=synced)
        arrivals = list(decoded([message(text, group="board-7.events", arrived=arrived or received)]))
        report = landing.land(arrivals, deadline=now + 60)
        failed, [applied], _ = Applier(states=self.states, pool=InlinePool(), now=lambda: now).apply(
            arrivals, report.settled, deadline=now + 60
        )
        assert not failed
        return applied.standing

    @property
    def door(self) -> tuple[Place, object]:
        value = self.states.memory.values["board-7", "events", "door"]
        return value.place, value.payload


def test_an_old_epoch_from_the_dead_letter_queue_is_archived_and_the_live_one_goes_on() -> None:
    site = Site()
    assert site.handle(1, b"open", epoch=E2, received=RECEIVED + HOUR) is Standing.ADVANCED
    assert site.handle(1, b"old", epoch=E1, received=RECEIVED, arrived=RECEIVED + 2 * HOUR) is Standing.SUPERSEDED
    assert site.handle(2, b"old", epoch=E1, received=RECEIVED + 1, arrived=RECEIVED + 2 * HOUR) is Standing.SUPERSEDED
    assert site.door == (Place(1, 1), b"open")
    assert site.handle(2, b"shut", epoch=E2, received=RECEIVED + 3 * HOUR) is Standing.ADVANCED
    assert site.door == (Place(1, 2), b"shut")
    assert len(site.lake.memory.rows()) == 4, "all of it is in the lake"
    assert site.books.memory.epochs["board-7", "events"] == [E2, E1]


def test_a_new_epoch_supersedes_as_ever() -> None:
    site = Site()
    assert site.handle(1, b"open", epoch=E1, received=RECEIVED) is Standing.ADVANCED
    assert site.handle(1, b"shut", epoch=E2, received=RECEIVED + 1) is Standing.ADVANCED
    assert site.handle(2, b"late", epoch=E1, received=RECEIVED + 2) is Standing.SUPERSEDED
    assert site.door == (Place(2, 1), b"shut")


def test_a_board_without_a_clock_begins_a_new_epoch_all_the_same() -> None:
    site = Site()
    site.handle(1, b"open", epoch=E1, received=RECEIVED)
    assert site.handle(1, b"shut", epoch=E2, received=1_000_000, arrived=RECEIVED + HOUR, synced=False) is Standing.ADVANCED


def test_a_clock_that_ran_ahead_of_the_queue_is_not_believed() -> None:
    site = Site()
    site.handle(1, b"open", epoch=E1, received=RECEIVED + 1000 * HOUR, arrived=RECEIVED)
    assert site.handle(1, b"shut", epoch=E2, received=RECEIVED + HOUR) is Standing.ADVANCED


def test_within_an_epoch_clocks_have_no_say() -> None:
    site = Site()
    site.handle(5, b"open", epoch=E1, received=RECEIVED)
    assert site.handle(6, b"shut", epoch=E1, received=RECEIVED - HOUR) is Standing.ADVANCED
    assert site.handle(1, b"open", epoch=E1, received=RECEIVED + HOUR) is Standing.LATE
