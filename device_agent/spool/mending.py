"""For people: `spool repair` does what opening would do to the ends of the logs, without an agent. The only tool that writes."""

from __future__ import annotations

import base64
import time
from typing import Any

from device_agent.spool import segment as segments
from device_agent.spool.files import Files, RealFiles
from device_agent.spool.lock import Lock
from device_agent.spool.places import Place, all_places, streams, torn
from device_agent.spool.quarantine import DAMAGED, Quarantine, damaged_as
from device_agent.spool.scan import UNKNOWN, scan
from device_agent.wire import envelope


def repair(directory: str, *, files: Files | None = None) -> list[str]:
    """Do what opening would do to the ends of the logs, without an agent; return what was done, a sentence each.

    Raises:
        SpoolError: there is no spool, or an agent is running.
    """
    files = files or RealFiles()
    streams(directory, files=files)
    root = directory.rstrip("/")
    lock = Lock(files, root)
    lock.take()
    try:
        aside = Quarantine(files=files, directory=f"{root}/quarantine", limit=UNKNOWN)  # the agent keeps to its limit from its start on
        aside.open()
        return [_cut(files, place, aside, root) for place in all_places(root, files) if place.end == UNKNOWN and _torn_end(files, place)]
    finally:
        lock.release()


def _torn_end(files: Files, place: Place) -> bool:
    data = segments.read(files, place.path)
    found = scan(data, number=place.number, base=place.base)
    return found.valid > 0 and torn(data, found) > 0  # where nothing is sound, the bytes tell opening to begin a new epoch


def _cut(files: Files, place: Place, aside: Quarantine, root: str) -> str:
    data = segments.read(files, place.path)
    start = scan(data, number=place.number, base=place.base).valid
    half = data[start:].rstrip(b"\0")
    name = damaged_as(place.stream, place.epoch, place.number, start, torn=True)
    content: dict[str, Any] = {
        "reason": "half-written end, cut by `spool repair`", "time": envelope.rfc3339(time.time_ns() // 1000), "stream": place.stream,
        "epoch": place.epoch, "segment": place.number, "position": start, "length": len(half), "first": 0, "last": -1,
        "data_base64": base64.b64encode(half).decode("ascii"),
    }  # fmt: skip
    aside.keep(DAMAGED, name, content)
    fd = files.open(place.path, write=True)
    try:
        files.truncate(fd, start)
        files.datasync(fd)
    finally:
        files.close(fd)
    return f"{place.path}: cut {len(half):,} half-written bytes from {start:,} on; a copy is in {root}/quarantine/{DAMAGED}/{name}.json"
