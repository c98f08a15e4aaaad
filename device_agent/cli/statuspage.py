"""Status page: the running agent's status document as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from device_agent.cli import table
from device_agent.configfile import units


def lines(status: Mapping[str, Any], *, now: float) -> Iterator[str]:
    """Yield the page line by line. `now`: seconds since 1970, for ages. What an older agent does not say is shown as `-`."""
    yield (
        f"device {status.get('device', '-')}: running for {age(status.get('uptime', 0))}, "
        f"device-agent {status.get('agent', '-')}, process {status.get('pid', '-')}"
    )
    spool = status.get("spool", {})
    yield f"spool {spool.get('directory', '-')}: {units.roughly(spool.get('bytes', 0))} of {units.roughly(spool.get('max_bytes', 0))}"
    yield ""
    header = ("input", "pattern", "peers", "received", "size", "refused", "too large", "malformed", "replies lost", "state")
    yield from table.lines(header, list(_inputs(status)))
    yield ""
    header = (
        "stream",
        "on disk so far",
        "waiting",
        "bytes now",
        "sent",
        "messages",
        "requests",
        "lost or aside",
        "oldest waiting",
        "state",
    )
    yield from table.lines(header, list(_streams(status, now)))
    problems = list(_problems(status))
    if problems:
        yield ""
        yield from problems


def _inputs(status: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    counted = status.get("metrics", {}).get("inputs", {})
    for name, source in status.get("inputs", {}).items():
        count = counted.get(name, {})
        yield (
            name,
            source.get("pattern", "-"),
            source.get("peers", 0),
            count.get("received", 0),
            units.roughly(count.get("received_bytes", 0)),
            count.get("refused", 0),
            count.get("oversize", 0),
            count.get("malformed", 0),
            count.get("replies_lost", 0),
            _input_state(source),
        )


def _input_state(source: Mapping[str, Any]) -> str:
    if not source.get("listening", True):
        return "not listening"
    return {"read": "open", "refuse": "refusing: disk full", "wait": "waiting for the disk"}.get(source.get("state", ""), "-")


def _streams(status: Mapping[str, Any], now: float) -> Iterator[tuple[object, ...]]:
    counted = status.get("metrics", {}).get("streams", {})
    for name, stream in status.get("spool", {}).get("streams", {}).items():
        count = counted.get(name, {})
        uplink = status.get("uplink", {}).get(name, {})
        oldest = stream.get("oldest_undelivered")
        yield (
            name,
            count.get("committed", 0),
            stream.get("backlog_readings", "-"),
            units.roughly(stream.get("bytes", 0)),
            count.get("sent", 0),
            count.get("sent_messages", 0),
            count.get("requests", 0),
            sum(count.get(kind, 0) for kind in ("dropped", "damaged", "quarantined")),
            age(max(0.0, now - oldest / 1e6)) if oldest else "-",
            _stream_state(stream, uplink),
        )


def _stream_state(stream: Mapping[str, Any], uplink: Mapping[str, Any]) -> str:
    if stream.get("why"):
        return "full"
    return str(uplink.get("state", "-"))


def _problems(status: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for everything that keeps readings from moving on."""
    for name, stream in status.get("spool", {}).get("streams", {}).items():
        if stream.get("why"):
            yield f"stream {name}: {stream['why']}"
        if stream.get("quarantined_files"):
            yield f"stream {name}: {stream['quarantined_files']} files in quarantine, below {status['spool'].get('directory', '')}"
    for name, uplink in status.get("uplink", {}).items():
        if uplink.get("problem"):
            wait = uplink.get("next_try_in")
            text = uplink["problem"] if uplink["problem"].startswith("stream ") else f"stream {name}: {uplink['problem']}"
            yield f"{text} (next try in {age(wait)})" if wait else text


def age(seconds: float) -> str:
    """Return a duration for people, with its two largest units: `2h 3min`."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.1f}s" if seconds < 10 and seconds != whole else f"{whole}s"
    parts = ((whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s"))
    first = next(at for at, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count)
