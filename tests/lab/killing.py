"""The kill loop: producers at full rate, an agent killed at random instants, a cloud that fails at random, and the judge at the end.

Everything random comes from one seed, which is printed: the same seed makes the same plan of kills (the instants themselves are the
machine's).
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from localcloud.cloud import ROOT
from tests.lab import books
from tests.lab.agent import AgentProcess, backlog, committed, describe, wait_for

if TYPE_CHECKING:
    from tests.lab.backend import Backend

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How one agent ends."""

    how: str  # "born": at once, "opening": on its way up, "running", "stopping": after SIGTERM, "reloading": after SIGHUP
    after: float  # seconds


def plan(randoms: random.Random, *, start: float, longest: float) -> Plan:
    """Draw one. `start`: how long a start takes on this machine; `longest`: how long one may run."""
    how = randoms.choices(["born", "opening", "running", "stopping", "reloading"], [1, 3, 4, 2, 1])[0]
    span = {
        "born": (0.0, 0.05),
        "opening": (0.4 * start, 1.2 * start),
        "running": (0.0, longest),
        "stopping": (0.0, 0.6),
        "reloading": (0.0, 0.3),
    }
    return Plan(how, randoms.uniform(*span[how]))


class Producers:
    """The producers' process."""

    def __init__(self, agent: AgentProcess, *, rate: float, seed: int) -> None:
        self.log = agent.folder / "acknowledged"
        self.log.touch()
        self._output = agent.folder / "producers.log"
        options = [word for name, endpoint in agent.endpoints.items() for word in (f"--{name}", endpoint)]
        with self._output.open("ab") as output:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "tests.lab.producers", "--log", str(self.log), "--rate", str(rate), "--seed", str(seed), *options],
                cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def stop(self) -> None:
        """End them; what they printed must be their counts and nothing else."""
        self._popen.terminate()
        try:
            code = self._popen.wait(60)
        except subprocess.TimeoutExpired:
            self._popen.send_signal(signal.SIGUSR1)  # it says where it is
            time.sleep(1)
            self._popen.kill()
            code = self._popen.wait()
        assert code == 0, f"the producers failed with {code}:\n{self._output.read_text()[-2000:]}"

    def kill(self) -> None:
        """End them however."""
        self._popen.kill()
        self._popen.wait()


@dataclass(slots=True)
class Result:
    """What a loop found."""

    kills: int
    acknowledged: int
    rows: int
    faults: list[str]


class KillLoop:
    """One board that is killed again and again. `round` may be called several times; numbers go on."""

    def __init__(self, backend: Backend, folder: Path, *, seed: int, device: str, rate: float, say: Say, spool: Path | None = None) -> None:
        self._backend, self._say, self._rate = backend, say, rate
        self.random = random.Random(seed)
        self.agent = AgentProcess(
            folder, device=device, endpoint=backend.endpoint, telemetry=backend.telemetry, events=backend.events, spool=spool
        )  # fmt: skip
        self._start = 1.0
        self._seen: dict[str, int] = {}  # by stream, the last number judged
        self._judged = 0  # lines of the log

    def round(self, kills: int, *, longest: float = 1.0, arrival: float = 600.0) -> Result:
        """Kill so often, then let everything arrive and judge."""
        producers = Producers(self.agent, rate=self._rate, seed=self.random.getrandbits(30))
        try:
            for number in range(1, kills + 1):
                self._life(number, longest)
            self.agent.start()
            time.sleep(0.3)
            producers.stop()
        except BaseException:
            producers.kill()
            raise
        return self._judge(kills, producers.log, arrival)

    def _life(self, number: int, longest: float) -> None:
        end = plan(self.random, start=self._start, longest=longest)
        weather = self._backend.worsen(self.random)
        began = time.monotonic()
        self.agent.spawn()
        if end.how not in {"born", "opening"}:
            self.agent.wait_ready()
            self._start = 0.7 * self._start + 0.3 * (time.monotonic() - began)
        if end.how in {"stopping", "reloading"}:
            time.sleep(self.random.uniform(0, 0.3))
            self.agent.signal(signal.SIGTERM if end.how == "stopping" else signal.SIGHUP)
        time.sleep(end.after)
        code = self.agent.code
        assert code in ({None, 0} if end.how == "stopping" else {None}), f"the agent ended by itself with {code}:\n{self.agent.tail()}"
        self.agent.kill()
        self._say(f"kill {number:4d}: {end.how} + {end.after:.3f} s; {weather}")

    def _judge(self, kills: int, log: Path, arrival: float) -> Result:
        self._backend.heal()
        agent, backend = self.agent, self._backend
        until = time.monotonic() + arrival
        last = quiet(
            lambda: (backlog(agent), committed(agent)), until, what=lambda: f"not everything was sent in {arrival:.0f} s: {describe(agent)}"
        )
        began = {name: self._seen.get(name, 0) + 1 for name in last}
        wanted = sum(last[name] - began[name] + 1 for name in last)
        wait_for(
            lambda: len(found := list(backend.rows(agent.device))) >= wanted and found,
            until - time.monotonic() + 1,
            what="arrival",
            every=0.5,
        )
        answers = books.acknowledged(log, skip=self._judged)
        newest = {row.topic: 0 for row in backend.rows(agent.device) if row.stream == "events"}
        newest |= {row.topic: row.seq for row in sorted(backend.rows(agent.device), key=lambda row: row.seq) if row.stream == "events"}
        _settle(lambda: backend.newest(agent.device) == newest, until)
        rows = list(backend.rows(agent.device))
        faults = books.faults(rows, answers, committed=last, began=began, newest=backend.newest(agent.device))
        if said := backend.audit(agent.device):
            faults.append(said)
        if kept := _set_aside(agent.spool / "quarantine"):
            faults.append(f"set aside, though no disk failed: {kept[:3]}")
        self.agent.stop()
        backend.forget()
        self._seen, self._judged = last, self._judged + len(answers)
        return Result(kills, len(answers), len(rows), faults)


def quiet(look: Callable[[], tuple[int, dict[str, int]]], until: float, *, what: Callable[[], str], still: float = 1.0) -> dict[str, int]:
    """Wait until nothing is left to send and nothing more was committed for `still` seconds; return what is committed.

    An empty backlog alone says nothing: what ZeroMQ holds of PUSH and PUB is committed later.
    """
    found, since = look(), time.monotonic()
    while found[0] or time.monotonic() - since < still:
        assert time.monotonic() < until, what()
        time.sleep(0.1)
        before, found = found, look()
        if found != before:
            since = time.monotonic()
    return found[1]


def _set_aside(folder: Path) -> list[str]:
    """What is in quarantine beside the half-written ends that a kill in the middle of a write leaves: they hold no acknowledged reading."""
    kept = {path.name: json.loads(path.read_text())["reason"] for path in folder.rglob("*.json")}
    return [f"{name}: {reason}" for name, reason in kept.items() if reason != "half-written"]


def _settle(condition: Callable[[], bool], until: float) -> None:
    """Wait for the state table; the judge says what is wrong if it does not come."""
    while not condition() and time.monotonic() < until:
        time.sleep(0.3)
