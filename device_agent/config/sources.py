"""`[[input]]` of other kinds: what a source connects to or listens on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from device_agent.config.setting import Unit, setting
from device_agent.config.zeromq import InputConfig, Pattern, RouteConfig
from device_agent.wire.limits import MAX_READING

#: Kinds whose other side has a message no more once it was told "taken"; so one that is never taken is set aside first.
BROKERS: Final = frozenset({"mqtt"})
#: Keys that name a file for the agent alone.
SECRET_FILES: Final = ("password_file", "token_file", "private_key")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """Keys of every input that is not ZeroMQ."""

    name: str = setting("Name of the input, for status and logs.")
    kind: str = setting("What the other side speaks; each kind has keys of its own.")
    stream: str = setting("Stream that its readings go to.")
    route: tuple[RouteConfig, ...] = setting("Topics that go to other streams.", default=())
    window: int = setting(
        "Messages at most that are taken and not on disk yet; bounds memory: this x size. More share an fsync.", default=256
    )
    max_reading: int = setting("Largest message that is taken.", unit=Unit.SIZE, default=MAX_READING)

    #: What the topic of a message is, for people.
    labelled: ClassVar[str] = ""

    @property
    def place(self) -> str:
        """Where it connects or listens, for people."""
        raise NotImplementedError

    @property
    def encrypted(self) -> str:
        """What keeps others from reading along, for people."""
        raise NotImplementedError

    @property
    def inlet(self) -> InputConfig:
        """The ZeroMQ input that its messages go through: in this process, each answered when it is on disk."""
        return InputConfig(
            name=self.name, kind=self.kind, pattern=Pattern.ROUTER, stream=self.stream, bind=(f"inproc://source-{self.name}",),
            topic="first-frame", route=self.route, message_id="first-frame", skip_probes=False, max_reading=self.max_reading,
            max_connections=1,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttConfig(SourceConfig):
    """`[[input]]` with `kind = "mqtt"`: a client of an MQTT broker; a message is acknowledged when it is on disk."""

    url: str = setting("The broker: `mqtt://host:1883`, or `mqtts://host:8883` for TLS.", default="mqtt://localhost:1883")
    topics: tuple[str, ...] = setting("Topic filters to subscribe to, with the wildcards `+` and `#`; `$share/<group>/...` is shared.")
    qos: int = setting("1: the broker is told when a message is on disk, and sends it again until then. 0: nobody is told.", default=1)
    version: str = setting("MQTT version.", default="5")
    client_id: str = setting(
        "Names the session at the broker; empty: `<device id>.<name>`. Two clients of one id throw each other out.", default=""
    )
    username: str = setting("User at the broker; empty: none.", default="")
    password_file: str = setting("Path of a file with the password; must be readable by the agent alone (0600).", default="")
    ca: str = setting("`mqtts` only: path of the CA bundle; empty: the system's.", default="")
    certificate: str = setting("`mqtts` only: path of this client's certificate (PEM).", default="")
    private_key: str = setting("Path of its private key (PEM); must be readable by the agent alone (0600).", default="")
    keep_alive: float = setting("Silence after which the broker is asked whether it is there.", unit=Unit.DURATION, default=30.0)
    session_expiry: float = setting(
        "Version 5: how long the broker keeps messages for an agent that is away.", unit=Unit.DURATION, default=7 * 86400.0
    )

    labelled: ClassVar[str] = "MQTT's"

    @property
    def place(self) -> str:
        """See `SourceConfig`."""
        return f"connect {self.url}"

    @property
    def encrypted(self) -> str:
        """See `SourceConfig`."""
        return "TLS" if self.url.startswith("mqtts:") else "no"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig(SourceConfig):
    """`[[input]]` with `kind = "http"`: a server for `POST /v1/readings/<topic>`; the answer comes when the readings are on disk."""

    listen: str = setting("Address and port. Beyond loopback a token or the clients' certificates are required.", default="127.0.0.1:8580")
    token_file: str = setting("Path of a file with the token that clients send as `Authorization: Bearer ...` (0600).", default="")
    certificate: str = setting("TLS: path of the server's certificate (PEM).", default="")
    private_key: str = setting("TLS: path of its private key (PEM); must be readable by the agent alone (0600).", default="")
    client_ca: str = setting("TLS: path of the CA whose certificates clients must show; empty: they need none.", default="")
    max_connections: int = setting("Connections at most; further ones are not accepted.", default=100)

    labelled: ClassVar[str] = "the path"

    @property
    def place(self) -> str:
        """See `SourceConfig`."""
        return f"listen {self.listen}"

    @property
    def encrypted(self) -> str:
        """See `SourceConfig`."""
        return "TLS" if self.certificate else "no"
