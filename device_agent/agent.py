"""Composition root: builds the parts from a configuration, starts them bottom-up, stops them top-down, and watches them meanwhile.

Promises:
- Started means that every socket is bound and the spool is open; systemd is told then and not before.
- A stop (SIGTERM, SIGINT) drains what ZeroMQ holds, commits it, unbinds, sends for a bounded time, and closes. A second signal exits at
  once: nothing that was acknowledged is lost by that, because it was on disk before.
- SIGHUP reads the configuration again. One that is not valid, or cannot be started, is refused, and the old one goes on. Sockets whose
  settings have not changed stay open meanwhile, so what ZeroMQ holds for them is not lost, not even while their stream is full; and
  spool and uplink are replaced only if more than the inputs has changed.
- A thread that dies takes the process down with exit code 1, and the service manager starts it again: no half-dead agent.

The main thread does all this; it never touches a reading.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from device_agent import __version__, board, configfile, events
from device_agent.clock import Clock, SystemClock
from device_agent.config import Config, InputConfig
from device_agent.configfile import Loaded
from device_agent.errors import ConfigError, DeviceAgentError, SpoolError
from device_agent.intake import Intake, check_free, check_inputs
from device_agent.metrics import InputMetrics, Metrics, StreamMetrics
from device_agent.spool.lane import Unsaved
from device_agent.spool.spool import Spool
from device_agent.status import StatusServer
from device_agent.systemd import Notifier
from device_agent.uplink import Uplink

#: What an envelope's `agent` attribute says.
AGENT = f"device-agent/{__version__}"
_CHECK = 5.0  # seconds between looks at the threads
#: Seconds after which a thread that computes lets another one go on. CPython's own 5 ms would be added to the wait for a durable reply
#: whenever the writer or a sender is busy (docs/performance.md).
_SWITCH = 0.0005


class Agent:
    """All parts for one configuration, between `start` and `stop`."""

    def __init__(self, loaded: Loaded, *, clock: Clock, metrics: Metrics, intake: Intake | None = None) -> None:
        """Make the parts; nothing is touched yet.

        Args:
            loaded: the configuration.
            clock: for all of them.
            metrics: for all of them.
            intake: the running one of an earlier agent, which has `hand_over`ed it by the time of `start`; None: one is made.

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
        for entry in config.input:
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
        self._adopted = intake is not None
        self.intake = intake or Intake(config.input, sink=self._spool, clock=clock, metrics=metrics)

    def check(self) -> None:
        """Look whether the spool is free and the inputs can be opened, without touching anything.

        Raises:
            ConfigError: an endpoint or a key file cannot be as the configuration has it.
            SpoolError: another agent has the spool.
        """
        if not self._adopted:
            with self._spool_placed():  # before the ports: an agent started twice has both
                self._spool.check()
        if mistakes := check_inputs(self.config.input):
            raise ConfigError("\n".join(map(self._places.say, mistakes)))
        with self._places.placed():
            check_free(self.config.input, held=self.intake.addresses)

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
                self.intake.resume(self.config.input, sink=self._spool)
            else:
                self.intake.start()
        except BaseException as error:
            try:
                if not self._adopted:
                    self.intake.stop(0.0)
                self._stop_sending(0.0)
            except Exception as another:  # noqa: BLE001  # the first error is the one that says what is wrong
                error.add_note(f"and stopping what had started failed: {another!r}")
            raise

    def stop(self, *, drain: float, flush: float) -> None:
        """Stop listening, commit what was received, send for up to `flush` seconds, close."""
        try:
            self.intake.stop(drain)
        finally:
            self._stop_sending(flush)
            _lost(self.unsaved)

    def change_inputs(self, loaded: Loaded) -> None:
        """Go on with other inputs; spool and uplink do not notice, so what the writer has in memory is not lost if its stream is full.

        Raises:
            ConfigError: an input cannot be opened; the old ones go on.
        """
        for entry in loaded.config.input:
            self._metrics.inputs.setdefault(entry.name, InputMetrics())
        self.intake.park(loaded.config.input, drain=self.config.agent.drain)
        try:
            with loaded.places.placed():
                self.intake.resume(loaded.config.input, sink=self._spool)
        except ConfigError:
            self.intake.resume(self.config.input, sink=self._spool)
            raise
        self.config, self._places = loaded.config, loaded.places

    def hand_over(self, inputs: Sequence[InputConfig], *, drain: float, flush: float) -> None:
        """Stop all but the intake, which keeps open what `inputs` want as it is, for the agent that adopts it. See `stop`.

        Raises:
            ConfigError: key files of `inputs` cannot be used; nothing has stopped.
        """
        self.intake.park(inputs, drain=drain)
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
        parts = {"intake": self.intake.alive, "spool": self._spool.alive, "uplink": self._uplink.alive}
        return next((name for name, alive in parts.items() if not alive), "")

    def status(self) -> dict[str, Any]:
        """Return the document that `device-agent status` shows."""
        return {
            "agent": __version__,
            "device": self.config.device.id,
            "pid": os.getpid(),
            "uptime": round(self._clock.monotonic() - self._started, 3),
            "inputs": self.intake.status(),
            "spool": self._spool.status(),
            "uplink": self._uplink.status(),
            "metrics": self._metrics.snapshot(),
        }


