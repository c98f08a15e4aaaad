"""Message Router (Hohpe, Woolf): input and topic decide the stream. A table made from the configuration, not code; no I/O.

Promises: what one socket received in one turn becomes at most one batch a stream, order within a stream kept. A reading that no log
takes (`max_reading`, `MAX_FRAMES`) is in no batch but reported back as `Oversize`. Runs that leave here are valid for `wire.block`.

How: an input without topics from frames has one stream, so the received list becomes the run as a whole, packed if its readings are many
and small: no Python work a reading.
Otherwise the topic is cut off each reading and looked up in a bounded cache of topic bytes -> (topic, stream); what is not in it is
matched against the routes, longest prefix first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from device_agent.config import InputConfig
from device_agent.ports import Batch, Replies
from device_agent.wire.block import Payload, Run
from device_agent.wire.labels import Labels, is_label
from device_agent.wire.limits import KIB, MAX_FRAMES, MAX_LABEL
from device_agent.wire.packed import Packed

#: Values of `InputConfig.topic` that are not a fixed text.
NO_TOPIC: Final = "none"
FIRST_FRAME: Final = "first-frame"
_MANY: Final = 16
_CACHE: Final = 1024  # topics remembered; then all are forgotten, so peers that invent topics cost time, not memory


def size_of(payload: Payload) -> int:
    """Return the bytes of all frames."""
    return len(payload) if isinstance(payload, bytes) else sum(map(len, payload))


@dataclass(frozen=True, slots=True, kw_only=True)
class Oversize:
    """A reading that no log takes, with the stream that it would have gone to."""

    stream: str
    payload: Payload
    reason: str  # one sentence, for the client and for whoever looks at what was set aside
    token: object | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What one socket received in one turn, in order."""

    time: int  # microseconds since 1970 UTC
    synced: bool
    payloads: list[Payload]
    size: int  # bytes of all frames
    plain: bool  # every reading has exactly one frame
    clients: Labels = None
    tokens: list[object] | None = None  # one a reading, if the pattern acknowledges

    def __len__(self) -> int:
        return len(self.payloads)


@dataclass(frozen=True, slots=True)
class Routed:
    """What became of a turn: batches, at most one a stream and in order within it, and readings that are too large."""

    batches: list[Batch]
    oversize: list[Oversize]
    readings: int  # of both
    size: int  # bytes of all frames that were received

    def __add__(self, other: Routed) -> Routed:
        return Routed(self.batches + other.batches, self.oversize + other.oversize, self.readings + other.readings, self.size + other.size)


class _Part:
    """Readings of one turn for one stream, while they are gathered."""

    __slots__ = ("clients", "payloads", "size", "tokens", "topics")

    def __init__(self) -> None:
        self.payloads: list[Payload] = []
        self.topics: list[str | None] = []
        self.clients: list[str | None] = []
        self.tokens: list[object] = []
        self.size = 0


