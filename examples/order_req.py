#!/usr/bin/env python3
"""REQ: orders that must not be lost. Each waits for the reply, which comes only after the order is on disk.

    python examples/order_req.py --connect tcp://127.0.0.1:5557 --rate 2

No reply within the timeout: the socket is closed, a new one connects, and the same order goes out again (the "Lazy Pirate" of the
ZeroMQ Guide). So an order may stand there twice, but never not at all. With --log each acknowledged order is appended to a file as
{"n": 7, "stream": "events", "seq": 7}. At the end one JSON line: {"sent": 40, "acknowledged": 40, "repeated": 0, "refused": 0}.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import signal
import time
from pathlib import Path
from typing import Any

import zmq


class Client:
    """A REQ socket that survives a server that goes away."""

    def __init__(self, context: zmq.Context[Any], endpoint: str, timeout: float) -> None:
        self._context, self._endpoint, self._timeout = context, endpoint, timeout
        self._socket = self._connect()

    def _connect(self) -> zmq.Socket[Any]:
        socket = self._context.socket(zmq.REQ)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(self._endpoint)
        return socket

    def ask(self, request: bytes) -> bytes | None:
        """Send and wait for the reply; None if there was none in time."""
        self._socket.send(request)
        if self._socket.poll(self._timeout * 1000):
            return self._socket.recv()
        self.close()
        self._socket = self._connect()  # a REQ that got no reply cannot send again: only a new one can
        return None

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def deliver(client: Client, order: bytes, result: dict[str, int]) -> dict[str, Any]:
    """Send one order until it is acknowledged; return the reply."""
    while True:
        result["sent"] += 1
        reply = client.ask(order)
        if reply is None:
            result["repeated"] += 1
            continue
        answer: dict[str, Any] = json.loads(reply)
        if answer["ok"]:
            result["acknowledged"] += 1
            return answer
        result["refused"] += 1
        time.sleep(0.2)  # it says why in "error": full, or starting


def main() -> None:
    """Order at the given rate until the time is over or a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--connect", default="tcp://127.0.0.1:5557", metavar="ENDPOINT", help="where replies come from (default: %(default)s)"
    )
    parser.add_argument("--rate", type=float, default=2, help="orders a second at most (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long (default: until a signal)")
    parser.add_argument("--count", type=int, default=None, help="how many orders (default: no limit)")
    parser.add_argument("--timeout", type=float, default=1.0, help="seconds to wait for a reply (default: %(default)s)")
    parser.add_argument("--log", type=Path, help="append each acknowledged order to this file")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    result = {"sent": 0, "acknowledged": 0, "repeated": 0, "refused": 0}
    with zmq.Context() as context:
        client = Client(context, options.connect, options.timeout)
        start = time.monotonic()
        try:
            for number in itertools.count(1) if options.count is None else range(1, options.count + 1):
                time.sleep(max(0.0, start + (number - 1) / options.rate - time.monotonic()))
                if time.monotonic() - start >= options.seconds:
                    break
                order = json.dumps({"n": number, "item": random.choice(["bolt", "nut", "washer"]), "quantity": random.randint(1, 9)})
                answer = deliver(client, order.encode(), result)
                if options.log:
                    with options.log.open("a") as log:
                        log.write(json.dumps({"n": number, "stream": answer["stream"], "seq": answer["seq"]}) + "\n")
        except KeyboardInterrupt:
            pass  # the wished end
        finally:
            client.close()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