def _lost(unsaved: Sequence[Unsaved]) -> None:
    """Say what is on no disk and in no memory any more."""
    for name in {one.batch.stream: None for one in unsaved}:
        mine = [one for one in unsaved if one.batch.stream == name]
        events.spool_unsaved(name, sum(len(one.batch.run) for one in mine), mine[-1].why)


class Daemon:
    """The process around an `Agent`: signals, status socket, watchdog, reload."""

    def __init__(self, path: Path, *, load: Callable[[Path], Loaded], clock: Clock, notify: Notifier) -> None:
        self._path, self._load, self._clock, self._notify = path, load, clock, notify
        self._metrics = Metrics()
        self._loaded = load(path)
        self._agent = self._build(self._loaded)
        self._signals: list[int] = []

    def _build(self, loaded: Loaded, intake: Intake | None = None) -> Agent:
        return Agent(loaded, clock=self._clock, metrics=self._metrics, intake=intake)

    def run(self) -> int:
        """Run until a signal says stop; return the exit code."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, self._on_signal)
            self._agent.check()
            self._agent.start()
            try:
                code = self._serve(ours)
            finally:
                self._notify("STOPPING=1")
                self._orderly_stop()
                signal.set_wakeup_fd(-1)
        return code

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGHUP and any(earlier != signal.SIGHUP for earlier in self._signals):
            os._exit(128 + number)  # the second one: at once; what was acknowledged is on disk
        self._signals.append(number)

    def _orderly_stop(self) -> None:
        settings = self._agent.config.agent
        events.stopping(drain=settings.drain, flush=settings.flush)
        self._agent.stop(drain=settings.drain, flush=settings.flush)
        events.stopped(waiting=self._agent.left)

    def _serve(self, wakeup: socket.socket) -> int:
        """Answer status and feed the watchdog until told to stop."""
        told: Config | None = None
        while True:
            config = self._agent.config
            server = StatusServer(Path(config.spool.directory), self._agent.status)
            try:
                if config is not told:  # not again after a SIGHUP that changed nothing
                    events.started(device=config.device.id, inputs=len(config.input), streams=len(config.stream))
                    told = config
                self._notify("READY=1", f"STATUS={len(config.input)} inputs, {len(config.stream)} streams")
                code = self._watch(server, wakeup)
            finally:
                server.close()
            if code is not None:
                return code
            self._reload()

    def _watch(self, server: StatusServer, wakeup: socket.socket) -> int | None:
        """Return the exit code, or None when the configuration is to be read again."""
        interval = min(_CHECK, self._notify.watchdog or _CHECK)
        with selectors.DefaultSelector() as selector:
            selector.register(server, selectors.EVENT_READ)
            selector.register(wakeup, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(interval):
                    if key.fileobj is server:
                        server.answer()
                    else:
                        wakeup.recv(4096)
                if any(number != signal.SIGHUP for number in self._signals):
                    return 0
                if self._signals:
                    self._signals.remove(signal.SIGHUP)
                    return None
                if dead := self._agent.dead():
                    events.died(dead)
                    return 1
                self._notify("WATCHDOG=1")

    def _reload(self) -> None:
        """Change to the configuration as it is in the file now; if that cannot be, keep the old one."""
        left, old = self._agent, self._agent.config
        intake = left.intake
        try:
            new = self._load(self._path)
            if new.config == old and intake.up_to_date():
                events.unchanged(self._path)
                return
            replacement = self._build(new, intake)
            replacement.check()
            self._notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            if replace(new.config, input=(), agent=old.agent) == replace(old, input=()):
                left.change_inputs(new)
                self._loaded = new
                return
            moved = Path(new.config.spool.directory) != Path(old.spool.directory)
            left.hand_over(new.config.input, drain=old.agent.drain, flush=old.agent.flush if moved else 0.0)
        except ConfigError as error:
            events.refused(self._path, error)
            return
        try:
            replacement.start(left.unsaved)
        except DeviceAgentError as error:
            events.refused(self._path, error)
            self._agent = self._build(self._loaded, intake)
            self._agent.start(replacement.unsaved)
        else:
            self._agent, self._loaded = replacement, new
            if moved and left.left:
                events.left_behind(old.spool.directory, readings=left.left)


def run(path: Path) -> int:
    """Run the agent with the configuration file at `path`, in the foreground; return the exit code.

    Raises:
        ConfigError: the configuration is wrong, or an endpoint cannot be bound: exit code 2, nothing changed.
        SpoolError: another agent has this spool, or the directory cannot be used.
    """
    log_level = configfile.load(path, environ=os.environ).agent.log_level
    events.configure(log_level, journal="JOURNAL_STREAM" in os.environ, stream=sys.stderr)
    sys.setswitchinterval(_SWITCH)
    daemon = Daemon(path, load=lambda where: configfile.read(where, environ=os.environ), clock=SystemClock(), notify=Notifier())
    return daemon.run()
