"""What Mosquitto's log (`log_type all`) says of the messages of a client."""

from __future__ import annotations

import re
from pathlib import Path


def owed(log: Path, client: str) -> list[int]:
    """Return how many messages the client had not acknowledged at the end of each of its connections; the last is the one that stands."""
    line = re.compile(
        rf"(?:Sending PUBLISH to {re.escape(client)} \(d., q1, r., m(?P<sent>\d+),)"
        rf"|(?:Received PUBACK from {re.escape(client)} \(Mid: (?P<acknowledged>\d+),)"
        rf"|(?P<begun>New client connected from \S+ as {re.escape(client)} )"
    )
    counts, open_ones = [], set[str]()
    for found in map(line.search, log.read_text(errors="replace").splitlines()):
        if found is None:
            continue
        if found["sent"]:
            open_ones.add(found["sent"])
        elif found["acknowledged"]:
            open_ones.discard(found["acknowledged"])
        else:
            counts.append(len(open_ones))
            open_ones.clear()
    return [*counts, len(open_ones)]
