"""The real app.py, synthesised twice a session (dev with SSE-SQS, prod with a customer key), read as data.

Each synth is a process of its own, as `cdk synth` does it; both run at once, since that is what takes the time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

Resource = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One template and how to ask it."""

    path: Path
    template: dict[str, Any]

    def of_type(self, kind: str) -> dict[str, Resource]:
        """Logical id -> resource, for one CloudFormation type; never empty, so that no loop over it is vacuous."""
        found = {name: found for name, found in self.template["Resources"].items() if found["Type"] == kind}
        assert found, f"no {kind} in {self.path.name}"
        return found

    def one(self, kind: str, prefix: str) -> tuple[str, dict[str, Any]]:
        """Logical id and properties of the one resource of a type whose logical id starts so."""
        found = [(name, resource) for name, resource in self.of_type(kind).items() if name.startswith(prefix)]
        assert len(found) == 1, f"{kind} {prefix}*: {[name for name, _ in found]}"
        return found[0][0], found[0][1]["Properties"]

    def resource(self, reference: Any) -> dict[str, Any]:
        """Properties of what a `Ref` or `Fn::GetAtt` names."""
        name = reference.get("Ref") or reference["Fn::GetAtt"][0]
        return self.template["Resources"][name]["Properties"]


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A synthesised app."""

    ingestion: Stack
    identity: Stack
    customer_key: bool
    keeps_data: bool

    @property
    def name(self) -> str:
        """What the stage's resources are called."""
        return self.ingestion.path.name.removesuffix("-ingestion.template.json")

    @property
    def stacks(self) -> tuple[Stack, Stack]:
        return self.ingestion, self.identity


def start_synth(folder: Path, *, app: str = "app.py", **context: str) -> subprocess.Popen[str]:
    """Run an app as the CDK command line runs it: app.py, or another script."""
    values = json.loads((ROOT / "cdk.json").read_text())["context"] | {"bundle": "host"} | context
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "CDK_"))}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # node is there
        "CDK_OUTDIR": str(folder),
        "CDK_CONTEXT_JSON": json.dumps(values),
    }
    command = [sys.executable, app]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
