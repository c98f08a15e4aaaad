"""The arithmetic of folded ranges: where claims are looked for, and how ranges are kept in parts of bounded size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from device_agent.wire.ledger import write_ranges
from device_agent.wire.limits import MAX_SEQ
from device_agent.wire.ranges import Ranges
from lambdas.closing import parts
from lambdas.closing.ports import Part

PAIRS = st.lists(st.tuples(st.integers(1, 300), st.integers(0, 9)).map(lambda pair: (pair[0], sum(pair))), max_size=30)


@given(PAIRS, st.integers(1, 6))
def test_spans_cover_every_number_that_is_not_folded_in_at_most_so_many_pieces(pairs: list[tuple[int, int]], most: int) -> None:
    known = Ranges(pairs)
    found = parts.spans(known, most=most)
    covered = Ranges(found)
    assert len(found) <= most
    assert all(covered.covers(*hole) for hole in known.missing(1, MAX_SEQ))
    assert found[-1][1] == MAX_SEQ
    assert found == sorted(found)


def test_the_longest_folded_stretches_are_not_read_through() -> None:
    known = Ranges([(1, 10), (12, 13), (15, 1000), (1002, 1003), (1005, 5000)])
    assert parts.spans(known, most=3) == [(11, 14), (1001, 1004), (5001, MAX_SEQ)]
    assert parts.spans(Ranges()) == [(1, MAX_SEQ)]
    assert parts.spans(Ranges([(1, MAX_SEQ)])) == []


@given(st.lists(PAIRS, max_size=8), st.integers(20, 200))
def test_folding_round_after_round_keeps_all_and_no_part_ever_shrinks(rounds: list[list[tuple[int, int]]], limit: int) -> None:
    stored: dict[int, Part] = {}
    twin: set[int] = set()
    for pairs in rounds:
        twin |= {number for first, last in pairs for number in range(first, last + 1)}
        for part in parts.grown(list(stored.values()), Ranges(pairs), limit=limit):
            old = stored.get(part.number, Part(part.number, Ranges(), 0))
            assert part.version == old.version + 1
            assert all(part.ranges.covers(*one) for one in old.ranges), "a part shrank"
            stored[part.number] = part
        union = parts.folded(stored.values())
        assert {number for first, last in union for number in range(first, last + 1)} == twin
        assert not parts.grown(list(stored.values()), Ranges(pairs), limit=limit), "nothing is written twice"
    assert sorted(stored) == list(range(len(stored)))


@given(st.lists(st.integers(1, 4000), max_size=400))
def test_a_part_that_is_full_gets_no_new_ranges(numbers: list[int]) -> None:
    stored: dict[int, Part] = {}
    for number in numbers:
        stored |= {part.number: part for part in parts.grown(list(stored.values()), Ranges([(number, number)]), limit=100)}
    assert all(len(write_ranges(part.ranges)) <= 130 for part in stored.values())


def test_the_limit_leaves_room_in_an_item() -> None:
    many = Ranges((2 * number, 2 * number) for number in range(10**17, 10**17 + 20_000))
    made = parts.grown([], many)
    assert len(made) == 8
    assert max(len(write_ranges(part.ranges)) for part in made) <= parts.MAX_PART
