#!/usr/bin/env python3
"""MQTT: meters that publish to a broker and know nothing else. Each message is accepted by the broker (QoS 1) before the next.

    python examples/meters_mqtt.py --url mqtt://127.0.0.1:1883 --rate 20

With --log each accepted message is appended to a file as {"n": 7, "stream": "telemetry", "seq": 0}: the broker has no sequence numbers.
At the end one JSON line: {"sent": 40, "acknowledged": 40}.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import time
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt


def main() -> None:
    """Publish at the given rate until the time is over or a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="mqtt://127.0.0.1:1883", help="the broker (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=20, help="messages a second at most (default: %(default)s)")
    parser.add_argument("--count", type=int, default=None, help="how many (default: until a signal)")
    parser.add_argument("--log", type=Path, help="append each accepted message to this file")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    broker = urlsplit(options.url)
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.connect(broker.hostname or "", broker.port or 1883)
    client.loop_start()
    result = {"sent": 0, "acknowledged": 0}
    start = time.monotonic()
    try:
        for number in itertools.count(1) if options.count is None else range(1, options.count + 1):
            time.sleep(max(0.0, start + (number - 1) / options.rate - time.monotonic()))
            reading = json.dumps({"n": number, "watt": 100 + number % 7})
            result["sent"] += 1
            client.publish(f"meters/{number % 3}", reading, qos=1).wait_for_publish()
            result["acknowledged"] += 1
            if options.log:
                with options.log.open("a") as log:
                    log.write(json.dumps({"n": number, "stream": "telemetry", "seq": 0}) + "\n")
    except KeyboardInterrupt:
        pass  # the wished end
    client.disconnect()
    client.loop_stop()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
