"""The whole pipeline on the local cloud: real processes, real sockets, the deployed bundle, an outage and a `kill -9`."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from localcloud import LocalCloud, athena, brokers
from localcloud.demo import books, story
from localcloud.demo.board import Board

pytestmark = pytest.mark.e2e


@pytest.fixture
def board(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    folder = tmp_path_factory.mktemp("b")  # short: unix socket paths have 107 bytes
    device = f"e2e-{folder.name}-{time.time_ns() % 10**6}"
    with brokers.named("mqtt", folder / "broker") as broker, Board(folder=folder, cloud=cloud, device=device, broker=broker) as board:
        yield board


def wait_for(what: Callable[[], Any], seconds: float = 120) -> Any:
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, "it did not come in time"
        time.sleep(0.2)
    return found


def lake(cloud: LocalCloud, board: Board) -> list[dict[str, Any]]:
    return [row for row in books.raw_rows(cloud) if row["device"] == board.device]


def test_after_an_outage_and_a_kill_nothing_acknowledged_is_missing_or_doubled_and_order_held(cloud: LocalCloud, board: Board) -> None:
    said: list[str] = []
    result = story.play(cloud, board, seconds=8, say=said.append)
    assert result.faults == [], said
    orders = next(balance for balance in result.balances if balance.program == "orders")
    assert orders.acknowledged
    assert {balance.program for balance in result.balances} == {"sensors", "weather", "orders", "meters", "script"}
    assert all(balance.received for balance in result.balances)


def test_whatever_bytes_a_program_sends_arrive_as_they_were(cloud: LocalCloud, board: Board) -> None:
    readings = [
        [b""],
        [b"\x00\xff\xfe binary \x00"],
        [b"f"] * 50,
        [b"not \xff text", b"x"],
        [b"topic", b"\xc3\x28"],
        [b"a", b"", b"c"],
        [b"r" * 500_000],
    ]
    board.start()
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.connect(f"tcp://127.0.0.1:{board.pull}")
        for reading in readings:
            push.send_multipart(reading)
        found = wait_for(lambda: len(rows := lake(cloud, board)) == len(readings) and rows)
    received = [_frames(row) for row in sorted(found, key=lambda row: row["seq"])]
    assert received == [
        (None, [b""]),
        (None, [b"\x00\xff\xfe binary \x00"]),
        ("f", [b"f"] * 49),
        (None, [b"not \xff text", b"x"]),
        ("topic", [b"\xc3\x28"]),
        ("a", [b"", b"c"]),
        (None, [b"r" * 500_000]),
    ]


def _frames(row: dict[str, Any]) -> tuple[str | None, list[bytes]]:
    if "frames" in row:
        return row.get("topic"), [base64.b64decode(frame) for frame in row["frames"]]
    return row.get("topic"), [row["data"].encode() if "data" in row else base64.b64decode(row["data_base64"])]


def test_sql_answers_what_was_sent(cloud: LocalCloud, board: Board) -> None:
    board.start()
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.connect(f"tcp://127.0.0.1:{board.pull}")
        for number in range(100):
            push.send_multipart([b"even" if number % 2 == 0 else b"odd", json.dumps({"n": number}).encode()])
        wait_for(lambda: len(lake(cloud, board)) == 100)
    where = f"stream = 'telemetry' AND device = '{board.device}'"
    sql = f"SELECT topic, count(*) AS n, max(seq) FROM readings WHERE {where} GROUP BY topic ORDER BY topic"
    columns, rows = athena.query(cloud, sql)
    assert columns[:2] == ["topic", "n"]
    assert rows == [["even", "50", "99"], ["odd", "50", "100"]]


def test_a_second_agent_on_the_same_spool_says_so_and_changes_nothing(board: Board, tmp_path: Path) -> None:
    board.start()
    from localcloud.processes import Process

    second = Process.start("second", ["-m", "device_agent.cli", "run", "--config", str(board.config)], log=tmp_path / "log")
    assert second.popen.wait(120) == 2
    assert len(second.tail().splitlines()) == 1
    assert "another" in second.tail()
    assert board.status()["device"] == board.device
