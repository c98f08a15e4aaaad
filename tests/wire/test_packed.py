"""Packed payloads are the list that they were made of, however they are cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from device_agent.wire.block import Run, encode_columns
from device_agent.wire.packed import Packed

#: Around the sizes of a piece (64), and of MessagePack's three kinds of array heads (16).
COUNTS = st.sampled_from([0, 1, 15, 16, 17, 63, 64, 65, 79, 80, 81, 128, 300])
PAYLOADS = st.builds(lambda count, size: [bytes([index % 251]) * (size + index % 3) for index in range(count)], COUNTS, st.integers(0, 300))


@given(PAYLOADS, st.data())
def test_any_part_of_any_part_is_that_of_the_list(payloads: list[bytes], data: st.DataObject) -> None:
    packed = Packed.of(payloads)
    for _ in range(3):
        assert len(packed) == len(payloads)
        assert list(packed) == payloads
        assert packed.size(0, len(packed)) >= sum(map(len, payloads))
        start, stop = sorted(data.draw(st.tuples(st.integers(0, len(payloads)), st.integers(0, len(payloads)))))
        packed, payloads = packed[start:stop], payloads[start:stop]


@given(st.lists(st.tuples(PAYLOADS, st.booleans()), min_size=1, max_size=4), st.data())
def test_a_block_is_the_same_to_the_byte_however_its_payloads_came(parts: list[tuple[list[bytes], bool]], data: st.DataObject) -> None:
    lists = [Run(received=at, synced=True, payloads=list(payloads)) for at, (payloads, _) in enumerate(parts)]
    mixed = [
        Run(run.received, True, Packed.of(payloads) if early else run.payloads) for run, (payloads, early) in zip(lists, parts, strict=True)
    ]
    at = data.draw(st.integers(0, len(parts) - 1))
    cut = data.draw(st.integers(0, len(lists[at])))
    mixed[at : at + 1] = mixed[at].split(cut)
    if any(map(len, lists)):
        assert encode_columns(mixed) == encode_columns(lists)


def test_more_readings_than_a_short_array_head_counts_are_packed_whole() -> None:
    payloads = [b"x"] * 65_537
    assert encode_columns([Run(0, True, Packed.of(payloads))]) == encode_columns([Run(0, True, list(payloads))])
