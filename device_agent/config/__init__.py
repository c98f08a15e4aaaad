"""Configuration: frozen types, one a table of the TOML file. Every default stands here, once, beside what it means.

The loader (`configfile`), the sample file and the reference page are made from these fields: `setting` carries the sentence for people
and the unit. Sizes are bytes, durations seconds, once loaded. A `Config` that exists is valid as far as one can tell without the disk
or the network; `device-agent check` looks at those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from device_agent.config.setting import Unit, setting
from device_agent.config.sources import AmqpConfig, HttpConfig, MqttConfig, SourceConfig
from device_agent.config.zeromq import ZEROMQ, CurveConfig, InputConfig, Pattern, RouteConfig
from device_agent.wire.limits import KIB, MAX_MESSAGE, MIB

__all__ = [
    "ZEROMQ", "AgentConfig", "AmqpConfig", "AwsConfig", "Config", "CurveConfig", "DeviceConfig", "HttpConfig", "InputConfig", "IotConfig",
    "MqttConfig", "Pattern", "RouteConfig", "SourceConfig", "SpoolConfig", "StreamConfig", "Unit", "UplinkConfig", "WhenFull",
]  # fmt: skip


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
        "Hard cap over everything in the directory: all streams, quarantine and journals. From 1 MiB.",
        unit=Unit.SIZE,
        bounds=(MIB, 2**50),
        default=256 * MIB,
    )
    keep_free: int = setting(
        "Space on the file system that is left to others: below it the spool counts as full.",
        unit=Unit.SIZE,
        bounds=(0, 2**50),
        default=16 * MIB,
    )
    when_full: WhenFull = setting(
        "At the cap: `block` (PULL and SUB are not read, REQ and DEALER are refused), `drop-oldest` or `drop-newest`.",
        default=WhenFull.BLOCK,
    )
    commit_interval: float = setting(
        "How long readings of PULL and SUB inputs may wait for their fsync; what a crash may cost of them.",
        unit=Unit.DURATION,
        bounds=(0.0, 60.0),
        default=1.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """`[[stream]]`: one log on disk and one queue in the cloud."""

    name: str = setting("Name of the stream; a partition of the lake.")
    queue: str = setting("URL of the SQS queue; `.fifo` at its end means FIFO.")
    linger: float = setting("How long an envelope may wait for more readings.", unit=Unit.DURATION, bounds=(0.0, 3600.0), default=5.0)
    max_envelope: int = setting(
        "Largest envelope; the default fills one billing unit of SQS.", unit=Unit.SIZE, bounds=(4 * KIB, MAX_MESSAGE), default=64 * KIB
    )
    pack: bool = setting(
        "Many readings a message; `false`: each reading is a message of its own, for consumers that do not know envelopes.", default=True
    )
    share: int = setting("Weight of this stream in the division of `spool.max_bytes`.", bounds=(1, 1000), default=1)
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

    senders: int = setting("Requests in flight at most (threads).", bounds=(1, 16), default=3)
    max_rate: int = setting("Cap on the bandwidth; 0: none.", unit=Unit.RATE, bounds=(0, 2**40), default=0)
    connect_timeout: float = setting("For a connection to the endpoint.", unit=Unit.DURATION, bounds=(0.1, 300.0), default=10.0)
    read_timeout: float = setting("For an answer of the endpoint.", unit=Unit.DURATION, bounds=(0.1, 300.0), default=30.0)
    backoff_first: float = setting("First delay after a failure; doubles with each.", unit=Unit.DURATION, bounds=(0.01, 60.0), default=0.2)
    backoff_cap: float = setting("Longest delay between tries.", unit=Unit.DURATION, bounds=(0.01, 3600.0), default=60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """`[agent]`: the daemon itself."""

    log_level: str = setting("`debug`, `info`, `warning` or `error`.", choices=("debug", "info", "warning", "error"), default="info")
    drain: float = setting("At a stop: how long to read what ZeroMQ still holds.", unit=Unit.DURATION, bounds=(0.0, 300.0), default=2.0)
    flush: float = setting(
        "At a stop: how long to go on sending. What is left is sent after the next start.",
        unit=Unit.DURATION,
        bounds=(0.0, 3600.0),
        default=5.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole file."""

    device: DeviceConfig
    aws: AwsConfig
    spool: SpoolConfig
    uplink: UplinkConfig = field(default_factory=UplinkConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    input: tuple[InputConfig | SourceConfig, ...] = ()
    stream: tuple[StreamConfig, ...] = ()

    @property
    def inlets(self) -> tuple[InputConfig, ...]:
        """The ZeroMQ socket behind each input."""
        return tuple(entry if isinstance(entry, InputConfig) else entry.inlet for entry in self.input)

    @property
    def sources(self) -> tuple[SourceConfig, ...]:
        """The inputs that are not ZeroMQ."""
        return tuple(entry for entry in self.input if not isinstance(entry, InputConfig))
