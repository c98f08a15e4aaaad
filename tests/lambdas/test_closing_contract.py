"""Contract of closing's ports: the same sentences hold for the fakes and for the adapters, on moto and on the local cloud's emulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from device_agent.wire import envelope, ledger
from device_agent.wire.envelope import Notice
from device_agent.wire.ledger import Line
from device_agent.wire.limits import MAX_SEQ
from device_agent.wire.ranges import Ranges
from lambdas.closing.dynamodb import ClosingTable
from lambdas.closing.ports import Bookmark, Ledger, Listing, Part, Told
from lambdas.closing.s3 import DayListing
from lambdas.landing import ports as landing
from lambdas.landing.dynamodb import LedgerTable
from lambdas.landing.ports import Commit
from lambdas.landing.s3 import LakeBucket
from tests.lambdas.fakes import FakeClosing, FakeLake, FakeLedger, FakeListing
from tests.lambdas.samples import E1, E2, RECEIVED, notice
from tests.lambdas.test_ports_contract import IMPLEMENTATIONS, LINE, call, claim

RUNS = ["a" * 32, "b" * 32, "c" * 32]


@dataclass
class Site:
    """One table, as landing and as closing see it."""

    landed: landing.Ledger
    books: Ledger


@pytest.fixture(params=IMPLEMENTATIONS)
def site(request: pytest.FixtureRequest) -> Site:
    if request.param == "fake":
        fake = FakeLedger()
        return Site(fake, FakeClosing(fake.memory))
    aws = request.getfixturevalue(request.param)
    return Site(LedgerTable(aws.dynamodb, aws.ledger, call()), ClosingTable(aws.dynamodb, aws.ledger, call()))


@pytest.fixture(params=IMPLEMENTATIONS)
def lake(request: pytest.FixtureRequest) -> tuple[landing.Lake, Listing]:
    if request.param == "fake":
        fake = FakeLake()
        return fake, FakeListing(fake.memory)
    aws = request.getfixturevalue(request.param)
    return LakeBucket(aws.s3, aws.lake, call()), DayListing(aws.s3, aws.lake, call())


def test_entries_come_in_order_with_their_epochs_and_from_behind_a_mark(site: Site) -> None:
    devices = sorted(f"d{number}" for number in range(60) if ledger.shard(f"d{number}") == 3)
    assert len(devices) > 2
    for device in reversed(devices):
        for epoch in (E2, E1):
            site.landed.register(Line(device, "s", epoch))
    entries = list(site.books.entries(3))
    assert [entry.lines for entry in entries] == [(Line(device, "s", E2), Line(device, "s", E1)) for device in devices]
    assert [entry.mark for entry in entries] == sorted(f"03|{device}|s" for device in devices)
    assert list(site.books.entries(3, after=entries[0].mark)) == entries[1:]
    assert list(site.books.entries(3, after="02|zzz|s")) == entries
    assert list(site.books.entries(3, after="03~")) == []
    assert list(site.books.entries(4)) == []


def test_claims_are_found_by_their_first_number_in_order(site: Site) -> None:
    made = [claim(first=first, last=first + 4) for first in (90, 5, 100, 11)]
    for one in made:
        site.landed.claim(one)
    site.landed.claim(claim(line=LINE._replace(epoch=E2)))
    assert [one.first for one in site.books.claims(LINE, 1, MAX_SEQ)] == [5, 11, 90, 100]
    assert list(site.books.claims(LINE, 6, 90)) == [made[3], made[0]]
    assert list(site.books.claims(LINE, 101, MAX_SEQ)) == []


def test_the_newest_claim_is_the_one_with_the_highest_number(site: Site) -> None:
    assert site.books.newest(LINE) is None
    site.landed.claim(claim(first=90, last=99))
    site.landed.claim(claim(first=5, last=9))
    newest = site.books.newest(LINE)
    assert newest is not None
    assert newest.first == 90


def test_notices_are_told(site: Site) -> None:
    for text in (notice(3, 9, stream="s"), notice(1, 1, stream="s", reason="damaged")):
        told = envelope.decode(text)
        assert isinstance(told, Notice)
        site.landed.notice(told, arrived=RECEIVED)
    assert list(site.books.notices(LINE)) == [Told(1, 1, "damaged", RECEIVED / 1e6), Told(3, 9, "dropped", RECEIVED / 1e6)]


def test_a_part_is_written_only_over_the_version_before_it(site: Site) -> None:
    assert site.books.parts(LINE) == []
    first, second = Part(0, Ranges([(1, 5)]), 1), Part(0, Ranges([(1, 9)]), 2)
    assert not site.books.write(LINE, second)
    assert site.books.write(LINE, first)
    assert not site.books.write(LINE, first)
    assert site.books.write(LINE, second)
    assert not site.books.write(LINE, Part(0, Ranges([(1, 7)]), 2))
    assert site.books.write(LINE, Part(1, Ranges([(20, 20)]), 1))
    assert site.books.parts(LINE) == [second, Part(1, Ranges([(20, 20)]), 1)]
    assert site.books.parts(LINE._replace(epoch=E2)) == []


def test_landing_knows_what_was_folded(site: Site) -> None:
    site.landed.register(LINE)
    site.books.write(LINE, Part(0, Ranges([(1, 5)]), 1))
    site.books.write(LINE, Part(1, Ranges([(6, 9), (11, 12)]), 1))
    assert site.landed.known(LINE) == landing.Known(1, Ranges([(1, 9), (11, 12)]))


def test_a_bookmark_only_moves_forward(site: Site) -> None:
    steps = [Bookmark("2026-01-02", "03|a|s"), Bookmark("2026-01-02", "~"), Bookmark("2026-01-02", "04|b|s"), Bookmark("2026-01-01", "~")]
    assert site.books.bookmark(0, 4) == Bookmark("", "")
    kept = []
    for step in [*steps, Bookmark("2026-01-03", "00|a|s")]:
        site.books.set_bookmark(0, 4, step)
        kept.append(site.books.bookmark(0, 4))
    assert kept == [steps[0], steps[1], steps[1], steps[1], Bookmark("2026-01-03", "00|a|s")]
    assert site.books.bookmark(1, 4) == site.books.bookmark(0, 8) == Bookmark("", "")


def test_a_listing_tells_data_void_and_absent_apart_by_stream_and_day(lake: tuple[landing.Lake, Listing]) -> None:
    made, listing = lake
    made.create(ledger.lake_key("s", "2026-01-31", RUNS[0]), b"x" * 21, Commit.DATA)
    made.create(ledger.lake_key("s", "2026-01-31", RUNS[1]), ledger.VOID, Commit.VOID)
    made.create(ledger.lake_key("s-2", "2026-01-31", RUNS[2]), b"x" * 21, Commit.DATA)
    assert [listing.decided("s", "2026-01-31", run) for run in RUNS] == [Commit.DATA, Commit.VOID, None]
    assert [listing.decided("s", "2026-02-01", run) for run in RUNS] == [None] * 3
    assert listing.decided("s-2", "2026-01-31", RUNS[2]) is Commit.DATA


# What only the adapters can show


def test_a_part_that_was_written_by_hand_without_a_version_is_version_0(aws: Any) -> None:
    item = {"pk": {"S": LINE.pk}, "sk": {"S": ledger.folded_sk(0)}, "ranges": {"S": "1-5"}}
    aws.dynamodb.put_item(TableName=aws.ledger, Item=item)
    table = ClosingTable(aws.dynamodb, aws.ledger, call())
    assert table.parts(LINE) == [Part(0, Ranges([(1, 5)]), 0)]
    assert table.write(LINE, Part(0, Ranges([(1, 6)]), 1))


def test_folded_ranges_never_expire(aws: Any) -> None:
    ClosingTable(aws.dynamodb, aws.ledger, call()).write(LINE, Part(0, Ranges([(1, 5)]), 1))
    [item] = aws.items(aws.ledger)
    assert item == {
        "pk": {"S": LINE.pk},
        "sk": {"S": ledger.folded_sk(0)},
        "ranges": {"S": "1-5"},
        "version": {"N": "1"},
    }


def test_queries_and_listings_are_read_to_their_last_page(aws: Any) -> None:
    landed = LedgerTable(aws.dynamodb, aws.ledger, call())
    for first in range(1, 8):
        landed.claim(claim(first=first, last=first))
    lake = LakeBucket(aws.s3, aws.lake, call())
    for number in range(7):
        lake.create(ledger.lake_key("s", "2026-01-31", f"{number:032x}"), b"x" * 30, Commit.DATA)
    paged = Paged(aws.dynamodb, aws.s3)
    assert [one.first for one in ClosingTable(paged, aws.ledger, call()).claims(LINE, 1, MAX_SEQ)] == list(range(1, 8))
    listing = DayListing(paged, aws.lake, call())
    assert [listing.decided("s", "2026-01-31", f"{number:032x}") for number in range(8)] == [Commit.DATA] * 7 + [None]


class Paged:
    """Clients whose answers come two at a time."""

    def __init__(self, dynamodb: Any, s3: Any) -> None:
        self._dynamodb, self._s3 = dynamodb, s3

    def query(self, **arguments: Any) -> Any:
        return self._dynamodb.query(**arguments, Limit=2)

    def list_objects_v2(self, **arguments: Any) -> Any:
        return self._s3.list_objects_v2(**arguments, MaxKeys=2)
