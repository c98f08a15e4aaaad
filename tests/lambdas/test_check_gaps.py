"""Gaps that stay are counted, those that fill or are explained are not; claims that stay undecided and folding that is behind are seen."""

from __future__ import annotations

import pytest

from device_agent.wire import ledger
from lambdas.check_gaps import PATIENCE, Watch, figures, patience
from lambdas.landing.ports import NotNow
from tests.faults.test_closing_crashes import Site
from tests.lambdas.fakes import FakeClosing, FakeListing, Fate, InlinePool, Network
from tests.lambdas.samples import E2, body, message, notice

HOUR, DAY = 3_600, 86_400
FIGURES = ["Gaps", "GapStreams", "PendingSeconds", "FoldingBehindDays", "LinesChecked", "LinesFailed", "LinesUnchecked"]


def envelope(first: int, last: int, **options: str) -> object:
    return message(body(first, [b"x"] * (last - first + 1), **options))  # type: ignore[arg-type]


def look(site: Site, network: Network | None = None) -> dict[str, int]:
    network = network or Network()
    watch = Watch(
        ledger=FakeClosing(site.books, network),
        listing=lambda: FakeListing(site.lake, network),
        pool=InlinePool(),
        now=lambda: site.now,
    )
    found = watch.check(ledger.bucket("board-7", 16), 16, deadline=site.now + 60)
    assert found.complete
    return figures(found)


def gaps(site: Site) -> tuple[int, int]:
    found = look(site)
    return found["Gaps"], found["GapStreams"]


def test_nothing_is_missing_where_nothing_is(site: Site) -> None:
    assert look(site) == dict.fromkeys(FIGURES, 0)


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_gap_counts_when_it_has_stayed_for_an_hour_and_no_more_when_it_fills(site: Site) -> None:
    site.land(envelope(1, 2), envelope(6, 7))
    assert gaps(site) == (0, 0)
    site.now += HOUR + 1
    assert gaps(site) == (3, 1)
    site.land(envelope(3, 4))
    assert gaps(site) == (1, 1)
    site.land(envelope(5, 5))
    assert gaps(site) == (0, 0)


def test_what_is_missing_below_news_that_are_young_is_not_due(site: Site) -> None:
    site.land(envelope(1, 2), envelope(4, 4))
    site.now += HOUR + 1
    site.land(envelope(9, 9))
    assert gaps(site) == (1, 1)


def test_the_first_numbers_of_an_epoch_can_be_missing_too(site: Site) -> None:
    site.land(envelope(4, 4))
    site.now += 2 * HOUR
    assert gaps(site) == (3, 1)


def test_a_gap_stays_a_gap_when_its_neighbours_are_folded_and_forgotten(site: Site) -> None:
    site.land(envelope(1, 2), envelope(6, 7))
    site.close()
    assert gaps(site) == (3, 1)
    site.land(envelope(8, 8))
    site.close()
    assert gaps(site) == (3, 1)
    site.land(envelope(3, 5))
    assert gaps(site) == (0, 0)


def test_a_gap_that_a_notice_explains_is_none_and_a_notice_is_news_of_later_numbers(site: Site) -> None:
    site.land(envelope(1, 2), envelope(6, 7))
    site.now += 2 * HOUR
    site.land(message(notice(3, 5)))
    assert gaps(site) == (0, 0)
    site.land(message(notice(10, 12)))
    site.now += 2 * HOUR
    assert gaps(site) == (2, 1)


def test_where_all_readings_are_there_notices_cost_no_question(site: Site) -> None:
    site.land(envelope(1, 2), message(notice(5, 6)))
    site.now += 2 * HOUR
    asked: list[str] = []
    assert look(site, Network(lambda operation: asked.append(operation) or Fate.WELL))["Gaps"] == 0  # type: ignore[func-returns-value]
    assert "notices" not in asked
    site.land(envelope(7, 7))
    site.now += 2 * HOUR
    assert gaps(site) == (2, 1), "the next reading shows it"


