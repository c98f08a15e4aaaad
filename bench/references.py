"""The bare loops that the agent is held against, each a process that prints one JSON line.

python -m bench.references pull COUNT                  receive and throw away, pyzmq; first prints its endpoint
python -m bench.references pull-whole COUNT            the same with `recv_multipart`, which keeps the frames of a message together
python -m bench.references echo                        ROUTER that sends back what it gets, pyzmq; prints its endpoint, ends with its input
python -m bench.references fdatasync FOLDER SECONDS    write 4 KiB, fdatasync, over and over
python -m bench.references send-message URL FILE SECONDS         boto3, one reading a call
python -m bench.references send-message-batch URL FILE SECONDS   boto3, ten readings a call
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice, repeat
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from bench.goals import percentile
from bench.readings import read

_PAGE: Final = 4096
#: As much as a new segment is: the agent writes into space that is allocated already.
_FILE: Final = 4 * 2**20


def _say(**found: object) -> None:
    print(json.dumps(found), flush=True)


def pull(count: str, *, whole: bool = False) -> None:
    """As fast as pyzmq goes: one `recv` a message, nothing else; with `whole` one `recv_multipart`."""
    import zmq  # noqa: PLC0415  # each reference pays for what it uses only

    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        _say(endpoint=f"tcp://127.0.0.1:{port}")
        receive = socket.recv_multipart if whole else socket.recv
        for _ in repeat(None, int(count)):
            receive()
        _say(end=time.monotonic())


def echo() -> None:
    """One ROUTER, one thread."""
    import zmq  # noqa: PLC0415

    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.linger = 0
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        _say(endpoint=f"tcp://127.0.0.1:{port}")

        def leave() -> None:
            sys.stdin.read()
            os._exit(0)

        threading.Thread(target=leave, daemon=True).start()
        while True:
            socket.send_multipart(socket.recv_multipart())


def fdatasync(folder: str, seconds: str) -> None:
    """Into space that was allocated, as the spool does."""
    path = Path(folder) / "fdatasync"
    page = os.urandom(_PAGE)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    times = []
    try:
        os.posix_fallocate(descriptor, 0, _FILE)
        os.fsync(descriptor)
        end = time.monotonic() + float(seconds)
        position = 0
        while time.monotonic() < end:
            before = time.monotonic()
            os.pwrite(descriptor, page, position)
            os.fdatasync(descriptor)
            times.append(time.monotonic() - before)
            position = (position + _PAGE) % _FILE
    finally:
        os.close(descriptor)
        path.unlink()
    _say(count=len(times), p50=percentile(times, 0.5), p99=percentile(times, 0.99), worst=max(times))


def send_message(url: str, file: str, seconds: str) -> None:
    """What a script does that sends each reading as it comes."""
    client = _client(url)
    _repeat(_texts(file, 1), float(seconds), 1, lambda texts: client.send_message(QueueUrl=url, MessageBody=texts[0]))


def send_message_batch(url: str, file: str, seconds: str) -> None:
    """What a better script does."""
    client = _client(url)

    def send(texts: list[str]) -> object:
        return client.send_message_batch(QueueUrl=url, Entries=[{"Id": str(at), "MessageBody": text} for at, text in enumerate(texts)])

    _repeat(_texts(file, 10), float(seconds), 10, send)


def _client(url: str) -> Any:
    import boto3  # noqa: PLC0415

    parts = urlsplit(url)
    return boto3.client("sqs", region_name="eu-central-1", endpoint_url=f"{parts.scheme}://{parts.netloc}")


def _texts(file: str, size: int) -> Any:
    """Lists of `size` readings as text for ever; bytes that SQS would not take are replaced."""
    texts = [payload.decode("latin-1").replace("\0", " ") for payload in read(Path(file))[:10_000]]
    endless = cycle(texts)
    return iter(lambda: list(islice(endless, size)), None)


def _repeat(parts: Any, seconds: float, size: int, send: Callable[[list[str]], object]) -> None:
    send(next(parts))  # connects
    begin = time.monotonic()
    calls = 0
    for texts in parts:
        send(texts)
        calls += 1
        if time.monotonic() - begin >= seconds:
            break
    _say(count=calls * size, seconds=time.monotonic() - begin)


_COMMANDS: Final[dict[str, Callable[..., None]]] = {
    "pull": pull, "pull-whole": partial(pull, whole=True), "echo": echo, "fdatasync": fdatasync,
    "send-message": send_message, "send-message-batch": send_message_batch,
}  # fmt: skip

if __name__ == "__main__":
    _COMMANDS[sys.argv[1]](*sys.argv[2:])
