"""A source that finds no file descriptor says so, and stands when there are some again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agent.config.sources import HttpConfig, MqttConfig, PollConfig, SourceConfig
from tests.lab.agent import wait_for
from tests.sources.brokers import Amqtt
from tests.sources.conftest import Board, board, no_descriptors

__all__ = ["board"]  # fixture


@pytest.fixture(params=["http", "mqtt", "poll"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SourceConfig]:
    if request.param == "http":
        yield HttpConfig(name="in", kind="http", stream="telemetry", listen="127.0.0.1:0")
    elif request.param == "poll":
        yield PollConfig(name="in", kind="poll", stream="telemetry", endpoints=("tcp://127.0.0.1:1",))
    else:
        with Amqtt(tmp_path) as broker:
            yield MqttConfig(name="in", kind="mqtt", stream="telemetry", topics=("#",), url=broker.url, version="3.1.1")


def test_a_shortage_is_said_and_overcome(board: Board, settings: SourceConfig) -> None:
    board.open(settings)
    with no_descriptors():
        board.start_sources(settings)
        wait_for(lambda: "Too many open files" in board.problem(), what="the problem")
        assert board.status()["stands"] is False
    wait_for(lambda: board.status()["stands"], what="the source")
    board.stop_sources(drain=5.0)
