"""Whatever goes in comes out, byte for byte, however it is cut and compressed."""

from __future__ import annotations

import json
import re
from itertools import chain

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from device_agent.wire import block, envelope
from device_agent.wire.block import Run
from device_agent.wire.limits import KIB, MAX_MESSAGE, MAX_READING, MAX_READINGS
from tests.wire import strategies
from tests.wire.strategies import NAMES, expand

#: What SQS takes in a body (SendMessage reference).
ALLOWED = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")


def body_of(blocks: list[list[Run]], *, first: int = 1, level: int = 1) -> str:
    data = b"".join(block.encode(runs, level=level) for runs in blocks)
    count = sum(len(run) for runs in blocks for run in runs)
    return envelope.encode_blocks(**NAMES, first=first, count=count, time=blocks[0][0].received, data=data)


@given(strategies.blocks, strategies.sequence_numbers)
def test_readings_come_out_as_they_went_in(blocks: list[list[Run]], first: int) -> None:
    body = body_of(blocks, first=first)
    decoded = envelope.decode(body)
    assert isinstance(decoded, envelope.Envelope)
    assert decoded.readings == expand(list(chain.from_iterable(blocks)))
    assert (decoded.first, decoded.last) == (first, first + len(decoded.readings) - 1)
    assert ALLOWED.fullmatch(body)


@given(strategies.blocks, st.sampled_from([1, 3, 19]))
def test_the_digest_does_not_depend_on_cuts_or_compression(blocks: list[list[Run]], level: int) -> None:
    together = [list(chain.from_iterable(blocks))]
    apart = [[part] for run in together[0] for part in run.split(len(run) // 2) if len(part)]
    digests = {envelope.decode(body_of(cut, level=at)).digest() for cut, at in ((blocks, 1), (together, level), (apart, level))}
    assert len(digests) == 1


@given(strategies.blocks, strategies.blocks)
def test_different_readings_have_different_digests(one: list[list[Run]], other: list[list[Run]]) -> None:
    a, b = envelope.decode(body_of(one)), envelope.decode(body_of(other))
    assert isinstance(a, envelope.Envelope)
    assert isinstance(b, envelope.Envelope)
    assert (a.digest() == b.digest()) == (a.readings == b.readings)


@given(st.lists(strategies.runs(), min_size=1, max_size=3), st.data())
def test_a_split_run_encodes_the_same_readings(runs: list[Run], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(runs[0])))
    parts = [*runs[0].split(cut), *runs[1:]]
    assert block.decode(block.encode(parts)) == block.decode(block.encode(runs))


def test_runs_without_readings_add_nothing_and_alone_are_refused() -> None:
    empty, one = Run(5, False, [], "other"), Run(7, True, [b"x"], "t")
    assert block.encode_columns([empty, one, empty]) == block.encode_columns([one])
    with pytest.raises(ValueError, match="at least one reading"):
        block.encode_columns([empty])


def test_the_largest_envelope_comes_out_as_it_went_in() -> None:
    full = [Run(1, True, [b"%d" % at for at in range(MAX_READINGS)], [str(at) for at in range(MAX_READINGS)])]
    assert block.decode(block.encode(full)) == expand(full)
    large = [Run(1, True, [bytes([at]) * MAX_READING]) for at in range(5)]
    assert block.decode(block.encode(large)) == expand(large)


# One reading a message


@given(strategies.payloads, strategies.labels, strategies.labels, strategies.times, st.booleans(), strategies.sequence_numbers)
def test_a_single_reading_comes_out_as_it_went_in(
    payload: bytes | list[bytes], topic: str | None, client: str | None, time: int, synced: bool, seq: int
) -> None:
    body = envelope.encode_reading(**NAMES, seq=seq, received=time, synced=synced, payload=payload, topic=topic, client=client)
    decoded = envelope.decode(body)
    assert isinstance(decoded, envelope.Envelope)
    assert decoded.readings == expand([Run(time, synced, [payload], topic, client)])
    assert decoded.first == decoded.last == seq
    assert ALLOWED.fullmatch(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4),
    max_leaves=12,
)


@given(json_values, st.booleans(), st.sampled_from([None, 2]), st.sampled_from(["", " ", "\r\n", "\t"]))
def test_json_payloads_stand_unchanged_in_data(value: object, ascii_only: bool, indent: int | None, margin: str) -> None:
    payload = f"{margin}{json.dumps(value, ensure_ascii=ascii_only, indent=indent)}{margin}".encode()
    body = envelope.encode_reading(**NAMES, seq=1, received=1, synced=True, payload=payload)
    event = json.loads(body)
    decoded = envelope.decode(body)
    assert isinstance(decoded, envelope.Envelope)
    assert decoded.readings.payloads == [payload]
    if "data" in event:
        assert body.encode().endswith(b',"data":' + payload + b"}")
        assert event["data"] == value
    assert ALLOWED.fullmatch(body)


