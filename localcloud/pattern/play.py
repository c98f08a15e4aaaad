"""Play: starts broker, agents and programs of a scene, waits until all readings are in the lake, and returns them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import zmq

from localcloud import brokers
from localcloud.cloud import LocalCloud
from localcloud.demo import books
from localcloud.pattern.scene import Program, Scene
from localcloud.processes import GRACE, Agent, Process, ProcessError

Say = Callable[[str], None]
_DEADLINE = 120.0
_LOOK = 0.2  # seconds between looks at programs and lake

_CONFIG = """\
[device]
id = "{device}"

[aws]
region = "{region}"
endpoint_url = "{endpoint}"

[spool]
directory = "{folder}/spool"
commit_interval = "100ms"

"""


def play(scene: Scene, cloud: LocalCloud, folder: Path, *, device: str, say: Say) -> list[books.Row]:
    """Play a scene; return what reached the lake, in order.

    Args:
        scene: what is played.
        cloud: where its readings go.
        folder: for configurations, spools and logs.
        device: id of the board; of several, its beginning.
        say: for what the programs print, line by line.

    Raises:
        MissingError: something is not installed.
        ProcessError: a program, an agent or the broker did not do its part; the text says which.
    """
    devices = [device if scene.boards == 1 else f"{device}-{number + 1}" for number in range(scene.boards)]
    with ExitStack() as stack:
        if scene.needs and not zmq.has(scene.needs):
            raise brokers.MissingError(
                f"needs a libzmq with {scene.needs.upper()}, as Debian's python3-zmq has it; pyzmq's wheels have it not"
            )
        if scene.broker:
            stack.enter_context(brokers.named(scene.broker, folder / "broker", port=scene.port))
        environment = {"AGENT_TOML": str(folder / devices[0] / "agent.toml")} | _outputs(cloud, folder)
        for one in devices:
            agent = _agent(scene, cloud, folder / one, one)
            if scene.agent:
                stack.callback(agent.stop, GRACE)
                agent.start()
        actors = []
        for number, program in enumerate(scene.programs):
            actor = _Actor(scene, program, device, log=folder / f"{number}-{program.name}.log", environment=environment)
            stack.callback(actor.process.stop, GRACE)
            actors.append(actor)
        found = _wait(scene, cloud, devices, actors, say)
        for actor in actors:
            actor.process.stop(GRACE)
            actor.speak(say)
    return found


def _agent(scene: Scene, cloud: LocalCloud, folder: Path, device: str) -> Agent:
    folder.mkdir(parents=True)
    outputs = cloud.outputs
    queues = {"telemetry": outputs.telemetry_queue_url, "events": outputs.events_queue_url}
    own = {stream["name"]: stream for stream in scene.streams}
    streams = [{"name": name, "queue": queue, "linger": "200ms"} | dict(own.get(name, {})) for name, queue in queues.items()]
    text = _CONFIG.format(device=device, region=outputs.region, endpoint=cloud.device_endpoint_url, folder=folder)
    return Agent(folder, text + "".join([*_tables("input", scene.inputs), *_tables("stream", streams)]))


def _tables(name: str, tables: Any) -> Iterator[str]:
    """Write an array of tables as TOML: keys first, tables within after them."""
    for table in tables:
        yield f"[[{name}]]\n"
        inner = {key: value for key, value in table.items() if isinstance(value, list) and value and isinstance(value[0], dict)}
        yield from (f"{key} = {json.dumps(value)}\n" for key, value in table.items() if key not in inner)
        for key, values in inner.items():
            yield from _tables(f"{name}.{key}", values)
        yield "\n"


def _outputs(cloud: LocalCloud, folder: Path) -> dict[str, str]:
    """Return what operator commands in a scene need: the stack's outputs, and where the cloud is."""
    file = folder / "outputs.json"
    names = (
        "region", "telemetry_queue_url", "events_queue_url", "telemetry_dead_letter_queue_url", "events_dead_letter_queue_url",
        "ledger_table", "state_table",
    )  # fmt: skip
    values = {"".join(part.capitalize() for part in name.split("_")): getattr(cloud.outputs, name) for name in names}
    file.write_text(json.dumps({"stack": values}))
    return {"OUTPUTS": str(file), "ENDPOINT_URL": cloud.endpoint_url}


class _Actor:
    """A program of the scene that was started."""

    def __init__(self, scene: Scene, program: Program, device: str, *, log: Path, environment: dict[str, str]) -> None:
        script, *arguments = [word.replace("{device}", device) for word in program.run]
        self.program = program
        self.process = Process.start(program.name, [str(scene.folder / script), *arguments], log=log, environment=environment)
        self._seen = 0

    @property
    def acts(self) -> bool:
        """Whether its end is waited for. Raises `ProcessError` if it ended as it should not."""
        code = self.process.popen.poll()
        if code or (self.program.stays and code is not None):
            raise ProcessError(f"{self.program.name} ended with {code}:\n{self.process.tail()}")
        return code is None and not self.program.stays

    def speak(self, say: Say) -> None:
        """Pass on the lines that it has printed since."""
        text = self.process.log.read_bytes()[self._seen :]
        whole = text[: text.rfind(b"\n") + 1]
        self._seen += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            say(f"{self.program.name:>12} | {line}")


def _wait(scene: Scene, cloud: LocalCloud, devices: list[str], actors: list[_Actor], say: Say) -> list[books.Row]:
    """Show what the programs print until those that end have ended, and the lake has everything."""
    until = time.monotonic() + _DEADLINE
    while True:
        running = [actor.program.name for actor in actors if actor.acts]
        for actor in actors:
            actor.speak(say)
        rows = [row for device in devices for row in books.rows(cloud, device)]
        if not running and len(rows) >= scene.readings:
            return sorted(rows, key=lambda row: (row.stream, row.epoch, row.seq))
        if time.monotonic() > until:
            still = f"; still running: {', '.join(running)}" if running else ""
            raise ProcessError(f"{len(rows)} of {scene.readings} readings are in the lake after {_DEADLINE:.0f} s{still}")
        time.sleep(_LOOK)
