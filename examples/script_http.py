#!/usr/bin/env python3
"""HTTP: a script that can only POST. It sends again until the answer says that the reading is on disk.

    python examples/script_http.py --url http://127.0.0.1:8580/v1/readings/script --rate 10

The same with curl: curl --data-binary '{"n": 1}' http://127.0.0.1:8580/v1/readings/script
With --log each acknowledged reading is appended to a file as {"n": 7, "stream": "telemetry", "seq": 7}. At the end one JSON line:
{"sent": 40, "acknowledged": 40, "repeated": 0, "refused": 0}.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


def post(url: str, body: bytes) -> dict[str, Any]:
    """Return the answer; an empty one if there was none."""
    answer: dict[str, Any] = {}
    try:
        with urllib.request.urlopen(url, data=body, timeout=5) as response:  # noqa: S310  # the user's own
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            answer = json.load(error)
    except (OSError, ValueError):
        pass  # no answer: it is sent again
    return answer


def deliver(url: str, body: bytes, result: dict[str, int]) -> dict[str, Any]:
    """Send one reading until it is acknowledged; return the answer."""
    while True:
        result["sent"] += 1
        answer = post(url, body)
        if answer.get("ok"):
            result["acknowledged"] += 1
            return answer
        result["refused" if answer else "repeated"] += 1
        time.sleep(0.2)


def main() -> None:
    """Send at the given rate until the time is over or a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8580/v1/readings/script", help="where to (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=10, help="readings a second at most (default: %(default)s)")
    parser.add_argument("--count", type=int, default=None, help="how many (default: until a signal)")
    parser.add_argument("--log", type=Path, help="append each acknowledged reading to this file")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    result = {"sent": 0, "acknowledged": 0, "repeated": 0, "refused": 0}
    start = time.monotonic()
    try:
        for number in itertools.count(1) if options.count is None else range(1, options.count + 1):
            time.sleep(max(0.0, start + (number - 1) / options.rate - time.monotonic()))
            answer = deliver(options.url, json.dumps({"n": number}).encode(), result)
            if options.log:
                with options.log.open("a") as log:
                    log.write(json.dumps({"n": number, "stream": "telemetry", "seq": answer["first"]}) + "\n")
    except KeyboardInterrupt:
        pass  # the wished end
    print(json.dumps(result))


if __name__ == "__main__":
    main()