@pytest.mark.parametrize(
    "payload",
    [
        b"NaN", b"[Infinity]", b"-Infinity", b"\xff", b"", b"{'a':1}", b'"\\ud800"', b"[" * 61 + b"]" * 61, b"[" * 100_000, b"1" * 5000,
        '"\ufffe"'.encode(), b'"\x01"',
    ],
    ids=repr,
)  # fmt: skip
def test_what_not_every_parser_takes_goes_as_base64(payload: bytes) -> None:
    body = envelope.encode_reading(**NAMES, seq=1, received=1, synced=True, payload=payload)
    assert "data" not in json.loads(body)
    decoded = envelope.decode(body)
    assert isinstance(decoded, envelope.Envelope)
    assert decoded.readings.payloads == [payload]


@pytest.mark.parametrize(
    "payload", [b"[" * 60 + b"]" * 60, b'"' + b"[{" * 100 + b'"', b'"\\ud83d\\ude00"', b"1e400", b"null", b'{"a":1,"data":2}'], ids=repr
)
def test_json_that_every_parser_takes_stands_in_data(payload: bytes) -> None:
    body = envelope.encode_reading(**NAMES, seq=1, received=1, synced=True, payload=payload)
    assert body.endswith(f',"data":{payload.decode()}}}')
    decoded = envelope.decode(body)
    assert isinstance(decoded, envelope.Envelope)
    assert decoded.readings.payloads == [payload]


def test_the_largest_reading_fits_a_message_in_its_widest_form() -> None:
    frames = [b"\xff" * (MAX_READING // 1024)] * 1024
    body = envelope.encode_reading(
        device="d" * 80, stream="s" * 40, epoch="f" * 16, agent="a" * 256, seq=2**63 - 1, received=0, synced=False, payload=frames,
        topic="\x01" * 256, client="\x01" * 256,
    )  # fmt: skip
    assert len(body.encode()) < MAX_MESSAGE - 4 * KIB


# Sizes


@given(
    st.integers(4 * KIB, MAX_MESSAGE),
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=80),
    strategies.sequence_numbers,
)
@example(64 * KIB, "d" * 80, 2**63 - 100_001)
@settings(max_examples=30)
def test_a_full_body_keeps_its_limit_and_wastes_at_most_a_few_bytes(limit: int, device: str, first: int) -> None:
    names = NAMES | {"device": device}
    around = envelope.overhead(device=device, stream=names["stream"], agent=names["agent"])
    room = envelope.capacity(limit, overhead=around)
    body = envelope.encode_blocks(**names, first=first, count=MAX_READINGS, time=0, data=b"x" * room)
    assert len(body.encode()) <= limit
    assert len(body.encode()) > limit - 4 - (19 - len(str(first))) * 2


def test_nothing_fits_where_the_attributes_already_fill_the_body() -> None:
    assert envelope.capacity(100, overhead=100) == envelope.capacity(99, overhead=100) == 0


# Notices


@given(
    st.integers(1, 2**62),
    st.integers(0, 2**62 - 1),
    strategies.times,
    st.sampled_from(envelope.REASONS),
    st.text(st.characters(codec="utf-8"), max_size=1000),
)
def test_notices_come_out_as_they_went_in(first: int, more: int, time: int, reason: str, detail: str) -> None:
    notice = envelope.Notice(**NAMES, first=first, last=first + more, time=time, reason=reason, detail=detail)
    body = envelope.encode_notice(notice)
    assert envelope.decode(body) == notice
    assert ALLOWED.fullmatch(body)


def test_a_long_or_unprintable_detail_is_cut_not_refused() -> None:
    notice = envelope.Notice(**NAMES, first=1, last=1, time=0, reason="damaged", detail="\ud800" + "x" * 5000)
    decoded = envelope.decode(envelope.encode_notice(notice))
    assert isinstance(decoded, envelope.Notice)
    assert decoded.detail == "?" + "x" * 999
    assert decoded.digest() == notice.digest()


@given(strategies.times)
def test_times_come_out_as_they_went_in(time: int) -> None:
    assert envelope.microseconds(envelope.rfc3339(time)) == time


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-W05-6T12:00:00Z",
        "20260131T120000Z",
        "1969-12-31T23:59:59Z",
        "2026-01-31T12:00:00+99:00",
        "2026-01-31T12:00:00.1234567Z",
        "",
    ],
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(envelope.EnvelopeError):
        envelope.microseconds(text)
