"""Channel Adapter for patterns that answer (`rep`, `router`): a ROUTER socket, so that many peers share one fsync.

Promises: a peer gets its positive answer only after the sink said `committed`; whatever is not kept is answered with the reason. The
sink's answers come in another thread: they are put into a queue, the receiver is woken, and it alone touches the socket.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import zmq

from device_agent.config import InputConfig
from device_agent.config.sources import Inlet
from device_agent.intake.channel import Channel
from device_agent.intake.frames import TURN_BYTES, TURN_READINGS, FrameReader
from device_agent.intake.native import library
from device_agent.intake.native.answers import LONGEST, Envelopes, NativeAnswers
from device_agent.intake.native.layout import PROBES
from device_agent.intake.native.reader import NativeReader
from device_agent.intake.readers import native_reader
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


@dataclass(frozen=True, slots=True)
class Quick:
    """The drain in C, both ways."""

    reader: NativeReader
    answers: NativeAnswers


def refusal(reason: str, *, again: bool) -> bytes:
    """Return the answer for a reading that was not kept; `again`: it may be kept another time."""
    return json.dumps({"ok": False, "again": again, "error": reason}, separators=(",", ":"), ensure_ascii=False).encode()


class Answering(Channel):
    """An input whose peers are told."""

    def __init__(
        self, config: InputConfig, socket: zmq.Socket[bytes], *, sink: Sink, metrics: InputMetrics, wake: Callable[[], None], ordered: bool,
        flags: int,
    ) -> None:  # fmt: skip
        """Answer over `socket`; `ordered` unless answers carry the id of their reading; `flags`: how drain.c takes messages apart."""
        super().__init__(config, socket, sink=sink, metrics=metrics, replies=self)
        self._reader = FrameReader(socket, authenticated=config.authenticates)
        self._outbox = Outbox(socket, metrics=metrics, ordered=ordered)
        self._insists = isinstance(config, Inlet) and config.insists
        self._verdicts: deque[tuple[Batch, int, int, str]] = deque()  # from the writer's thread: (batch, first, kept, reason if refused)
        self._wake = wake
        self._in_flight = 0
        self._ordered, self._flags = ordered, flags
        self._flying: deque[Envelopes] = deque()  # received in C, and not decided yet; oldest first
        self._quick = self._find_quick()

    def become(self, config: InputConfig) -> None:
        """Go on; streams and topics may have changed."""
        super().become(config)
        self._quick = self._find_quick()

    def _find_quick(self) -> Quick | None:
        """Return the way through C, if there is one: answers to a peer that come from several streams are put in order in Python."""
        found = library.find().library
        if found is None or (self._ordered and len(self._router.streams) > 1):
            return None
        topics, clients = self._router.first_frame, self.config.authenticates
        return Quick(native_reader(found, self.socket, self._flags, topics=topics, clients=clients), NativeAnswers(found, self.socket))

    @abstractmethod
    def parse(self, message: list[bytes]) -> Request | None:
        """Take a message apart, the identity being its first frame; None if it is not what the pattern demands."""

    def committed(self, batch: Batch, first: int) -> None:
        """Remember, from the writer's thread, that a batch is on disk."""
        self._verdicts.append((batch, first, len(batch.run), ""))
        self._wake()

    def refused(self, batch: Batch, reason: str, *, first: int = 0, kept: int = 0) -> None:
        """Remember, from the writer's thread, that nothing of a batch was kept, or only its first readings."""
        self._verdicts.append((batch, first, kept, reason or "not kept"))
        self._wake()

    def receive(self, time: int, synced: bool) -> Routed:  # data, as in Run
        """Receive a turn; what cannot be taken is answered at once."""
        if self._quick is not None and not self._outbox.stuck:
            return self._quick_turn(self._quick, time, synced)
        self._settle()
        payloads: list[Payload] = []
        clients: list[str | None] = []
        tokens: list[object] = []
        size, plain = 0, True
        try:
            for _ in range(TURN_READINGS):
                message, client = self._reader.message()
                found = self._admit(message)
                if found is None:
                    continue
                slot, payload = found
                payloads.append(payload)
                clients.append(client)
                tokens.append(slot)
                plain = plain and isinstance(payload, bytes)
                size += size_of(payload)
                if size >= TURN_BYTES:
                    break
        except zmq.Again:
            pass  # nothing is left
        labels = clients if self.config.authenticates else None
        received = Received(time=time, synced=synced, payloads=payloads, size=size, plain=plain, clients=labels, tokens=tokens)
        return self._router.routed(received)

    def _admit(self, message: list[bytes]) -> tuple[Slot, Payload] | None:
        """Take a message apart and give its reading a slot; None if it is answered or counted already, or a probe."""
        if self._flags & PROBES and len(message) == 2 and not message[1]:
            self.metrics.probes += 1
            return None
        request = self.parse(message)
        if request is None:
            self.metrics.malformed += 1
            return None
        slot = self._outbox.slot(request.envelope)
        if self._outbox.waiting(message[0]) >= MAX_WAITING:
            self._refuse(slot, _NOT_LISTENING)
            return None
        return slot, request.frames[0] if len(request.frames) == 1 else request.frames

    def _quick_turn(self, quick: Quick, time: int, synced: bool) -> Routed:  # data, as in Run
        """Receive a turn in C; a message that it cannot judge is taken apart here."""
        found = quick.reader.receive(self._router)
        self.metrics.malformed += found.c.malformed
        routed = Routed(quick.reader.batches(found, self._router, time, synced), [], found.c.readings, found.c.bytes)
        self._flying += [batch.tokens for batch in routed.batches if isinstance(batch.tokens, Envelopes)]
        odd = quick.reader.odd(found)
        if odd is None:
            return routed
        self._settle()
        admitted = self._admit(odd.frames)
        if admitted is None:
            return routed
        slot, payload = admitted
        received = Received(
            time=time, synced=synced, payloads=[payload], size=size_of(payload), plain=isinstance(payload, bytes), clients=odd.clients,
            tokens=[slot],
        )  # fmt: skip
        return routed + self._router.routed(received)

    def _slots(self, tokens: Sequence[object] | None, start: int = 0) -> Sequence[Slot]:
        """Return the slots of a batch; give each of its readings from `start` one if they have none yet."""
        if not isinstance(tokens, Envelopes):
            return cast("Sequence[Slot]", tokens or ())
        if tokens.slots is None:
            tokens.slots = [self._outbox.slot(tokens[number]) for number in range(start, len(tokens))]
        return tokens.slots

    def _settle(self, until: Sequence[object] | None = None) -> None:
        """Give slots to all readings that fly without, up to those of `until`: what gets a slot next is newer."""
        for envelopes in self._flying:
            self._slots(envelopes)
            if envelopes is until:
                break

    def _landed(self, tokens: Sequence[object] | None) -> None:
        if isinstance(tokens, Envelopes):
            self._flying.remove(tokens)

    def handed_over(self, batch: Batch) -> None:
        """Count what the sink owes an answer for."""
        self._in_flight += len(batch.run)

    def refuse(self, batch: Batch, reason: str, *, first: int = 0, kept: int = 0) -> None:
        """Answer all readings of a batch that they were not kept, but for the first `kept`, which have the numbers from `first` on."""
        self._settle(batch.tokens)
        slots, (fixed, head) = self._slots(batch.tokens), self._answer(batch.stream)
        for seq, slot in enumerate(slots[:kept], start=first):
            self._outbox.answer(slot, fixed or b"%b%d}" % (head, seq))
        for slot in slots[kept:]:
            self._refuse(slot, reason)
        self._landed(batch.tokens)

    def too_large(self, reading: Oversize) -> None:
        """Refuse it at the door; of a broker's it is set aside, too: nobody else has it once the broker was told."""
        assert isinstance(reading.token, Slot)
        if isinstance(self.config, Inlet) and self.config.hands_over:
            self._sink.set_aside(reading.stream, reading.payload, reading.reason)
        self._refuse(reading.token, reading.reason, again=False)

    def flush(self) -> None:
        """Send what the writer's thread has decided since, and try again what was stuck."""
        while self._verdicts:
            batch, first, kept, reason = self._verdicts.popleft()
            self._in_flight -= len(batch.run)
            if reason:
                self.refuse(batch, reason, first=first, kept=kept)
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
        fixed, head = self._answer(batch.stream)
        self._landed(batch.tokens)
        done = self._quick_answers(batch.tokens, fixed or head, None if fixed else first)
        answer = self._outbox.answer
        for seq, slot in enumerate(self._slots(batch.tokens, done), start=first + done):
            answer(slot, fixed or b"%b%d}" % (head, seq))

    def _answer(self, stream: str) -> tuple[bytes, bytes]:
        """Return the fixed answer, if there is one, and else how an answer begins: before its number."""
        return self.config.reply.encode(), b'{"ok":true,"stream":%b,"seq":' % json.dumps(stream, ensure_ascii=False).encode()

    def _quick_answers(self, tokens: Sequence[object] | None, text: bytes, first: int | None) -> int:
        """Send in one call what can be sent so, and return how many answers that were."""
        if self._quick is None or not isinstance(tokens, Envelopes) or tokens.slots is not None:
            return 0
        if not self._outbox.idle or len(text) > LONGEST:
            return 0  # somebody else is to be answered first
        sent = self._quick.answers.send(tokens, text, first=first)
        self.metrics.replies += sent.done - sent.lost
        self.metrics.replies_lost += sent.lost
        return sent.done

    def _refuse(self, slot: Slot, reason: str, *, again: bool = True) -> None:
        if again and self._insists:
            self.metrics.postponed += 1
        else:
            self.metrics.refused += 1
        self._outbox.answer(slot, refusal(reason, again=again))
