"""The books against a slow twin that looks at every number."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from device_agent.operate import books
from device_agent.operate.books import Books, LakeCount
from device_agent.wire.books import COLUMNS, REASONS, Facts, settle
from device_agent.wire.ledger import Line
from device_agent.wire.ranges import Ranges

LINE = Line("board-7", "telemetry", "1" * 16)
PAIRS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 6)).map(lambda pair: (pair[0], sum(pair))), max_size=6)


def facts(received: object, claimed: object = (), **noticed: object) -> Facts:
    made = Facts(ordinal=1, received=Ranges(received), claimed=Ranges(claimed))  # type: ignore[arg-type]
    for reason, pairs in noticed.items():
        made.noticed[reason] = Ranges(pairs)  # type: ignore[arg-type]
    return made


def numbers(pairs: object) -> set[int]:
    return {number for first, last in pairs for number in range(first, last + 1)}  # type: ignore[attr-defined]


@given(PAIRS, PAIRS, PAIRS, PAIRS, PAIRS)
def test_every_number_up_to_the_highest_is_in_one_column(
    received: object, claimed: object, quarantined: object, damaged: object, dropped: object
) -> None:
    told = {"received": received, "pending": claimed, "quarantined": quarantined, "damaged": damaged, "dropped": dropped}
    made = settle(LINE, facts(received, claimed, quarantined=quarantined, damaged=damaged, dropped=dropped))
    highest = max((number for pairs in told.values() for number in numbers(pairs)), default=0)
    twin: dict[str, set[int]] = {column: set() for column in COLUMNS}
    for number in range(1, highest + 1):
        twin[next((column for column, pairs in told.items() if number in numbers(pairs)), "missing")].add(number)
    assert {column: numbers(getattr(made, column)) for column in COLUMNS} == twin
    assert made.highest == highest
    assert sum(made.count(column) for column in COLUMNS) == highest


def test_a_received_reading_beats_a_notice() -> None:
    made = settle(LINE, facts([(1, 10)], dropped=[(5, 15)]))
    assert (made.received, made.dropped, made.missing) == (((1, 10),), ((11, 15),), ())


@given(PAIRS, PAIRS, PAIRS, st.integers(1, 40), st.integers(0, 6))
def test_the_books_of_a_span_are_those_of_its_numbers_and_of_the_hole_right_below(
    received: object, claimed: object, dropped: object, first: int, more: int
) -> None:
    made = settle(LINE, facts(received, claimed, dropped=dropped))
    wanted = set(range(first, first + more + 1))
    below = first - 1
    while below in numbers(made.missing):
        wanted.add(below)
        below -= 1
    cut = books.within(made, (first, first + more))
    assert {column: numbers(getattr(cut, column)) for column in COLUMNS} == {
        column: numbers(getattr(made, column)) & wanted for column in COLUMNS
    }


def test_reasons_are_those_of_the_wire() -> None:
    from device_agent.wire import envelope

    assert set(REASONS) == set(envelope.REASONS)


@given(st.lists(st.tuples(st.booleans(), st.lists(st.integers(1, 12), max_size=8)), max_size=5), PAIRS)
def test_the_lake_is_counted_row_by_row(objects: list[tuple[bool, list[int]]], received: object) -> None:
    lines = {True: LINE, False: LINE._replace(device="board-8")}
    counted = LakeCount()
    for which, seqs in objects:
        counted.add(lines[which], seqs)
    found = counted.compare({LINE: Ranges(received)})  # type: ignore[arg-type]
    rows = [(lines[which], seq) for which, seqs in objects for seq in seqs]
    ledger = {(LINE, number) for number in numbers(received)}
    assert found.rows == len(rows)
    assert flat(found.doubled) == {row for row in rows if rows.count(row) > 1}
    assert flat(found.lost) == ledger - set(rows)
    assert flat(found.unclaimed) == set(rows) - ledger


def flat(found: dict[Line, books.Pairs]) -> set[tuple[Line, int]]:
    return {(line, number) for line, pairs in found.items() for number in numbers(pairs)}


def test_the_table_adds_up_and_names_what_is_wrong() -> None:
    counted = LakeCount()
    counted.add(LINE, [1, 2, 2])
    made = Books(
        lines=(settle(LINE, facts([(1, 2)], [(5, 6)], dropped=[(8, 8)])), settle(LINE._replace(stream="x"), facts([(1, 1)]))),
        lake=counted.compare({LINE: Ranges([(1, 2)])}),
    )
    assert not made.balanced
    assert books.table(made) == [
        "device   stream     epoch             no.  received  pending  dropped  missing  duplicate",
        "board-7  telemetry  1111111111111111    1         2        2        1        3          1",
        "board-7  x          1111111111111111    1         1        0        0        0          0",
        "total                                             3        2        1        3          1",
        "none quarantined, damaged",
        "",
        "pending: board-7 telemetry 1111111111111111: 5-6",
        "missing: board-7 telemetry 1111111111111111: 3-4, 7",
        "more than once in the lake: board-7 telemetry 1111111111111111: 2",
        "the lake holds 3 rows",
        "THE BOOKS DO NOT BALANCE",
    ]


def test_the_document_is_json_with_all_ranges() -> None:
    made = Books(lines=(settle(LINE, facts([(1, 2), (4, 4)])),))
    assert json.loads(json.dumps(books.document(made))) == {
        "balanced": False,
        "lines": [
            {
                "device": "board-7",
                "stream": "telemetry",
                "epoch": "1" * 16,
                "ordinal": 1,
                "highest": 4,
                "received": [[1, 2], [4, 4]],
                "pending": [],
                "quarantined": [],
                "damaged": [],
                "dropped": [],
                "missing": [[3, 3]],
                "duplicate": None,
            }
        ],
        "lake": None,
    }


def test_no_books_balance() -> None:
    assert Books(lines=()).balanced
    assert books.table(Books(lines=()))[-1] == "the books balance"
