"""Message Endpoint (Hohpe, Woolf): the door for ZeroMQ programs.

Promises
- A peer of a pattern that answers gets its positive answer only after its reading is on disk; what is not kept is answered with the
  reason, never with silence.
- Nothing is read for which the spool has no room; a flooding input does not starve another; memory stays bounded.
- `start` returns when every endpoint is bound, or raises what is wrong; `stop` drains, answers, unbinds, and leaves nothing behind.
- Between `park` and `resume` the sink may be replaced; sockets that do not change stay open, and lose nothing of what ZeroMQ holds.

How: `receiver` is the one thread that owns the context and all sockets. `inputs` makes them: `sockets` (with `ipc`, `curve`, `zap`: what
each endpoint needs), `connections` (how many there are; `handshakes` and `causes`: why some came to nothing), and a pattern (`pull_sub`,
`rep`, `router_dealer`). `acceptor` lets connections in, `dialing` makes the input's own; `native` is the inner loop in C, `frames` the
one in Python for where that was not built; `replies` is the way back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import zmq

from device_agent import events
from device_agent.clock import Clock
from device_agent.config import InputConfig
from device_agent.descriptors import Descriptors
from device_agent.errors import DeviceAgentError
from device_agent.intake.check import address_of, check_free, check_inputs
from device_agent.intake.keys import make_keys
from device_agent.intake.native import library
from device_agent.intake.receiver import Receiver
from device_agent.metrics import Metrics
from device_agent.ports import Sink

__all__ = ["Intake", "check_free", "check_inputs", "make_keys", "receiver_path"]

_START: float = 30.0  # seconds; binding takes milliseconds, resolving a host name to connect to may take longer
_STOP: float = 10.0  # seconds beyond the drain time


def receiver_path() -> str:
    """Tell which path receives readings in this process: `native`, or `python` and why."""
    return str(library.find())


class Intake:
    """All inputs; started and stopped once."""

    def __init__(self, inputs: Sequence[InputConfig], *, sink: Sink, clock: Clock, metrics: Metrics, descriptors: Descriptors) -> None:
        """Prepare to receive from `inputs` into `sink`; nothing is opened yet."""
        self._receiver = Receiver(inputs, sink=sink, clock=clock, metrics=metrics, descriptors=descriptors)
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)
        self._opened = threading.Event()
        self._error: BaseException | None = None

    def start(self) -> None:
        """Return when every socket is bound.

        Raises:
            ConfigError: an input cannot be opened; none is open then.
        """
        self._thread.start()
        if not self._opened.wait(_START):
            raise DeviceAgentError(f"the inputs were not open after {_START:.0f} seconds; is a host name in `connect` slow to resolve?")
        if self._error is not None:
            self._thread.join()
            raise self._error
        events.receiver_path(receiver_path())

    def _run(self) -> None:
        try:
            self._receiver.open()
        except BaseException as error:  # noqa: BLE001  # start() raises it in its caller's thread
            self._error = error
            self._opened.set()
            return
        self._opened.set()
        try:
            self._receiver.run()
        except Exception as error:  # noqa: BLE001  # a bug: `alive` tells the agent, which stops and is started again
            events.receiver_died(error)
        finally:
            self._receiver.close()

    def stop(self, drain: float) -> None:
        """Unbind, receive what is there for at most `drain` seconds, send the last answers, close. The sink must still commit meanwhile.

        May be called without a start, or after one that failed.
        """
        if self._thread.ident is None:
            self._receiver.close()
            return
        self._receiver.stop(drain)
        self._thread.join(drain + _STOP)
        if self._thread.is_alive():
            raise DeviceAgentError(f"the receiver did not end within {drain + _STOP:.0f} seconds")

    def park(self, inputs: Sequence[InputConfig], *, drain: float) -> None:
        """Close, drained for at most `drain` seconds, the inputs that are not among `inputs` as they are; read nothing from the others.

        The sink may stop when this has returned: what it has taken is still answered.

        Raises:
            ConfigError: key files of `inputs` cannot be used; nothing has changed.
        """
        self._ask(lambda: self._receiver.park(inputs, drain), drain + _STOP)

    def resume(self, inputs: Sequence[InputConfig], *, sink: Sink) -> None:
        """After `park`: open what is new, and read `inputs` into `sink`.

        Raises:
            ConfigError: an input cannot be opened; nothing is read still, and `resume` may be called with other inputs.
        """
        self._ask(lambda: self._receiver.resume(inputs, sink), _START)

    def _ask(self, command: Callable[[], None], seconds: float) -> None:
        try:
            self._receiver.ask(command, seconds)
        except TimeoutError:
            raise DeviceAgentError(f"the receiver did not take a new configuration within {seconds:.0f} seconds") from None

    def up_to_date(self) -> bool:
        """Whether the key files still say what they said when they were read. Raises ConfigError."""
        return self._receiver.up_to_date()

    @property
    def addresses(self) -> frozenset[str]:
        """What is bound, as `address_of` tells it."""
        return frozenset(address_of(endpoint) for source in self._receiver.status().values() for endpoint in source["endpoints"]) - {""}

    @property
    def context(self) -> zmq.Context[zmq.Socket[bytes]]:
        """ZeroMQ's context, for sockets in this process that speak to inputs over inproc. After `start`."""
        return self._receiver.context

    @property
    def alive(self) -> bool:
        """Whether the receiver runs."""
        return self._thread.is_alive()

    def status(self) -> dict[str, dict[str, Any]]:
        """Describe each input by its name.

        Pattern, endpoints as bound, listening, peers, state (`read`, `refuse` or `wait`), and which path receives.
        """
        return {name: source | {"receiver": receiver_path()} for name, source in self._receiver.status().items()}
