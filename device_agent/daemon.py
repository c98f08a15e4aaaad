"""The process around an `Agent`: signals, status socket, watchdog, reload.

Promises:
- systemd is told that the agent is ready when every socket is bound and the spool is open, and not before.
- SIGTERM and SIGINT stop it in order. A second signal exits at once: nothing that was acknowledged is lost by that, because it was on disk
  before.
- SIGHUP reads the configuration again. One that is not valid, or cannot be started, is refused, and the old one goes on. Sockets whose
  settings have not changed stay open meanwhile, so what ZeroMQ holds for them is not lost, not even while their stream is full; and
  spool and uplink are replaced only if more than the inputs has changed.
- A thread that dies takes the process down with exit code 1, and the service manager starts it again: no half-dead agent.
- File descriptors that run out end nothing: `status` is answered with a spare one, or later; a reload is refused.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, Final

from device_agent import configfile, events
from device_agent.agent import Agent, Doors
from device_agent.clock import Clock, SystemClock
from device_agent.config import Config
from device_agent.configfile import Loaded
from device_agent.descriptors import PAUSE, Descriptors, is_short, raise_limit
from device_agent.desk import Desk
from device_agent.errors import ConfigError, DeviceAgentError
from device_agent.metrics import Metrics, ProcessMetrics
from device_agent.output import take_over
from device_agent.systemd import Notifier

_CHECK: Final = 5.0  # seconds between looks at the threads
#: Seconds after which a thread that computes lets another one go on. CPython's own 5 ms would be added to the wait for a durable reply
#: whenever the writer or a sender is busy (docs/performance.md).
_SWITCH: Final = 0.0005


class Daemon:
    """The process around an `Agent`: signals, status socket, watchdog, reload."""

    def __init__(self, path: Path, *, load: Callable[[Path], Loaded], clock: Clock, notify: Notifier, process: ProcessMetrics) -> None:
        self._path, self._load, self._clock, self._notify = path, load, clock, notify
        self._metrics = Metrics(process=process)
        self._descriptors = Descriptors(process)
        self._loaded = load(path)
        self._agent = self._build(self._loaded)
        self._signals: list[int] = []

    def _build(self, loaded: Loaded, doors: Doors | None = None) -> Agent:
        return Agent(loaded, clock=self._clock, metrics=self._metrics, descriptors=self._descriptors, doors=doors)

    def run(self) -> int:
        """Run until a signal says stop; return the exit code."""
        ours, theirs = socket.socketpair()
        with ours, theirs, selectors.DefaultSelector() as selector, closing(self._desk(selector)) as desk:
            ours.setblocking(False)
            theirs.setblocking(False)
            signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, self._on_signal)
            selector.register(ours, selectors.EVENT_READ)
            self._agent.check()
            self._agent.start()
            try:
                code = self._serve(selector, ours, desk)
            finally:
                self._notify("STOPPING=1")
                desk.close()
                self._orderly_stop()
                signal.set_wakeup_fd(-1)
        return code

    def _desk(self, selector: selectors.BaseSelector) -> Desk:
        return Desk(selector, self._status, descriptors=self._descriptors)

    def _status(self) -> dict[str, Any]:
        return self._agent.status()  # of the agent of the moment, which a reload replaces

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGHUP and any(earlier != signal.SIGHUP for earlier in self._signals):
            os._exit(128 + number)  # the second one: at once; what was acknowledged is on disk
        self._signals.append(number)

    def _orderly_stop(self) -> None:
        settings = self._agent.config.agent
        events.stopping(drain=settings.drain, flush=settings.flush)
        self._agent.stop(drain=settings.drain, flush=settings.flush)
        events.stopped(waiting=self._agent.left)

    def _serve(self, selector: selectors.BaseSelector, wakeup: socket.socket, desk: Desk) -> int:
        """Answer status and feed the watchdog until told to stop."""
        told: Config | None = None
        while True:
            config = self._agent.config
            desk.listen(Path(config.spool.directory))
            if config is not told:  # not again after a SIGHUP that changed nothing
                events.started(device=config.device.id, inputs=len(config.input), streams=len(config.stream))
                told = config
            self._notify("READY=1", f"STATUS={len(config.input)} inputs, {len(config.stream)} streams")
            code = self._watch(selector, wakeup, desk)
            if code is not None:
                return code
            self._reload()

    def _watch(self, selector: selectors.BaseSelector, wakeup: socket.socket, desk: Desk) -> int | None:
        """Return the exit code, or None when the configuration is to be read again."""
        interval = min(_CHECK, self._notify.watchdog or _CHECK)
        while True:
            short = desk.paused or self._descriptors.are_short
            for key, _ in selector.select(min(interval, PAUSE) if short else interval):
                if key.fileobj is wakeup:
                    wakeup.recv(4096)
                else:
                    desk.answer()
            desk.retry()
            self._descriptors.look()
            if self._told_to_stop:
                return 0
            if self._signals:
                self._signals.remove(signal.SIGHUP)
                return None
            if dead := self._agent.dead():
                events.died(dead)
                return 1
            self._notify("WATCHDOG=1")

    @property
    def _told_to_stop(self) -> bool:
        return any(number != signal.SIGHUP for number in self._signals)

    def _reload(self) -> None:
        """Change to the configuration as it is in the file now; if that cannot be, keep the old one."""
        left, old = self._agent, self._agent.config
        try:
            new = self._load(self._path)
            if new.config == old and left.up_to_date():
                events.unchanged(self._path)
                return
            replacement = self._build(new, left.doors)
            replacement.check()
        except (ConfigError, OSError) as error:
            events.refused(self._path, error)
            return
        self._notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        if replace(new.config, input=(), agent=old.agent) == replace(old, input=()):
            self._change_inputs(new)
        else:
            self._replace(replacement, new)

    def _change_inputs(self, new: Loaded) -> None:
        try:
            self._agent.change_inputs(new)
        except (ConfigError, OSError) as error:
            events.refused(self._path, error)
            self._insist(self._agent.keep_inputs)
        else:
            self._loaded = new

    def _replace(self, replacement: Agent, new: Loaded) -> None:
        left, old = self._agent, self._agent.config
        moved = Path(new.config.spool.directory) != Path(old.spool.directory)
        try:
            left.hand_over(new.config, drain=old.agent.drain, flush=old.agent.flush if moved else 0.0)
        except (ConfigError, OSError) as error:
            events.refused(self._path, error)
            return
        self._agent = replacement
        try:
            replacement.start(left.unsaved)
        except (DeviceAgentError, OSError) as error:
            events.refused(self._path, error)
            self._insist(self._start_as_before)
        else:
            self._loaded = new
            if moved and left.left:
                events.left_behind(old.spool.directory, readings=left.left)

    def _start_as_before(self) -> None:
        failed = self._agent
        self._agent = self._build(self._loaded, failed.doors)
        self._agent.start(failed.unsaved)

    def _insist(self, action: Callable[[], None]) -> None:
        """Do what the agent cannot go on without; while there are no file descriptors, again and again."""
        while True:
            try:
                action()
            except (DeviceAgentError, OSError) as error:
                if not is_short(error) or self._told_to_stop:
                    raise
                self._descriptors.short()
                self._notify("WATCHDOG=1")
                time.sleep(PAUSE)
            else:
                return


def run(path: Path) -> int:
    """Run the agent with the configuration file at `path`, in the foreground; return the exit code.

    Raises:
        ConfigError: the configuration is wrong, or an endpoint cannot be bound: exit code 2, nothing changed.
        SpoolError: another agent has this spool, or the directory cannot be used.
    """
    process = ProcessMetrics()
    output = take_over(process)
    log_level = configfile.load(path, environ=os.environ).agent.log_level
    events.configure(log_level, journal="JOURNAL_STREAM" in os.environ, output=output)
    sys.setswitchinterval(_SWITCH)
    raise_limit()
    with closing(Notifier()) as notify:
        daemon = Daemon(
            path, load=lambda where: configfile.read(where, environ=os.environ), clock=SystemClock(), notify=notify, process=process
        )  # fmt: skip
        return daemon.run()
