"""Reading a segment's bytes, whatever they are."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_agent.spool import record
from device_agent.spool.record import Kind, Record
from device_agent.spool.scan import Entry, Scan, scan

NUMBER, BASE = 7, 101


def segment(*, envelopes: int = 4, blocks: int = 3, readings: int = 5) -> tuple[bytes, list[int]]:
    """Return a segment's bytes and where its records begin."""
    parts = [Record(kind=Kind.SEGMENT, first=BASE, count=0, time=1, body=record.segment_body("0" * 16, bytes(16)))]
    number, values = BASE, random.Random(1)
    for at in range(envelopes):
        first, size = number, 0
        for part in range(blocks):
            body = values.randbytes(20 + at)
            size += len(body)
            parts.append(Record(kind=Kind.DATA, first=number, count=readings, time=at, body=body, offset=part * readings))
            number += readings
        back = sum(one.size for one in parts[-blocks:])
        parts.append(Record(kind=Kind.BORDER, first=first, count=blocks * readings, time=at, body=record.border_body(back, size)))
    data, starts = b"", []
    for one in parts:
        starts.append(len(data))
        data += one.encode(NUMBER)
    return data, starts


DATA, STARTS = segment()
END = BASE + 4 * 3 * 5


def accounted(found: Scan, end: int) -> None:
    """Every number up to `end` is in one envelope or reported as damaged, and envelopes do not overlap."""
    covered: set[int] = set()
    last = BASE - 1
    for entry in found.entries:
        assert entry.first > last
        assert 0 <= entry.position <= entry.stop <= len(DATA)
        last = entry.last
        covered.update(range(entry.first, entry.last + 1))
    damaged = {number for one in found.damage for number in range(one.first, one.last + 1)}
    assert covered | damaged == set(range(BASE, end))


def firsts(entries: list[Entry]) -> list[tuple[int, int]]:
    return [(entry.first, entry.last) for entry in entries]


def test_a_sound_segment_is_read_whole() -> None:
    found = scan(DATA, number=NUMBER, base=BASE, end=END)
    assert firsts(found.entries) == [(101, 115), (116, 130), (131, 145), (146, 160)]
    assert found.damage == []
    assert found.valid == len(DATA)


def test_every_prefix_of_the_last_segment_is_read_up_to_its_last_complete_record() -> None:
    for size in range(len(DATA) + 1):
        data = DATA[:size] + bytes(64)
        found = scan(data, number=NUMBER, base=BASE)
        assert found.damage == []
        assert found.valid >= max([0, *(start for start in [*STARTS[1:], len(DATA)] if start <= size)])
        assert data[: found.valid] == DATA[: found.valid]  # more only where the missing bytes were zeros
        accounted(found, found.next if found.open is None else found.open.first)


