"""Patterns that answer do the same on both paths: the same readings, the same answers in the same order, the same counts."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import pytest
import zmq
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from device_agent.config import InputConfig, Pattern, RouteConfig
from device_agent.intake.answering import Answering
from device_agent.intake.native import library
from device_agent.intake.rep import Rep
from device_agent.intake.router_dealer import RouterDealer
from device_agent.metrics import InputMetrics
from device_agent.ports import Verdict
from device_agent.wire import block
from tests.fakes.spool import FakeSpool
from tests.intake.conftest import choose

Message = list[bytes]
_LARGEST = 300
_ROUTE = (RouteConfig(topic="b", stream="b"),)
_KINDS: dict[str, dict[str, Any]] = {
    "rep": {"pattern": Pattern.REP},
    "rep, fixed reply": {"pattern": Pattern.REP, "reply": "World"},
    "rep, topics": {"pattern": Pattern.REP, "topic": "first-frame"},
    "rep, two streams": {"pattern": Pattern.REP, "topic": "first-frame", "route": _ROUTE},
    "router": {"pattern": Pattern.ROUTER, "message_id": "none"},
    "router, ids": {"pattern": Pattern.ROUTER, "message_id": "first-frame"},
    "router, ids, two streams": {"pattern": Pattern.ROUTER, "message_id": "first-frame", "topic": "first-frame", "route": _ROUTE},
}


class World:
    """One channel over a ROUTER, and DEALERs that talk to it."""

    def __init__(self, kind: str, *, peers: int = 2, held: int = 0) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.router = self.context.socket(zmq.ROUTER)
        self.router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self.router.setsockopt(zmq.SNDHWM, held)
        self.router.bind("inproc://answering")
        self.dealers = [self.context.socket(zmq.DEALER) for _ in range(peers)]
        for number, dealer in enumerate(self.dealers):
            dealer.setsockopt(zmq.IDENTITY, b"peer %d" % number)
            dealer.setsockopt(zmq.RCVHWM, held)
            dealer.setsockopt(zmq.SNDHWM, 0)
            dealer.connect("inproc://answering")
        for socket in (self.router, *self.dealers):
            socket.setsockopt(zmq.LINGER, 0)
        self.sink, self.metrics = FakeSpool("a", "b", largest=_LARGEST), InputMetrics()
        config = InputConfig(name="in", stream="a", bind=("inproc://answering",), **_KINDS[kind])
        channel = Rep if config.pattern is Pattern.REP else RouterDealer
        self.channel: Answering = channel(config, self.router, sink=self.sink, metrics=self.metrics, wake=lambda: None)

    def turns(self) -> None:
        while self.router.poll(0):
            self.channel.gate()
            self.channel.turn(7, True)

    def answers(self, dealer: zmq.Socket[bytes]) -> list[Message]:
        found = []
        while dealer.poll(0):
            found.append(dealer.recv_multipart())
        return found

    def close(self) -> None:
        for socket in (self.router, *self.dealers):
            socket.close(0)
        self.context.term()


def told(kind: str, rounds: list[list[tuple[int, Message]]], full: list[bool]) -> object:
    """What peers hear, what is kept, and what is counted; the commit of one round comes in the middle of the next."""
    world = World(kind)
    heard: list[list[Message]] = [[], []]
    try:
        world.sink.hold = True
        for messages, no_room in zip(rounds, full, strict=False):
            world.sink.verdicts = {"a": Verdict.FULL} if no_room else {}
            for peer, message in messages[: len(messages) // 2]:
                world.dealers[peer].send_multipart(message)
            world.turns()
            world.sink.commit()
            for peer, message in messages[len(messages) // 2 :]:
                world.dealers[peer].send_multipart(message)
            world.turns()
            world.channel.flush()
        world.sink.commit()
        world.channel.flush()
        for peer, dealer in enumerate(world.dealers):
            heard[peer] += world.answers(dealer)
        assert world.channel.unanswered == 0
    finally:
        world.close()
    streams = {stream: [batch.run for batch in world.sink.batches if batch.stream == stream] for stream in ("a", "b")}
    kept = {stream: block.encode_columns(runs) for stream, runs in streams.items() if runs}
    return [sorted(one) if "ids" in kind else one for one in heard], kept, asdict(world.metrics)


_frame = st.one_of(st.binary(max_size=20), st.sampled_from([b"", b"", b"b", b"b/1", b"\xff", b"x" * 290, b"y" * 400]))
_message = st.lists(_frame, min_size=1, max_size=5)
_rounds = st.lists(st.lists(st.tuples(st.integers(0, 1), _message), max_size=12), min_size=1, max_size=4)
needs_native = pytest.mark.skipif(library.find().library is None, reason=str(library.find()))


@needs_native
@pytest.mark.parametrize("kind", _KINDS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=_rounds, full=st.lists(st.booleans(), min_size=4, max_size=4))
@example(rounds=[[(0, [b"", b"1"]), (1, [b"", b"2"]), (0, [b"", b"y" * 400]), (0, [b"", b"3"])]], full=[False] * 4)
@example(rounds=[[(0, [b"", b"1"])] * 4, [(0, [b"", b"2"])] * 4, [(0, [b"", b"3"])] * 4], full=[False, True, False, False])
@example(rounds=[[(0, [b"no delimiter"]), (0, [b"id", b"", b"", b"b", b"1"]), (0, [b"", b"a" * 250])]], full=[False] * 4)
def test_both_paths_answer_the_same(kind: str, rounds: list[list[tuple[int, Message]]], full: list[bool]) -> None:
    found = []
    for path in ("native", "python"):
        with pytest.MonkeyPatch.context() as patch:
            choose(path, patch)
            found.append(told(kind, rounds, full))
    assert found[0] == found[1]


@pytest.mark.parametrize("path", ["native", "python"])
@pytest.mark.parametrize("kind", ["rep", "router, ids"])
def test_a_peer_that_takes_no_answers_holds_up_no_other_and_hears_all_in_the_end(
    kind: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(path, monkeypatch)
    world = World(kind, held=4)
    slow, quick = world.dealers
    try:
        for number in range(50):
            for dealer in world.dealers:
                dealer.send_multipart([b"", b"%d" % number] if kind == "rep" else [b"%d" % number, b"x"])
            world.turns()
            world.channel.flush()
            assert len(world.answers(quick)) == 1, "held up by the slow one"
        assert world.channel.stuck
        heard: list[Message] = []
        until = time.monotonic() + 60
        while len(heard) < 50 and time.monotonic() < until:
            heard += world.answers(slow)
            world.channel.retry()
        assert len(heard) == 50
        if kind != "rep":
            assert [answer[0] for answer in heard] == [b"%d" % number for number in range(50)]
        assert not world.channel.stuck
        slow.send_multipart([b"", b"after"] if kind == "rep" else [b"after", b"x"])
        world.turns()
        world.channel.flush()
        assert len(world.answers(slow)) == 1
        assert (world.metrics.replies, world.metrics.replies_lost) == (101, 0)
    finally:
        world.close()


@pytest.mark.parametrize("path", ["native", "python"])
def test_answers_to_a_peer_that_has_gone_are_counted_and_the_others_sent(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    choose(path, monkeypatch)
    world = World("rep", peers=3)
    gone = world.dealers[1]
    try:
        world.sink.hold = True
        for dealer in world.dealers:
            dealer.send_multipart([b"", b"x"])
        world.turns()
        gone.close(0)
        until = time.monotonic() + 60
        while time.monotonic() < until:  # until ZeroMQ has noticed: the router would keep the answer for it otherwise
            try:
                world.router.send_multipart([b"peer 1", b"", b"are you there?"])
            except zmq.ZMQError as error:
                if error.errno == zmq.EHOSTUNREACH:
                    break
                raise
        world.sink.commit()
        world.channel.flush()
        assert [len(world.answers(dealer)) for dealer in (world.dealers[0], world.dealers[2])] == [1, 1]
        assert (world.metrics.replies, world.metrics.replies_lost) == (2, 1)
    finally:
        world.close()
