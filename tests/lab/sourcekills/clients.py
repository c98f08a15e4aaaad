"""Programs that the agent itself answers: HTTP, CoAP and NNG's REQ."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Final

import aiocoap
import pynng
from aiocoap.numbers.constants import TransportTuning

from tests.lab.sourcekills.programs import Program

# NNG's own threads and their descriptors begin with its first socket and stay: no test is to be blamed for them.
with pynng.Req0():
    pass

#: Seconds for an answer, on a very slow machine.
_PATIENCE: Final = 60.0


class HttpProgram(Program):
    """Posts from several threads."""

    senders = 4

    def __init__(self, port: int) -> None:
        super().__init__()
        self._url = f"http://127.0.0.1:{port}/v1/readings/kitchen"

    def put(self, sender: int, texts: Sequence[str]) -> int:
        """See `Program`."""
        try:
            with urllib.request.urlopen(self._url, data=texts[0].encode(), timeout=_PATIENCE) as answer:
                return int(json.load(answer)["ok"])
        except (OSError, ValueError, urllib.error.URLError):  # it is away, or was killed before the answer was complete
            return 0


class _Quick(TransportTuning):
    ACK_TIMEOUT = 0.5  # seconds until a request is sent again, and as it is


class CoapProgram(Program):
    """Posts confirmable messages with aiocoap, which sends one again until it is acknowledged."""

    senders = 4

    def __init__(self, port: int) -> None:
        super().__init__()
        self._url = f"coap://127.0.0.1:{port}/v1/readings/kitchen"

    def put(self, sender: int, texts: Sequence[str]) -> int:
        """See `Program`."""
        try:
            return int(asyncio.run(self._ask(texts[0].encode())))
        except (aiocoap.error.Error, OSError, TimeoutError):
            return 0

    async def _ask(self, payload: bytes) -> bool:
        context = await aiocoap.Context.create_client_context(transports=["simple6"])
        try:
            async with asyncio.timeout(_PATIENCE):
                message = aiocoap.Message(code=aiocoap.POST, uri=self._url, payload=payload, transport_tuning=_Quick())
                answer = await context.request(message).response
        finally:
            await context.shutdown()
        return bool(answer.code == aiocoap.CHANGED)


class NngProgram(Program):
    """REQs, which send their request again by themselves when the connection ends."""

    senders = 4

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self._sockets = [pynng.Req0(reconnect_time_max=100, recv_timeout=round(_PATIENCE * 1000)) for _ in range(self.senders)]
        for socket in self._sockets:
            socket.dial(endpoint, block=False)

    def put(self, sender: int, texts: Sequence[str]) -> int:
        """See `Program`."""
        socket = self._sockets[sender]
        try:
            socket.send(texts[0].encode())
            return int(json.loads(socket.recv())["ok"])
        except (pynng.Timeout, pynng.Closed):
            return 0

    def close(self) -> None:
        """See `Program`."""
        super().close()
        for socket in self._sockets:
            socket.close()
