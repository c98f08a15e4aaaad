"""What was ever shipped is decoded for ever, and today's encoders write the same bytes."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from device_agent.wire import block, envelope, zstd
from tests.wire import golden, strategies

FILES = sorted(golden.FOLDER.glob("*.json"))


def load(path: Path) -> dict[str, Any]:
    case: dict[str, Any] = json.loads(path.read_text(encoding="ascii"))
    return case


def of_kind(kind: str) -> list[Any]:
    return [pytest.param(case, id=path.stem) for path in FILES if (case := load(path))["kind"] == kind]


def test_golden_files_are_added_and_never_edited() -> None:
    sums = (golden.FOLDER / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    assert sorted(line.split()[1] for line in sums) == [path.name for path in FILES]
    for line in sums:
        digest, name = line.split()
        assert sha256((golden.FOLDER / name).read_bytes()).hexdigest() == digest, name


def test_every_case_has_its_file() -> None:
    assert set(golden.cases()) <= {path.stem for path in FILES}, "run python -m tests.wire.golden"


@pytest.mark.parametrize("case", of_kind("readings") + of_kind("reading"))
def test_an_envelope_decodes_to_what_went_in(case: dict[str, Any]) -> None:
    decoded = envelope.decode(case["body"])
    assert isinstance(decoded, envelope.Envelope)
    assert decoded.readings == strategies.expand([golden.from_json(run) for runs in case["blocks"] for run in runs])
    identity = {"device": decoded.device, "stream": decoded.stream, "epoch": decoded.epoch, "agent": decoded.agent}
    assert identity == golden.IDENTITY
    assert (decoded.first, decoded.id) == (case["first"], f"00112233aabbccdd-{case['first']}")
    assert decoded.digest() == case["digest"]


@pytest.mark.parametrize("case", of_kind("readings"))
def test_columns_are_written_byte_for_byte(case: dict[str, Any]) -> None:
    blocks = [[golden.from_json(run) for run in runs] for runs in case["blocks"]]
    assert [block.encode_columns(runs).hex() for runs in blocks] == case["columns"]


@pytest.mark.parametrize("case", of_kind("readings"))
def test_compressed_blocks_hold_the_pinned_columns(case: dict[str, Any]) -> None:
    """Compressed bytes may differ from one zstd to the next; what they decode to may not."""
    for data, columns in zip(case["data"], case["columns"], strict=True):
        assert zstd.decompress(bytes.fromhex(data), limit=2**22).hex() == columns


@pytest.mark.parametrize("case", of_kind("readings"))
def test_the_body_around_blocks_is_written_byte_for_byte(case: dict[str, Any]) -> None:
    count = sum(len(run["payloads"]) for runs in case["blocks"] for run in runs)
    data = b"".join(map(bytes.fromhex, case["data"]))
    body = envelope.encode_blocks(**golden.IDENTITY, first=case["first"], count=count, time=case["blocks"][0][0]["received"], data=data)
    assert body == case["body"]


@pytest.mark.parametrize("case", of_kind("reading"))
def test_the_body_of_one_reading_is_written_byte_for_byte(case: dict[str, Any]) -> None:
    assert golden.encode_reading(case) == case["body"]


@pytest.mark.parametrize("case", of_kind("notice"))
def test_a_notice_is_read_and_written_byte_for_byte(case: dict[str, Any]) -> None:
    wanted = {name: case[name] for name in ("first", "last", "time", "reason", "detail")}
    notice = envelope.Notice(**golden.IDENTITY, **wanted)
    assert envelope.decode(case["body"]) == notice
    assert envelope.encode_notice(notice) == case["body"]
    assert notice.digest() == case["digest"]
    assert notice.id == "00112233aabbccdd-x7-9223372036854775807"


def test_the_digest_is_what_the_documentation_says() -> None:
    """Recomputed from the words of docs/envelope.md, with nothing of ours but the bytes."""
    case = load(golden.FOLDER / "readings-one-v1.json")
    from hashlib import blake2b

    received = b"\xcf" + golden.NOON.to_bytes(8, "big")
    identity = [b"\xa7board-7", b"\xa9telemetry", b"\xb000112233aabbccdd", b"\x01"]
    columns = [b"\x91" + received, b"\x91\xc3", b"\x91\xc0", b"\x91\xc0", b'\x91\xc4\x10{"celsius":21.5}']
    packed = b"".join([b"\x99", *identity, *columns])
    assert blake2b(packed, digest_size=16).hexdigest() == case["digest"]
