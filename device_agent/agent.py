"""Composition root: builds the parts from a configuration, starts them bottom-up, stops them top-down.

Promises:
- Started means that every socket is bound and the spool is open.
- A stop drains what ZeroMQ holds, commits it, unbinds, sends for a bounded time, and closes.

`daemon` is the process around it; its main thread does all this, and never touches a reading.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agent import __version__, board, events, sources
from device_agent.clock import Clock
from device_agent.config import Config
from device_agent.configfile import Loaded
from device_agent.descriptors import Descriptors
from device_agent.errors import ConfigError, SpoolError
from device_agent.intake import Intake, check_free, check_inputs
from device_agent.metrics import InputMetrics, Metrics, StreamMetrics
from device_agent.spool.lane import Unsaved
from device_agent.spool.spool import Spool
from device_agent.uplink import Uplink

#: What an envelope's `agent` attribute says.
AGENT = f"device-agent/{__version__}"


@dataclass(frozen=True, slots=True)
class Doors:
    """Where readings come in: what goes on while a reload replaces the rest."""

    intake: Intake
    sources: sources.Keeper


class Agent:
    """All parts for one configuration, between `start` and `stop`."""

    def __init__(self, loaded: Loaded, *, clock: Clock, metrics: Metrics, descriptors: Descriptors, doors: Doors | None = None) -> None:
        """Make the parts; nothing is touched yet.

        Args:
            loaded: the configuration.
            clock: for all of them.
            metrics: for all of them.
            descriptors: of the process.
            doors: the running ones of an earlier agent, which has `hand_over`ed them by the time of `start`; None: they are made.

        Raises:
            ConfigError: they do not fit together.
        """
        config, self._places = loaded.config, loaded.places
        self.config = config
        self.left = 0  # readings that wait on disk, once it has stopped
        self.unsaved: Sequence[Unsaved] = ()  # taken from programs, and on no disk, once it has stopped
        self._clock = clock
        self._metrics = metrics
        self._started = clock.monotonic()
        for entry in config.inlets:
            metrics.inputs.setdefault(entry.name, InputMetrics())
        for stream in config.stream:
            metrics.streams.setdefault(stream.name, StreamMetrics())
        device = config.device.id
        with self._places.placed():
            self._spool = Spool(
                config.spool, config.stream, device=device, agent=AGENT, clock=clock, metrics=metrics, machine=board.fingerprint()
            )
            self._uplink = Uplink(
                device=device, agent=AGENT, aws=config.aws, config=config.uplink, streams=config.stream, source=self._spool, clock=clock,
                metrics=metrics,
            )  # fmt: skip
        self._adopted = doors is not None
        self.doors = doors or Doors(
            Intake(config.inlets, sink=self._spool, clock=clock, metrics=metrics, descriptors=descriptors),
            sources.Keeper(clock=clock),
        )
        self._intake, self._sources = self.doors.intake, self.doors.sources

    def check(self) -> None:
        """Look whether the spool is free and the inputs can be opened, without touching anything.

        Raises:
            ConfigError: an endpoint or a key file cannot be as the configuration has it.
            SpoolError: another agent has the spool.
        """
        if not self._adopted:
            with self._spool_placed():  # before the ports: an agent started twice has both
                self._spool.check()
        if mistakes := [*check_inputs(self.config.inlets), *sources.missing(self.config.sources)]:
            raise ConfigError("\n".join(map(self._places.say, mistakes)))
        with self._places.placed():
            check_free(self.config.inlets, held=self._intake.addresses)

    def start(self, carried: Sequence[Unsaved] = ()) -> None:
        """Open the spool, send, commit, and only then listen. What was started is stopped again if a later part fails.

        `carried` is what an earlier agent left `unsaved`; it goes into the streams before anything new.

        Call `check` before: then a configuration that cannot be right here leaves the disk as it was.

        Raises:
            ConfigError: an endpoint, a key file or a size cannot be as the configuration has it.
            SpoolError: another agent has the spool, or the directory cannot be used.
        """
        self.unsaved = carried
        with self._places.placed():
            with self._spool_placed():
                self._spool.open()
            self._carry(carried)
            self._start_threads()

    def _carry(self, carried: Sequence[Unsaved]) -> None:
        names = {stream.name for stream in self.config.stream}
        for one in carried:
            if one.batch.stream in names:
                self._spool.put(one.batch)
        self.unsaved = ()
        _lost([one for one in carried if one.batch.stream not in names])

    @contextmanager
    def _spool_placed(self) -> Iterator[None]:
        try:
            yield
        except SpoolError as error:
            raise SpoolError(f"{self._places['spool', 'directory']}: {error}") from error

    def _start_threads(self) -> None:
        try:
            self._spool.start()
            self._uplink.start()
            if self._adopted:
                self._intake.resume(self.config.inlets, sink=self._spool)
            else:
                self._intake.start()
            self._start_sources()
        except BaseException as error:
            try:
                if not self._adopted:
                    self._sources.stop(drain=0.0)
                    self._intake.stop(0.0)
                self._stop_sending(0.0)
            except Exception as another:  # noqa: BLE001  # the first error is the one that says what is wrong
                error.add_note(f"and stopping what had started failed: {another!r}")
            raise

    def _start_sources(self) -> None:
        if self.config.sources:
            self._sources.start(self.config.sources, _place(self.config), self._intake.context)

    def stop(self, *, drain: float, flush: float) -> None:
        """Stop listening, commit what was received, send for up to `flush` seconds, close."""
        try:
            self._sources.stop(drain=drain)
            self._intake.stop(drain)
        finally:
            self._stop_sending(flush)
            _lost(self.unsaved)

    def change_inputs(self, loaded: Loaded) -> None:
        """Go on with other inputs; spool and uplink do not notice, so what the writer has in memory is not lost if its stream is full.

        Raises:
            ConfigError: an input cannot be opened; `keep_inputs` goes on with the old ones.
        """
        for entry in loaded.config.inlets:
            self._metrics.inputs.setdefault(entry.name, InputMetrics())
        self._park(loaded.config, self.config.agent.drain)
        with loaded.places.placed():
            self._intake.resume(loaded.config.inlets, sink=self._spool)
        self.config, self._places = loaded.config, loaded.places
        self._start_sources()

    def _park(self, config: Config, drain: float) -> None:
        self._sources.keep(config.sources, _place(config), drain=drain)
        self._intake.park(config.inlets, drain=drain)

    def keep_inputs(self) -> None:
        """Go on with the inputs as they were before a `change_inputs` that failed. Raises `ConfigError`: one cannot be opened again."""
        self._intake.resume(self.config.inlets, sink=self._spool)
        self._start_sources()

    def hand_over(self, config: Config, *, drain: float, flush: float) -> None:
        """Stop all but the doors, which keep open what `config` wants as it is, for the agent that adopts them. See `stop`.

        Raises:
            ConfigError: key files of its inputs cannot be used; everything goes on.
        """
        try:
            self._park(config, drain)
        except ConfigError:
            self._start_sources()
            raise
        self._stop_sending(flush)

    def _stop_sending(self, flush: float) -> None:
        try:
            self._spool.stop()
            self.unsaved = self._spool.unsaved
            self._uplink.stop(flush)
            self.left = sum(stream["backlog_readings"] for stream in self._spool.status()["streams"].values())
        finally:
            self._spool.close()

    def dead(self) -> str:
        """Return the name of a part whose threads died; empty if all live."""
        parts = {"intake": self._intake.alive, "spool": self._spool.alive, "uplink": self._uplink.alive}
        return next((name for name, alive in parts.items() if not alive), "")

    def _inputs(self) -> dict[str, dict[str, Any]]:
        """Describe the inputs alike, whatever the other side speaks."""
        said = self._sources.status()
        return {name: socket | said.get(name, {}) for name, socket in self._intake.status().items()}

    def up_to_date(self) -> bool:
        """Whether key files still say what they said when they were read. Raises ConfigError."""
        return self._intake.up_to_date()

    def status(self) -> dict[str, Any]:
        """Return the document that `device-agent status` shows."""
        return {
            "agent": __version__,
            "device": self.config.device.id,
            "pid": os.getpid(),
            "uptime": round(self._clock.monotonic() - self._started, 3),
            "inputs": self._inputs(),
            "spool": self._spool.status(),
            "uplink": self._uplink.status(),
            "metrics": self._metrics.snapshot(),
        }


def _place(config: Config) -> sources.Place:
    return sources.Place(config.device.id, Path(config.spool.directory) / "sources")


def _lost(unsaved: Sequence[Unsaved]) -> None:
    """Say what is on no disk and in no memory any more."""
    for name in {one.batch.stream: None for one in unsaved}:
        mine = [one for one in unsaved if one.batch.stream == name]
        events.spool_unsaved(name, sum(len(one.batch.run) for one in mine), mine[-1].why)
