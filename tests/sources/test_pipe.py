"""The pipe passes frames as they are, with libzmq's own functions and with pyzmq's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import zmq

from device_agent import libzmq
from device_agent.sources import pipe
from device_agent.sources.pipe import Pipe, PlainPipe

Socket = zmq.Socket[bytes]


@pytest.fixture
def context() -> Iterator[zmq.Context[Socket]]:
    with zmq.Context() as made:
        yield made


def quick(socket: Socket) -> Pipe:
    return Pipe(socket, library=libzmq.library())


@pytest.mark.parametrize("over", [quick, PlainPipe])
def test_frames_arrive_as_they_were_sent(context: zmq.Context[Socket], over: Callable[[Socket], Pipe | PlainPipe]) -> None:
    with context.socket(zmq.ROUTER) as far, context.socket(zmq.DEALER) as near:
        far.bind("inproc://pipe")
        near.connect("inproc://pipe")
        made = over(near)
        assert made.receive() is None
        made.send([b"\0number", b"", b"pay\0load" * 30_000])
        identity, *frames = far.recv_multipart()
        assert frames == [b"\0number", b"", b"pay\0load" * 30_000]
        far.send_multipart([identity, b"\0number", b""])
        far.send_multipart([identity, b"\1number", b"answer" * 1000])
        near.poll(1000)
        assert [made.receive(), made.receive(), made.receive()] == [(b"\0number", b""), (b"\1number", b"answer" * 1000), None]


def test_without_libzmqs_functions_pyzmqs_are_used(context: zmq.Context[Socket], monkeypatch: pytest.MonkeyPatch) -> None:
    with context.socket(zmq.DEALER) as near:
        assert isinstance(pipe.over(near), Pipe)
        monkeypatch.setattr(libzmq, "library", lambda: None)
        assert isinstance(pipe.over(near), PlainPipe)
