"""Lines of the lake, byte for byte and against a slow twin."""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from device_agent.wire.block import Payload, Readings
from device_agent.wire.envelope import Envelope, rfc3339
from lambdas.landing import rows
from tests.lambdas.samples import ARRIVED, E1, RECEIVED

FRAME = st.one_of(st.binary(max_size=20), st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace")))
PAYLOAD: st.SearchStrategy[Payload] = st.one_of(FRAME, st.lists(FRAME, max_size=3).filter(lambda frames: len(frames) != 1))
LABEL = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=10))
ROW = st.tuples(st.integers(0, 10**16), st.booleans(), LABEL, LABEL, PAYLOAD)


def envelope(columns: list[tuple[int, bool, str | None, str | None, Payload]], *, first: int = 1) -> Envelope:
    return Envelope(
        device="board-7", stream="s", epoch=E1, first=first, agent="a", readings=Readings(*map(list, zip(*columns, strict=True)))
    )


def test_golden_line() -> None:
    made = rows.lines(envelope([(RECEIVED, True, "a\tb", "k", '{"°":1}\n'.encode())], first=7), arrived=ARRIVED)
    assert made == (
        b'{"seq":7,"device":"board-7","epoch":"1111111111111111","received":"2026-11-18T11:06:40.000000Z","clock":"synced",'
        b'"arrived":"2026-11-18T11:06:45.123000Z","client":"k","topic":"a\\tb","data":"{\\"\\u00b0\\":1}\\n"}\n'
    )  # fmt: skip


@given(st.lists(ROW, min_size=1, max_size=20), st.integers(1, 2**62))
def test_lines_say_what_the_envelope_says(columns: list[tuple[int, bool, str | None, str | None, Payload]], first: int) -> None:
    made = rows.lines(envelope(columns, first=first), arrived=ARRIVED)
    assert made.isascii()
    assert made.endswith(b"\n")
    assert [json.loads(line) for line in made.splitlines()] == [twin(first + number, row) for number, row in enumerate(columns)]


def twin(seq: int, row: tuple[int, bool, str | None, str | None, Payload]) -> dict[str, Any]:
    received, synced, topic, client, payload = row
    told: dict[str, Any] = {
        "seq": seq,
        "device": "board-7",
        "epoch": E1,
        "received": rfc3339(received),
        "clock": "synced" if synced else "unsynced",
        "arrived": rfc3339(ARRIVED),
        "topic": topic,
        "client": client,
    }
    if isinstance(payload, list):
        told["frames"] = [base64.b64encode(frame).decode() for frame in payload]
    else:
        try:
            told["data"] = payload.decode()
        except UnicodeDecodeError:
            told["data_base64"] = base64.b64encode(payload).decode()
    return {name: value for name, value in told.items() if value is not None}
