"""Contract of the ports: the same sentences hold for the fakes and for the adapters, on moto and on the local cloud's emulator."""

from __future__ import annotations

from typing import Any

import pytest

from device_agent.wire import envelope, ledger
from device_agent.wire.envelope import Notice
from device_agent.wire.ledger import Line
from device_agent.wire.ranges import Ranges
from lambdas.landing.dynamodb import LedgerTable
from lambdas.landing.ports import Claim, Commit, Known, Lake, Ledger
from lambdas.landing.retry import Retrying
from lambdas.landing.s3 import LakeBucket
from lambdas.latest import Latest, Place, Position, Standing, States
from lambdas.state_table import StateTable
from tests.lambdas.fakes import FakeLake, FakeLedger, FakeStates
from tests.lambdas.samples import ARRIVED, E1, E2, E3, RECEIVED, notice

KEY, OTHER, THIRD = (f"readings/stream=s/dt=2026-01-31/{digit * 32}.json.gz" for digit in "abc")
LINE = Line("board-7", "s", E1)


IMPLEMENTATIONS = ["fake", "aws", pytest.param("local_aws", marks=pytest.mark.e2e)]


def call() -> Retrying:
    return Retrying(sleep=lambda _: None, random=lambda: 0.0)


def claim(*, first: int = 1, last: int = 5, digest: str = "d", key: str = KEY, line: Line = LINE) -> Claim:
    return Claim(line=line, first=first, last=last, digest=digest, key=key, lease=1_800_000_000, expires=1_805_000_000)


@pytest.fixture(params=IMPLEMENTATIONS)
def books(request: pytest.FixtureRequest) -> Ledger:
    if request.param == "fake":
        return FakeLedger()
    aws = request.getfixturevalue(request.param)
    return LedgerTable(aws.dynamodb, aws.ledger, call())


@pytest.fixture(params=IMPLEMENTATIONS)
def lake(request: pytest.FixtureRequest) -> Lake:
    if request.param == "fake":
        return FakeLake()
    aws = request.getfixturevalue(request.param)
    return LakeBucket(aws.s3, aws.lake, call())


@pytest.fixture(params=IMPLEMENTATIONS)
def states(request: pytest.FixtureRequest) -> States:
    if request.param == "fake":
        return FakeStates()
    aws = request.getfixturevalue(request.param)
    return StateTable(aws.dynamodb, aws.state, call())


def test_the_first_claim_stands_and_the_second_is_told_of_it(books: Ledger) -> None:
    assert books.claim(claim()) is None
    assert books.claim(claim(digest="other", key=OTHER, last=9)) == claim()
    assert books.claim(claim(key=OTHER)) == claim()


def test_claims_of_other_numbers_epochs_streams_and_devices_are_apart(books: Ledger) -> None:
    lines = [LINE, LINE._replace(epoch=E2), LINE._replace(stream="t"), LINE._replace(device="board-8")]
    assert [books.claim(claim(line=line, first=first)) for line in lines for first in (1, 2, 5)] == [None] * 12


def test_a_claim_moves_only_from_the_key_it_names(books: Ledger) -> None:
    books.claim(claim())
    assert not books.move(claim(key=THIRD), old_key=OTHER)
    assert books.move(claim(key=THIRD), old_key=KEY)
    assert books.claim(claim()) == claim(key=THIRD)


def test_moving_again_to_the_same_key_says_that_it_is_there(books: Ledger) -> None:
    books.claim(claim())
    assert books.move(claim(key=OTHER), old_key=KEY)
    assert books.move(claim(key=OTHER), old_key=KEY)
    assert not books.move(claim(key=THIRD), old_key=KEY)


def test_a_claim_that_is_not_there_does_not_move(books: Ledger) -> None:
    assert not books.move(claim(key=OTHER), old_key=KEY)
    assert books.claim(claim()) is None


def test_epochs_are_numbered_by_first_sight_for_ever(books: Ledger) -> None:
    for _ in range(2):
        assert [books.register(LINE._replace(epoch=epoch)) for epoch in (E2, E1, E3, E1)] == [1, 2, 3, 2]
    assert books.register(LINE._replace(stream="t", epoch=E3)) == 1
    assert books.register(LINE._replace(device="board-8", epoch=E3)) == 1


def test_a_line_is_unknown_until_it_is_registered(books: Ledger) -> None:
    books.claim(claim())
    assert books.known(LINE) == Known(None, Ranges())
    books.register(LINE._replace(epoch=E2))
    books.register(LINE)
    assert books.known(LINE) == Known(2, Ranges())


def test_a_notice_stands_against_another_one_and_may_repeat(books: Ledger) -> None:
    dropped, damaged = (envelope.decode(notice(3, 9, stream="s", reason=reason)) for reason in ("dropped", "damaged"))
    assert isinstance(dropped, Notice)
    assert isinstance(damaged, Notice)
    assert books.notice(dropped, arrived=ARRIVED)
    assert books.notice(dropped, arrived=ARRIVED + 1)
    assert not books.notice(damaged, arrived=ARRIVED)


def test_a_key_is_created_once_as_data_or_as_void(lake: Lake) -> None:
    assert lake.head(KEY) is None
    assert lake.create(KEY, b"body", Commit.DATA)
    assert not lake.create(KEY, ledger.VOID, Commit.VOID)
    assert not lake.create(KEY, b"other", Commit.DATA)
    assert lake.head(KEY) is Commit.DATA
    assert lake.create(OTHER, ledger.VOID, Commit.VOID)
    assert not lake.create(OTHER, b"body", Commit.DATA)
    assert lake.head(OTHER) is Commit.VOID


