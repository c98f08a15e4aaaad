#!/usr/bin/env python3
"""PUB: a little weather station with three topics, two frames a message: topic and JSON.

    python examples/weather_pub.py --connect ipc:///run/device-agent/weather --rate 5

An ordinary publisher: whoever is subscribed gets it, whoever is not does not, and nobody tells it. At the end it prints one JSON line:
{"sent": 1234}.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import signal
import time

import zmq


def weather(seconds: float) -> dict[str, tuple[float, str]]:
    """Return a made-up but smooth weather of the moment: topic -> (value, unit)."""
    day = 2 * math.pi * seconds / 86_400
    return {
        "weather/temperature": (round(12 - 6 * math.cos(day) + random.gauss(0, 0.1), 2), "celsius"),
        "weather/humidity": (round(60 + 20 * math.cos(day) + random.gauss(0, 0.5), 1), "percent"),
        "weather/pressure": (round(1013 + 3 * math.sin(day / 3) + random.gauss(0, 0.05), 2), "hPa"),
    }


def main() -> None:
    """Publish at the given rate until the time is over or a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--connect", default="tcp://127.0.0.1:5556", metavar="ENDPOINT", help="where a subscriber has bound (default: %(default)s)"
    )
    where.add_argument("--bind", metavar="ENDPOINT", help="bind here instead, and let subscribers connect")
    parser.add_argument("--rate", type=float, default=5, help="messages a second (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long (default: until a signal)")
    parser.add_argument("--count", type=int, default=None, help="how many messages (default: no limit)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sent = 0
    with zmq.Context() as context, context.socket(zmq.PUB) as socket:
        if options.bind:
            socket.bind(options.bind)
        else:
            socket.connect(options.connect)
        start = time.monotonic()
        try:
            for number in itertools.count() if options.count is None else range(options.count):
                time.sleep(max(0.0, start + number / options.rate - time.monotonic()))
                if time.monotonic() - start >= options.seconds:
                    break
                now = time.time()
                topic, (value, unit) = list(weather(now).items())[number % 3]
                socket.send_multipart([topic.encode(), json.dumps({"t": round(now, 3), "value": value, "unit": unit}).encode()])
                sent += 1
        except KeyboardInterrupt:
            pass  # the wished end
        socket.setsockopt(zmq.LINGER, 2000)  # what still stands in the socket may go out for two seconds
    print(json.dumps({"sent": sent}))


if __name__ == "__main__":
    main()
