"""Channel Adapter for patterns that answer (`rep`, `router`): a ROUTER socket, so that many peers share one fsync.

Promises: a peer gets its positive answer only after the sink said `committed`; whatever is not kept is answered with the reason. The
sink's answers come in another thread: they are put into a queue, the receiver is woken, and it alone touches the socket.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import zmq

from device_agent.config import InputConfig
from device_agent.intake.channel import Channel
from device_agent.intake.frames import TURN_BYTES, TURN_READINGS, FrameReader
from device_agent.intake.replies import MAX_WAITING, Outbox, Slot
from device_agent.metrics import InputMetrics
from device_agent.ports import Batch, Sink
from device_agent.router import Oversize, Received, Routed, size_of
from device_agent.wire.block import Payload

_NOT_LISTENING = f"{MAX_WAITING} answers wait for you: take them first, then send again"


@dataclass(frozen=True, slots=True)
class Request:
    """One message of a peer, taken apart."""

    envelope: list[bytes]  # what goes before the answer; the peer's identity first
    frames: list[bytes]


def refusal(reason: str) -> bytes:
    """Return the answer for a reading that was not kept."""
    return json.dumps({"ok": False, "error": reason}, separators=(",", ":"), ensure_ascii=False).encode()


class Answering(Channel):
    """An input whose peers are told."""

    def __init__(
        self, config: InputConfig, socket: zmq.Socket[bytes], *, sink: Sink, metrics: InputMetrics, wake: Callable[[], None], ordered: bool
    ) -> None:
        super().__init__(config, socket, sink=sink, metrics=metrics, replies=self)
        self._reader = FrameReader(socket, authenticated=config.curve is not None)
        self._outbox = Outbox(socket, metrics=metrics, ordered=ordered)
        self._verdicts: deque[tuple[Batch, int, str]] = deque()  # from the writer's thread: (batch, first, reason if refused)
        self._wake = wake
        self._in_flight = 0

    @abstractmethod
    def parse(self, message: list[bytes]) -> Request | None:
        """Take a message apart, the identity being its first frame; None if it is not what the pattern demands."""

    def committed(self, batch: Batch, first: int) -> None:
        """Remember, from the writer's thread, that a batch is on disk."""
        self._verdicts.append((batch, first, ""))
        self._wake()

    def refused(self, batch: Batch, reason: str) -> None:
        """Remember, from the writer's thread, that nothing of a batch was kept."""
        self._verdicts.append((batch, 0, reason or "not kept"))
        self._wake()

    def receive(self, time: int, synced: bool) -> Routed:  # data, as in Run
        """Receive a turn; what cannot be taken is answered at once."""
        payloads: list[Payload] = []
        clients: list[str | None] = []
        tokens: list[object] = []
        size, plain = 0, True
        try:
            for _ in range(TURN_READINGS):
                message, client = self._reader.message()
                request = self.parse(message)
                if request is None:
                    self.metrics.malformed += 1
                    continue
                slot = self._outbox.slot(request.envelope)
                if self._outbox.waiting(message[0]) >= MAX_WAITING:
                    self._refuse(slot, _NOT_LISTENING)
                    continue
                payload: Payload = request.frames[0] if len(request.frames) == 1 else request.frames
                payloads.append(payload)
                clients.append(client)
                tokens.append(slot)
                plain = plain and len(request.frames) == 1
                size += size_of(payload)
                if size >= TURN_BYTES:
                    break
        except zmq.Again:
            pass  # nothing is left
        labels = clients if self.config.curve is not None else None
        received = Received(time=time, synced=synced, payloads=payloads, size=size, plain=plain, clients=labels, tokens=tokens)
        return self._router.routed(received)

    def handed_over(self, batch: Batch) -> None:
        """Count what the sink owes an answer for."""
        self._in_flight += len(batch.run)

    def refuse(self, batch: Batch, reason: str) -> None:
        """Answer all readings of a batch that none was kept."""
        for token in batch.tokens or ():
            assert isinstance(token, Slot)
            self._refuse(token, reason)

    def too_large(self, reading: Oversize) -> None:
        """Refuse it at the door."""
        assert isinstance(reading.token, Slot)
        self._refuse(reading.token, reading.reason)

    def flush(self) -> None:
        """Send what the writer's thread has decided since, and try again what was stuck."""
        while self._verdicts:
            batch, first, reason = self._verdicts.popleft()
            self._in_flight -= len(batch.run)
            if reason:
                self.refuse(batch, reason)
            else:
                self._acknowledge(batch, first)

    def retry(self) -> None:
        """Try again what peers did not take before."""
        self._outbox.retry()

    @property
    def unanswered(self) -> int:
        """Readings that the sink has not decided about."""
        return self._in_flight

    @property
    def stuck(self) -> bool:
        """Whether answers wait for peers that do not take them."""
        return self._outbox.stuck

    def abandon(self) -> int:
        """Give up what is still to be said at a stop."""
        return self._outbox.abandon()

    def _acknowledge(self, batch: Batch, first: int) -> None:
        fixed = self.config.reply.encode()
        head = b'{"ok":true,"stream":%b,"seq":' % json.dumps(batch.stream, ensure_ascii=False).encode()
        answer = self._outbox.answer
        for seq, token in enumerate(batch.tokens or (), start=first):
            assert isinstance(token, Slot)
            answer(token, fixed or b"%b%d}" % (head, seq))

    def _refuse(self, slot: Slot, reason: str) -> None:
        self.metrics.refused += 1
        self._outbox.answer(slot, refusal(reason))
