"""Request-Reply, the way back: which peer is told what, in which order, and what happens when it does not listen.

Invariants:
1. Every reading that has a slot is answered once, or its peer has gone, or the peer ignored `MAX_WAITING` + `MAX_REFUSALS` answers.
2. In order: the answers of a peer leave in the order in which its readings came, whatever their streams do.
3. Memory: at most `MAX_WAITING` answers that a peer does not take, then its new readings are refused; at most `MAX_REFUSALS` further
   answers wait. A peer that has gone is forgotten with all that waits for it.

libzmq alone would drop answers silently at a peer's high-water mark (a DEALER that pipelined 5,000 requests got 200 answers):
ZMQ_ROUTER_MANDATORY turns that into EAGAIN, and a peer that has gone into EHOSTUNREACH.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import zmq

from device_agent.metrics import InputMetrics

#: Answers that may wait for one peer before its new readings are refused.
MAX_WAITING: Final = 1000
#: Further answers (refusals mostly) that may wait for it; beyond, the peer is not worth the memory.
MAX_REFUSALS: Final = 10_000
_RETRIES: Final = 100  # peers tried again in one go
_NOBLOCK: Final = int(zmq.NOBLOCK)
_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)


class Slot:
    """One reading's place in its peer's answers: the frames that go before the answer, the peer's identity first."""

    __slots__ = ("answer", "envelope")

    def __init__(self, envelope: Sequence[bytes]) -> None:
        self.envelope = envelope
        self.answer: bytes | None = None


class _Peer:
    __slots__ = ("blocked", "ready", "slots")

    def __init__(self) -> None:
        self.slots: deque[Slot] = deque()
        self.ready = 0  # slots that have their answer
        self.blocked = False  # ZeroMQ takes no more for this peer now


class Outbox:
    """The answers of one ROUTER socket."""

    def __init__(self, socket: zmq.Socket[bytes], *, metrics: InputMetrics, ordered: bool) -> None:
        """Send over `socket`; `ordered` unless answers carry the id of their reading."""
        self._socket = socket
        self._metrics = metrics
        self._ordered = ordered
        self._peers: dict[bytes, _Peer] = {}
        self._blocked: dict[bytes, _Peer] = {}  # in the order in which they are tried again

    @property
    def stuck(self) -> bool:
        """Whether answers wait for peers that do not take them."""
        return bool(self._blocked)

    @property
    def idle(self) -> bool:
        """Whether no reading has a slot."""
        return not self._peers

    def waiting(self, identity: bytes) -> int:
        """Return the number of answers that the peer does not take."""
        peer = self._blocked.get(identity)
        return 0 if peer is None else peer.ready

    def slot(self, envelope: Sequence[bytes]) -> Slot:
        """Reserve the next place among the answers of the peer `envelope[0]`."""
        slot = Slot(envelope)
        if self._ordered:
            self._peer(envelope[0]).slots.append(slot)
        return slot

    def answer(self, slot: Slot, answer: bytes) -> None:
        """Give a slot its answer and send what can be sent."""
        identity = slot.envelope[0]
        peer = self._peer(identity)
        if peer.ready >= MAX_WAITING + MAX_REFUSALS:
            if self._ordered:
                _remove(peer.slots, slot)
            self._metrics.replies_lost += 1
            return
        slot.answer = answer
        peer.ready += 1
        if not self._ordered:
            peer.slots.append(slot)
        if not peer.blocked:
            self._send(identity, peer)

    def retry(self) -> None:
        """Try again for some of the peers that took nothing before."""
        for identity in list(self._blocked)[:_RETRIES]:
            peer = self._blocked.pop(identity)
            peer.blocked = False
            self._send(identity, peer)

    def abandon(self) -> int:
        """Count what still waits as lost, and return how much that was."""
        lost = sum(peer.ready for peer in self._peers.values())
        self._metrics.replies_lost += lost
        self._peers.clear()
        self._blocked.clear()
        return lost

    def _peer(self, identity: bytes) -> _Peer:
        peer = self._peers.get(identity)
        if peer is None:
            peer = self._peers[identity] = _Peer()
        return peer

    def _send(self, identity: bytes, peer: _Peer) -> None:
        slots = peer.slots
        while slots and slots[0].answer is not None:
            try:
                self._send_one(slots[0].envelope, slots[0].answer)
            except zmq.Again:
                peer.blocked = True
                self._blocked[identity] = peer
                return
            except zmq.ZMQError as error:
                if error.errno != zmq.EHOSTUNREACH:
                    raise
                self._metrics.replies_lost += 1  # the peer has gone
            else:
                self._metrics.replies += 1
            slots.popleft()
            peer.ready -= 1
        if not slots:
            self._peers.pop(identity, None)

    def _send_one(self, envelope: Sequence[bytes], answer: bytes) -> None:
        """Send one answer; the first frame decides: after it the others are taken, or the peer has gone meanwhile."""
        send = self._socket.send
        for frame in envelope:
            send(frame, _MORE)
        send(answer, _NOBLOCK)


def _remove(slots: deque[Slot], slot: Slot) -> None:
    if slots[-1] is slot:  # refused at the door: the newest
        slots.pop()
    else:
        slots.remove(slot)
