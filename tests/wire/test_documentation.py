"""docs/envelope.md is for people who cannot read our code: its example must be true, and its reader must read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from device_agent.wire import block, envelope, zstd
from device_agent.wire.block import Run
from tests.wire import strategies
from tests.wire.strategies import NAMES, expand

PAGE = (Path(__file__).parents[2] / "docs" / "envelope.md").read_text(encoding="utf-8")
EVENTS = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]


@pytest.fixture(scope="module")
def reader() -> Callable[[str], Iterable[Any]]:
    scope: dict[str, Any] = {}
    source = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert source is not None
    exec(source[1], scope)
    found: Callable[[str], Iterable[Any]] = scope["readings"]
    return found


def test_the_example_decodes_to_the_table_below_it() -> None:
    decoded = envelope.decode(json.dumps(EVENTS[0]))
    assert isinstance(decoded, envelope.Envelope)
    noon = envelope.microseconds("2026-01-31T12:00:00Z")
    assert decoded.readings.received == [noon, noon, noon + 250_000]
    assert decoded.readings.topics == ["hall/1", "hall/2", None]
    assert decoded.readings.payloads == [b'{"celsius":21.5}', b'{"celsius":21.6}', [b"\x01", b"\x02"]]
    assert f"`{decoded.digest()}`" in PAGE


def test_the_bytes_of_the_example_are_those_of_the_page() -> None:
    dump = re.search(r"```\n(85 .*?)```", PAGE, re.DOTALL)
    assert dump is not None
    found = b""
    for line in dump[1].splitlines():
        for token in re.findall(
            r'"hall/\d"|\{"celsius":21\.\d\}|(?<![\w"])[0-9a-f]{2}(?![\w".,:/])', re.split(r" {3,}(?=\S*[a-z\"1-9.].*$)", line.strip())[0]
        ):
            found += token.strip('"').encode() if token[0] in '"{' else bytes.fromhex(token)
    import base64

    assert found == zstd.decompress(base64.b64decode(EVENTS[0]["data_base64"]), limit=1000)


def test_the_single_reading_of_the_page_decodes() -> None:
    text = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[1]
    decoded = envelope.decode(text.replace("\n ", "").strip())
    assert isinstance(decoded, envelope.Envelope)
    assert decoded.readings.payloads == [b'{"celsius": 21.50}']


@given(blocks=strategies.blocks)
def test_the_reader_of_the_page_reads_what_ours_reads(blocks: list[list[Run]], reader: Callable[[str], Iterable[Any]]) -> None:
    data = b"".join(map(block.encode, blocks))
    runs = [run for several in blocks for run in several]
    body = envelope.encode_blocks(**NAMES, first=9, count=sum(map(len, runs)), time=runs[0].received, data=data)
    wanted = expand(runs)
    assert list(reader(body)) == list(zip(range(9, 9 + len(wanted)), wanted.received, wanted.topics, wanted.payloads, strict=True))
