"""Key table: every key of the configuration with what is known of it, out of the fields of `device_agent.config`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, dataclass, fields
from enum import Enum
from typing import Any, Final, get_args, get_origin

from device_agent.cli import sample
from device_agent.config import ZEROMQ, Config, InputConfig, SourceConfig, Unit
from device_agent.config.setting import bounds_of, choices_of, doc_of, unit_of
from device_agent.config.sources import BUILT_IN
from device_agent.configfile import environment, units
from device_agent.configfile.build import hints, required, table_of

#: Values to show where the default is empty, or there is none; by the key's path.
_EXAMPLES: Final = {
    "device.id": '"board-7"',
    "aws.region": '"eu-central-1"',
    "aws.endpoint_url": '"http://localhost:4566"',
    "aws.profile": '"board"',
    "aws.iot.endpoint": '"c1a2b3d4e5f6g7.credentials.iot.eu-central-1.amazonaws.com"',
    "aws.iot.role_alias": '"device-agent-dev"',
    "aws.iot.certificate": '"/etc/device-agent/certificate.pem"',
    "aws.iot.private_key": '"/etc/device-agent/private.key"',
    "aws.iot.ca": '"/etc/ssl/certs/ca-certificates.crt"',
    "aws.iot.thing": '"board-7"',
    "spool.directory": '"/var/lib/device-agent"',
    "uplink.max_rate": '"200 KiB/s"',
    "input.name": '"sensors"',
    "input.pattern": '"pull"',
    "input.stream": '"telemetry"',
    "input.bind": '["tcp://127.0.0.1:5555", "ipc:///run/device-agent/sensors"]',
    "input.connect": '["tcp://gateway.local:5556"]',
    "input.topic": '"first-frame"',
    "input.subscribe": '["temperature/", "humidity/"]',
    "input.reply": '"World"',
    "input.route.topic": '"alarm/"',
    "input.route.stream": '"events"',
    "input.curve.secret_key": '"/etc/device-agent/keys/agent.key_secret"',
    "input.curve.allow": '["/etc/device-agent/keys/boards"]',
    "input.curve.server_key": '"/etc/device-agent/keys/camera.key"',
    "input.topics": '["sensors/#", "$share/agents/alarms/+"]',
    "input.queue": '"hello"',
    "input.exchange": '"readings"',
    "input.keys": '["temperature.#", "*.alarm"]',
    "input.client_id": '"board-7.sensors"',
    "input.username": '"agent"',
    "input.password_file": '"/etc/device-agent/keys/mqtt-password"',
    "input.endpoints": '["tcp://127.0.0.1:5560", "ipc:///run/sensors/humidity"]',
    "input.request": '"read"',
    "input.observe": '["coap://10.0.0.5/sensors/light"]',
    "input.token_file": '"/etc/device-agent/keys/token"',
    "input.destination": '"/queue/hello"',
    "input.ca": '"/etc/ssl/certs/ca-certificates.crt"',
    "input.client_ca": '"/etc/device-agent/keys/clients.pem"',
    "input.certificate": '"/etc/device-agent/keys/agent.pem"',
    "input.private_key": '"/etc/device-agent/keys/agent.key"',
    "stream.name": '"telemetry"',
    "stream.queue": '"https://sqs.eu-central-1.amazonaws.com/123456789012/telemetry"',
    "stream.group": '"{device}.{stream}"',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of the file."""

    path: tuple[str, ...]
    type: type
    array: bool
    kind: str = ""  # of `[[input]]`, where it is not ZeroMQ

    @property
    def header(self) -> str:
        """What it is called."""
        name = ".".join(self.path)
        return f'[[{name}]] kind = "{self.kind}"' if self.kind else f"[[{name}]]" if self.array else f"[{name}]"

    @property
    def opening(self) -> str:
        """How it begins in a file."""
        return self.header.replace("]] ", "]]\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key of a table."""

    table: Table
    item: Field[Any]

    @property
    def name(self) -> str:
        """Its path: `input.bind`."""
        return ".".join((*self.table.path, self.item.name))

    @property
    def says(self) -> str:
        """What it means, for people."""
        return doc_of(self.item)

    @property
    def default(self) -> str:
        """Its default as it stands in a file; empty if it has none."""
        return "" if required(self.item) else sample.default(self.item)

    @property
    def choices(self) -> tuple[str, ...]:
        """The texts that it takes, where these are a few."""
        hint = hints(self.table.type)[self.item.name]
        if isinstance(hint, type) and issubclass(hint, Enum):
            return tuple(str(member.value) for member in hint)
        if self.name == "input.kind":
            return (ZEROMQ, *BUILT_IN)
        return choices_of(self.item)

    @property
    def kind(self) -> str:
        """What its value is, with its bounds; empty if it has `choices`."""
        hint, unit = hints(self.table.type)[self.item.name], unit_of(self.item)
        if self.choices:
            return ""
        if get_origin(hint) is tuple:
            return "list of texts"
        plain = {str: "text", int: "whole number", bool: "true or false"}
        kind = unit.value if unit is not Unit.NONE else plain[get_args(hint)[0] if get_args(hint) else hint]
        bounds = bounds_of(self.item)
        if bounds is not None:
            low, high = bounds
            kind += f", {units.show(low, unit)} to {units.show(high, unit)}"
        return kind

    @property
    def variable(self) -> str:
        """The environment variable that overrides it; empty if there is none."""
        path = self.table.path
        if path == ("input", "route"):
            return ""
        named = path if path[0] not in {"input", "stream"} else (path[0], "<NAME>", *path[1:])
        return f"{environment.PREFIX}{'_'.join(part.upper() for part in (*named, self.item.name))}"

    @property
    def example(self) -> str:
        """A value as it may stand in a file."""
        return _EXAMPLES.get(self.name) or self.default


def tables(cls: type = Config, path: tuple[str, ...] = (), *, array: bool = False) -> Iterator[Table]:
    """Yield every table, in the order of the file."""
    if path:
        yield Table(path=path, type=cls, array=array)
    for item in fields(cls):
        inner = table_of(hints(cls)[item.name])
        if inner is not None:
            yield from tables(inner, (*path, item.name), array=get_origin(hints(cls)[item.name]) is tuple)
        if inner is InputConfig:
            yield from (Table(path=(item.name,), type=one, array=True, kind=kind) for kind, one in BUILT_IN.items())


def keys(table: Table) -> Iterator[Key]:
    """Yield the keys of a table, without the tables in it; of a kind of input without those that every input has."""
    shared = {item.name for item in fields(SourceConfig)} & {item.name for item in fields(InputConfig)} if table.kind else set()
    for item in fields(table.type):
        if item.name not in shared and table_of(hints(table.type)[item.name]) is None:
            yield Key(table=table, item=item)
