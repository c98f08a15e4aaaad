"""Client of the agent's inputs: an ordinary ZeroMQ peer of the right kind, for `device-agent send` and for trying things out.

Promises: readings go out in order; a durable reply comes back for each, in order, where the pattern has replies (`rep`, `router`); what is
not taken or not answered within the timeout is an error, never silence. Without replies (`pull`, `sub`) ZeroMQ acknowledges nothing: all
that is promised is that a listening agent's socket was connected and the readings were handed to it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import zmq

from device_agent.config import CurveConfig, InputConfig, Pattern
from device_agent.errors import ConfigError, NotNow
from device_agent.intake import curve

#: What speaks with each pattern. XPUB is PUB that sees subscriptions, so the first readings do not go out before the agent listens.
_PEERS: Final = {Pattern.PULL: zmq.PUSH, Pattern.SUB: zmq.XPUB, Pattern.REP: zmq.REQ, Pattern.ROUTER: zmq.DEALER}
#: Readings of a `router` input that may wait for their replies; below the 1,000 that the agent keeps for a peer.
_WINDOW: Final = 100
_ANYWHERE: Final = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104  # compared, not bound


def endpoint_of(source: InputConfig) -> str:
    """Return an endpoint at which this machine reaches the input.

    Raises:
        ConfigError: the input binds none; it connects to its peers, or to an interface whose address is not written.
    """
    for endpoint in sorted(source.bind, key=lambda bound: not bound.startswith("ipc:")):
        if endpoint.startswith("ipc://"):
            return endpoint
        match = re.fullmatch(r"tcp://(.+):([0-9]+)", endpoint)
        if match and re.fullmatch(r"\*|\[[0-9a-f:.]+\]|[0-9.]+|localhost", match[1]):
            return f"tcp://{_ANYWHERE.get(match[1], match[1])}:{match[2]}"
    raise ConfigError(f"input {source.name} binds no endpoint that can be reached from here; name one with --endpoint")


def send(
    source: InputConfig,
    readings: Iterable[bytes],
    *,
    endpoint: str = "",
    topic: str | None = None,
    key: Path | None = None,
    timeout: float = 10.0,
) -> Iterator[bytes]:
    """Send readings to an input and yield the reply to each; nothing for `pull` and `sub`.

    Args:
        source: the input, as the agent has it.
        readings: payloads.
        endpoint: where; default: what the input binds.
        topic: first frame of each reading.
        key: secret key of this client, if the input has CURVE.
        timeout: seconds that one reading may take.

    Raises:
        ConfigError: the input cannot be reached like this.
        NotNow: nobody listens there, or an answer did not come in time.
    """
    place = endpoint or endpoint_of(source)
    with _connected(source, place, key, timeout) as socket:
        frames = ([reading] if topic is None else [topic.encode(), reading] for reading in readings)
        sender = _deal_numbered if source.message_id == "first-frame" else _SENDERS[source.pattern]
        try:
            yield from sender(socket, frames)
        except zmq.Again:
            raise NotNow(f"input {source.name} at {place}: no agent took the reading or answered within {timeout:g} s") from None


@contextmanager
def _connected(source: InputConfig, place: str, key: Path | None, timeout: float) -> Iterator[zmq.Socket[bytes]]:
    context = zmq.Context()
    socket: zmq.Socket[bytes] = context.socket(_PEERS[source.pattern])
    milliseconds = int(timeout * 1000)
    try:
        socket.set(zmq.IPV6, 1)
        socket.set(zmq.IMMEDIATE, 1)  # without it readings would be queued for an agent that is not there
        socket.set(zmq.SNDTIMEO, milliseconds)
        socket.set(zmq.RCVTIMEO, milliseconds)
        socket.set(zmq.LINGER, milliseconds)
        if source.curve is not None:
            _encrypt(socket, source, source.curve, key)
        try:
            socket.connect(place)
        except zmq.ZMQError as error:
            raise ConfigError(f"cannot connect to {place}: {error.strerror}") from None
        yield socket
    except BaseException:
        socket.close(linger=0)
        context.term()
        raise
    socket.close()
    begin = time.monotonic()
    context.term()  # waits until the agent's socket has everything, or for the linger time
    if time.monotonic() - begin >= timeout:
        raise NotNow(f"input {source.name} at {place}: the agent did not take everything within {timeout:g} s")


def _encrypt(socket: zmq.Socket[bytes], source: InputConfig, config: CurveConfig, key: Path | None) -> None:
    if config.server_key:
        raise ConfigError(
            f"input {source.name} is the CURVE client of a program with the secret of `server_key`; nobody else can send to it"
        )
    if key is None:
        raise ConfigError(f"input {source.name} is encrypted: name this client's secret key with --key (`device-agent keys` makes one)")
    socket.curve_serverkey = curve.secret_key(Path(config.secret_key))[0]
    socket.curve_publickey, socket.curve_secretkey = curve.secret_key(key)


def _push(socket: zmq.Socket[bytes], readings: Iterable[list[bytes]]) -> Iterator[bytes]:
    for reading in readings:
        socket.send_multipart(reading)
    yield from ()


def _publish(socket: zmq.Socket[bytes], readings: Iterable[list[bytes]]) -> Iterator[bytes]:
    prefixes = [socket.recv()[1:]]
    for reading in readings:
        while socket.poll(0 if _wanted(reading, prefixes) else 100):
            prefixes.append(socket.recv()[1:])
        if not _wanted(reading, prefixes):
            known = ", ".join(map(_quoted, prefixes))
            raise NotNow(f"the input does not subscribe to the topic {_quoted(reading[0][:40])}; it subscribes to {known}")
        socket.send_multipart(reading)
    yield from ()


def _quoted(text: bytes) -> str:
    return json.dumps(text.decode("utf-8", "backslashreplace"), ensure_ascii=False)


def _wanted(reading: list[bytes], prefixes: list[bytes]) -> bool:
    return any(reading[0].startswith(prefix) for prefix in prefixes)


def _request(socket: zmq.Socket[bytes], readings: Iterable[list[bytes]]) -> Iterator[bytes]:
    for reading in readings:
        socket.send_multipart(reading)
        yield socket.recv_multipart()[-1]


def _deal(socket: zmq.Socket[bytes], readings: Iterable[list[bytes]]) -> Iterator[bytes]:
    """Pipeline; the input answers in the order of the readings."""
    waiting = 0
    for reading in readings:
        socket.send_multipart([b"", *reading])  # the delimiter, so that an empty first frame of a reading is none
        waiting += 1
        while waiting and (waiting >= _WINDOW or socket.poll(0)):
            yield socket.recv_multipart()[-1]
            waiting -= 1
    for _ in range(waiting):
        yield socket.recv_multipart()[-1]


def _deal_numbered(socket: zmq.Socket[bytes], readings: Iterable[list[bytes]]) -> Iterator[bytes]:
    """Pipeline; the answers carry the readings' ids and come in any order."""
    answers: dict[int, bytes] = {}
    sent = told = 0
    for reading in readings:
        socket.send_multipart([b"", b"%d" % sent, *reading])
        sent += 1
        while sent - told >= _WINDOW or (told < sent and socket.poll(0)):
            _answer(socket, answers)
            while told in answers:
                yield answers.pop(told)
                told += 1
    while told < sent:
        if told not in answers:
            _answer(socket, answers)
            continue
        yield answers.pop(told)
        told += 1


def _answer(socket: zmq.Socket[bytes], answers: dict[int, bytes]) -> None:
    *_, number, answer = socket.recv_multipart()
    answers[int(number)] = answer


_SENDERS: Final = {Pattern.PULL: _push, Pattern.SUB: _publish, Pattern.REP: _request, Pattern.ROUTER: _deal}
