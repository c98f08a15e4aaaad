"""Watch: the courier's descriptors in an asyncio loop, for the sources that are servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from device_agent.sources.port import Deliver

_TICK: Final = 0.01  # seconds between looks at a stop


@contextmanager
def watched(deliver: Deliver, settle: Callable[[], None]) -> Iterator[asyncio.Event]:
    """While entered, call `settle` when messages may be settled; the event is set when the source is to stop.

    `settle` must be called after each `offer`, too, soon: see `Deliver.descriptors` and `Soon`.
    """
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    answers, stop = deliver.descriptors

    def stopping() -> None:
        loop.remove_reader(stop)  # it stays readable
        stopped.set()

    loop.add_reader(answers, settle)
    loop.add_reader(stop, stopping)
    try:
        yield stopped
    finally:
        loop.remove_reader(answers)
        loop.remove_reader(stop)


class Soon:
    """Calls in the loop's next turn, once, however often it is asked for in this one: what is offered in a turn leaves together."""

    def __init__(self, call: Callable[[], None]) -> None:
        """Call `call`."""
        self._call, self._due = call, False

    def __call__(self) -> None:
        """Ask for the call. In the thread of a running loop."""
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._now)

    def _now(self) -> None:
        self._due = False
        self._call()


async def finish(deliver: Deliver, settle: Callable[[], None]) -> None:
    """At a stop: return when what was offered is settled, or the time for it is over."""
    while not deliver.finished:
        await asyncio.sleep(_TICK)
        settle()
