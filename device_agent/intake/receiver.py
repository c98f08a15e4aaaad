"""Event loop (Reactor) of the intake: one thread that owns every socket.

Promises
- A reading is taken off ZeroMQ only when the sink has room wherever it may go; else it stays with the peer, or is refused.
- Fair: each socket has one bounded turn after the other, so a flood on one does not starve the others.
- Memory is bounded: a turn by `TURN_READINGS` and `TURN_BYTES`, what ZeroMQ holds by high-water marks, what the sink holds by `BUSY`.
- Idle costs nothing: without traffic the thread sleeps in one poll without time-out.
- Without file descriptors no further connection is accepted, and those that exist go on.
- A change of the configuration closes the sockets that change, and no other: what ZeroMQ holds for the others is read afterwards.

How: poll; let connections in; take in what became of them, and questions of ZAP; send the answers that are due; let each readable socket
have its turn, with one timestamp for all. A socket that may not be read is taken out of the poll and asked about again a little later.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import count
from typing import Any, Final

import zmq

from device_agent import events
from device_agent.clock import Clock
from device_agent.config import InputConfig
from device_agent.descriptors import PAUSE, Descriptors, demand
from device_agent.intake.acceptor import Acceptor
from device_agent.intake.channel import Gate
from device_agent.intake.check import await_free
from device_agent.intake.door import Door
from device_agent.intake.inputs import Input, Maker, share_descriptors
from device_agent.intake.zap import Authenticator
from device_agent.metrics import InputMetrics, Metrics
from device_agent.ports import Sink

_BUSY_PAUSE: Final = 10  # milliseconds before a waiting socket, or a peer that takes no answers, is looked at again
_FULL_PAUSE: Final = 50  # likewise while only the disk is full, which lasts
_DIAL_PAUSE: Final = 1000  # likewise while a name that was dialed does not answer
_QUIET: Final = 0.05  # seconds without a reading after which a stop takes an input for drained
_LAST_READINGS: Final = 0.5  # seconds for what ZeroMQ holds of producers that never pause
_LAST_WAIT: Final = 5.0  # seconds that a stop waits for the sink to decide about what it has
_OWN: Final = 10  # file descriptors: libzmq's two threads, ZAP, our wake-up (counted in /proc/self/fd)
_FREE: Final = 2.0  # seconds that libzmq has to close a listener


class Receiver:
    """Everything that happens in the receiver's thread. Only `wake`, `stop`, `ask` and `status` are for others."""

    def __init__(self, inputs: Sequence[InputConfig], *, sink: Sink, clock: Clock, metrics: Metrics, descriptors: Descriptors) -> None:
        self._configs = inputs
        self._door = Door(sink)
        self._clock = clock
        self._metrics = metrics
        self._inputs: list[Input] = []
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._maker: Maker | None = None
        self._authenticator: Authenticator | None = None
        self._allowed: dict[bytes, tuple[str, frozenset[str] | None]] = {}  # what the authenticator goes by
        self._domains = count()
        self._commands: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._poller = zmq.Poller()
        self._acceptor = Acceptor(self._poller, descriptors, clock.monotonic)
        self._wake = -1
        self._woken = False
        self._wake_lock = threading.Lock()
        self._drain: float | None = None
        self._next_look = 0.0

    # For other threads

    def wake(self) -> None:
        """Let the poll return, if nobody has yet."""
        if self._woken:
            return
        with self._wake_lock:
            if self._wake >= 0:
                self._woken = True
                os.eventfd_write(self._wake, 1)

    def _wakes(self) -> None:
        """Take note of `wake`; only then look at what it was for: what comes now wakes again."""
        os.eventfd_read(self._wake)
        self._woken = False

    def stop(self, drain: float) -> None:
        """Ask for the end: drain up to `drain` seconds, answer, unbind, close."""
        self._drain = drain
        self.wake()

    def ask(self, command: Callable[[], None], seconds: float) -> None:
        """Have `park` or `resume` done in the receiver's thread, and return when it is; raises what it raises, or TimeoutError."""
        done: Future[None] = Future()
        self._commands.append((command, done))
        self.wake()
        done.result(seconds)

    def up_to_date(self) -> bool:
        """Whether the key files are as they were when they were read. Raises ConfigError."""
        sockets = [entry.socket for entry in list(self._inputs)]
        return all(socket.serves(socket.config) and not socket.outdated for socket in sockets)

    @property
    def context(self) -> zmq.Context[zmq.Socket[bytes]]:
        """See `Intake`."""
        assert self._context is not None
        return self._context

    def status(self) -> dict[str, dict[str, Any]]:
        """Describe each input."""
        return {entry.socket.config.name: entry.status() for entry in list(self._inputs)}

    # The thread

    def open(self) -> None:
        """Make and bind all sockets.

        Raises:
            ConfigError: one of them cannot be bound; then none is open.
        """
        demand(_OWN, what="the intake", key=("input",))
        self._context = zmq.Context()
        self._maker = Maker(self._context, door=self._door, wake=self.wake, clock=self._clock)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller.register(self._wake, zmq.POLLIN)
        try:
            self._authenticator = Authenticator(self._context, self._allowed)
            self._poller.register(self._authenticator.socket, zmq.POLLIN)
            for config in self._configs:
                self._open_input(self._maker, config)
        except BaseException:
            self.close()
            raise
        share_descriptors(self._inputs)
        for entry in self._inputs:
            entry.tell()

    def _open_input(self, maker: Maker, config: InputConfig) -> None:
        metrics = self._metrics.inputs.setdefault(config.name, InputMetrics())
        entry = maker.make(config, zap_domain=b"%d" % next(self._domains), metrics=metrics)
        self._allowed[entry.socket.domain] = (config.name, entry.socket.allowed)
        self._inputs.append(entry)
        entry.socket.open()
        entry.connections.update()  # which says where it listens
        self._acceptor.watch(entry.connections)
        self._poller.register(entry.connections.events, zmq.POLLIN)
        self._poller.register(entry.socket.zmq, zmq.POLLIN)

    def run(self) -> None:
        """Receive until `stop` is called, then end in order."""
        while self._drain is None:
            self._step(self._pause())
            self._obey()
        self._finish(self._inputs, self._drain)

    def _obey(self) -> None:
        while self._commands:
            command, done = self._commands.popleft()
            try:
                command()
            except Exception as error:  # noqa: BLE001  # it is the asking thread's
                done.set_exception(error)
            else:
                done.set_result(None)

    def park(self, inputs: Sequence[InputConfig], drain: float) -> None:
        """Close, drained, every socket that `inputs` do not want as it is, and read nothing from the others until `resume`.

        The sink must still commit; afterwards it only owes its verdicts on what it has.
        """
        leaving = [entry for entry in self._inputs if not any(entry.socket.serves(config) for config in inputs)]
        self._finish(leaving, drain)
        self._door.shut()
        for entry in leaving:
            self._close(entry)

    def resume(self, inputs: Sequence[InputConfig], sink: Sink) -> None:
        """Open what is new in `inputs`, and read all of them into `sink`.

        Raises:
            ConfigError: an input cannot be opened; it is parked as before then.
        """
        assert self._maker is not None
        staying = {entry.socket.config.name: entry for entry in self._inputs}
        try:
            for config in inputs:
                if config.name in staying:
                    self._become(staying[config.name], config)
                else:
                    self._open_input(self._maker, config)
        except BaseException:
            for entry in self._inputs[len(staying) :]:
                self._close(entry)
            raise
        opened = self._inputs[len(staying) :]
        order = [config.name for config in inputs]
        self._inputs = sorted(self._inputs, key=lambda entry: order.index(entry.socket.config.name))
        share_descriptors(self._inputs)
        self._door.open(sink)
        for entry in opened:
            entry.tell()

    def _become(self, entry: Input, config: InputConfig) -> None:
        entry.socket.become(config)
        entry.channel.become(config)
        self._allowed[entry.socket.domain] = (config.name, entry.socket.allowed)

    def _close(self, entry: Input) -> None:
        """Close one input for good, and wait until its endpoints are free."""
        self._acceptor.forget(entry.connections)
        for socket in (entry.connections.events, entry.socket.zmq):
            if socket in self._poller:
                self._poller.unregister(socket)
        bound = entry.socket.bound
        entry.connections.close()
        entry.socket.close()
        del self._allowed[entry.socket.domain]
        self._inputs = [one for one in self._inputs if one is not entry]
        await_free(bound, _FREE)

    def _pause(self) -> int | None:
        """Return how long the next poll may take, in milliseconds; None for ever."""
        pauses = []
        if any(entry.gate is Gate.WAIT for entry in self._inputs):
            pauses.append(_BUSY_PAUSE)
        if any(entry.gate is Gate.REFUSE for entry in self._inputs):
            pauses.append(_FULL_PAUSE)
        if any(entry.channel.stuck for entry in self._inputs):
            pauses.append(_BUSY_PAUSE)
        if any(entry.socket.dialer.waits for entry in self._inputs):
            pauses.append(_DIAL_PAUSE)
        if self._acceptor.paused:
            pauses.append(int(PAUSE * 1000))
        return min(pauses, default=None)

    def _step(self, timeout: int | None) -> list[Input]:
        """Poll once, do what is due, and return the inputs that received readings."""
        self._acceptor.prepare()
        ready = dict(self._poller.poll(timeout))
        if self._wake in ready:
            self._wakes()
        if self._authenticator is not None and self._authenticator.socket in ready:
            self._authenticator.handle()
        self._acceptor.admit(ready)
        time, synced = self._clock.now(), self._clock.synced()
        received = []
        for entry in self._inputs:
            if entry.connections.events in ready:
                entry.connections.update()
            if entry.connections.starved:
                entry.connections.starved = False
                self._acceptor.pause()
            entry.channel.flush()
            self._ask(entry)
            if entry.gate is not Gate.WAIT and entry.socket.zmq in ready and entry.channel.turn(time, synced):
                received.append(entry)
        if not ready or self._clock.monotonic() >= self._next_look:
            self._look_again()
        return received

    def _look_again(self) -> None:
        """Do what waits for time to pass: peers that took no answers, names that do not answer, listening again."""
        self._next_look = self._clock.monotonic() + _BUSY_PAUSE / 1000
        for entry in self._inputs:
            if entry.channel.stuck:
                entry.channel.retry()
            entry.socket.dialer.retry(self._clock.monotonic())
        self._acceptor.retry()

    def _ask(self, entry: Input) -> None:
        """Ask whether the input may be read, and poll its socket accordingly."""
        gate = entry.channel.gate()
        if gate is entry.gate:
            return
        if Gate.WAIT in {gate, entry.gate}:
            self._poller.modify(entry.socket.zmq, 0 if gate is Gate.WAIT else zmq.POLLIN)
        entry.gate = gate

    def _finish(self, leaving: Sequence[Input], drain: float) -> None:
        """Receive until nothing comes any more or the time is over; wait for the sink's decisions and send the last answers.

        Nothing is unbound before: that would close the connections, and lose what is on its way in them (PUSH) and every answer.
        """
        if not leaving:
            return
        now = self._clock.monotonic
        end = now() + drain
        quiet = now()
        while now() < min(end, quiet + _QUIET):
            received = self._step(_BUSY_PAUSE)
            if any(entry in received or entry.gate is Gate.WAIT for entry in leaving):
                quiet = now()
        self._answer(leaving, now() + _LAST_WAIT)
        self._last_readings([entry for entry in leaving if not entry.socket.config.pattern.acknowledges])

    def _answer(self, leaving: Sequence[Input], end: float) -> None:
        """Read nothing more where answers are due, until none is or the time is over."""
        answering = [entry for entry in leaving if entry.socket.config.pattern.acknowledges]
        for entry in answering:
            self._poller.modify(entry.socket.zmq, 0)
        while any(entry.channel.unanswered for entry in answering) and self._clock.monotonic() < end:
            if self._wake in dict(self._poller.poll(_FULL_PAUSE)):
                self._wakes()
            for entry in answering:
                entry.channel.flush()
        for entry in answering:
            entry.channel.retry()
            lost = entry.channel.abandon()
            if lost:
                events.answers_lost(input=entry.socket.config.name, count=lost)

    def _last_readings(self, leaving: Sequence[Input]) -> None:
        """Cut the inputs without answers off, and take what ZeroMQ has received of a producer that went on."""
        for entry in leaving:
            self._acceptor.forget(entry.connections)
            entry.socket.cut()
        end = self._clock.monotonic() + _LAST_READINGS
        while self._clock.monotonic() < end:
            received = self._step(0)
            if not any(entry in received for entry in leaving):
                break
        for entry in leaving:
            self._lose(entry, end)

    def _lose(self, entry: Input, end: float) -> None:
        """Count what the stream does not take and ZeroMQ holds: nobody else will."""
        lost = 0
        while self._clock.monotonic() < end and (readings := entry.channel.receive(0, False).readings):
            lost += readings
        if lost:
            entry.channel.metrics.lost += lost
            events.readings_lost(input=entry.socket.config.name, count=lost)

    def close(self) -> None:
        """Close everything."""
        for entry in self._inputs:
            entry.connections.close()
            entry.socket.close()
        if self._authenticator is not None:
            self._authenticator.close()
        if self._context is not None:
            self._context.destroy()  # closes what an error left open, and waits for the last answers
        with self._wake_lock:
            if self._wake >= 0:
                os.close(self._wake)
            self._wake = -1
