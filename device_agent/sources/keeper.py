"""Keeper: runs each source in a thread of its own, starts it again after a pause when it fails, and stops it.

Promises: a source that fails, or has a bug, ends nothing else. A source whose configuration does not change is not touched by `change`.
`stop` returns when what the sources had offered is settled and acknowledged, or the time is over.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final

import zmq

from device_agent import events
from device_agent.backoff import Backoff
from device_agent.clock import Clock
from device_agent.config import SourceConfig
from device_agent.errors import NotNow
from device_agent.seldom import Seldom
from device_agent.sources.courier import Courier
from device_agent.sources.kinds import make
from device_agent.sources.port import Place, Source

_PAUSES: Final = (0.5, 60.0)  # seconds, at first and at most, between runs of a source that fails; with full jitter
_GOOD: Final = 30.0  # seconds that a run must last to be a good one, after which the next failure counts as the first
_SLACK: Final = 15.0  # seconds beyond the drain time: one that is just connecting notices afterwards


class Keeper:
    """All sources of one process; outlives the agents that a reload replaces."""

    def __init__(self, *, clock: Clock) -> None:
        """Keep none yet."""
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    def keep(self, settings: Sequence[SourceConfig], place: Place, *, drain: float) -> None:
        """Stop what is not among `settings` as it is; before the intake closes its sockets."""
        wanted = {one.name: (one, place) for one in settings}
        self._end([kept for name, kept in self._kept.items() if wanted.get(name) != (kept.settings, kept.place)], drain)

    def start(self, settings: Sequence[SourceConfig], place: Place, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        """Start what does not run yet; the intake's sockets are open, in this `context`."""
        for one in settings:
            if one.name not in self._kept:
                self._kept[one.name] = _Kept(one, place, context, self._clock)
                self._kept[one.name].start()

    def stop(self, *, drain: float) -> None:
        """Stop all; what was offered is settled and acknowledged before, for at most `drain` seconds."""
        self._end(list(self._kept.values()), drain)

    def _end(self, leaving: Sequence[_Kept], drain: float) -> None:
        for kept in leaving:
            kept.ask_to_stop(drain)
        for kept in leaving:
            kept.join(drain + _SLACK)
            del self._kept[kept.settings.name]

    def status(self) -> dict[str, dict[str, Any]]:
        """Describe each source by its input's name.

        `pattern`, `endpoints`, `peers`; `stands`: it has its connection, or listens; `under_way`: messages taken and not on disk yet;
        `problem`; and what its kind adds.
        """
        return {name: kept.status() for name, kept in list(self._kept.items())}


class _Kept:
    """One source with its thread."""

    def __init__(self, settings: SourceConfig, place: Place, context: zmq.Context[zmq.Socket[bytes]], clock: Clock) -> None:
        self.settings, self.place = settings, place
        self._context, self._clock = context, clock
        self._thread = threading.Thread(target=self._run, name=f"source-{settings.name}", daemon=True)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._courier: Courier | None = None
        self._source: Source | None = None
        self._problem = ""
        self._standing = False  # it has its connection, or listens
        self._seldom = Seldom(clock.monotonic)
        self._backoff = Backoff(first=_PAUSES[0], cap=_PAUSES[1])

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def ask_to_stop(self, drain: float) -> None:
        """Let it end, at the latest after `drain` seconds and what it takes to connect."""
        with self._lock:
            self._stopped.set()
            if self._courier is not None:
                self._courier.stop(drain)

    def join(self, seconds: float) -> None:
        """Wait for the end. A thread that is still connecting then is left: it has taken nothing, and ends by itself."""
        self._thread.join(seconds)

    def status(self) -> dict[str, Any]:
        """Describe it."""
        source, courier = self._source, self._courier
        said = {
            "pattern": self.settings.kind, "endpoints": [self.settings.place.split()[-1]], "peers": 0, "stands": self._standing,
            "insists": self.settings.insists,
            "under_way": 0 if courier is None else courier.under_way,
        }  # fmt: skip
        return said | (source.status() if source is not None else {}) | ({"problem": self._problem} if self._problem else {})

    def _run(self) -> None:
        while not self._stopped.is_set():
            began = self._clock.monotonic()
            try:
                self._once()
            except (NotNow, OSError, zmq.ZMQError) as error:
                self._waits(str(error))
            except Exception as error:  # noqa: BLE001  # a bug of one source, or of its library, must not end the others
                events.source_bug(error, name=self.settings.name)
                self._waits(f"{type(error).__name__}: {error}", told=True)
            self._source, self._standing = None, False
            if self._clock.monotonic() - began > _GOOD:
                self._backoff.succeeded()
            self._stopped.wait(self._backoff.failed())

    def _once(self) -> None:
        inlet = self.settings.inlet
        source = make(self.settings, self.place)
        courier = Courier(
            self._context, inlet.bind[0], window=self.settings.window, insists=self.settings.insists, monotonic=self._clock.monotonic
        )
        try:
            with self._lock:
                self._courier, self._source = courier, source
                if self._stopped.is_set():
                    courier.stop(0.0)
            source.on_stand = self._stands
            source.run(courier)
        finally:
            with self._lock:
                self._courier = None
            courier.close()

    def _stands(self) -> None:
        endpoints = ", ".join(self.status()["endpoints"])
        events.source_stands(name=self.settings.name, endpoints=endpoints)
        self._problem, self._standing = "", True

    def _waits(self, problem: str, *, told: bool = False) -> None:
        if not told and problem != self._problem and self._seldom.due(problem):
            events.source_waits(name=self.settings.name, problem=problem)
        self._problem = problem
