#!/usr/bin/env python3
"""DEALER: many readings on their way at once, each with a number of its own, matched with the replies as they come.

    python examples/pipeline_dealer.py --connect tcp://127.0.0.1:5558 --count 1000

For an input with `pattern = "router"` and `message_id = "first-frame"`: the first frame of a message comes back as the first frame of its
reply. Up to --window readings wait for their replies. At the end it prints one JSON line:
{"sent": 1000, "acknowledged": 1000, "refused": 0}.
"""

from __future__ import annotations

import argparse
import json
import signal
import time

import zmq


def main() -> None:
    """Send `count` readings, never more than `window` without a reply."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--connect", default="tcp://127.0.0.1:5558", metavar="ENDPOINT", help="where replies come from (default: %(default)s)"
    )
    parser.add_argument("--count", type=int, default=1000, help="how many readings (default: %(default)s)")
    parser.add_argument("--window", type=int, default=100, help="how many may wait for a reply (default: %(default)s)")
    parser.add_argument(
        "--timeout", type=float, default=10.0, help="seconds without any reply after which it gives up (default: %(default)s)"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    waiting: set[bytes] = set()
    result = {"sent": 0, "acknowledged": 0, "refused": 0}
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(options.connect)
        try:
            while result["sent"] < options.count or waiting:
                while result["sent"] < options.count and len(waiting) < options.window:
                    ident = b"%d" % result["sent"]
                    socket.send_multipart([ident, json.dumps({"t": round(time.time(), 3), "n": result["sent"]}).encode()])
                    waiting.add(ident)
                    result["sent"] += 1
                if not socket.poll(options.timeout * 1000):
                    break  # the numbers below say how many got no reply
                ident, *_, answer = socket.recv_multipart()
                waiting.discard(ident)
                result["acknowledged" if json.loads(answer)["ok"] else "refused"] += 1
        except KeyboardInterrupt:
            pass  # the wished end
    print(json.dumps(result))


if __name__ == "__main__":
    main()
