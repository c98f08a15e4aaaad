"""`decode` turns whatever form a body comes in into rows with the lake's columns; what is not valid is named and stops nothing."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from device_agent.cli import main
from device_agent.wire import block, envelope
from device_agent.wire.block import Run
from lambdas.landing import rows as lake
from tests.wire.strategies import NAMES

RUN = Run(1_769_860_800_000_000, True, [b'{"t":1}', b"\xff\x00", [b"a", b"b"], b"", []], ["x", None, "y", None, None], "client")
BODY = envelope.encode_blocks(**NAMES, first=7, count=5, time=RUN.received, data=block.encode([RUN]))
ONE = envelope.encode_reading(**NAMES, seq=3, received=6, synced=False, payload=b'{"t": 1.50}')
NOTICE = envelope.encode_notice(envelope.Notice(**NAMES, first=3, last=4, time=5, reason="dropped", detail="x"))


def decode(text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, Any]], str]:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode("utf-8", "surrogateescape"))))
    code = main(["decode"])
    captured = capsys.readouterr()
    return code, [json.loads(line) for line in captured.out.splitlines()], captured.err


def test_a_body_becomes_one_row_a_reading(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, rows, _ = decode(BODY, monkeypatch, capsys)
    assert code == 0
    head = {"device": "board-7", "stream": "telemetry", "epoch": "00112233aabbccdd"}
    assert rows[0] == head | {
        "seq": 7, "received": "2026-01-31T12:00:00.000000Z", "clock": "synced", "client": "client", "topic": "x", "data": '{"t":1}',
    }  # fmt: skip
    assert [row["seq"] for row in rows] == [7, 8, 9, 10, 11]
    assert rows[1]["data_base64"] == "/wA="
    assert rows[2]["frames"] == ["YQ==", "Yg=="]
    assert rows[3]["data"] == ""
    assert rows[4]["frames"] == []


def test_rows_are_those_of_the_lake(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _, rows, _ = decode(f"{BODY}\n{ONE}", monkeypatch, capsys)
    landed = []
    for body in (BODY, ONE):
        found = envelope.decode(body)
        assert isinstance(found, envelope.Envelope)
        landed += [json.loads(line) for line in lake.lines(found, arrived=0).splitlines()]
    assert [{name: value for name, value in row.items() if name != "stream"} for row in rows] == [
        {name: value for name, value in row.items() if name != "arrived"} for row in landed
    ]


def test_a_notice_is_a_row_of_its_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _, [row], _ = decode(NOTICE, monkeypatch, capsys)
    assert (row["notice"], row["first"], row["last"], row["detail"]) == ("dropped", 3, 4, "x")


@pytest.mark.parametrize(
    "text",
    [
        f"{ONE}\n{BODY}\n",
        f"\n{ONE}\r\n\r\n{BODY}",
        json.dumps({"Messages": [{"Body": ONE}, {"Body": BODY}]}, indent=4),
        json.dumps({"Messages": [{"Body": ONE}]}) + "\n" + json.dumps({"Body": BODY}),
        json.dumps({"Messages": [{"Body": ONE}]}, indent=4) + "\n" + json.dumps({"Messages": [{"Body": BODY}]}, indent=4) + "\n",
        json.dumps({"Records": [{"body": ONE}, {"body": BODY}]}),
        json.dumps([{"Body": ONE}, {"Body": BODY}]),
        json.dumps(json.loads(ONE), indent=2) + json.dumps(json.loads(BODY), indent=2),
    ],
    ids=["lines", "windows lines", "an answer", "mixed", "two answers", "an event", "a list", "bodies over several lines"],
)
def test_every_form_is_understood(text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, rows, errors = decode(text, monkeypatch, capsys)
    assert (code, errors) == (0, "")
    assert [row["seq"] for row in rows] == [3, 7, 8, 9, 10, 11]


def test_what_is_not_valid_is_named_and_the_rest_is_decoded(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = f'rubbish\n{ONE}\n{{"a": 1}}\n"text"\n\udcff\n{ONE.replace("v1", "v9")}\n5\n{ONE}'
    code, rows, errors = decode(text, monkeypatch, capsys)
    assert code == 1
    assert [row["seq"] for row in rows] == [3, 3]
    assert [line.split(":")[1] for line in errors.splitlines()] == ["1", "3", "4", "5", "6", "7"]
    assert "type is not one of" in errors


def test_a_damaged_document_over_several_lines_ends(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, rows, errors = decode('{\n  "Messages": [\n' + ONE + "\n", monkeypatch, capsys)
    assert code == 1
    assert [row["seq"] for row in rows] == [3]
    assert errors.startswith("stdin:1: not a valid body")


def test_an_empty_input_is_no_mistake(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert decode("", monkeypatch, capsys) == (0, [], "")


def test_files_are_read_and_a_missing_one_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bodies"
    path.write_text(f"{ONE}\nx\n", encoding="utf-8")
    assert main(["decode", str(path), str(path)]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert captured.err.count(f"{path}:2: not a valid body: body is not JSON") == 2
    assert main(["decode", str(tmp_path / "none"), str(path)]) == 1
    captured = capsys.readouterr()
    assert f"{tmp_path / 'none'}: No such file or directory" in captured.err
    assert len(captured.out.splitlines()) == 1