class Router:
    """The table of one input."""

    def __init__(self, config: InputConfig, *, max_reading: Callable[[str], int], replies: Replies | None = None) -> None:
        """Make the table.

        Args:
            config: the input.
            max_reading: largest reading in bytes that a stream's log takes.
            replies: put into every batch; None for patterns without acknowledgement.
        """
        self._stream = config.stream
        self._routes = sorted(((route.topic, route.stream) for route in config.route), key=lambda route: len(route[0]), reverse=True)
        self._max_reading = config.max_reading
        self._stream_max = max_reading
        self.replies = replies
        self.first_frame = config.topic == FIRST_FRAME
        #: The topic of every reading, if it is fixed.
        self.topic = None if config.topic in {NO_TOPIC, FIRST_FRAME} else config.topic
        if self.topic is not None and not is_label(self.topic):
            raise ValueError(f"topic of input {config.name!r} is longer than {MAX_LABEL} bytes in UTF-8")
        self._home = config.stream if self.topic is None else self.stream_of(self.topic)
        self._known: dict[bytes, tuple[str | None, str]] = {}
        #: Every stream that a reading of this input can go to.
        self.streams: tuple[str, ...] = tuple(
            dict.fromkeys((config.stream, *(route.stream for route in config.route))) if self.first_frame else (self._home,)
        )

    @property
    def certain(self) -> int:
        """Bytes up to which a reading is taken wherever it goes."""
        return min(map(self._limit, self.streams))

    def stream_of(self, topic: str) -> str:
        """Return the stream of the longest route that `topic` begins with."""
        return next((stream for prefix, stream in self._routes if topic.startswith(prefix)), self._stream)

    def stream_for(self, topic: str | None) -> str:
        """Return the stream of a reading that came with `topic`, or without one."""
        return self._home if topic is None else self.stream_of(topic)

    def routed(self, received: Received) -> Routed:
        """Return what becomes of one turn."""
        batches, oversize = self.route(received)
        return Routed(batches, oversize, len(received), received.size)

    def route(self, received: Received) -> tuple[list[Batch], list[Oversize]]:
        """Return the batches of one turn, one a stream, and the readings that are too large."""
        if not received.payloads:
            return [], []
        if (received.plain or not self.first_frame) and (simple := self._whole(received)):
            return [simple], []
        return self._one_by_one(received)

    def _whole(self, received: Received) -> Batch | None:
        """All of it as one batch, unless some reading may be too large."""
        if received.size > self._limit(self._home):  # so some reading might be
            largest = max(map(len if received.plain else size_of, received.payloads))
            if largest > self._limit(self._home):
                return None
        if not received.plain and any(isinstance(payload, list) and len(payload) > MAX_FRAMES for payload in received.payloads):
            return None
        payloads = Packed.of(received.payloads) if _many_and_small(received) else received.payloads  # type: ignore[arg-type]  # they are plain
        run = Run(received.time, received.synced, payloads, self.topic, received.clients)
        return Batch(self._home, run, received.size, self.replies, received.tokens)

    def _limit(self, stream: str) -> int:
        return min(self._max_reading, self._stream_max(stream))

    def _one_by_one(self, received: Received) -> tuple[list[Batch], list[Oversize]]:
        limits = {stream: self._limit(stream) for stream in self.streams}
        parts: dict[str, _Part] = {}
        oversize: list[Oversize] = []
        tokens: Sequence[object] | None = received.tokens
        for index, whole in enumerate(received.payloads):
            topic, stream, payload = self._split(whole)
            token = None if tokens is None else tokens[index]
            size = size_of(payload)
            if size > limits[stream] or (isinstance(payload, list) and len(payload) > MAX_FRAMES):
                oversize.append(Oversize(stream=stream, payload=payload, reason=self._reason(size, stream), token=token))
                continue
            part = parts.get(stream) or parts.setdefault(stream, _Part())
            part.payloads.append(payload)
            part.topics.append(topic)
            if isinstance(received.clients, list):
                part.clients.append(received.clients[index])
            part.tokens.append(token)
            part.size += size
        return [self._batch(stream, part, received) for stream, part in parts.items()], oversize

    def _split(self, payload: Payload) -> tuple[str | None, str, Payload]:
        """Return the topic, the stream, and the reading without its topic."""
        if not self.first_frame:
            return self.topic, self._home, payload
        if isinstance(payload, bytes) or len(payload) < 2:
            return None, self._home, payload
        topic, stream = self._known.get(payload[0]) or self._learn(payload[0])
        if topic is None:
            return None, stream, payload
        return topic, stream, payload[1] if len(payload) == 2 else payload[1:]

    def _learn(self, frame: bytes) -> tuple[str | None, str]:
        topic = _text(frame)
        found = (topic, self._stream if topic is None else self.stream_of(topic))
        if len(frame) <= MAX_LABEL:
            if len(self._known) >= _CACHE:
                self._known.clear()
            self._known[frame] = found
        return found

    def _reason(self, size: int, stream: str) -> str:
        limit = self._limit(stream)
        if size <= limit:
            return f"the reading has more than {MAX_FRAMES:,} frames; at most so many are taken"
        what = "`max_reading` of the input" if limit == self._max_reading else f"the share of stream {stream} in `spool.max_bytes`"
        return f"the reading has {size} bytes; this input takes at most {limit} ({what})"

    def _batch(self, stream: str, part: _Part, received: Received) -> Batch:
        topics: Labels = part.topics if self.first_frame else self.topic
        clients = part.clients if isinstance(received.clients, list) else received.clients
        run = Run(received.time, received.synced, part.payloads, topics, clients)
        return Batch(stream, run, part.size, self.replies, None if received.tokens is None else part.tokens)


def _many_and_small(received: Received) -> bool:
    """Tell whether objects cost more than their bytes: then they are packed at once. Else one copy of the bytes is saved."""
    return received.plain and len(received) >= _MANY and received.size < KIB * len(received)


def _text(frame: bytes) -> str | None:
    if len(frame) > MAX_LABEL:
        return None
    try:
        return frame.decode()
    except UnicodeDecodeError:
        return None
