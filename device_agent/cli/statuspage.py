"""Status page: the running agent's status document as tables for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Final

from device_agent.cli import table
from device_agent.configfile import units

_WIDTH: Final = 80
_RECENT: Final = 600  # seconds for which a handshake that failed is shown
_FAILURES: Final = 3  # of an input at most: one mistake has several faces
#: Counts that are worth a sentence when they are not 0.
_OF_INPUTS: Final = {
    "refused": "refused", "oversize": "too large", "malformed": "malformed", "replies_lost": "replies lost", "lost": "lost",
}  # fmt: skip
_OF_STREAMS: Final = {"dropped": "dropped", "damaged": "damaged", "quarantined": "quarantined"}
_OF_PROCESS: Final = {"descriptor_shortages": "times out of file descriptors", "log_lines_dropped": "lines of the log dropped"}


def lines(status: Mapping[str, Any], *, now: float, before: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Yield the page line by line, for a terminal of 80 columns. What an older agent does not say is shown as `-`.

    Args:
        status: the agent's document.
        now: seconds since 1970, for ages.
        before: an earlier document of the same agent; with it there are rates.
    """
    yield (
        f"device {status.get('device', '-')}: running for {age(status.get('uptime', 0))}, "
        f"device-agent {status.get('agent', '-')}, process {status.get('pid', '-')}"
    )
    spool = status.get("spool", {})
    yield f"spool {spool.get('directory', '-')}: {units.roughly(spool.get('bytes', 0))} of {units.roughly(spool.get('max_bytes', 0))}"
    for path in dict.fromkeys(source["receiver"] for source in status.get("inputs", {}).values() if "receiver" in source):
        yield from _wrapped(f"receiver {path}")
    yield ""
    rate = ("a second",) if before is not None else ()
    yield from table.lines(("input", "pattern", "peers", "received", "size", *rate, "state"), list(_inputs(status, before)))
    yield ""
    header = ("stream", "committed", "waiting", "oldest", "sent", *(rate or ("messages",)), "state")
    yield from table.lines(header, list(_streams(status, now, before)))
    problems = list(_problems(status, now))
    if problems:
        yield ""
    for problem in problems:
        yield from _wrapped(problem)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)


def _inputs(status: Mapping[str, Any], before: Mapping[str, Any] | None) -> Iterator[tuple[object, ...]]:
    counted = status.get("metrics", {}).get("inputs", {})
    for name, source in status.get("inputs", {}).items():
        count = counted.get(name, {})
        rate = _rate(status, before, "inputs", name, "received")
        size = units.roughly(count.get("received_bytes", 0))
        yield name, source.get("pattern", "-"), source.get("peers", 0), count.get("received", 0), size, *rate, _input_state(source)


def _rate(status: Mapping[str, Any], before: Mapping[str, Any] | None, kind: str, name: str, key: str) -> tuple[int, ...]:
    """Return (counted a second,) between two documents, () without the earlier one."""
    if before is None:
        return ()
    counts = [document.get("metrics", {}).get(kind, {}).get(name, {}).get(key, 0) for document in (before, status)]
    seconds = status.get("uptime", 0) - before.get("uptime", 0)
    return (round(max(0, counts[1] - counts[0]) / seconds) if seconds > 0 else 0,)


def _input_state(source: Mapping[str, Any]) -> str:
    if not source.get("listening", True):
        return "not listening"
    if not source.get("stands", True):
        return "not connected"
    if source.get("state") == "refuse" and source.get("insists"):
        return "waiting for room"
    return {"read": "open", "refuse": "refusing: no room", "wait": "waiting for room"}.get(source.get("state", ""), "-")


def _streams(status: Mapping[str, Any], now: float, before: Mapping[str, Any] | None) -> Iterator[tuple[object, ...]]:
    counted = status.get("metrics", {}).get("streams", {})
    for name, stream in status.get("spool", {}).get("streams", {}).items():
        count = counted.get(name, {})
        uplink = status.get("uplink", {}).get(name, {})
        oldest = stream.get("oldest_undelivered")
        yield (
            name,
            count.get("committed", 0),
            stream.get("backlog_readings", "-"),
            age(max(0.0, now - oldest / 1e6)) if oldest else "-",
            count.get("sent", 0),
            *(_rate(status, before, "streams", name, "sent") or (count.get("sent_messages", 0),)),
            _stream_state(stream, uplink),
        )


def _stream_state(stream: Mapping[str, Any], uplink: Mapping[str, Any]) -> str:
    if stream.get("why"):
        return "full"
    return str(uplink.get("state", "-"))


def _problems(status: Mapping[str, Any], now: float) -> Iterator[str]:
    """Yield a sentence for everything that keeps readings from moving on, and for what was refused, lost or set aside."""
    metrics = status.get("metrics", {})
    yield from _counts("agent", metrics.get("process", {}), _OF_PROCESS)
    for what, kinds in (("input", _OF_INPUTS), ("stream", _OF_STREAMS)):
        for name, count in metrics.get(f"{what}s", {}).items():
            yield from _counts(f"{what} {name}", count, kinds)
    for name, source in status.get("inputs", {}).items():
        yield from (f"input {name}: {problem}" for problem in _connections(source, now))
    for name, stream in status.get("spool", {}).get("streams", {}).items():
        if stream.get("why"):
            yield f"stream {name}: {stream['why']}"
        if stream.get("quarantined_files"):
            yield f"stream {name}: {stream['quarantined_files']} in quarantine; see `device-agent quarantine ls`"
    if status.get("spool", {}).get("machine_changes_at_every_start"):
        yield f"the machine id changes at every start ({status['spool']['machine_changes']} times so far): let /etc/machine-id stay"
    for name, uplink in status.get("uplink", {}).items():
        if uplink.get("problem"):
            wait = uplink.get("next_try_in")
            text = uplink["problem"] if uplink["problem"].startswith("stream ") else f"stream {name}: {uplink['problem']}"
            yield f"{text} (next try in {age(wait)})" if wait else text


def _connections(source: Mapping[str, Any], now: float) -> Iterator[str]:
    """Yield what keeps connections of an input from being made."""
    if source.get("problem"):
        yield str(source["problem"])
    for endpoint, said in source.get("dials", {}).items():
        if said.startswith("trying"):
            yield f"{endpoint} does not answer; {said}, and the other family in turn"
    for failure in source.get("handshakes", ())[:_FAILURES]:
        ago = max(0.0, now - failure["time"] / 1e6)
        if ago < _RECENT:
            last = f"the last {age(ago)} ago{', ' + failure['peer'] if failure['peer'] else ''}"
            times = "once" if failure["count"] == 1 else f"{failure['count']:,} times"
            yield f"{failure['cause']} ({times} since the start, {last})"


def _counts(whose: str, count: Mapping[str, int], kinds: Mapping[str, str]) -> Iterator[str]:
    found = [f"{count[key]:,} {text}" for key, text in kinds.items() if count.get(key)]
    if found:
        yield f"{whose}: since the start {', '.join(found)}"


def age(seconds: float) -> str:
    """Return a duration for people, with its two largest units: `2h 3min`."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.1f}s" if seconds < 10 and seconds != whole else f"{whole}s"
    parts = ((whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s"))
    first = next(at for at, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count)
