"""Which connection a success or a failure belongs to, though libzmq's events do not say so."""

from __future__ import annotations

from typing import Any

import pytest
import zmq

from device_agent.clock import SystemClock
from device_agent.config import CurveConfig, InputConfig, Pattern
from device_agent.intake.causes import DENIED
from device_agent.intake.handshakes import Handshakes
from device_agent.metrics import InputMetrics

MISMATCH = (int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL), 0x11000002)
HUNG_UP = (int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL), 32)
TIMED_OUT = (int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL), 11)
DENIAL = (int(zmq.EVENT_HANDSHAKE_FAILED_AUTH), 300)


class Books:
    def __init__(self, curve: CurveConfig | None = None) -> None:
        config = InputConfig(name="in", pattern=Pattern.PULL, stream="s", bind=("tcp://127.0.0.1:1",), curve=curve)
        self.metrics = InputMetrics()
        self.handshakes = Handshakes(lambda: config, metrics=self.metrics, clock=SystemClock())

    def open(self, *descriptors: int) -> None:
        for one in descriptors:
            self.handshakes.opened(one, f"peer {one}")

    def fail(self, descriptor: int, event: tuple[int, int]) -> None:
        self.handshakes.failed(*event)
        self.handshakes.closed(descriptor)

    def told(self) -> list[tuple[str, int, str]]:
        return [(one["cause"].split(":")[0], one["count"], one["peer"]) for one in self.handshakes.status()]


@pytest.fixture
def server() -> Books:
    return Books(CurveConfig(secret_key="k"))


def test_a_connection_that_succeeded_ends_without_a_word(server: Books) -> None:
    server.open(5)
    server.handshakes.succeeded()
    server.handshakes.closed(5)
    assert server.told() == []


def test_a_failure_belongs_to_the_connection_that_ends_next(server: Books) -> None:
    server.open(5, 6, 7)
    server.fail(6, MISMATCH)
    server.handshakes.succeeded()
    server.handshakes.succeeded()
    server.handshakes.closed(5)
    server.handshakes.closed(7)
    assert server.told() == [("the peer does not use CURVE, and this input has [input.curve]", 1, "peer 6")]
    assert server.metrics.handshakes_failed == 1


def test_a_success_that_was_taken_for_anothers_is_put_right_by_the_failure_of_that_one(server: Books) -> None:
    server.open(5, 6)
    server.handshakes.succeeded()  # of 5, taken for that of 6
    server.fail(6, TIMED_OUT)
    server.handshakes.closed(5)
    assert [(cause, count) for cause, count, _ in server.told()] == [("the peer said nothing in time", 1)]


def test_a_denied_key_is_counted_once_though_its_connection_times_out_later(server: Books) -> None:
    server.open(5)
    server.handshakes.failed(*DENIAL)
    server.fail(5, TIMED_OUT)
    assert server.told() == [(DENIED, 1, "")]
    assert server.metrics.handshakes_failed == 1


def test_a_number_that_comes_again_is_a_new_connection(server: Books) -> None:
    for _ in range(3):
        server.open(5)
        server.fail(5, HUNG_UP)
    assert [count for _, count, _ in server.told()] == [3]


def test_an_end_without_a_word_is_certain_only_where_old_peers_are_turned_away(server: Books) -> None:
    for books, counted in ((server, 1), (Books(), 0)):
        books.open(5)
        books.handshakes.closed(5)
        assert [count for _, count, _ in books.told()] == [1]
        assert books.metrics.handshakes_failed == counted


def test_what_is_remembered_is_bounded(server: Books) -> None:
    for number in range(10_000):
        server.open(number)
        server.fail(number, (MISMATCH[0], 0x10000000 + number))
    left: dict[str, Any] = server.handshakes.__dict__
    assert not left["_open"]
    assert len(server.told()) < 5
