"""`[[input]]` of ZeroMQ: the socket, its patterns, routes and keys."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from device_agent.config.setting import Unit, setting
from device_agent.wire.limits import MAX_READING

#: The kind of an input where nothing is said.
ZEROMQ: Final = "zeromq"


class Pattern(Enum):
    """ZeroMQ pattern of an input."""

    PULL = "pull"
    SUB = "sub"
    REP = "rep"
    ROUTER = "router"

    @property
    def acknowledges(self) -> bool:
        """Whether the peer is told when its reading is on disk."""
        return self in {Pattern.REP, Pattern.ROUTER}


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteConfig:
    """`[[input.route]]`: topics of an input that go to another stream; the longest matching prefix wins."""

    topic: str = setting("Prefix of the topic.")
    stream: str = setting("Stream for readings with such a topic.")


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveConfig:
    """`[input.curve]`: encryption and authentication of an input's peers."""

    secret_key: str = setting(
        "Path of this input's CURVE secret key (`device-agent keys`); must be readable by the agent alone (0600). May be left out beside "
        "`server_key`: then the input has a new key at each start.",
        default="",
    )
    allow: tuple[str, ...] = setting("Directory or files of the public keys that may connect; an empty list allows none.", default=())
    server_key: str = setting(
        "Public key of the program on the other side, a file or the 40 characters themselves: that program is the CURVE server, this input "
        "its client. Empty: this input is the server.",
        default="",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class InputConfig:
    """`[[input]]`: one ZeroMQ socket of the agent."""

    name: str = setting("Name of the input, for status and logs.")
    kind: str = setting("What the other side speaks; each kind has keys of its own.", default=ZEROMQ)
    pattern: Pattern = setting("`pull`, `sub`, `rep` or `router`.")
    stream: str = setting("Stream that its readings go to.")
    bind: tuple[str, ...] = setting("Endpoints to bind: `tcp://127.0.0.1:5555`, `ipc:///run/device-agent/x`.", default=())
    connect: tuple[str, ...] = setting("Endpoints to connect to.", default=())
    topic: str = setting(
        "`none`, `first-frame` (of readings with several frames the first, if it is text), or any other text: that topic for all.",
        default="none",
    )
    subscribe: tuple[str, ...] = setting("`sub` only: topic prefixes to subscribe to; the default is everything.", default=("",))
    route: tuple[RouteConfig, ...] = setting("Topics that go to other streams.", default=())
    reply: str = setting('`rep` only: a fixed answer instead of `{"ok":true,"stream":...,"seq":...}`.', default="")
    message_id: str = setting(
        "`router` only: `first-frame` (the answer begins with the reading's first frame) or `none` (answers in order).",
        choices=("none", "first-frame"),
        default="none",
    )
    skip_probes: bool = setting(
        "`router` only: an empty frame alone is a peer's probe (ZMQ_PROBE_ROUTER) and skipped; `false`: it is an empty reading.",
        default=True,
    )
    old_peers: bool = setting(
        "Without CURVE: serve peers of ZMTP 1.0 and 2.0 (libzmq before 4.0). `false`: turn them away, and with them what speaks no ZeroMQ: "
        "ZMTP 1.0 may begin with any bytes, so what a port scan sends may become a reading.",
        default=True,
    )
    high_water_mark: int = setting(
        "Messages that ZeroMQ may hold a peer (ZMQ_RCVHWM); bounds memory: peers x this x size.", bounds=(1, 1_000_000), default=1000
    )
    max_reading: int = setting(
        "Largest reading that is taken, all frames together.", unit=Unit.SIZE, bounds=(1, MAX_READING), default=MAX_READING
    )
    max_connections: int = setting("Peers at most; further ones are not accepted.", bounds=(1, 100_000), default=1000)
    curve: CurveConfig | None = setting("Encryption and an allow-list of peers.", default=None)

    @property
    def authenticates(self) -> bool:
        """Whether its peers prove who they are: it is the CURVE server."""
        return self.curve is not None and not self.curve.server_key

    @property
    def greets(self) -> bool:
        """Whether only peers come in that begin as ZMTP 3.0 does."""
        return self.curve is not None or not self.old_peers
