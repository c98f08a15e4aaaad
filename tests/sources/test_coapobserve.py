"""Observing: what resources of others say becomes readings; those that are away come back."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import aiocoap
import pytest
from aiocoap import resource

from device_agent.config.sources import CoapConfig
from device_agent.ports import Verdict
from device_agent.sources.coap import observe as coapobserve
from device_agent.sources.coap.blocks import Block
from device_agent.sources.coap.message import Code, Kind, Message, Option, decode, encode
from tests.lab.agent import wait_for
from tests.lab.ports import own_ports
from tests.sources.conftest import Board


class Lamp(resource.ObservableResource):
    def __init__(self, state: bytes, max_age: int) -> None:
        super().__init__()
        self.state, self.max_age, self.observers = state, max_age, 0

    def update_observation_count(self, newcount: int) -> None:
        self.observers = newcount

    async def render_get(self, _request: aiocoap.Message) -> aiocoap.Message:
        return aiocoap.Message(payload=self.state, max_age=self.max_age)


class Still(resource.Resource):
    async def render_get(self, _request: aiocoap.Message) -> aiocoap.Message:
        return aiocoap.Message(payload=b"still")


class Device:
    """A CoAP server with a lamp, in a thread of its own."""

    def __init__(self, port: int, state: bytes = b"off", max_age: int = 60) -> None:
        self.url = f"coap://127.0.0.1:{port}"
        self._bind = ("127.0.0.1", port)
        self._loop = asyncio.new_event_loop()
        self._stop, self._stands = asyncio.Event(), threading.Event()
        self.lamp = Lamp(state, max_age)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._stands.wait(60)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        site = resource.Site()
        site.add_resource(["hall", "lamp"], self.lamp)
        site.add_resource(["still"], Still())
        context = await aiocoap.Context.create_server_context(site, bind=self._bind, transports=["simplesocketserver"])
        self._stands.set()
        await self._stop.wait()
        await context.shutdown()

    def show(self, state: bytes) -> None:
        def change() -> None:
            self.lamp.state = state
            self.lamp.updated_state()

        self._loop.call_soon_threadsafe(change)

    def end(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()


@pytest.fixture
def device() -> Iterator[Callable[..., Device]]:
    made: list[Device] = []

    def start(**given: Any) -> Device:
        made.append(Device(**given))
        return made[-1]

    yield start
    for one in made:
        one.end()


def settings(*urls: str, **changes: Any) -> CoapConfig:
    return CoapConfig(**({"name": "in", "kind": "coap", "stream": "telemetry", "listen": "", "observe": urls} | changes))


def test_each_state_is_a_reading_with_host_and_path_as_topic(board: Board, device: Any) -> None:
    lamp = device(port=own_ports(1)[0])
    board.start(settings(f"{lamp.url}/hall/lamp"))
    assert board.sink.wait_for(1) == [b"off"]
    for number, state in enumerate((b"on", b"x" * 500, b""), start=2):
        lamp.show(state)
        assert board.sink.wait_for(number)[-1] == state
    assert set(board.topics()) == {f"{lamp.url.removeprefix('coap://')}/hall/lamp"}
    assert (board.problem(), board.status()["observed"]) == ("", 1)


def test_a_resource_that_is_away_is_observed_when_it_comes_back_and_others_go_on(
    board: Board, device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(coapobserve, "_PAUSES", (0.1, 0.2))
    monkeypatch.setattr(coapobserve, "_SLACK", 0.2)
    ports = own_ports(2)
    one, other = device(port=ports[0], state=b"1"), device(port=ports[1], state=b"2", max_age=0)
    board.start(settings(f"{one.url}/hall/lamp", f"{other.url}/hall/lamp"))
    board.sink.wait(lambda: {b"1", b"2"} <= set(board.sink.payloads()))
    other.end()
    wait_for(lambda: f"{other.url}/hall/lamp does not answer" in board.problem(), what="the problem")
    one.show(b"others go on")
    board.sink.wait(lambda: b"others go on" in board.sink.payloads())
    device(port=ports[1], state=b"again")
    board.sink.wait(lambda: b"again" in board.sink.payloads())
    wait_for(lambda: board.problem() == "", what="no problem")


def test_a_server_that_has_forgotten_who_observes_is_asked_anew(board: Board, device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coapobserve, "_SLACK", 0.1)
    lamp = device(port=own_ports(1)[0], max_age=0)
    board.start(settings(f"{lamp.url}/hall/lamp"))
    assert set(board.sink.wait_for(3)) == {b"off"}  # it never said anything by itself


@pytest.mark.parametrize(("path", "word"), [("/nothing", "4.04"), ("/still", "not observed"), ("/hall/lamp", "does not answer")])
def test_what_cannot_be_observed_is_told(
    board: Board, device: Any, path: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(coapobserve, "_PAUSES", (0.1, 0.2))
    ports = own_ports(2)
    lamp = device(port=ports[0])
    url = f"coap://127.0.0.1:{ports[1]}" if "answer" in word else lamp.url
    board.begin(settings(f"{url}{path}"))
    wait_for(lambda: word in board.problem(), what="the problem")
    assert not board.status()["stands"]


def test_while_the_spool_is_full_the_newest_state_is_kept_and_older_ones_are_counted(board: Board, device: Any) -> None:
    lamp = device(port=own_ports(1)[0])
    board.sink.verdicts["telemetry"] = Verdict.FULL
    board.start(settings(f"{lamp.url}/hall/lamp"))
    wait_for(lambda: board.counters.refused, what="the first refusal")
    for number in range(5):
        lamp.show(b"%d" % number)
        wait_for(lambda number=number: board.status().get("skipped", 0) > number, what="the one before to give way")  # type: ignore[misc]
    board.sink.verdicts.clear()
    assert board.sink.wait_for(1) == [b"4"]
    lamp.show(b"end")
    assert board.sink.wait_for(2) == [b"4", b"end"]


class Blocks:
    """A device that shows its state in blocks of 16 bytes, with a datagram for each."""

    def __init__(self, *states: bytes) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._states = list(states)  # another one for each registration; the last stays
        self.asked = 0
        self.mixed = False  # whether later blocks are of another state
        self.url = f"coap://127.0.0.1:{self._socket.getsockname()[1]}/long"
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        state = b""
        while True:
            data, address = self._socket.recvfrom(2000)
            if not data:
                self._socket.close()
                return
            request = decode(data)
            if not request.is_request:
                continue
            self.asked += 1
            number = Block.of(value).number if (value := next(iter(request.values(Option.BLOCK2)), b"")) else 0
            if not number:
                state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
            part = Block(number, more=len(state) > 16 * (number + 1), exponent=0).option(Option.BLOCK2)
            etag = (4, b"other" if number and self.mixed else b"etag")
            options = (etag, (6, b"") if not number else (14, b""), part)
            answer = Message(
                kind=Kind.ACK, code=Code.CONTENT, mid=request.mid, token=request.token, options=options, payload=state[16 * number :][:16]
            )
            self._socket.sendto(encode(answer), address)

    def end(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())
        self._thread.join()


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Blocks]]:
    monkeypatch.setattr(coapobserve, "_PAUSES", (0.1, 0.2))
    monkeypatch.setattr(coapobserve, "_MAX_AGE", 0)
    monkeypatch.setattr(coapobserve, "_SLACK", 0.2)
    made: list[Blocks] = []

    def start(*states: bytes) -> Blocks:
        made.append(Blocks(*states))
        return made[-1]

    yield start
    for one in made:
        one.end()


def test_a_state_that_comes_in_blocks_is_one_reading(board: Board, blocks: Any) -> None:
    long = bytes(range(250))
    board.start(settings(blocks(long, b"short").url))
    assert board.sink.wait_for(2)[:2] == [long, b"short"]


def test_a_state_that_is_too_large_is_not_fetched_to_its_end(board: Board, blocks: Any) -> None:
    device = blocks(b"x" * 1_000_000, b"small")
    board.start(settings(device.url, max_reading=100))
    assert board.sink.wait_for(1)[0] == b"small"
    assert device.asked < 20


def test_blocks_of_two_states_are_no_reading(board: Board, blocks: Any) -> None:
    device = blocks(b"x" * 100)
    device.mixed = True
    board.begin(settings(device.url))
    wait_for(lambda: "has changed while it was being read" in board.problem(), what="the problem")
    device.mixed = False
    assert board.sink.wait_for(1)[0] == b"x" * 100


def test_a_server_can_observe_beside(board: Board, device: Any) -> None:
    lamp = device(port=own_ports(1)[0])
    board.start(settings(f"{lamp.url}/hall/lamp", listen="127.0.0.1:0"))
    assert board.sink.wait_for(1) == [b"off"]
    assert board.url.startswith("coap://127.0.0.1:")