def test_streams_are_counted_each(site: Site) -> None:
    site.land(envelope(2, 2), envelope(4, 4, stream="events"), envelope(1, 1, epoch=E2))
    site.now += 2 * HOUR
    assert gaps(site) == (4, 2)
    assert look(site)["LinesChecked"] == 3


def test_a_gap_of_a_stream_that_has_long_been_silent_is_no_news(site: Site) -> None:
    site.land(envelope(2, 2))
    site.now += 13 * DAY
    assert gaps(site) == (1, 1)
    site.now += 2 * DAY
    assert gaps(site) == (0, 0)


def test_what_is_claimed_and_not_there_is_pending_and_no_gap(site: Site) -> None:
    site.land(envelope(1, 2), envelope(4, 4))
    site.half_land(envelope(3, 3)).kill()
    assert look(site)["PendingSeconds"] == 0, "its lease runs"
    site.now += 3 * HOUR
    found = look(site)
    assert (found["Gaps"], found["PendingSeconds"]) == (0, 3 * HOUR)
    site.land(envelope(3, 3))
    site.now += HOUR
    assert look(site)["PendingSeconds"] == 0


def test_what_is_claimed_is_missing_when_no_message_can_bring_it_any_more_also_of_a_silent_stream(site: Site) -> None:
    site.land(envelope(1, 2), envelope(4, 4))
    site.half_land(envelope(3, 3)).kill()
    site.half_land(envelope(5, 6)).kill()
    site.now += 28 * DAY
    assert look(site)["Gaps"] == 0
    site.now += HOUR
    found = look(site)
    assert (found["Gaps"], found["GapStreams"], found["PendingSeconds"]) == (3, 1, 0)
    site.land(envelope(3, 3))
    site.land(envelope(5, 6))
    assert gaps(site) == (0, 0), "a redrive can bring it all the same"


def test_folding_is_behind_by_the_days_since_the_oldest_claim_that_should_be_folded(site: Site) -> None:
    site.land(envelope(1, 2))
    site.now += DAY
    assert look(site)["FoldingBehindDays"] == 0, "yesterday is closed tonight"
    site.now += 30 * DAY
    assert look(site)["FoldingBehindDays"] == 30
    site.close()
    assert look(site)["FoldingBehindDays"] == 0


def test_what_never_came_does_not_make_folding_late(site: Site) -> None:
    site.half_land(envelope(1, 2)).kill()
    site.close()
    site.now += 40 * DAY
    assert look(site)["FoldingBehindDays"] == 0


def test_a_line_that_cannot_be_read_is_counted_and_the_others_are_checked(site: Site) -> None:
    site.land(envelope(2, 2), envelope(4, 4, stream="events"))
    site.now += 2 * HOUR
    fates = iter([Fate.WELL, Fate.REFUSED])
    found = look(site, Network(lambda _: next(fates, Fate.WELL)))
    assert (found["LinesFailed"], found["LinesChecked"], found["GapStreams"]) == (1, 1, 1)
    assert found["LinesUnchecked"] == 1


def test_a_look_that_runs_out_of_time_is_no_all_clear(site: Site) -> None:
    site.land(envelope(2, 2))
    watch = Watch(
        ledger=FakeClosing(site.books, Network()),
        listing=lambda: FakeListing(site.lake, Network()),
        pool=InlinePool(),
        now=lambda: site.now,
    )
    found = watch.check(ledger.bucket("board-7", 16), 16, deadline=site.now)
    assert not found.complete
    assert figures(found)["LinesUnchecked"] == 1


def test_a_registry_that_cannot_be_read_is_an_error_and_not_an_all_clear(site: Site) -> None:
    with pytest.raises(NotNow):
        look(site, Network(lambda _: Fate.REFUSED))


def test_the_patience_is_a_setting() -> None:
    assert (patience({}), patience({"GAP_SECONDS": "60"})) == (PATIENCE, 60)
