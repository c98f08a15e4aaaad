"""Configuration: frozen types, one a table of the TOML file. Every default stands here, once, beside what it means.

The loader (`configfile`), the sample file and the reference page are made from these fields: `setting` carries the sentence for people
and the unit. Sizes are bytes, durations seconds, once loaded. A `Config` that exists is valid as far as one can tell without the disk
or the network; `device-agent check` looks at those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Final

from device_agent.wire.limits import KIB, MAX_MESSAGE, MAX_READING, MIB

#: Metadata keys of a field.
DOC: Final = "doc"
UNIT: Final = "unit"


class Unit(Enum):
    """How a number is written in the file."""

    NONE = "none"
    SIZE = "size"  # "64 KiB"
    DURATION = "duration"  # "5s"
    RATE = "rate"  # "200 KiB/s"


def setting(doc: str, *, unit: Unit = Unit.NONE, **kwargs: Any) -> Any:
    """Return a dataclass field with its sentence and unit; without `default` the key is required."""
    return field(metadata={DOC: doc, UNIT: unit}, **kwargs)


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


class WhenFull(Enum):
    """What happens when the spool's cap is reached."""

    BLOCK = "block"
    DROP_OLDEST = "drop-oldest"
    DROP_NEWEST = "drop-newest"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfig:
    """`[device]`: who this board is."""

    id: str = setting("Name of this device, unique in the fleet. Never reuse one for another board.")