def position(ordinal: int, seq: int, believed: int | None = RECEIVED) -> Position:
    return Position(device="board-7", stream="s", epoch=E1, place=Place(ordinal, seq), received=RECEIVED, believed=believed)


def test_a_position_only_advances(states: States) -> None:
    steps = [(1, 5), (1, 5), (1, 3), (1, 10), (2, 1), (1, 99), (2, 1), (10, 1), (9, 50)]
    assert [states.advance(position(*step)) for step in steps] == [
        Standing.ADVANCED,
        Standing.REPEATED,
        Standing.LATE,
        Standing.ADVANCED,
        Standing.ADVANCED,
        Standing.SUPERSEDED,
        Standing.REPEATED,
        Standing.ADVANCED,
        Standing.SUPERSEDED,
    ]


def test_an_epoch_that_is_older_by_clocks_that_are_believed_does_not_supersede(states: States) -> None:
    assert states.advance(position(1, 5, believed=1000)) is Standing.ADVANCED
    assert states.advance(position(2, 9, believed=999)) is Standing.SUPERSEDED
    assert states.advance(position(1, 6, believed=500)) is Standing.ADVANCED, "within an epoch the sequence number alone decides"
    assert states.advance(position(1, 7, believed=1000)) is Standing.ADVANCED, "the live epoch goes on"
    assert states.advance(position(2, 10, believed=1000)) is Standing.ADVANCED


def test_without_a_clock_to_believe_the_ordinal_decides(states: States) -> None:
    assert states.advance(position(1, 5, believed=1000)) is Standing.ADVANCED
    assert states.advance(position(2, 1, believed=None)) is Standing.ADVANCED
    assert states.advance(position(3, 1, believed=7)) is Standing.ADVANCED


def latest(ordinal: int, seq: int, payload: bytes | list[bytes] = b"v", topic: str | None = "t") -> Latest:
    return Latest(
        device="board-7", stream="s", topic=topic, place=Place(ordinal, seq), received=RECEIVED, synced=True, client=None, payload=payload
    )


def test_a_value_is_replaced_only_by_a_newer_one(states: States) -> None:
    places = [(1, 5), (1, 5), (1, 4), (1, 6), (2, 1), (1, 100)]
    assert [states.put(latest(*place)) for place in places] == [True, False, False, True, True, False]


def test_positions_and_values_of_a_device_are_apart(states: States) -> None:
    assert states.advance(position(1, 1)) is Standing.ADVANCED
    assert [states.put(latest(1, 1, topic=topic)) for topic in ("t", "u", "", "a|b", "s")] == [True] * 5
    assert not states.put(latest(1, 1, topic=None))  # no topic and the empty topic share a place


# What only the adapters can show


@pytest.fixture
def table(aws: Any) -> LedgerTable:
    return LedgerTable(aws.dynamodb, aws.ledger, call())


def test_a_claim_is_stored_with_its_time_to_live(table: LedgerTable, aws: Any) -> None:
    table.claim(claim(first=7, last=9))
    assert aws.items(aws.ledger) == [
        {
            "pk": {"S": f"board-7|s|{E1}"},
            "sk": {"S": "c|00000000000000000007"},
            "K": {"S": KEY},
            "digest": {"S": "d"},
            "first": {"N": "7"},
            "last": {"N": "9"},
            "count": {"N": "3"},
            "lease": {"N": "1800000000"},
            "expires": {"N": "1805000000"},
        }
    ]


def test_folded_ranges_are_read_from_all_their_parts(table: LedgerTable, aws: Any) -> None:
    table.register(LINE)
    for number, ranges in enumerate((Ranges([(1, 5), (9, 9)]), Ranges([(6, 8), (20, 30)]))):
        item = {"pk": {"S": LINE.pk}, "sk": {"S": ledger.folded_sk(number)}, "ranges": {"S": ledger.write_ranges(ranges)}}
        aws.dynamodb.put_item(TableName=aws.ledger, Item=item)
    table.claim(claim())
    assert table.known(LINE) == Known(1, Ranges([(1, 9), (20, 30)]))


def test_void_objects_say_so_and_are_empty_gzip_files(aws: Any) -> None:
    LakeBucket(aws.s3, aws.lake, call()).create(KEY, ledger.VOID, Commit.VOID)
    answer = aws.s3.get_object(Bucket=aws.lake, Key=KEY)
    assert answer["Metadata"] == {"commit": "void"}
    assert answer["Body"].read() == ledger.VOID


@pytest.mark.parametrize(
    ("payload", "attribute"),
    [
        (b"text", {"data": {"S": "text"}}),
        (b"", {"data": {"S": ""}}),
        (b"\xff\x00", {"data_base64": {"S": "/wA="}}),
        ([b"a", b""], {"frames": {"L": [{"S": "YQ=="}, {"S": ""}]}}),
        ([], {"frames": {"L": []}}),
        (b"x" * 500_000, {"too_large": {"N": "500000"}}),
        (b"\xff" * 350_000, {"too_large": {"N": "350000"}}),
        ([b"\xff" * 200_000, b"\xff" * 200_000], {"too_large": {"N": "400000"}}),
    ],
)
def test_values_are_stored_as_in_the_lake_or_by_their_size(aws: Any, payload: Any, attribute: dict[str, Any]) -> None:
    StateTable(aws.dynamodb, aws.state, call()).put(latest(3, 8, payload))
    assert aws.items(aws.state) == [
        {
            "pk": {"S": "board-7"},
            "sk": {"S": "topic|s|t"},
            "ordinal": {"N": "3"},
            "seq": {"N": "8"},
            "received": {"S": envelope.rfc3339(RECEIVED)},
            "clock": {"S": "synced"},
            "topic": {"S": "t"},
            **attribute,
        }
    ]
