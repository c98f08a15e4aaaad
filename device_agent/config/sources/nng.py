"""`[[input]]` with `kind = "nng"`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import ClassVar, Final

from device_agent.config import endpoints
from device_agent.config.setting import Unit, setting
from device_agent.config.sources.base import Key, Mistake, SourceConfig, pair
from device_agent.wire.labels import is_label
from device_agent.wire.limits import MAX_LABEL

_EXAMPLE: Final = "tcp://127.0.0.1:5560 or ipc:///run/device-agent/sensors"
_TRANSPORTS: Final = ("tcp", "ipc", "tls+tcp", "ws")
#: Keys that mean something for one pattern only.
_ONLY: Final = {"subscribe": "sub", "reply": "rep", "request": "surveyor", "every": "surveyor", "timeout": "surveyor"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NngConfig(SourceConfig):
    """`[[input]]` with `kind = "nng"`: a socket for programs of nanomsg or NNG; a REQ is answered when its reading is on disk."""

    pattern: str = setting(
        "`pull`, `sub`, `rep`, or `surveyor` (asks; what is answered are readings).", choices=("pull", "sub", "rep", "surveyor")
    )
    bind: tuple[str, ...] = setting(
        "Endpoints to listen on: `tcp://127.0.0.1:5560`, `ipc:///run/device-agent/x`, `tls+tcp://...`, `ws://...`.", default=()
    )
    connect: tuple[str, ...] = setting("Endpoints to connect to.", default=())
    topic: str = setting(
        "The topic of all readings. Empty: for `sub` the longest prefix in `subscribe` that fits, for `surveyor` who answered, else none.",
        default="",
    )
    subscribe: tuple[str, ...] = setting("`sub` only: prefixes of the messages to subscribe to; the default is everything.", default=("",))
    reply: str = setting('`rep` only: a fixed answer instead of `{"ok":true,"stream":...,"seq":...}`.', default="")
    request: str = setting("`surveyor` only: what is asked.", default="")
    every: float = setting("`surveyor` only: from one question to the next.", unit=Unit.DURATION, bounds=(0.1, 86400.0), default=10.0)
    timeout: float = setting("`surveyor` only: how long answers are waited for.", unit=Unit.DURATION, bounds=(0.01, 3600.0), default=1.0)
    certificate: str = setting("`tls+tcp://` only: path of the agent's certificate (PEM).", default="")
    private_key: str = setting("Path of its private key (PEM); must be readable by the agent alone (0600).", secret=True, default="")
    client_ca: str = setting(
        "`bind` with `tls+tcp://`: path of the CA whose certificates peers must show; empty: they need none.", default=""
    )
    ca: str = setting("`connect` with `tls+tcp://`: path of the CA that signed the other side's certificate.", default="")
    max_connections: int = setting("Peers at most; the connections of further ones are closed.", bounds=(1, 10_000), default=100)

    SOURCE: ClassVar[str] = "device_agent.sources.nng:make"
    NEEDS: ClassVar[str] = "pynng 0.8 or newer: pip install 'device-agent[nng]'"
    TOPIC: ClassVar[str] = "fixed, the subscription, or who answered"

    @property
    def place(self) -> str:
        """See `SourceConfig`."""
        parts = [f"{key} {', '.join(given)}" for key, given in (("bind", self.bind), ("connect", self.connect)) if given]
        return "; ".join(parts)

    @property
    def encrypted(self) -> str:
        """See `SourceConfig`."""
        return "TLS" if all(_is_tls(endpoint) for endpoint in (*self.bind, *self.connect)) else "no"

    @property
    def insists(self) -> bool:
        """See `SourceConfig`: whoever has asked is told, and decides."""
        return self.pattern != "rep"

    @property
    def authenticates(self) -> bool:
        """See `SourceConfig`."""
        return bool(self.client_ca)

    @property
    def binds(self) -> tuple[tuple[str, Key], ...]:
        """See `SourceConfig`."""
        return tuple((_as_zeromq(endpoint), ("bind", position)) for position, endpoint in enumerate(self.bind))

    @property
    def hands_over(self) -> bool:
        """See `SourceConfig`. Only a REQ has its message still, and is told why it is not taken."""
        return self.pattern != "rep"

    def mistakes(self) -> Iterator[Mistake]:
        """See `SourceConfig`."""
        if not self.bind and not self.connect:
            yield (), 'needs bind or connect, such as bind = ["tcp://127.0.0.1:5560"]'
        for key, given in (("bind", self.bind), ("connect", self.connect)):
            for position, endpoint in enumerate(given):
                problem = _problem(endpoint, bind=key == "bind")
                if problem:
                    yield (key, position), problem
        yield from self._misplaced()
        yield from self._topics()
        yield from self._tls()

    def _misplaced(self) -> Iterator[Mistake]:
        # Without a pattern, which is a mistake of its own, nothing is misplaced.
        defaults = {item.name: item.default for item in fields(self)}
        for key, pattern in _ONLY.items():
            if self.pattern not in {pattern, ""} and getattr(self, key) != defaults[key]:
                yield key, f"is for {pattern} inputs only; this one is {self.pattern}"
        if self.pattern == "surveyor" and self.timeout > self.every:
            yield "timeout", "must not be above every: a question ends the one before it"

    def _topics(self) -> Iterator[Mistake]:
        if not is_label(self.topic):
            yield "topic", f"must be at most {MAX_LABEL} bytes of UTF-8"
        for position, prefix in enumerate(self.subscribe):
            if not is_label(prefix):
                yield ("subscribe", position), f"must be at most {MAX_LABEL} bytes of UTF-8"
        if self.route and not self.topic and self.pattern in {"pull", "rep"}:
            yield "route", f"needs topics, and the messages of a {self.pattern} input have none; set stream, or topic"

    def _tls(self) -> Iterator[Mistake]:
        if not self.bind and not self.connect:
            return  # a mistake of its own
        yield from pair(self.certificate, self.private_key)
        listens, calls = any(map(_is_tls, self.bind)), any(map(_is_tls, self.connect))
        if listens and not self.certificate and not self.private_key:
            yield "certificate", "missing; tls+tcp:// under bind needs certificate and private_key"
        if calls and not self.ca:
            yield "ca", "missing; tls+tcp:// under connect needs the CA that signed the other side's certificate"
        if self.certificate and not listens and not calls:
            yield "certificate", "is for tls+tcp:// only"
        if self.client_ca and not listens:
            yield "client_ca", "is for tls+tcp:// under bind only"
        if self.ca and not calls:
            yield "ca", "is for tls+tcp:// under connect only"


def _is_tls(endpoint: str) -> bool:
    return endpoint.startswith("tls+tcp://")


def _as_zeromq(endpoint: str) -> str:
    """How ZeroMQ writes the address that an endpoint takes."""
    transport, _, rest = endpoint.partition("://")
    return endpoint if transport == "ipc" else f"tcp://{rest.partition('/')[0]}"


def _problem(endpoint: str, *, bind: bool) -> str:
    transport, separator, _ = endpoint.partition("://")
    if not separator:
        return f"{endpoint!r} has no transport; write {_EXAMPLE}"
    if transport not in _TRANSPORTS:
        return f"{endpoint!r}: transport must be one of {', '.join(_TRANSPORTS)}"
    plain = _as_zeromq(endpoint)
    if transport != "ws" and plain.partition("://")[2] != endpoint.partition("://")[2]:
        return f"{endpoint!r} must end with the port"
    try:
        endpoints.check(plain, bind=bind)
    except ValueError as error:
        return str(error).replace(repr(plain), repr(endpoint))
    return ""
