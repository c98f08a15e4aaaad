"""Packing: borders and blocks become messages whose ids and content never change."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_agent import packer
from device_agent.config import StreamConfig
from device_agent.packer import Message
from device_agent.ports import Block, Border
from device_agent.wire import block, envelope
from device_agent.wire.block import Payload, Run
from device_agent.wire.envelope import Envelope, Notice
from tests.fakes.sqs.model import Sqs, size

EPOCH = "0123456789abcdef"
TIME = 1_790_000_000_000_000
PACKED = StreamConfig(name="telemetry", queue="https://sqs/1/telemetry")
FIFO = StreamConfig(name="events", queue="https://sqs/1/events.fifo")
PLAIN = StreamConfig(name="plain", queue="https://sqs/1/plain.fifo", pack=False)

payloads = st.one_of(st.binary(max_size=40), st.lists(st.binary(max_size=10), max_size=4).filter(lambda frames: len(frames) != 1))
runs = st.builds(
    Run,
    st.integers(0, 2**50),
    st.booleans(),
    st.lists(payloads, min_size=1, max_size=6),
    st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=10)),
    st.none(),
)
chunks = st.lists(st.lists(runs, min_size=1, max_size=2), min_size=1, max_size=12)


def blocks_of(content: list[list[Run]], first: int = 1) -> list[Block]:
    made = []
    for part in content:
        count = sum(map(len, part))
        made.append(Block(first, count, block.encode(part)))
        first += count
    return made


def border_of(blocks: list[Block], stream: StreamConfig) -> Border:
    last = blocks[-1].first + blocks[-1].count - 1
    return Border(stream=stream.name, epoch=EPOCH, first=blocks[0].first, last=last, time=TIME, size=sum(len(one.data) for one in blocks))


def pack(stream: StreamConfig, blocks: list[Block], border: Border | None = None) -> list[Message]:
    return packer.pack("board-7", "agent/1", stream, border or border_of(blocks, stream), blocks)


def decoded(messages: list[Message]) -> list[Envelope]:
    events = [envelope.decode(message.body) for message in messages]
    assert all(isinstance(event, Envelope) for event in events)
    return events  # type: ignore[return-value]


@given(chunks)
def test_whatever_is_packed_comes_out_as_it_went_in(content: list[list[Run]]) -> None:
    wanted: list[Payload] = [payload for part in content for run in part for payload in run.payloads]
    blocks = blocks_of(content, first=7)
    (message,) = pack(PACKED, blocks)
    (event,) = decoded([message])
    assert event.readings.payloads == wanted
    assert (message.id, message.first, message.last) == (event.id, 7, event.last)
    singles = pack(PLAIN, blocks)
    assert [event.readings.payloads[0] for event in decoded(singles)] == wanted
    assert [message.first for message in singles] == list(range(7, 7 + len(wanted)))


@given(chunks)
@settings(max_examples=50)
def test_merging_blocks_changes_neither_content_nor_digest(content: list[list[Run]]) -> None:
    data = [one.data for one in blocks_of(content)]
    readings = block.decode(b"".join(data))
    again = block.decode(packer.merged(data))
    assert again == readings
    assert packer.merged(data) == packer.merged(data)
    assert len(packer.merged(data)) <= len(b"".join(data))


def test_many_small_blocks_become_a_much_smaller_envelope() -> None:
    content = [[Run(TIME + number, True, [b'{"sensor":"t01","v":%d}' % number])] for number in range(200)]
    (message,) = pack(PACKED, blocks_of(content))
    plain = sum(len(one.data) for one in blocks_of(content)) * 4 // 3
    assert message.size < plain / 3


def test_large_blocks_are_sent_as_the_log_holds_them() -> None:
    source = random.Random(1)
    blocks = blocks_of([[Run(TIME, True, [source.randbytes(3000)])] for _ in range(3)])
    (message,) = pack(PACKED, blocks)
    assert packer.merged([one.data for one in blocks]) == b"".join(one.data for one in blocks)
    assert len(decoded([message])[0].readings) == 3


def test_a_gap_makes_two_envelopes_each_with_its_own_first() -> None:
    blocks = blocks_of([[Run(TIME, True, [b"a", b"b"])], [Run(TIME, True, [b"c"])], [Run(TIME, True, [b"d", b"e"])]], first=10)
    border = border_of(blocks, FIFO)
    messages = pack(FIFO, [blocks[0], blocks[2]], border)
    assert [(message.first, message.last, message.id) for message in messages] == [(10, 11, f"{EPOCH}-10"), (13, 14, f"{EPOCH}-13")]
    assert [event.readings.payloads for event in decoded(messages)] == [[b"a", b"b"], [b"d", b"e"]]
    assert pack(FIFO, [], border) == []


def test_a_notice_says_what_will_not_come() -> None:
    border = Border(stream="events", epoch=EPOCH, first=5, last=9, time=TIME, size=0, reason="dropped", detail="the spool was full")
    (message,) = pack(FIFO, [], border)
    event = envelope.decode(message.body)
    assert isinstance(event, Notice)
    assert (event.first, event.last, event.reason, event.detail) == (5, 9, "dropped", "the spool was full")
    assert (message.first, message.last) == (5, 9)
    assert message.deduplication_id == message.id == f"{EPOCH}-x5-9"


def test_only_fifo_queues_get_a_deduplication_id_and_by_default_a_group() -> None:
    blocks = blocks_of([[Run(TIME, True, [b"a"])]])
    (fifo,) = pack(FIFO, blocks)
    (standard,) = pack(PACKED, blocks)
    assert (fifo.group, fifo.deduplication_id) == ("board-7.events", f"{EPOCH}-1")
    assert (standard.group, standard.deduplication_id) == (None, None)


@pytest.mark.parametrize(
    ("template", "group"),
    [
        ("{device}", "board-7"),
        ("{device}/{stream}", "board-7/events"),
        ("all", "all"),
        ("", "board-7.events"),
        ("({stream})!", "(events)!"),
    ],
)
def test_the_group_follows_its_template(template: str, group: str) -> None:
    assert packer.group_problem(template) is None
    assert packer.group_id(template, device="board-7", stream="events", fifo=True) == group


@pytest.mark.parametrize(("template", "word"), [("{host}", "{host}"), ("a b", "punctuation"), ("ü", "punctuation"), ("x" * 129, "128")])
def test_a_template_that_sqs_would_refuse_is_refused_before(template: str, word: str) -> None:
    assert word in str(packer.group_problem(template))
    with pytest.raises(ValueError, match="group"):
        packer.group_id(template, device="board-7", stream="events", fifo=True)


def test_a_template_that_becomes_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="characters with this device"):
        packer.group_id("{device}{device}", device="d" * 80, stream="events", fifo=True)


@given(
    st.lists(
        st.one_of(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=30).map(lambda text: f'"{text}"'.encode()), st.binary(max_size=30)
        ),
        min_size=1,
        max_size=5,
    )
)
def test_sizes_are_counted_as_sqs_counts_them_and_bodies_are_text_that_it_takes(readings: list[bytes]) -> None:
    sqs = Sqs()
    sqs.create_queue("plain.fifo", PLAIN.queue, {"FifoQueue": "true"})
    blocks = blocks_of([[Run(TIME, True, list(readings))]])
    for message in pack(PLAIN, blocks) + pack(FIFO, blocks):
        entry = {"MessageBody": message.body, "MessageGroupId": message.group, "MessageDeduplicationId": message.deduplication_id}
        assert message.size == size(entry) == len(message.body.encode())
        sqs.send("plain.fifo", entry)


@given(st.text(max_size=300))
def test_a_form_is_encoded_as_the_standard_library_does(text: str) -> None:
    from urllib.parse import urlencode

    from device_agent.uplink.client import form

    clean = text.encode(errors="replace").decode()
    assert form({"MessageBody": clean, "Id": 1}) == urlencode({"MessageBody": clean, "Id": 1}).encode()
