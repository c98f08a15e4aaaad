"""Input: one ZeroMQ socket with all that belongs to it, made from its configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import zmq

from device_agent import events
from device_agent.clock import Clock
from device_agent.config import ZEROMQ, InputConfig, Pattern
from device_agent.descriptors import demand, spare_for_connections
from device_agent.errors import ConfigError
from device_agent.intake.channel import Channel, Gate
from device_agent.intake.connections import Connections
from device_agent.intake.door import Door
from device_agent.intake.pull_sub import PullSub
from device_agent.intake.rep import Rep
from device_agent.intake.router_dealer import RouterDealer
from device_agent.intake.sockets import InputSocket
from device_agent.metrics import InputMetrics


@dataclass(slots=True)
class Input:
    """Belongs to the receiver's thread."""

    socket: InputSocket
    channel: Channel
    connections: Connections
    gate: Gate = Gate.READ

    def tell(self) -> None:
        """Log where it listens; of one that is not ZeroMQ its source does."""
        if self.socket.config.kind == ZEROMQ:
            events.input_open(input=self.socket.config.name, endpoints=self.socket.endpoints)

    def status(self) -> dict[str, Any]:
        """Describe it; also from other threads."""
        said = {
            "pattern": self.socket.config.pattern.value,
            "endpoints": self.socket.endpoints,
            "peers": self.connections.peers,
            "state": self.gate.value,
        }
        dials, failures = self.socket.dialer.status(), self.connections.handshakes.status()
        return said | ({"dials": dials} if dials else {}) | ({"handshakes": failures} if failures else {})


class Maker:
    """Makes inputs for one receiver."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], *, door: Door, wake: Callable[[], None], clock: Clock) -> None:
        """Remember what all inputs share."""
        self._context, self._door, self._wake, self._clock = context, door, wake, clock

    def make(self, config: InputConfig, *, zap_domain: bytes, metrics: InputMetrics) -> Input:
        """Make an input that is not bound yet; nothing is left open after an error.

        Raises:
            ConfigError: its keys cannot be used, or there are no file descriptors for it.
        """
        demand(_needed(config), what=f"input {config.name}", key=("input", config.name))
        try:
            socket = InputSocket(self._context, config, zap_domain=zap_domain)
            try:
                connections = Connections(self._context, socket, metrics=metrics, clock=self._clock)
            except zmq.ZMQError:
                socket.close()
                raise
        except zmq.ZMQError as error:
            raise ConfigError(f"input {config.name}: cannot be opened: {error.strerror}", key=("input", config.name)) from error
        return Input(socket, self._channel(config, socket.zmq, metrics), connections)

    def _channel(self, config: InputConfig, socket: zmq.Socket[bytes], metrics: InputMetrics) -> Channel:
        if config.pattern is Pattern.REP:
            return Rep(config, socket, sink=self._door, metrics=metrics, wake=self._wake)
        if config.pattern is Pattern.ROUTER:
            return RouterDealer(config, socket, sink=self._door, metrics=metrics, wake=self._wake)
        return PullSub(config, socket, sink=self._door, metrics=metrics, monotonic=self._clock.monotonic)


def _needed(config: InputConfig) -> int:
    """Return the file descriptors of an input before anybody connects (counted in /proc/self/fd), and two that are given back at once."""
    sockets = 3  # the input's, its monitor's two ends
    locks = sum(endpoint.startswith("ipc://") for endpoint in config.bind)
    return sockets + len(config.bind) + len(config.connect) + locks + 2


def share_descriptors(inputs: Sequence[Input]) -> None:
    """Bound the connections of all inputs by what the limit of open files leaves for them."""
    wanted = sum(entry.socket.config.max_connections for entry in inputs)
    free = max(0, spare_for_connections()) + sum(entry.connections.peers for entry in inputs)
    if free < wanted:
        events.descriptors_bound(connections=free, wanted=wanted)
    for entry in inputs:
        limit = entry.socket.config.max_connections
        entry.connections.limit = limit if free >= wanted else max(1, free * limit // wanted)
