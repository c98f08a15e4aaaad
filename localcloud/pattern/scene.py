"""Scene: what `pattern.toml` in a folder of examples/patterns says: programs, brokers, the agent's inputs, and what arrives.

    title = "Publish and subscribe"
    patterns = "Publish-Subscribe Channel, Message Filter"       # their names in Enterprise Integration Patterns
    readings = 12                                                # so many are in the lake at the end
    broker = "mqtt"                                              # or "amqp" or "stomp"; started for the scene
    needs = "pgm"                                                # what libzmq must have
    boards = 2                                                   # agents; one if nothing is said
    agent = false                                                # the program is the agent itself

    [[program]]
    run = ["publisher.py", "--bind", "tcp://127.0.0.1:5610"]
    stays = true                                                 # it runs until the end; otherwise it ends by itself

    [[input]]                                                    # and [[stream]]: as in agent.toml
    ...

`{device}` in the arguments of a program is the board's id. Ports of 127.0.0.1 are those of a reader who tries the programs by hand; for
a scene each is replaced by a free one, everywhere.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from localcloud.cloud import ROOT
from localcloud.ports import free_ports

FOLDER = ROOT / "examples" / "patterns"
_PORT = re.compile(r"(127\.0\.0\.1|localhost):([0-9]{4,5})")


@dataclass(frozen=True, slots=True)
class Program:
    """A program of a scene."""

    run: tuple[str, ...]
    stays: bool = False

    @property
    def name(self) -> str:
        """What it is called on the screen."""
        return Path(self.run[0]).stem


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A pattern to be played."""

    name: str
    title: str
    patterns: str
    readings: int
    programs: tuple[Program, ...]
    inputs: tuple[Mapping[str, Any], ...]
    streams: tuple[Mapping[str, Any], ...]
    broker: str
    port: int  # of the broker, 0: none
    boards: int
    agent: bool
    needs: str

    @property
    def folder(self) -> Path:
        """Where its programs are."""
        return FOLDER / self.name

    @property
    def picture(self) -> str:
        """The picture in its README."""
        found = re.search(r"```text\n(.*?)```", (self.folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
        return found.group(1).rstrip() if found else ""

    @classmethod
    def read(cls, name: str) -> Self:
        """Read a scene, with free ports. Raises OSError if there is none of that name."""
        text = (FOLDER / name / "pattern.toml").read_text(encoding="utf-8")
        ports = sorted({found.group(2) for found in _PORT.finditer(text)})
        free = dict(zip(ports, free_ports(len(ports)), strict=True)) if ports else {}
        found = tomllib.loads(_PORT.sub(lambda match: f"{match.group(1)}:{free[match.group(2)]}", text))
        usual = {"mqtt": "1883", "amqp": "5672", "stomp": "61613"}.get(found.get("broker", ""), "")
        return cls(
            name=name, title=found["title"], patterns=found["patterns"], readings=found["readings"],
            programs=tuple(Program(tuple(one["run"]), one.get("stays", False)) for one in found["program"]),
            inputs=tuple(found.get("input", ())), streams=tuple(found.get("stream", ())), broker=found.get("broker", ""),
            port=free.get(usual, 0), boards=found.get("boards", 1), agent=found.get("agent", True), needs=found.get("needs", ""),
        )  # fmt: skip


def names() -> list[str]:
    """Return the names of all scenes."""
    return sorted(path.parent.name for path in FOLDER.glob("*/pattern.toml"))
