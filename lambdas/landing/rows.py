"""Message Translator: an envelope's readings become lines of the lake, newline-delimited JSON in ASCII.

    {"seq":7,"device":"board-7","epoch":"00112233aabbccdd","received":"2026-01-31T12:00:00.000000Z","clock":"synced",
     "arrived":"2026-01-31T12:00:05.123000Z","client":"...","topic":"...","data":"..."}      (one line)

Columns without a value are left out. `stream` and the day of arrival stand in the key and in no line: the table takes them from there.
A payload stands as `data` if it is one frame of UTF-8 (any escapes are JSON's), as `data_base64` if it is another single frame, and as
`frames`, an array of base64, if it is not a single frame.

How: what readings share is written once, and looked up by receive time and by (clock, topic, client); per reading there are two look-ups
and one join, and text is escaped by the scanner of the json module, in C. This is the hot path of `archive`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring_ascii as quote

from device_agent.wire.block import Payload
from device_agent.wire.envelope import Envelope, rfc3339


def lines(envelope: Envelope, *, arrived: int) -> bytes:
    """Return the lines of all readings in order, each with its newline. `arrived`: when SQS took the message, microseconds since 1970."""
    readings = envelope.readings
    start = f',"device":{quote(envelope.device)},"epoch":{quote(envelope.epoch)},"received":"'
    times = map(_Times().__getitem__, readings.received)
    labels = map(_Labels(arrived).__getitem__, zip(readings.synced, readings.topics, readings.clients, strict=True))
    seqs = range(envelope.first, envelope.last + 1)
    rows = [
        f'{{"seq":{seq}{start}{time}{label}{value}}}\n'
        for seq, time, label, value in zip(seqs, times, labels, values(readings.payloads), strict=True)
    ]
    return "".join(rows).encode("ascii")


class _Times(dict[int, str]):
    """RFC 3339 text of microseconds since 1970, made once for each; the date and time of day once a second."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds: dict[int, str] = {}

    def __missing__(self, time: int) -> str:
        second, rest = divmod(time, 1_000_000)
        head = self._seconds.get(second)
        if head is None:
            head = self._seconds[second] = rfc3339(second * 1_000_000)[: -len("000000Z")]
        text = self[time] = f"{head}{rest:06d}Z"
        return text


class _Labels(dict[tuple[bool, str | None, str | None], str]):
    """All members between the receive time and the payload, made once for each combination of clock state, topic and client."""

    def __init__(self, arrived: int) -> None:
        super().__init__()
        self._arrived = f'"arrived":"{rfc3339(arrived)}",'

    def __missing__(self, shared: tuple[bool, str | None, str | None]) -> str:
        synced, topic, client = shared
        who = "" if client is None else f'"client":{quote(client)},'
        what = "" if topic is None else f'"topic":{quote(topic)},'
        text = self[shared] = f'","clock":"{"synced" if synced else "unsynced"}",{self._arrived}{who}{what}'
        return text


def values(payloads: list[Payload]) -> Iterable[str]:
    """Return each payload as a JSON member: `"data":"..."` or one of its two siblings."""
    try:
        # One pass in C for the common case: every payload is one frame of UTF-8. A list has no decode: TypeError.
        texts = [quote(text) for text in map(bytes.decode, payloads)]  # type: ignore[arg-type]
    except (UnicodeDecodeError, TypeError):
        return map(value, payloads)
    return _data(texts)


def _data(texts: list[str]) -> Iterator[str]:
    return map('"data":'.__add__, texts)


def value(payload: Payload) -> str:
    """Return one payload as a JSON member."""
    if isinstance(payload, list):
        return f'"frames":[{",".join(map(_base64, payload))}]'
    try:
        return f'"data":{quote(payload.decode())}'
    except UnicodeDecodeError:
        return f'"data_base64":{_base64(payload)}'


def _base64(frame: bytes) -> str:
    return f'"{b64encode(frame).decode("ascii")}"'
