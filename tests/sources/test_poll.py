"""Polling: programs that only answer, one and many, silent, late, slow and odd ones."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest
import zmq

from device_agent.config.sources import PollConfig
from device_agent.ports import Verdict
from tests.lab.agent import wait_for
from tests.lab.ports import own_ports
from tests.sources.conftest import Board, board

__all__ = ["board"]  # fixture


class Program:
    """A REP or ROUTER program in a thread; `answers` makes its answer from the request and from how many there were, None: it is silent."""

    def __init__(self, answers: Callable[[bytes, int], list[bytes] | None], *, router: bool = False, endpoint: str = "") -> None:
        self._answers, self._router = answers, router
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER if router else zmq.REP)
        self.endpoint = endpoint or f"tcp://127.0.0.1:{own_ports(1)[0]}"
        wait_for(self._bound, what="the endpoint")  # the last program may be about to leave it
        self.asked: list[bytes] = []
        self._late: list[list[bytes]] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _bound(self) -> bool:
        try:
            self._socket.bind(self.endpoint)
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE:
                return False
            raise
        return True

    def _run(self) -> None:
        with contextlib.suppress(zmq.ContextTerminated):
            while True:
                *route, request = self._socket.recv_multipart()
                self.asked.append(request)
                answer = self._answers(request, len(self.asked))
                if answer is not None:
                    self._socket.send_multipart([*route, *answer])
                elif self._router:
                    self._late.append(route)
                else:
                    return  # a REP socket that does not answer is never asked again

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.linger = 0
        threading.Thread(target=self._context.term).start()
        self._thread.join()
        self._socket.close(0)


@contextlib.contextmanager
def programs(*answers: Callable[[bytes, int], list[bytes] | None], router: bool = False) -> Iterator[list[Program]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Program(answer, router=router)) for answer in answers]


def settings(*endpoints: str, **changes: Any) -> PollConfig:
    given = {"name": "in", "kind": "poll", "stream": "telemetry", "endpoints": endpoints, "request": "read", "every": 0.05, "timeout": 0.05}
    return PollConfig(**(given | changes))


def counted(request: bytes, number: int) -> list[bytes]:
    return [request + b"-%d" % number]


@pytest.mark.parametrize("router", [False, True])
def test_each_answer_is_a_reading_with_the_endpoint_as_topic(board: Board, *, router: bool) -> None:
    with programs(counted, router=router) as [one]:
        board.start(settings(one.endpoint, timeout=0.05))
        found = board.sink.wait_for(3)
        assert found[:3] == [b"read-1", b"read-2", b"read-3"]
        assert set(board.topics()) == {one.endpoint}
        wait_for(lambda: board.status()["peers"] == 1 and board.status()["answered"] >= 3, what="the counts")
        board.stop_sources(drain=5.0)


def test_a_survey_asks_all_at_the_same_time_and_names_who_is_silent(board: Board) -> None:
    with programs(counted, lambda _request, _number: None, counted) as [one, silent, other]:
        board.start(settings(one.endpoint, silent.endpoint, other.endpoint, every=0.2, timeout=0.2))
        wait_for(lambda: {one.endpoint, other.endpoint} <= set(board.topics()), what="two answers")
        wait_for(lambda: board.problem() == f"no answer within 0.2 s: {silent.endpoint}", what="the problem")
        wait_for(lambda: board.status()["peers"] == 2, what="the peers")
        assert board.status()["silent"] >= 1
        board.stop_sources(drain=5.0)


def test_an_answer_that_comes_after_the_deadline_is_not_taken_for_one_to_the_next_question(board: Board) -> None:
    """The first question is answered when the second has come: a plain REQ socket that is used again would take it."""
    gate = threading.Event()

    def slow(request: bytes, number: int) -> list[bytes]:
        if number == 1:
            assert gate.wait(60)
        return counted(request, number)

    with programs(slow) as [one]:
        board.start(settings(one.endpoint))
        wait_for(lambda: board.status()["silent"] >= 1, what="the deadline")
        gate.set()
        assert bytes(board.sink.wait_for(1)[0]) != b"read-1"
        board.stop_sources(drain=5.0)


def test_a_program_that_starts_later_is_found_and_one_that_restarts_is_found_again(board: Board) -> None:
    endpoint = f"tcp://127.0.0.1:{own_ports(1)[0]}"
    board.start(settings(endpoint))
    wait_for(lambda: board.status()["silent"] >= 2, what="silence")
    for _ in range(2):
        before = len(board.sink.payloads())
        with Program(counted, endpoint=endpoint):
            board.sink.wait_for(before + 1)
    board.stop_sources(drain=5.0)


def test_no_question_is_asked_while_the_spool_is_full(board: Board) -> None:
    with programs(counted) as [one]:
        board.sink.verdicts["telemetry"] = Verdict.FULL
        board.start(settings(one.endpoint))
        wait_for(lambda: board.status()["skipped"] >= 3, what="rounds that are left out")
        assert board.problem() == "no question is asked while the stream is full"
        assert board.status()["under_way"] == 1
        board.sink.verdicts.clear()
        assert board.sink.wait_for(2)[0] == b"read-1"
        wait_for(lambda: board.problem() == "", what="the end of the problem")
        board.stop_sources(drain=5.0)


def test_an_answer_of_several_frames_is_no_reading_and_the_next_one_is(board: Board, caplog: pytest.LogCaptureFixture) -> None:
    with programs(lambda request, number: [b"a", b"b"] if number == 1 else counted(request, number)) as [one]:
        board.start(settings(one.endpoint))
        assert board.sink.wait_for(1)[0] == b"read-2"
        assert f"{one.endpoint} answers with 2 frames; a reading has one" in caplog.text
        board.stop_sources(drain=5.0)


def test_an_answer_that_is_too_large_is_kept_in_quarantine(board: Board) -> None:
    """Nobody has it a second time."""
    with programs(lambda request, number: [b"x" * 101] if number == 1 else counted(request, number)) as [one]:
        board.start(settings(one.endpoint, max_reading=100))
        assert board.sink.wait_for(1)[0] == b"read-2"
        assert [bytes(payload) for _, payload, _ in board.sink.aside] == [b"x" * 101]
        board.stop_sources(drain=5.0)
