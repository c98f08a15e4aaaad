"""Onlooker: what a connection waits with while a source is only tried. It is no way to the disk: nothing may be offered."""

from __future__ import annotations

import math
import select
from collections.abc import Sequence
from typing import NoReturn

from device_agent.sources.port import Settled


class Onlooker:
    """`Deliver` without an intake: no room, nothing under way, never stopping."""

    room = 0
    under_way = 0
    stopping = False
    finished = False

    def offer(self, token: object, payload: bytes, *, topic: str | None = None) -> NoReturn:
        """Refuse: a probe takes no message."""
        raise AssertionError(f"a probe was given a message of {len(payload)} bytes (topic {topic!r}, token {token!r})")

    def settled(self) -> Sequence[Settled]:
        """See `Deliver`: nothing."""
        return ()

    def give_back(self) -> None:
        """See `Deliver`: there is nothing."""

    def wait(self, descriptors: Sequence[int], timeout: float | None, *, writing: Sequence[int] = ()) -> frozenset[int]:
        """See `Deliver`."""
        poller = select.poll()
        for descriptor in {*descriptors, *writing}:
            poller.register(descriptor, (select.POLLIN * (descriptor in descriptors)) | (select.POLLOUT * (descriptor in writing)))
        return frozenset(file for file, _ in poller.poll(None if timeout is None else math.ceil(timeout * 1000)))

    @property
    def descriptors(self) -> tuple[int, int]:
        """There are none: a probe has no loop that needs them."""
        raise AssertionError("a probe has neither answers nor a stop to wait for")
