"""Configuration: what `cdk -c key=value` may say, read once, checked, frozen.

A deployment is decided by five context values and nothing else: no environment variable, no AWS call, no git call and no
clock is read at synth, so the same tree and the same values give the same template.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.bundle import Target
from infra.stages import STAGES, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constructs import Node

ENCRYPTIONS = ("sqs", "kms")
"""`sqs`: keys that AWS owns, free of charge. `kms`: one customer key for queues, lake, tables and alarms, $1 a month and its calls."""

ARCHITECTURES = ("arm64", "x86_64")

BUNDLES = ("aws", "host")
"""`aws`: wheels for Lambda, from the package registry. `host`: what this interpreter has installed, for the local cloud and tests."""


TRACING = ("off", "on")
"""`on`: X-Ray samples invocations, $5 per million traces; devices start none, so a trace begins at the queue."""


class SettingsError(ValueError):
    """A context value that this app does not know; the text names the key, the value and the choices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One deployment: which stage, which keys, which processor, which bundle, traced or not."""

    stage: Stage
    sse: str
    arch: str
    bundle: str
    tracing: str = "off"

    def __post_init__(self) -> None:
        """Refuse what is not on the lists above."""
        _one_of("sse", self.sse, ENCRYPTIONS)
        _one_of("arch", self.arch, ARCHITECTURES)
        _one_of("bundle", self.bundle, BUNDLES)
        _one_of("tracing", self.tracing, TRACING)

    @classmethod
    def from_context(cls, node: Node) -> Settings:
        """Read the context of `cdk -c key=value` or of `cdk.json`; what is absent gets the default of this method."""

        def value(key: str, default: str) -> str:
            found = node.try_get_context(key)
            return default if found is None else str(found)

        stage = _one_of("stage", value("stage", "dev"), tuple(STAGES))
        return cls(
            stage=STAGES[stage],
            sse=value("sse", "sqs"),
            arch=value("arch", "arm64"),
            bundle=value("bundle", "aws"),
            tracing=value("tracing", "off"),
        )

    @property
    def name(self) -> str:
        """Prefix of the stack names, and the name of what must be typed by hand (role alias, IoT policy, thing type)."""
        return f"device-agent-{self.stage.name}"

    @property
    def sql_name(self) -> str:
        """The same for SQL, which has no hyphen in names: `device_agent_dev`."""
        return self.name.replace("-", "_")

    @property
    def bundle_target(self) -> Target:
        """What the functions' bundle is made for."""
        return Target(host=self.bundle == "host", arch=self.arch)

    @property
    def traced(self) -> bool:
        """Whether the functions send traces to X-Ray."""
        return self.tracing == "on"

    @property
    def customer_key(self) -> bool:
        """Whether a customer managed KMS key encrypts everything."""
        return self.sse == "kms"


def _one_of(key: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise SettingsError(f"context value {key}={value!r} is unknown; use one of: -c {key}={f', -c {key}='.join(choices)}")
    return value