@dataclass(frozen=True, slots=True, kw_only=True)
class IotConfig:
    """`[aws.iot]`: credentials from the AWS IoT credentials provider, with the device's X.509 certificate."""

    endpoint: str = setting("Host of the credentials provider: `aws iot describe-endpoint --endpoint-type iot:CredentialProvider`.")
    role_alias: str = setting("Role alias; the identity stack's output `RoleAlias`.")
    certificate: str = setting("Path of the device certificate (PEM).")
    private_key: str = setting("Path of its private key (PEM); must be readable by the agent alone (0600).")
    ca: str = setting("Path of the CA bundle; empty: the system's.", default="")
    thing: str = setting("Thing name; empty: the header is not sent.", default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsConfig:
    """`[aws]`: where the queues are and how to sign."""

    region: str = setting("AWS region of the queues.")
    endpoint_url: str = setting("Another SQS endpoint than AWS's own, for the local cloud or a VPC endpoint.", default="")
    profile: str = setting("Profile of the shared AWS config files; empty: boto3's own chain of credentials.", default="")
    iot: IotConfig | None = setting("Credentials by certificate instead of boto3's chain.", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolConfig:
    """`[spool]`: the log on disk."""

    directory: str = setting("Where the log lives; a directory of the agent's own, on the card or disk that must survive power cuts.")
    max_bytes: int = setting(
        "Hard cap over everything in the directory: all streams, quarantine and journals. From 1 MiB.", unit=Unit.SIZE, default=256 * MIB
    )
    keep_free: int = setting(
        "Space on the file system that is left to others: below it the spool counts as full.", unit=Unit.SIZE, default=16 * MIB
    )
    when_full: WhenFull = setting(
        "At the cap: `block` (PULL and SUB are not read, REQ and DEALER are refused), `drop-oldest` or `drop-newest`.",
        default=WhenFull.BLOCK,
    )
    commit_interval: float = setting(
        "How long readings of PULL and SUB inputs may wait for their fsync; what a crash may cost of them.", unit=Unit.DURATION, default=1.0
    )


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
    kind: str = setting("What the other side speaks; each kind has keys of its own.", default="zeromq")
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
        "`router` only: `first-frame` (the answer begins with the reading's first frame) or `none` (answers in order).", default="none"
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
    high_water_mark: int = setting("Messages that ZeroMQ may hold a peer (ZMQ_RCVHWM); bounds memory: peers x this x size.", default=1000)
    max_reading: int = setting("Largest reading that is taken, all frames together.", unit=Unit.SIZE, default=MAX_READING)
    max_connections: int = setting("Peers at most; further ones are not accepted.", default=1000)
    curve: CurveConfig | None = setting("Encryption and an allow-list of peers.", default=None)

    @property
    def authenticates(self) -> bool:
        """Whether its peers prove who they are: it is the CURVE server."""
        return self.curve is not None and not self.curve.server_key

    @property
    def greets(self) -> bool:
        """Whether only peers come in that begin as ZMTP 3.0 does."""
        return self.curve is not None or not self.old_peers


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


#: Tables of `[[input]]` by their `kind`.
KINDS: Final[dict[str, type]] = {"zeromq": InputConfig, "mqtt": MqttConfig, "http": HttpConfig}


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """`[[stream]]`: one log on disk and one queue in the cloud."""

    name: str = setting("Name of the stream; a partition of the lake.")
    queue: str = setting("URL of the SQS queue; `.fifo` at its end means FIFO.")
    linger: float = setting("How long an envelope may wait for more readings.", unit=Unit.DURATION, default=5.0)
    max_envelope: int = setting("Largest envelope; the default fills one billing unit of SQS.", unit=Unit.SIZE, default=64 * KIB)
    pack: bool = setting(
        "Many readings a message; `false`: each reading is a message of its own, for consumers that do not know envelopes.", default=True
    )
    share: int = setting("Weight of this stream in the division of `spool.max_bytes`.", default=1)
    group: str = setting(
        "Message group id, with `{device}` and `{stream}`; empty: `{device}.{stream}` on FIFO, none on standard queues.", default=""
    )

    @property
    def fifo(self) -> bool:
        """Whether the queue is FIFO: SQS demands the suffix."""
        return self.queue.endswith(".fifo")


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkConfig:
    """`[uplink]`: how the agent sends."""

    senders: int = setting("Requests in flight at most (threads).", default=3)
    max_rate: int = setting("Cap on the bandwidth; 0: none.", unit=Unit.RATE, default=0)
    connect_timeout: float = setting("For a connection to the endpoint.", unit=Unit.DURATION, default=10.0)
    read_timeout: float = setting("For an answer of the endpoint.", unit=Unit.DURATION, default=30.0)
    backoff_first: float = setting("First delay after a failure; doubles with each.", unit=Unit.DURATION, default=0.2)
    backoff_cap: float = setting("Longest delay between tries.", unit=Unit.DURATION, default=60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """`[agent]`: the daemon itself."""

    log_level: str = setting("`debug`, `info`, `warning` or `error`.", default="info")
    drain: float = setting("At a stop: how long to read what ZeroMQ still holds.", unit=Unit.DURATION, default=2.0)
    flush: float = setting(
        "At a stop: how long to go on sending. What is left is sent after the next start.", unit=Unit.DURATION, default=5.0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole file."""

    device: DeviceConfig
    aws: AwsConfig
    spool: SpoolConfig
    uplink: UplinkConfig = field(default_factory=UplinkConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    input: tuple[InputConfig | MqttConfig | HttpConfig, ...] = ()
    stream: tuple[StreamConfig, ...] = ()

    @property
    def inlets(self) -> tuple[InputConfig, ...]:
        """The ZeroMQ socket behind each input."""
        return tuple(entry if isinstance(entry, InputConfig) else entry.inlet for entry in self.input)

    @property
    def sources(self) -> tuple[MqttConfig | HttpConfig, ...]:
        """The inputs that are not ZeroMQ."""
        return tuple(entry for entry in self.input if not isinstance(entry, InputConfig))


#: Bounds that the loader enforces: (smallest, largest), in bytes, seconds or pieces.
BOUNDS: Final[dict[tuple[type, str], tuple[float, float]]] = {
    (SpoolConfig, "max_bytes"): (MIB, 2**50),
    (SpoolConfig, "keep_free"): (0, 2**50),
    (SpoolConfig, "commit_interval"): (0.0, 60.0),
    (InputConfig, "high_water_mark"): (1, 1_000_000),
    (InputConfig, "max_reading"): (1, MAX_READING),
    (InputConfig, "max_connections"): (1, 100_000),
    (MqttConfig, "window"): (1, 1000),
    (MqttConfig, "max_reading"): (1, MAX_READING),
    (MqttConfig, "qos"): (0, 1),
    (MqttConfig, "keep_alive"): (5.0, 3600.0),
    (MqttConfig, "session_expiry"): (0.0, 365 * 86400.0),
    (HttpConfig, "window"): (1, 1000),
    (HttpConfig, "max_reading"): (1, MAX_READING),
    (HttpConfig, "max_connections"): (1, 10_000),
    (StreamConfig, "linger"): (0.0, 3600.0),
    (StreamConfig, "max_envelope"): (4 * KIB, MAX_MESSAGE),
    (StreamConfig, "share"): (1, 1000),
    (UplinkConfig, "senders"): (1, 16),
    (UplinkConfig, "max_rate"): (0, 2**40),
    (UplinkConfig, "connect_timeout"): (0.1, 300.0),
    (UplinkConfig, "read_timeout"): (0.1, 300.0),
    (UplinkConfig, "backoff_first"): (0.01, 60.0),
    (UplinkConfig, "backoff_cap"): (0.01, 3600.0),
    (AgentConfig, "drain"): (0.0, 300.0),
    (AgentConfig, "flush"): (0.0, 3600.0),
}

#: Texts that the loader allows, where a key takes a few words only.
CHOICES: Final[dict[tuple[type, str], tuple[str, ...]]] = {
    (InputConfig, "kind"): tuple(KINDS),
    (MqttConfig, "kind"): tuple(KINDS),
    (HttpConfig, "kind"): tuple(KINDS),
    (MqttConfig, "version"): ("5", "3.1.1"),
    (InputConfig, "message_id"): ("none", "first-frame"),
    (AgentConfig, "log_level"): ("debug", "info", "warning", "error"),
}
