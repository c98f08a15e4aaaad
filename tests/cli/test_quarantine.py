"""`quarantine` shows what was set aside, sends it again once the cause is mended, and removes it; the agent goes on meanwhile."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agent.cli import main
from tests.cli.boards import Board
from tests.fakes.sqs import FakeSqs, Fault


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def sqs() -> Iterator[FakeSqs]:
    with FakeSqs() as server:
        server.create("telemetry")
        server.create("events.fifo")
        yield server


@pytest.fixture
def board(tmp_path: Path, sqs: FakeSqs) -> Iterator[Board]:
    made = Board(tmp_path, endpoint=sqs.endpoint)
    yield made
    made.close()


def quarantine(board: Board, action: str, *words: str) -> int:
    return main(["quarantine", action, "--config", str(board.config), *words])


def refused(board: Board, stream: str, *payloads: bytes) -> str:
    board.put(stream, *payloads)
    return board.refuse(stream)


def left(board: Board, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    assert quarantine(board, "ls", "--json") == 0
    return [one["key"] for one in json.loads(capsys.readouterr().out)]


def test_ls_shows_what_why_and_what_to_do(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    assert quarantine(board, "ls") == 0
    assert capsys.readouterr().out == "nothing is in quarantine\n"
    ident = refused(board, "telemetry", b"a", b"b")
    board.spool.set_aside("telemetry", [b"x" * 40, b"y"], "larger than half a segment")
    board.spool.writer.turn()
    assert quarantine(board, "ls") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1:3] for line in lines if line.startswith(f"{ident} ")] == [["2", "[2]"]]
    assert "[1] too large: larger than half a segment" in lines
    assert "[2] refused: MessageTooLong: raise MaximumMessageSize" in lines
    assert any("device-agent quarantine replay ID" in line for line in lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(("first", "last", "said"), [(0, -1, "the cloud is told nothing"), (3, 7, "the cloud is told which readings are")])
def test_ls_says_the_cloud_was_told_only_of_readings_that_are_missing(
    board: Board, capsys: pytest.CaptureFixture[str], first: int, last: int, said: str
) -> None:
    folder = board.directory / "quarantine" / "damaged.log"
    folder.mkdir()
    content = {"reason": "half-written", "stream": "telemetry", "epoch": "0" * 16, "segment": 1, "first": first, "last": last}
    (folder / "telemetry-1-64.json").write_text(json.dumps(content), encoding="ascii")
    assert quarantine(board, "ls") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert said in shown
    assert shown.count("the cloud is told") == 1


def test_show_decodes_what_was_refused(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    ident = refused(board, "telemetry", b"a", b"b")
    assert quarantine(board, "show", ident) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"--- {ident}"
    assert [json.loads(line)["data"] for line in lines if line.startswith("{")] == ["a", "b"]
    assert quarantine(board, "show", "--json", "--all") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["content"]["reason"], len(document["rows"])) == ("MessageTooLong: raise MaximumMessageSize", 2)


def test_show_shows_bytes_of_readings_that_were_too_large_and_of_files_that_are_not_ours(
    board: Board, capsys: pytest.CaptureFixture[str]
) -> None:
    board.spool.set_aside("telemetry", [b"\x1b[31m" + b"x" * 300, b"second"], "larger than half a segment")
    board.spool.writer.turn()
    (board.directory / "quarantine" / "telemetry" / "notes.json").write_text("[1", encoding="utf-8")
    assert quarantine(board, "show", "--all") == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "second" in shown
    assert "and 49 bytes more" in shown
    assert "unreadable" in shown
    assert max(len(line) for line in shown.splitlines() if not line.startswith("file")) <= 80


def test_an_id_may_be_cut_short_while_it_is_unique(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    first = refused(board, "telemetry", b"a")
    second = refused(board, "telemetry", b"b")
    assert quarantine(board, "show", first.partition("/")[2]) == 0
    assert quarantine(board, "show", second[: second.rindex("-")]) == 0
    assert quarantine(board, "show", first[:15]) == 2
    assert "names 2 files" in capsys.readouterr().err
    assert quarantine(board, "show", "nonsense") == 2
    assert "is not there" in capsys.readouterr().err
    assert quarantine(board, "show") == 2
    assert quarantine(board, "show", "--all", first) == 2


def test_replay_sends_the_same_message_and_removes_the_file_when_it_is_accepted(
    board: Board, sqs: FakeSqs, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(board, "events", b"start")
    refused(board, "events", b"stop")
    refused(board, "telemetry", b"t")
    bodies = [json.loads(path.read_text("ascii"))["body"] for path in sorted((board.directory / "quarantine" / "events").iterdir())]
    assert quarantine(board, "replay", "--all", "--stream", "events") == 0
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "a notice had taken their place in the order: they reach the lake, not the state table", "2 of 2 replayed",
    ]  # fmt: skip
    accepted = [one for one in sqs.accepted if one.queue.endswith("/events.fifo")]
    assert [one.body for one in accepted] == bodies
    assert {one.group for one in accepted} == {"board-7.events"}
    assert len(left(board, capsys)) == 1
    assert quarantine(board, "replay", "--all") == 0
    assert "notice" not in capsys.readouterr().err
    assert left(board, capsys) == []


def test_what_is_refused_again_stays_and_the_rest_goes(board: Board, sqs: FakeSqs, capsys: pytest.CaptureFixture[str]) -> None:
    first = refused(board, "telemetry", b"a")
    refused(board, "telemetry", b"b")
    sqs.script(Fault("entries", "InvalidMessageContents", entries=[0], times=1))
    assert quarantine(board, "replay", "--all") == 1
    assert f"{first}: stays in quarantine: InvalidMessageContents" in capsys.readouterr().err
    assert left(board, capsys) == [first]


def test_without_a_network_nothing_is_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = Board(tmp_path)
    try:
        refused(board, "telemetry", b"a")
        refused(board, "telemetry", b"b")
        assert quarantine(board, "replay", "--all") == 1
        error = capsys.readouterr().err
        assert "not sent" in error
        assert "stopped; 2 stay in quarantine" in error
        assert len(left(board, capsys)) == 2
    finally:
        board.close()


def test_what_cannot_be_replayed_says_why(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    board.spool.set_aside("telemetry", b"x", "larger than half a segment")
    board.spool.writer.turn()
    ident = refused(board, "telemetry", b"a")
    path = board.directory / "quarantine" / f"{ident}.json"
    content = json.loads(path.read_text("ascii"))
    path.write_text(json.dumps(content | {"body": "rubbish"}), encoding="ascii")
    assert quarantine(board, "replay", "--all") == 1
    error = capsys.readouterr().err
    assert "too large: only what the cloud refused can be sent again" in error
    assert "the cloud could not decode it either" in error
    path.write_text(json.dumps({key: value for key, value in content.items() if key != "body"} | {"cut": True}), encoding="ascii")
    assert quarantine(board, "replay", ident) == 1
    assert "its body was too large to be kept" in capsys.readouterr().err
    assert main(["quarantine", "replay", "--all", "--directory", str(board.directory)]) == 2
    assert "say --config FILE" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_drop_asks_and_the_running_agent_counts_on(
    board: Board, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ident = refused(board, "telemetry", b"a")
    refused(board, "telemetry", b"b")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert quarantine(board, "drop", ident) == 2
    assert "say --yes" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert quarantine(board, "drop", ident) == 1
    assert len(left(board, capsys)) == 2
    before = board.spool.status()["bytes"]
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert quarantine(board, "drop", ident) == 0
    assert len(left(board, capsys)) == 1
    assert board.spool.status()["streams"]["telemetry"]["quarantined_files"] == 1
    assert board.spool.status()["bytes"] < before
    assert quarantine(board, "drop", "--all", "--yes") == 0
    assert left(board, capsys) == []
    refused(board, "telemetry", b"c")
    assert len(left(board, capsys)) == 1
