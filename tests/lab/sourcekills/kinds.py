"""What is killed: for each kind of input its broker, its keys, its program, and the system calls between its steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from localcloud.brokers import Broker
from tests.lab.ports import own_ports
from tests.lab.sourcekills import mosquittolog
from tests.lab.sourcekills.agent import CLIENT, SourceAgent
from tests.lab.sourcekills.clients import CoapProgram, HttpProgram, NngProgram
from tests.lab.sourcekills.log import Log
from tests.lab.sourcekills.programs import Program
from tests.lab.sourcekills.publishers import QUEUE, AmqpProgram, MqttProgram, StompProgram
from tests.sources.brokers import ActiveMq, Mosquitto, RabbitMq

#: A system call of the agent, and at which one of a thread's it is killed.
Point = tuple[str, int]
#: Between receiver and writer: the log is written, and on disk.
_DISK: Final[tuple[Point, ...]] = (("pwrite64", 1), ("pwrite64", 2), ("fdatasync", 1), ("fdatasync", 2))
#: A message is read, handed to the receiver (`write` to an eventfd), on disk, and its acknowledgement leaves.
_SOCKET: Final[tuple[Point, ...]] = (
    ("recvfrom", 1), ("recvfrom", 5), ("write", 1), ("write", 3), *_DISK, ("sendto", 1), ("sendto", 2),
)  # fmt: skip
#: NNG reads and writes in threads of its own.
_NNG: Final[tuple[Point, ...]] = (("readv", 1), ("readv", 3), ("write", 1), ("write", 3), *_DISK, ("sendmsg", 1), ("sendmsg", 2))


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of input."""

    name: str
    points: tuple[Point, ...]
    keys: Callable[[Any], str]  # of the input; gets the broker, or a port
    program: Callable[..., Program]  # gets the same
    broker: type[Broker] | None = None
    #: Whether readings say if the broker had sent them before.
    flagged: bool = False


def _listening(kind: str) -> Callable[[int], str]:
    return lambda port: f'kind = "{kind}"\nlisten = "127.0.0.1:{port}"'


KINDS: Final = {
    one.name: one
    for one in (
        Kind(
            "mqtt",
            _SOCKET,
            lambda broker: f'kind = "mqtt"\nurl = "{broker.url}"\ntopics = ["a/#"]\nversion = "5"\nproperties = true',
            MqttProgram,
            Mosquitto,
            flagged=True,
        ),
        Kind(
            "amqp",
            _SOCKET,
            lambda broker: f'kind = "amqp"\nurl = "{broker.url}"\nqueue = "{QUEUE}"',
            AmqpProgram,
            RabbitMq,
        ),
        Kind(
            "stomp",
            _SOCKET,
            lambda broker: f'kind = "stomp"\nurl = "{broker.url}"\ndestination = "/queue/{QUEUE}"',
            StompProgram,
            ActiveMq,
        ),
        Kind("http", _SOCKET, _listening("http"), HttpProgram),
        Kind("coap", _SOCKET, _listening("coap"), CoapProgram),
        Kind(
            "nng",
            _NNG,
            lambda port: f'kind = "nng"\npattern = "rep"\nbind = ["tcp://127.0.0.1:{port}"]',
            lambda port: NngProgram(f"tcp://127.0.0.1:{port}"),
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class World:
    """An agent that is not started, its broker that is, and a program."""

    kind: Kind
    agent: SourceAgent
    broker: Broker | None
    program: Program
    log: Log

    def may_double(self, kills: int) -> int:
        """Return how many messages may be there twice after so many kills (docs/sources.md): what was not acknowledged comes again.

        Mosquitto 2.0.11 sends more than the window to a client that has come back, so its own log says how many it was owed.
        """
        if isinstance(self.broker, Mosquitto):
            return sum(mosquittolog.owed(self.broker.log, CLIENT))
        return kills * (self.agent.window if self.broker is not None else self.program.senders)

    @property
    def owed(self) -> int:
        """Messages that the broker has sent and that are not acknowledged, where it says so."""
        return mosquittolog.owed(self.broker.log, CLIENT)[-1] if isinstance(self.broker, Mosquitto) else 0


@contextmanager
def world(kind: Kind, folder: Path, *, window: int, size: int = 100, **broker: str) -> Iterator[World]:
    """Make one; `broker`: settings of the broker that are not the usual ones."""
    folder.mkdir(exist_ok=True)
    with _broker(kind, folder / "broker", broker) as server, SourceAgent(folder, window=window) as agent:
        other: Any = server or own_ports(1)[0]
        agent.configure(kind.keys(other))
        program = kind.program(other) if server is None else kind.program(server, size=size)
        try:
            yield World(kind, agent, server, program, Log(agent, events=kind.flagged))
        finally:
            agent.kill()
            program.close()


@contextmanager
def _broker(kind: Kind, folder: Path, settings: dict[str, str]) -> Iterator[Broker | None]:
    if kind.broker is None:
        yield None
        return
    folder.mkdir()
    with kind.broker(folder, **settings) as server:
        yield server
