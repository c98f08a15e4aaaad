"""Quarantine page: what was set aside, as text for a terminal of 80 columns and as JSON."""

from __future__ import annotations

import base64
import binascii
import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Final

from device_agent.cli import table
from device_agent.cli.rows import line, rows_of
from device_agent.spool.aside import Kept, Kind
from device_agent.wire import envelope
from device_agent.wire.errors import EnvelopeError

#: Bytes of something that is no envelope which are shown; --json has all.
_SHOWN: Final = 256
_WIDTH: Final = 80
_WHAT_NOW: Final = {
    Kind.REFUSED: "What was refused: mend the cause, then `device-agent quarantine replay ID`, or `drop ID`.",
    Kind.TOO_LARGE: "What was too large never got a number and cannot be replayed: send smaller readings, or raise the setting that the "
    "reason names. `show ID --json` has the bytes.",
    Kind.DAMAGED: "What was damaged: the cloud is told which readings are missing; `show ID` has the bytes. Look at the card.",
    Kind.UNREADABLE: "What is unreadable was not written by the agent: look at it, then `drop ID`.",
}
#: Damaged bytes of which no reading had a number in the log: a crash left half a record, or what stood there cannot be known.
_NOTHING_LOST: Final = (
    "What was damaged with 0 readings: bytes that a crash left half-written, of readings that were never acknowledged, or bytes beside the "
    "readings. No number is known to be missing by it, so the cloud is told nothing; where the reason says the end of the log is lost, "
    "acknowledged readings may be. `show ID` has the bytes; then `drop ID`."
)


def lines(kept: Sequence[Kept]) -> Iterator[str]:
    """Yield a table, the reasons, and what can be done."""
    if not kept:
        yield "nothing is in quarantine"
        return
    reasons = {reason: number for number, reason in enumerate(dict.fromkeys(map(_reason, kept)), start=1)}
    header = ("id", "readings", "why", "set aside")
    cells = [(one.id, _readings(one), f"[{reasons[_reason(one)]}]", one.time[:16].replace("T", " ")) for one in kept]
    shown = list(table.lines(header, cells))
    if max(map(len, shown)) > _WIDTH:  # long ids are needed whole; when it was, `show` says as well
        shown = list(table.lines(header[:-1], [row[:-1] for row in cells]))
    yield from shown
    yield ""
    for reason, number in reasons.items():
        yield from textwrap.wrap(reason, _WIDTH, initial_indent=f"[{number}] ", subsequent_indent="    ", break_on_hyphens=False)
    for advice in dict.fromkeys(map(_what_now, kept)):
        yield ""
        yield from textwrap.wrap(advice, _WIDTH, break_on_hyphens=False)


def _what_now(one: Kept) -> str:
    return _NOTHING_LOST if one.kind is Kind.DAMAGED and one.numbers is None else _WHAT_NOW[one.kind]


def _reason(one: Kept) -> str:
    return f"{one.kind.value}: {_plain(one.reason)}"


def _readings(one: Kept) -> int:
    if one.kind is Kind.TOO_LARGE:
        return 1
    return 0 if one.numbers is None or one.notice else one.numbers[1] - one.numbers[0] + 1


def document(one: Kept) -> dict[str, Any]:
    """Return everything about a file, for --json."""
    return {"key": one.id, "path": one.path, "kind": one.kind.value, "bytes": one.bytes, "content": one.content}


def rows(one: Kept) -> Iterator[dict[str, Any]]:
    """Yield the readings of a refused message, as `decode` shows them; nothing for whatever else."""
    decoded = _decoded(one)
    if not isinstance(decoded, EnvelopeError):
        yield from rows_of(decoded)


def _decoded(one: Kept) -> envelope.Envelope | envelope.Notice | EnvelopeError:
    body = one.content.get("body")
    if one.cut:
        return EnvelopeError("the body was too large to be kept")
    if not isinstance(body, str):
        return EnvelopeError("there is no body")
    try:
        return envelope.decode(body)
    except EnvelopeError as error:
        return error


def page(one: Kept) -> Iterator[str]:
    """Yield all about one file: where it is, why, and what is in it."""
    yield f"--- {_plain(one.id)}"
    for key, value in _facts(one):
        yield from textwrap.wrap(
            _plain(value), _WIDTH, initial_indent=f"{key:<10} ", subsequent_indent=" " * 11, break_on_hyphens=False, break_long_words=False
        )
    if one.kind is Kind.REFUSED:
        decoded = _decoded(one)
        if isinstance(decoded, EnvelopeError):
            yield f"{'decoded':<10} no: {_plain(str(decoded))}"
            yield from _preview(str(one.content.get("body", "")).encode())
        else:
            yield from (line(row) for row in rows_of(decoded))
    else:
        for data in _bytes(one):
            yield from _preview(data)


def _facts(one: Kept) -> Iterator[tuple[str, str]]:
    yield "file", one.path
    yield "kind", one.kind.value + (", its bytes were too many to be kept" if one.cut else "")
    yield "stream", one.stream
    if one.time:
        yield "set aside", one.time
    if one.content.get("epoch"):
        yield "epoch", str(one.content["epoch"])
    if one.numbers:
        yield "numbers", f"{one.numbers[0]:,} to {one.numbers[1]:,}"
    if one.kind is Kind.DAMAGED:
        content = one.content
        yield "where", f"{content.get('length', 0):,} bytes at {content.get('position', 0):,} of segment {content.get('segment', '?')}"
    yield "reason", one.reason


def _bytes(one: Kept) -> Iterator[bytes]:
    """Yield the frames of a reading, or the damaged bytes."""
    texts = one.content.get("frames_base64") or [one.content.get("data_base64", "")]
    for text in texts if isinstance(texts, list) else []:
        try:
            yield base64.b64decode(str(text), validate=True)
        except (binascii.Error, ValueError):
            yield str(text).encode()


def _preview(data: bytes) -> Iterator[str]:
    """Yield the beginning as hexadecimal and text, 16 bytes a line."""
    for at in range(0, min(len(data), _SHOWN), 16):
        part = data[at : at + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        yield f"{at:08x}  {part.hex(' '):<47}  {text}"
    if len(data) > _SHOWN:
        yield f"and {len(data) - _SHOWN:,} bytes more: --json has them"


def _plain(text: str) -> str:
    """Return text so that it cannot write to the terminal anything but text."""
    return text if text.isascii() and text.isprintable() else json.dumps(text)