@settings(max_examples=200, deadline=None)
@given(flips=st.lists(st.integers(0, 8 * len(DATA) - 1), min_size=1, max_size=4))
def test_flipped_bits_cost_no_more_than_the_records_they_hit(flips: list[int]) -> None:
    data = bytearray(DATA)
    for at in flips:
        data[at // 8] ^= 1 << at % 8
    found = scan(bytes(data), number=NUMBER, base=BASE, end=END)
    accounted(found, END)
    lost = sum(one.last - one.first + 1 for one in found.damage if one.last >= one.first)
    assert lost <= 5 * len(flips)
    whole = {(101, 115), (116, 130), (131, 145), (146, 160)}
    assert {entry.first for entry in found.entries} <= {first for first, _ in whole}, "an envelope got another id"


@settings(max_examples=200, deadline=None)
@given(start=st.integers(0, len(DATA)), length=st.integers(1, 900), fill=st.sampled_from([b"\0", b"\xff", b"\xabDAL"]))
def test_overwritten_stretches_are_survived(start: int, length: int, fill: bytes) -> None:
    stop = min(len(DATA), start + length)
    data = DATA[:start] + (fill * length)[: stop - start] + DATA[stop:]
    found = scan(data, number=NUMBER, base=BASE, end=END)
    accounted(found, END)
    assert {entry.first for entry in found.entries} <= {101, 116, 131, 146}


@given(data=st.binary(max_size=600))
def test_rubbish_is_no_segment(data: bytes) -> None:
    found = scan(data, number=NUMBER, base=BASE, end=END)
    assert found.entries == []
    assert [(one.first, one.last) for one in found.damage] == [(BASE, END - 1)]


def test_a_lost_border_is_found_again_from_the_next_envelope() -> None:
    border = STARTS[4]
    data = DATA[:border] + bytes(60) + DATA[border + 60 :]
    assert firsts(scan(data, number=NUMBER, base=BASE, end=END).entries) == firsts(scan(DATA, number=NUMBER, base=BASE, end=END).entries)


def test_the_end_of_a_segment_closes_its_last_envelope() -> None:
    data = DATA[: STARTS[-1]]
    assert firsts(scan(data, number=NUMBER, base=BASE, end=END).entries)[-1] == (146, 160)
    opened = scan(data, number=NUMBER, base=BASE).open
    assert opened is not None
    assert (opened.first, opened.count) == (146, 15)


def test_what_a_failed_write_left_behind_the_next_base_is_ignored() -> None:
    for end in (131, 136, 141):  # the next segment took over here
        found = scan(DATA, number=NUMBER, base=BASE, end=end)
        assert found.damage == []
        accounted(found, end)


def test_records_of_another_segment_are_not_read() -> None:
    found = scan(DATA, number=NUMBER + 1, base=BASE)
    assert (found.entries, found.valid, found.next) == ([], 0, BASE)


def forged(**fields: int) -> bytes:
    """The bytes of a segment of six readings whose last record has these fields, and the right checksum."""
    block = {"kind": Kind.DATA, "time": 1, "body": b"block"}
    parts = [
        Record(kind=Kind.SEGMENT, first=1, count=0, time=1, body=record.segment_body("0" * 16, bytes(16))),
        Record(**block, first=1, count=6),
        Record(**{"kind": Kind.BORDER, "first": 1, "count": 6, "time": 1, "body": record.border_body(57, 5)} | fields),
    ]
    return b"".join(one.encode(1) for one in parts)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": Kind.DATA, "first": 7, "count": 1, "offset": 7},  # its envelope would begin before the first number
        {"first": 2**63, "count": 1},
        {"count": 2**63},
        {"time": 2**63},
        {"count": 0},
        {"count": 3},  # a border that says less than what stands there
        {"kind": Kind.NOTICE, "first": 2, "count": 0},
        {"kind": Kind.JUMP, "first": 7, "count": 0},
    ],
)
def test_a_record_with_numbers_that_nobody_writes_changes_nothing(fields: dict[str, int]) -> None:
    """Opening failed over some: with a right checksum, which only an attacker or a bug makes, they were believed."""
    found = scan(forged(**fields), number=1, base=1)
    assert found.entries == []
    assert found.open is not None
    assert (found.open.first, found.open.count, found.next) == (1, 6, 7)


def test_an_envelope_that_overlaps_another_is_damage_and_not_given_to_anybody() -> None:
    """Such records have right checksums and impossible numbers: a reader would get the numbers 5 to 8 twice, with two contents."""
    from tests.lab import fuzzlog

    data = fuzzlog.records()
    end = scan(data, number=1, base=1).next
    block = fuzzlog.a_block()
    wrong = Record(kind=Kind.DATA, first=end, count=3, time=1, body=block, offset=4).encode(1)
    sound = Record(kind=Kind.DATA, first=end + 3, count=3, time=1, body=block).encode(1)
    found = scan(data + wrong + sound, number=1, base=1)
    firsts = [entry.first for entry in found.entries if not entry.notice]
    assert firsts == sorted(set(firsts))
    assert (end, end + 2) in {(one.first, one.last) for one in found.damage}
    assert found.open is not None
    assert found.open.first == end + 3
