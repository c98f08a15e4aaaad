#!/usr/bin/env python3
"""PUSH: what this machine measures of itself, as JSON readings with the topic as first frame.

    python examples/sensors_push.py --connect tcp://127.0.0.1:5555 --rate 10

An ordinary ZeroMQ program: it knows nothing of whoever pulls. PUSH has no acknowledgement; while nobody pulls, it waits at its
high-water mark. At the end it prints one JSON line: {"sent": 1234}.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import time
from collections.abc import Iterator

import psutil
import zmq


def measure() -> Iterator[tuple[str, dict[str, float]]]:
    """Yield (topic, values) of everything that this machine can tell about itself now."""
    for number, percent in enumerate(psutil.cpu_percent(percpu=True)):
        yield f"cpu/{number}", {"percent": percent}
    memory = psutil.virtual_memory()
    yield "memory", {"percent": memory.percent, "used": memory.used}
    for name, sensors in getattr(psutil, "sensors_temperatures", dict)().items():  # absent on some platforms, empty on many machines
        for number, sensor in enumerate(sensors):
            yield f"temperature/{name}/{number}", {"celsius": sensor.current}
    if disk := psutil.disk_io_counters():
        yield "disk", {"read": disk.read_bytes, "written": disk.write_bytes}
    network = psutil.net_io_counters()
    yield "network", {"sent": network.bytes_sent, "received": network.bytes_recv}


def readings() -> Iterator[tuple[bytes, bytes]]:
    """Yield (topic, JSON) for ever."""
    while True:
        for topic, values in measure():
            yield topic.encode(), json.dumps({"t": round(time.time(), 3), **values}).encode()


def main() -> None:
    """Send at the given rate until the time is over or a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connect", default="tcp://127.0.0.1:5555", metavar="ENDPOINT", help="where somebody pulls (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=10, help="readings a second (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long (default: until a signal)")
    parser.add_argument("--count", type=int, default=None, help="how many readings (default: no limit)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sent = 0
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.connect(options.connect)
        start = time.monotonic()
        try:
            for number, reading in enumerate(itertools.islice(readings(), options.count)):
                time.sleep(max(0.0, start + number / options.rate - time.monotonic()))
                if time.monotonic() - start >= options.seconds:
                    break
                socket.send_multipart(reading)
                sent += 1
        except KeyboardInterrupt:
            pass  # the wished end
        socket.setsockopt(zmq.LINGER, 2000)  # what still stands in the socket may go out for two seconds
    print(json.dumps({"sent": sent}))


if __name__ == "__main__":
    main()
