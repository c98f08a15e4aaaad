"""Ordinary ZeroMQ programs for the kill loop, in one process: two REQ, two DEALER, a PUSH and a PUB, one thread each.

    python -m tests.lab.producers --log acks --orders ENDPOINT --pipeline ENDPOINT --bulk ENDPOINT --sensors ENDPOINT --weather ENDPOINT

Every payload is `<producer> <number> <padding>` and is sent once. Every positive answer is appended to `--log`, in one write with
O_APPEND, as `<stream> <seq> <producer> <number>`: what stands there was acknowledged. Ends on SIGTERM with one line of counts.

REQ uses RELAXED and CORRELATE on one socket for ever: a new socket would be a new connection, and two connections have no order.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable

import zmq

_stop = threading.Event()
_counts: dict[str, int] = {}


class Pace:
    """At most `rate` a second; 0: no limit."""

    def __init__(self, rate: float) -> None:
        self._rate, self._start, self._number = rate, time.monotonic(), 0

    def wait(self) -> None:
        self._number += 1
        if self._rate:
            delay = self._start + self._number / self._rate - time.monotonic()
            if delay > 0:
                _stop.wait(delay)
            elif delay < -1:  # after a pause: no burst to catch up
                self._start, self._number = time.monotonic(), 0


def payload(name: str, number: int, randoms: random.Random) -> bytes:
    """Unique text; now and then a large one."""
    size = randoms.choice((0, 10, 40, 90, 90, 200)) if randoms.random() < 0.995 else randoms.choice((3_000, 60_000))
    return b"%s %d %s" % (name.encode(), number, b"x" * size)


def _log(descriptor: int, answer: bytes, name: str, number: int) -> None:
    reply = json.loads(answer)
    if reply["ok"]:
        os.write(descriptor, f"{reply['stream']} {reply['seq']} {name} {number}\n".encode())


def req(name: str, endpoint: str, socket: zmq.Socket[bytes], descriptor: int, pace: Pace, randoms: random.Random) -> None:
    socket.setsockopt(zmq.REQ_RELAXED, 1)
    socket.setsockopt(zmq.REQ_CORRELATE, 1)
    socket.setsockopt(zmq.SNDTIMEO, 1000)  # with an agent away for long its queue is full
    socket.setsockopt(zmq.RCVTIMEO, 700)  # not poll and recv: an answer to an earlier request shows as readable, and recv passes it over
    socket.connect(endpoint)
    number = 0
    while not _stop.is_set():
        pace.wait()
        number += 1
        try:
            socket.send(payload(name, number, randoms))
        except zmq.Again:
            continue
        _counts[name] = number
        try:
            _log(descriptor, socket.recv(), name, number)
        except zmq.Again:
            continue  # it died with an agent


def dealer(name: str, endpoint: str, socket: zmq.Socket[bytes], descriptor: int, pace: Pace, randoms: random.Random) -> None:
    socket.connect(endpoint)
    number, window, heard = 0, 200, time.monotonic()
    waiting: set[int] = set()
    while not _stop.is_set():
        if len(waiting) < window:
            pace.wait()
            number += 1
            waiting.add(number)
            try:
                socket.send_multipart([b"%d" % number, payload(name, number, randoms)], zmq.NOBLOCK)
            except zmq.Again:
                waiting.discard(number)
                _stop.wait(0.01)
            _counts[name] = number
        while socket.poll(0 if len(waiting) < window else 50):
            first, *_, answer = socket.recv_multipart()
            waiting.discard(int(first))
            heard = time.monotonic()
            _log(descriptor, answer, name, int(first))
        if time.monotonic() - heard > 1.0:
            waiting.clear()  # their answers died with an agent
            heard = time.monotonic()


def push(name: str, endpoint: str, socket: zmq.Socket[bytes], _descriptor: int, pace: Pace, randoms: random.Random) -> None:
    socket.connect(endpoint)
    number = 0
    while not _stop.is_set():
        pace.wait()
        number += 1
        message = payload(name, number, randoms)
        while not _stop.is_set():
            if socket.poll(50, zmq.POLLOUT):
                socket.send(message, zmq.NOBLOCK)
                break
        _counts[name] = number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("log", "orders", "pipeline", "bulk", "sensors", "weather"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--rate", type=float, default=0.0, help="readings a second of each program; 0: full rate")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    faulthandler.register(signal.SIGUSR1)  # where each thread is, for who waits in vain for the end
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _stop.set())
    descriptor = os.open(options.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    context = zmq.Context()
    programs: list[tuple[str, int, str, Callable[..., None]]] = [
        ("req1", zmq.REQ, options.orders, req), ("req2", zmq.REQ, options.orders, req), ("dealer1", zmq.DEALER, options.pipeline, dealer),
        ("dealer2", zmq.DEALER, options.bulk, dealer), ("push1", zmq.PUSH, options.sensors, push), ("pub1", zmq.PUB, options.weather, push),
    ]  # fmt: skip

    def run(name: str, kind: int, endpoint: str, program: Callable[..., None]) -> None:
        socket = context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        for option in (zmq.RECONNECT_IVL, zmq.RECONNECT_IVL_MAX):
            socket.setsockopt(option, 20)
        try:
            program(name, endpoint, socket, descriptor, Pace(options.rate), random.Random(f"{options.seed}/{name}"))
        finally:
            socket.close()

    threads = [threading.Thread(target=run, args=program) for program in programs]
    for thread in threads:
        thread.start()
    while not _stop.wait(0.2):
        if not all(thread.is_alive() for thread in threads):
            break  # a program died: its traceback is above, and the exit code tells
    died = not _stop.is_set()
    _stop.set()
    for thread in threads:
        thread.join()
    context.term()
    print(json.dumps(_counts), flush=True)
    raise SystemExit(int(died))


if __name__ == "__main__":
    main()
