"""`spool` shows, checks and takes out what is on disk, beside the agent; `repair` waits until there is none."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from device_agent.cli import main, progress
from device_agent.cli.commands import tail as tail_command
from device_agent.errors import SpoolError
from device_agent.spool import tools
from device_agent.spool.scan import scan
from tests.cli.boards import Board


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = Board(tmp_path)
    made.put("telemetry", b'{"t":1}', b"\xff", [b"a", b"b"], topic="x")
    made.put("telemetry", b'{"t":2}')
    made.put("events", b"start")
    yield made
    made.close()


def spool(board: Board, action: str, *words: str) -> int:
    return main(["spool", action, "--config", str(board.config), *words])


def test_ls_shows_each_log_beside_the_agent(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    assert spool(board, "ls") == 0
    header, *rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert header == ["stream", "epoch", "files", "first", "last", "waiting", "size"]
    assert [(row[0], row[2:6]) for row in rows] == [("events", ["1", "1", "1", "1"]), ("telemetry", ["1", "1", "4", "4"])]
    assert spool(board, "ls", "--json", "--stream", "telemetry") == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["first"], one["last"], one["waiting"], one["problems"]) == (1, 4, 4, [])


def test_ls_fits_a_terminal_and_points_to_the_quarantine(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    board.refuse("events")
    for words in ([], ["--segments"]):
        assert spool(board, "ls", *words) == 0
        shown = capsys.readouterr().out
        assert max(map(len, shown.splitlines())) <= 80
        assert "1 in quarantine: `device-agent quarantine ls`" in shown


def test_cat_prints_rows_with_the_columns_of_the_lake(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    assert spool(board, "cat", "--stream", "telemetry") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["seq"] for row in rows] == [1, 2, 3, 4]
    assert list(rows[0]) == ["device", "stream", "epoch", "seq", "received", "clock", "topic", "data"]
    assert (rows[0]["device"], rows[0]["data"], rows[0]["topic"]) == ("board-7", '{"t":1}', "x")
    assert (rows[1]["data_base64"], rows[2]["frames"]) == ("/w==", ["YQ==", "Yg=="])
    assert spool(board, "cat") == 0
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_cat_takes_a_range_of_one_stream(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    assert spool(board, "cat", "--stream", "telemetry", "--first", "2", "--last", "3") == 0
    assert [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()] == [2, 3]
    assert spool(board, "cat", "--first", "2") == 2
    assert "name it with --stream" in capsys.readouterr().err
    assert spool(board, "cat", "--stream", "nothing") == 2
    assert "no stream 'nothing'; there are: events, telemetry" in capsys.readouterr().err
    assert spool(board, "cat", "--stream", "telemetry", "--first", "0") == 2


def test_export_writes_the_same_to_a_file_that_is_whole(board: Board, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    output = tmp_path / "readings.ndjson"
    assert spool(board, "cat") == 0
    printed = capsys.readouterr().out
    assert spool(board, "export", "--output", str(output)) == 0
    assert output.read_text(encoding="ascii") == printed
    assert capsys.readouterr().err == f"{output}: 5 readings written\n"
    assert spool(board, "export", "--output", str(output)) == 2
    assert spool(board, "export", "--output", str(output), "--stream", "events", "--force") == 0
    assert capsys.readouterr().err.endswith(": 1 reading written\n")
    assert len(output.read_text(encoding="ascii").splitlines()) == 1
    assert spool(board, "export") == 2


def test_an_export_that_fails_leaves_nothing_half_made(board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Iterator[tools.Reading]:
        yield from ()
        raise SpoolError("gone")

    monkeypatch.setattr(tools, "cat", fail)
    before = {path.name for path in tmp_path.iterdir()}
    assert spool(board, "export", "--output", str(tmp_path / "out")) == 2
    assert {path.name for path in tmp_path.iterdir()} == before


def test_verify_says_what_is_damaged_and_what_to_do(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    assert spool(board, "verify") == 0
    assert "2 files, 5 readings" in (shown := capsys.readouterr().out)
    assert "all good" in shown
    path = board.segment("telemetry")
    content = bytearray(path.read_bytes())
    content[150] ^= 1
    path.write_bytes(content)
    assert spool(board, "verify") == 1
    shown = capsys.readouterr().out
    assert str(path) in shown
    assert "does not match its checksum; lost: 1 to 3" in shown
    assert "`device-agent spool export`" in shown
    assert spool(board, "verify", "--json", "--stream", "telemetry") == 1
    (one,) = json.loads(capsys.readouterr().out)
    assert one["problems"][0]["lost"] == [[1, 3]]
    assert spool(board, "cat", "--stream", "telemetry") == 1
    captured = capsys.readouterr()
    assert [json.loads(line)["seq"] for line in captured.out.splitlines()] == [4]
    assert captured.err.startswith("cannot be read: telemetry 1-3: record does not match its checksum")


def test_repair_refuses_beside_an_agent_and_keeps_what_it_cuts(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    assert spool(board, "repair") == 2
    assert "in use by another agent, pid" in capsys.readouterr().err
    board.close()
    path = board.segment("telemetry")
    end = scan(path.read_bytes(), number=1, base=1).valid
    with path.open("r+b") as file:
        file.seek(end)
        file.write(b"\xab\x44\x41\x4c half a record")
    assert spool(board, "verify") == 1
    assert "half-written end" in capsys.readouterr().out
    assert spool(board, "repair") == 0
    assert "cut 18 half-written bytes" in capsys.readouterr().out
    assert spool(board, "verify") == 0
    assert spool(board, "repair") == 0
    assert "nothing to repair" in capsys.readouterr().out
    assert main(["quarantine", "show", "--all", "--config", str(board.config)]) == 0
    assert ".DAL half a reco" in capsys.readouterr().out
    board.open()


def test_tail_prints_the_last_readings_and_follows(
    board: Board, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def tail(*words: str) -> tuple[int, list[int]]:
        code = main(["tail", "--config", str(board.config), *words])
        return code, [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()]

    assert tail("--stream", "telemetry", "--lines", "2") == (0, [3, 4])
    assert tail("--stream", "telemetry") == (0, [1, 2, 3, 4])
    assert main(["tail", "--config", str(board.config)]) == 2
    assert "name the stream with --stream; there are: events, telemetry" in capsys.readouterr().err
    assert main(["tail", "--config", str(board.config), "--stream", "none"]) == 2
    looks = iter([1, 2])

    def sleep(_seconds: float) -> None:
        if next(looks, None) is None:
            raise KeyboardInterrupt
        board.put("telemetry", b"new")

    monkeypatch.setattr(tail_command, "time", SimpleNamespace(sleep=sleep))  # and nobody else's
    capsys.readouterr()
    assert tail("--stream", "telemetry", "--lines", "0", "--follow") == (0, [5, 6])


def test_top_needs_a_terminal(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--config", str(board.config)]) == 2
    assert "needs a terminal" in capsys.readouterr().err


def test_a_directory_alone_is_enough_and_one_without_a_spool_is_named(
    board: Board, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["spool", "cat", "--directory", str(board.directory), "--stream", "events"]) == 0
    assert json.loads(capsys.readouterr().out)["device"] is None
    for action in ("ls", "verify", "cat", "repair"):
        assert main(["spool", action, "--directory", str(tmp_path / "none")]) == 2
        assert "there is no spool here" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_progress_is_silent_for_two_seconds_and_everywhere_but_on_a_terminal(stream: io.StringIO) -> None:
    now = [0.0]
    with progress.Progress("spool export", stream=stream, monotonic=lambda: now[0]) as shown:
        shown(1, 100)
        assert stream.getvalue() == ""
        now[0] = 2.1
        shown(50, 100)
        assert ("spool export: 50 %, 50 B of 100 B" in stream.getvalue()) == stream.isatty()
    assert stream.getvalue().endswith("\x1b[K" if stream.isatty() else "")
