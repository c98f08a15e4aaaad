"""Ranges against a set of numbers, step by step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from device_agent.wire.limits import MAX_SEQ
from device_agent.wire.ranges import Ranges

numbers = st.integers(1, 40)
spans = st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair)))


def as_ranges(members: set[int]) -> list[tuple[int, int]]:
    """Return the ranges of a set, the slow way."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(members):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges


class AgainstASet(RuleBasedStateMachine):
    """Every answer of `Ranges` is that of a set."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges = Ranges()
        self.twin: set[int] = set()

    @rule(span=spans)
    def add(self, span: tuple[int, int]) -> None:
        self.ranges.add(*span)
        self.twin |= set(range(span[0], span[1] + 1))

    @rule(span=spans)
    def ask(self, span: tuple[int, int]) -> None:
        asked = set(range(span[0], span[1] + 1))
        assert self.ranges.covers(*span) == (asked <= self.twin)
        assert self.ranges.touches(*span) == bool(asked & self.twin)
        assert list(self.ranges.missing(*span)) == as_ranges(asked - self.twin)

    @rule()
    def make_again(self) -> None:
        assert Ranges(reversed(list(self.ranges))) == self.ranges

    @invariant()
    def agrees(self) -> None:
        assert list(self.ranges) == as_ranges(self.twin)
        assert self.ranges.count == len(self.twin)
        assert len(self.ranges) == len(as_ranges(self.twin))


TestRangesAgainstASet = AgainstASet.TestCase


@given(st.lists(st.tuples(st.integers(1, MAX_SEQ), st.integers(0, 100)), max_size=20), st.randoms())
def test_the_order_of_adding_does_not_matter(spans: list[tuple[int, int]], random: st.DrawFn) -> None:
    added = [(first, first + more) for first, more in spans]
    shuffled = sorted(added, key=lambda _: random.random())  # type: ignore[attr-defined]  # a random.Random
    assert Ranges(added) == Ranges(shuffled)


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="ends before it begins"):
        Ranges([(2, 1)])


def test_ranges_compare_by_content_and_say_it() -> None:
    assert Ranges([(1, 2), (3, 4)]) == Ranges([(1, 4)])
    assert Ranges([(1, 2)]) != Ranges([(1, 3)])
    assert Ranges() != [(1, 2)]
    assert repr(Ranges([(5, 9), (1, 2)])) == "Ranges([(1, 2), (5, 9)])"
