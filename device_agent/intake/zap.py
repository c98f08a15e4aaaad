"""Authenticator: answers libzmq's questions (ZAP, RFC 27) about who may connect to which input.

Promises: to an input with CURVE a peer is let in only if its public key is on the input's list; its key, in Z85, becomes the
connection's User-Id, and so the readings' `client`. Other inputs ask only if they are to turn away what does not speak ZMTP 3; they let
everybody in, and nobody has a name there. Everything else is denied, malformed questions included.

A denied peer gets status 300 ("temporary"): libzmq closes the connection after the handshake time-out, and the peer tries again. After
400 a libzmq peer would never try again, not even when its key has been added and the agent restarted.
pyzmq's Authenticator is not used: it needs an event loop or a thread of its own, and logs set-up errors instead of raising them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import zmq
from zmq.utils import z85

from device_agent import events

_ENDPOINT: Final = "inproc://zeromq.zap.01"  # given by RFC 27
_VERSION: Final = b"1.0"


class Authenticator:
    """The ZAP handler of one context."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], allowed: Mapping[bytes, tuple[str, frozenset[str] | None]]) -> None:
        """Bind the handler; must be done before any socket that needs it.

        Args:
            context: whose connections are authenticated.
            allowed: ZAP domain -> (name of the input, its peers' public keys in Z85; None: everybody).
        """
        self._allowed = allowed
        self.socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(_ENDPOINT)

    def handle(self) -> None:
        """Answer every question that waits."""
        while True:
            try:
                identity, delimiter, *question = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if len(question) < 2:
                continue  # without a request id there is nothing to answer
            admitted, user = self._judge(question)
            answer = [b"200", b"OK", user] if admitted else [b"300", b"NO ACCESS", b""]
            self.socket.send_multipart([identity, delimiter, _VERSION, question[1], *answer, b""])

    def _judge(self, question: list[bytes]) -> tuple[bool, bytes]:
        """Return whether the peer may come in, and its User-Id."""
        if len(question) < 6:
            return False, b""
        version, _, domain, address, _, mechanism, *credentials = question
        if version != _VERSION or domain not in self._allowed:
            return False, b""
        name, allowed = self._allowed[domain]
        if allowed is None:
            return mechanism == b"NULL", b""
        if mechanism != b"CURVE" or len(credentials) != 1 or len(credentials[0]) != 32:
            return False, b""
        key: bytes = z85.encode(credentials[0])
        if key.decode() not in allowed:
            events.peer_denied(input=name, address=address.decode("ascii", "replace"), key=key.decode())
            return False, b""
        return True, key

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()
