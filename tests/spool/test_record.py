"""The record format, to the byte. Golden files pin what is on the cards of devices: added to, never edited."""

from __future__ import annotations

from pathlib import Path

import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st

from device_agent.spool import record
from device_agent.spool.record import HEADER_SIZE, Kind, Record

GOLDEN = Path(__file__).parent / "golden"
MACHINE = bytes(range(16))
RECORDS = {
    "segment": Record(
        kind=Kind.SEGMENT, first=4711, count=0, time=1_700_000_000_000_000, body=record.segment_body("0123456789abcdef", MACHINE)
    ),
    "data": Record(kind=Kind.DATA, first=4711, count=3, time=1_700_000_000_000_001, body=b"a data block", offset=7),
    "border": Record(kind=Kind.BORDER, first=4704, count=10, time=1_700_000_000_000_000, body=record.border_body(1234, 999)),
    "jump": Record(kind=Kind.JUMP, first=4714, count=2**40, time=1_700_000_000_000_002, body=record.notice_body("dropped", "full")),
    "notice": Record(kind=Kind.NOTICE, first=1, count=12, time=1_700_000_000_000_003, body=record.notice_body("damaged", "bit rot é")),
    "journal": Record(kind=Kind.JOURNAL, first=0, count=0, time=1_700_000_000_000_004, body=bytes.fromhex("0123456789abcdef")),
    "settled": Record(kind=Kind.SETTLED, first=1, count=12, time=1_700_000_000_000_005),
    "told": Record(kind=Kind.TOLD, first=1, count=12, time=1_700_000_000_000_006),
}


def test_the_checksum_is_crc_32c_and_no_other() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720, appendix B.4; CRC-32 would be cbf43926


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_has_the_bytes_that_it_always_had(name: str) -> None:
    assert RECORDS[name].encode(9).hex() == (GOLDEN / f"{name}.v1.hex").read_text().strip()


@pytest.mark.parametrize("name", RECORDS)
def test_a_golden_record_reads_as_what_was_written(name: str) -> None:
    data = bytes.fromhex((GOLDEN / f"{name}.v1.hex").read_text())
    header = record.header_at(data, 0)
    assert header is not None
    one = RECORDS[name]
    assert (header.kind, header.offset, header.segment) == (one.kind, one.offset, 9)
    assert (header.first, header.numbers, header.time) == (one.first, one.count, one.time)
    assert record.body_at(data, 0, header) == one.body


def test_every_kind_is_pinned() -> None:
    assert {one.kind for one in RECORDS.values()} == set(Kind)
    assert sorted(path.name for path in GOLDEN.glob("*.v1.hex")) == sorted(f"{name}.v1.hex" for name in RECORDS)


def test_bodies_read_as_what_was_written() -> None:
    assert record.read_segment_body(record.segment_body("0123456789abcdef", MACHINE)) == ("0123456789abcdef", MACHINE)
    assert record.read_border_body(record.border_body(1, 2)) == (1, 2)
    assert record.read_notice_body(record.notice_body("dropped", "why")) == ("dropped", "why")


def test_a_long_detail_is_cut() -> None:
    assert len(record.notice_body("damaged", "x" * 5000)) == len("damaged") + 1 + record.MAX_DETAIL


@given(at=st.integers(0, 8 * (HEADER_SIZE + 12) - 1))
def test_any_flipped_bit_is_noticed(at: int) -> None:
    data = bytearray(RECORDS["data"].encode(9))
    data[at // 8] ^= 1 << at % 8
    header = record.header_at(data, 0)
    assert header is None or record.body_at(data, 0, header) is None


@given(junk=st.binary(max_size=300), segment=st.integers(0, 3))
def test_the_next_record_is_found_behind_any_rubbish(junk: bytes, segment: int) -> None:
    data = junk + RECORDS["data"].encode(7)
    assert record.find(data, 0, 7) == len(junk)
    assert record.find(data, 0, segment) == -1


def test_another_version_is_not_read() -> None:
    data = bytearray(RECORDS["settled"].encode(1))
    data[4] = 2
    data[48:52] = crc32c(bytes(data[:48])).to_bytes(4, "little")
    assert record.header_at(data, 0) is None


def test_a_header_that_is_cut_short_is_none() -> None:
    data = RECORDS["settled"].encode(1)
    assert all(record.header_at(data[:end], 0) is None for end in range(HEADER_SIZE))


@pytest.mark.parametrize("body", [b"", b"\0", b"no reason\0of ours", b"\xff\xfe\0"])
def test_a_notice_without_a_reason_of_the_wire_speaks_of_damage(body: bytes) -> None:
    """An empty one made the notice look like an envelope, which could not be read."""
    assert record.read_notice_body(body)[0] == "damaged"
