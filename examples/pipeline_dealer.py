#!/usr/bin/env python3
"""DEALER: many readings on their way at once, each with a number of its own, matched with the replies as they come.

    python examples/pipeline_dealer.py --connect tcp://127.0.0.1:5558 --count 1000

For an input with `pattern = "router"` and `message_id = "first-frame"`: the first frame of a message comes back as the first frame of its
reply. Up to --window readings wait for their replies. With --log each acknowledged reading is appended to a file as
{"n": 7, "stream": "events", "seq": 7}. At the end it prints one JSON line: {"sent": 1000, "acknowledged": 1000, "refused": 0}.
"""

from __future__ import annotations

import argparse
import json
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import zmq


def main() -> None:
    """Send `count` readings, never more than `window` without a reply, until the time is over or a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--connect", default="tcp://127.0.0.1:5558", metavar="ENDPOINT", help="where replies come from (default: %(default)s)"
    )
    parser.add_argument("--rate", type=float, default=float("inf"), help="readings a second at most (default: as fast as replies come)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long (default: until all are sent)")
    parser.add_argument("--count", type=int, default=1000, help="how many readings (default: %(default)s)")
    parser.add_argument("--window", type=int, default=100, help="how many may wait for a reply (default: %(default)s)")
    parser.add_argument(
        "--timeout", type=float, default=10.0, help="seconds without any reply after which it gives up (default: %(default)s)"
    )
    parser.add_argument("--log", type=Path, help="append each acknowledged reading to this file")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    waiting: set[bytes] = set()
    result = {"sent": 0, "acknowledged": 0, "refused": 0}
    with ExitStack() as stack:
        socket = stack.enter_context(stack.enter_context(zmq.Context()).socket(zmq.DEALER))
        log = stack.enter_context(options.log.open("a")) if options.log else None
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(options.connect)
        start = heard = time.monotonic()
        try:
            while True:
                passed = time.monotonic() - start
                more = result["sent"] < options.count and passed < options.seconds
                if not more and not waiting:
                    break
                due = result["sent"] / options.rate
                if more and len(waiting) < options.window and due <= passed:
                    ident = b"%d" % result["sent"]
                    socket.send_multipart([ident, json.dumps({"t": round(time.time(), 3), "n": result["sent"]}).encode()])
                    heard = heard if waiting else time.monotonic()
                    waiting.add(ident)
                    result["sent"] += 1
                    continue
                # a reply, or the time for the next reading, or too long without either
                silence = options.timeout - (time.monotonic() - heard) if waiting else options.timeout
                pause = min(silence, due - passed) if more and len(waiting) < options.window else silence
                if not socket.poll(max(0, pause) * 1000 + 1):
                    if waiting and time.monotonic() - heard >= options.timeout:
                        break  # the numbers below say how many got no reply
                    continue
                heard = time.monotonic()
                ident, *_, frame = socket.recv_multipart()
                waiting.discard(ident)
                answer = json.loads(frame)
                result["acknowledged" if answer["ok"] else "refused"] += 1
                if log and answer["ok"]:
                    log.write(json.dumps({"n": int(ident), "stream": answer["stream"], "seq": answer["seq"]}) + "\n")
        except KeyboardInterrupt:
            pass  # the wished end
    print(json.dumps(result))
    raise SystemExit(int(result["sent"] != result["acknowledged"]))


if __name__ == "__main__":
    main()
