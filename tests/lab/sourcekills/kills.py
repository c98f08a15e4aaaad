"""The kills: of the agent at a system call of its own, and of the broker at a step of a message."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from tests.lab.agent import wait_for
from tests.lab.sourcekills import judge
from tests.lab.sourcekills.kinds import Point, World
from tests.lab.traced import Injection

#: Messages of a burst: several windows.
BURST: Final = 60
#: Seconds; nothing takes that long, also where tracing is slow.
CEILING: Final = 180.0
#: When a broker is killed.
BROKER_STEPS: Final = ("publishing", "delivered", "acknowledged", "idle", "both")


@contextlib.contextmanager
def sending(world: World, count: int = BURST) -> Iterator[Future[None]]:
    """A burst on its way; at the end of the block everything of it is accepted."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(world.program.send, count)
        try:
            yield future
        except BaseException:
            world.program.close()
            raise
        future.result(CEILING)


def kill_agent(world: World, point: Point) -> None:
    """Send a burst to an agent that is killed at a system call; start it again."""
    call, when = point
    settle(world)
    with Injection(world.agent.pid, f"{call}:signal=SIGKILL:when={when}"), sending(world):
        wait_for(lambda: not world.agent.running, CEILING, what=f"the kill at {call} {when}")
        assert world.agent.code == -signal.SIGKILL
        world.agent.serve()


def kill_broker(world: World, step: str) -> None:
    """Kill the broker at a step of a burst and start it again; what was accepted is sent on."""
    broker, agent, program = world.broker, world.agent, world.program
    assert broker is not None
    settle(world)
    before, on_disk = len(program.accepted), agent.committed
    if step == "delivered":  # the agent has not read it yet, and will acknowledge to nobody
        os.kill(agent.pid, signal.SIGSTOP)
        try:
            program.send(BURST)
            broker.stop(signal.SIGKILL)
        finally:
            os.kill(agent.pid, signal.SIGCONT)
        broker.start()
        return
    with sending(world) as future:
        if step == "publishing":
            wait_for(lambda: len(program.accepted) > before or future.done(), CEILING, what="the first that is accepted", every=0.001)
        elif step in {"acknowledged", "both"}:
            wait_for(lambda: agent.committed > on_disk, CEILING, what="the first on disk", every=0.001)
        else:
            future.result(CEILING)
            settle(world)
        if step == "both":
            agent.kill()
        broker.stop(signal.SIGKILL)
        broker.start()
        if step == "both":
            agent.serve()


def settle(world: World, *, ceiling: float = CEILING) -> None:
    """Wait until everything that was accepted is in the log, and nothing is under way."""
    agent, program = world.agent, world.program
    if not agent.running:
        agent.serve()
    wait_for(lambda: agent.committed >= len(program.accepted), ceiling, what="the arrival of as many as were accepted")
    wait_for(lambda: not judge.missing(world.log.look(), program.accepted), ceiling, what="the arrival of all that were accepted")
    wait_for(lambda: not agent.under_way and not world.owed, CEILING, what="the last acknowledgement")


def verdict(world: World, kills: int, *, flagged: bool) -> list[str]:
    """Kill the agent when everything has arrived, and compare its log with what was accepted; return what is wrong."""
    settle(world)
    world.agent.kill()
    program, readings = world.program, world.log.cat()
    found = [*judge.faults(readings, sent=program.sent, accepted=program.accepted, flagged=flagged)]
    again, most = judge.doubled(readings, attempts=world.broker is None), world.may_double(kills)
    return found if again <= most else [*found, f"{again} are there again, at most {most} may be"]
