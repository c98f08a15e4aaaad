"""File descriptors run out under the running agent: it goes on, no core spins, and what was acknowledged before and after arrives.

The public reports: libzmq 1306 and pyzmq 1591 (the process is aborted in ipc_listener.cpp, "Too many open files"), nanomsg 152 and libuv
690 (accept(2) is asked again and again: a core at 100 %), pyzmq 234 (one socket more ends the program).
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import zmq

from device_agent import board, status
from device_agent.clock import SystemClock
from device_agent.config import AwsConfig, InputConfig, Pattern, UplinkConfig
from device_agent.descriptors import HEADROOM, Descriptors, Spare, is_short, spare_for_connections
from device_agent.errors import ConfigError, SpoolError
from device_agent.intake import Intake
from device_agent.intake.connections import peer_of
from device_agent.metrics import Metrics, ProcessMetrics
from device_agent.packer import Message
from device_agent.uplink.client import connect
from device_agent.uplink.verdicts import NotSent
from device_agent.wire.limits import MIB
from tests.fakes.spool import FakeSpool
from tests.fakes.sqs import FakeSqs
from tests.lab.agent import AgentProcess, wait_for
from tests.lab.board import Board
from tests.lab.ports import own_ports
from tests.spool.world import World
from tests.uplink.conftest import _credentials, sqs

__all__ = ["_credentials", "sqs"]  # fixtures

SHORT = "file descriptors run out"
OVER = "there are file descriptors again"


def opened(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def cpu(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idles(pid: int, seconds: float = 1.0) -> None:
    """Fail if the agent uses more than a third of a core; a thread that spins uses all of one."""
    began, used = time.monotonic(), cpu(pid)
    time.sleep(seconds)
    assert cpu(pid) - used < (time.monotonic() - began) / 3


@contextmanager
def idle_connections(agent: AgentProcess, count: int) -> Iterator[None]:
    """So many connections that say nothing, on each of a tcp input, an ipc input and the status socket."""
    places: list[tuple[int, object]] = [
        (socket.AF_INET, ("127.0.0.1", agent.pull)),
        (socket.AF_UNIX, agent.endpoints["bulk"].removeprefix("ipc://")),
        (socket.AF_UNIX, str(agent.spool / status.NAME)),
    ]
    with ExitStack() as stack:
        for _ in range(count):
            for family, address in places:
                one = stack.enter_context(socket.socket(family))
                one.setblocking(False)
                one.connect_ex(address)  # a full queue refuses: as good
        yield


def said(agent: AgentProcess, text: str) -> int:
    return agent.log.read_text().count(text)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Board]:
    with Board(tmp_path, max_bytes="2 MiB") as made:
        yield made


@pytest.mark.parametrize("limit", ["64", "100", "64:100"])
def test_more_connections_than_descriptors_end_nothing_and_no_core_spins(lab: Board, limit: str) -> None:
    agent = lab.agent
    agent.start("prlimit", f"--nofile={limit}")
    hard = int(limit.rpartition(":")[2])
    assert resource.prlimit(agent.pid, resource.RLIMIT_NOFILE) == (hard, hard)
    wait_for(lambda: said(agent, "the limit of open files allows fewer connections"))
    assert all(answer.ok for answer in lab.ask(20))
    with lab.socket(zmq.DEALER, "pipeline") as old:
        answered(old, b"before")
        with idle_connections(agent, 150):
            idles(agent.pid)
            answered(old, b"meanwhile")
            assert agent.status()["pid"] == agent.pid
    assert all(answer.ok for answer in lab.ask(20, timeout=60))
    lab.everything_arrives(60)
    assert agent.stop() == 0


@pytest.mark.parametrize("limit", [10, 14, 16, 20, 24, 28, 30, 32, 36, 44])
def test_a_limit_that_is_too_low_to_start_is_told_and_never_aborts(lab: Board, limit: int) -> None:
    """Libzmq aborts without a descriptor for its threads (epoll.cpp) or for a look at the interfaces (ip_resolver.cpp)."""
    agent = lab.agent
    agent.spawn("prlimit", f"--nofile={limit}")
    wait_for(lambda: not agent.running or said(agent, "started"), what="a start, or an end")
    if not agent.running:
        assert agent.code == 2, agent.tail()
        assert "open files" in agent.tail(1)
        return
    assert limit > 36
    assert agent.stop() == 0


@pytest.mark.parametrize("left", [1, 4, 6, 7, 8, 12])
def test_a_reload_that_needs_more_than_is_left_is_refused_before_libzmq_is_asked(lab: Board, left: int) -> None:
    agent = lab.agent
    agent.start()
    assert all(answer.ok for answer in lab.ask(5))
    limit = opened(agent.pid) + left
    resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (limit, limit))
    with agent.config.open("a") as file:
        file.write(f'[[input]]\nname = "more"\npattern = "pull"\nbind = ["tcp://127.0.0.1:{own_ports(1)[0]}"]\nstream = "events"\n')
    agent.signal(signal.SIGHUP)
    wait_for(lambda: not agent.running or said(agent, "new configuration refused") or said(agent, "listening input=more"))
    assert agent.running, agent.tail()
    assert agent.stop() == 0


def answered(socket: zmq.Socket[bytes], ident: bytes) -> None:
    socket.send_multipart([ident, b"x"])
    assert socket.poll(60_000)
    assert socket.recv_multipart()[0] == ident


def test_all_descriptors_are_taken_while_it_runs_and_given_back_later(lab: Board) -> None:
    agent = lab.agent
    agent.start()
    assert all(answer.ok for answer in lab.ask(20))
    with lab.socket(zmq.DEALER, "pipeline") as old:
        answered(old, b"before")
        with idle_connections(agent, 20):
            wait_for(lambda: sum(one["peers"] for one in agent.status()["inputs"].values()) >= 41, 60, what="the connections")
            full = opened(agent.pid)
            resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (full, full))  # not one more
            with idle_connections(agent, 20):
                wait_for(lambda: said(agent, SHORT), 60, what="the log")
                idles(agent.pid)
                assert agent.status()["metrics"]["process"]["descriptor_shortages"] == 1
                answered(old, b"meanwhile")
                agent.signal(signal.SIGHUP)
                idles(agent.pid)
                assert agent.running
        wait_for(lambda: said(agent, OVER), 60, what="the log")
        answered(old, b"after")
    assert all(answer.ok for answer in lab.ask(200, size=3000, timeout=60)), "segments are made again"
    lab.everything_arrives(60)
    assert said(agent, SHORT) == said(agent, OVER) == 1
    assert agent.stop() == 0


def test_a_log_that_needs_a_new_segment_waits_and_says_why(lab: Board) -> None:
    agent = lab.agent
    agent.start()
    assert all(answer.ok for answer in lab.ask(5))
    with lab.socket(zmq.DEALER, "pipeline") as old, idle_connections(agent, 20):
        answered(old, b"before")
        wait_for(lambda: sum(one["peers"] for one in agent.status()["inputs"].values()) >= 41, 60, what="the connections")
        full = opened(agent.pid) - HEADROOM
        resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (full, full))

        def refused() -> bool:
            old.send_multipart([b"filling", os.urandom(20_000)])
            assert old.poll(60_000)
            return b'"ok":false' in old.recv_multipart()[-1]

        wait_for(refused, 60, what="a refusal", every=0)
        assert "Too many open files" in lab.why()
    wait_for(lambda: all(answer.ok for answer in lab.ask(1, timeout=60)), 60, what="an acknowledgement")
    assert agent.stop() == 0


def test_a_reload_without_descriptors_is_refused_and_the_old_configuration_goes_on(lab: Board) -> None:
    agent = lab.agent
    agent.start()
    text = agent.config.read_text()
    more = "".join(
        f'[[input]]\nname = "more-{n}"\npattern = "pull"\nbind = ["ipc://{agent.folder}/more-{n}"]\nstream = "events"\n' for n in range(20)
    )
    with lab.socket(zmq.DEALER, "pipeline") as old:
        answered(old, b"before")
        room = opened(agent.pid) + 10
        resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, (room, room))
        agent.config.write_text(text + more)
        agent.signal(signal.SIGHUP)
        wait_for(lambda: said(agent, "new configuration refused"), 60, what="the log")
        answered(old, b"after")
        assert set(agent.status()["inputs"]) == {"orders", "pipeline", "bulk", "sensors", "weather"}
    agent.config.write_text(text.replace("when_full", "when_full").replace('commit_interval = "100ms"', 'commit_interval = "110ms"'))
    agent.signal(signal.SIGHUP)
    with lab.socket(zmq.DEALER, "pipeline") as new:
        answered(new, b"again")
    assert agent.running
    assert agent.stop() == 0


# The parts


@contextmanager
def lowered(free: int) -> Iterator[None]:
    """Leave this process so many descriptors."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 2 + free, before[1]))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        while spare_for_connections() + HEADROOM > free:
            stack.callback(os.close, os.dup(0))
        yield


def test_connections_leave_the_last_descriptors_to_the_others() -> None:
    descriptors = Descriptors(ProcessMetrics())
    with lowered(HEADROOM + 2), ExitStack() as connections:
        for expected in (True, True, False, False):
            assert descriptors.room() is expected
            if expected:
                connections.callback(os.close, os.dup(0))
    assert descriptors.room()


class Counting(Descriptors):
    """Says yes, and counts how often, until it is told to say no."""

    yes, full = 0, False

    def room(self) -> bool:
        self.yes += not self.full
        return not self.full


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_libzmq_accepts_once_for_each_yes(tmp_path: Path, transport: str) -> None:
    """A yes that is left over would be used when it is not true any more; on ipc, that ends the process."""
    bind = f"ipc://{tmp_path}/in" if transport == "ipc" else "tcp://127.0.0.1:*"
    metrics = Metrics()
    descriptors = Counting(metrics.process)
    config = InputConfig(name="in", pattern=Pattern.PULL, stream="s", bind=(bind,))
    intake = Intake([config], sink=FakeSpool("s"), clock=SystemClock(), metrics=metrics, descriptors=descriptors)
    intake.start()
    endpoint = intake.status()["in"]["endpoints"][0]
    place = endpoint.removeprefix("ipc://") if transport == "ipc" else ("127.0.0.1", int(endpoint.rpartition(":")[2]))
    peers = lambda: intake.status()["in"]["peers"]  # noqa: E731

    def connect(stack: ExitStack, count: int) -> None:
        for _ in range(count):
            one = stack.enter_context(socket.socket(socket.AF_UNIX if transport == "ipc" else socket.AF_INET))
            one.connect(place)

    try:
        with ExitStack() as stack:
            connect(stack, 60)
            wait_for(lambda: peers() == 60)
            assert descriptors.yes == 60
            descriptors.full = True
            connect(stack, 10)
            wait_for(lambda: metrics.process.descriptor_shortages == 1)
            assert peers() == 60
            descriptors.full = False
            wait_for(lambda: peers() == 70)
            assert descriptors.yes == 70
    finally:
        intake.stop(0.0)


def test_a_crowd_at_one_endpoint_does_not_keep_others_out(tmp_path: Path) -> None:
    metrics = Metrics()
    descriptors = Counting(metrics.process)
    descriptors.full = True
    config = InputConfig(name="in", pattern=Pattern.PULL, stream="s", bind=("tcp://127.0.0.1:*", f"ipc://{tmp_path}/in"), max_connections=2)
    intake = Intake([config], sink=FakeSpool("s"), clock=SystemClock(), metrics=metrics, descriptors=descriptors)
    intake.start()
    tcp, ipc = intake.status()["in"]["endpoints"]
    try:
        with ExitStack() as stack:
            for _ in range(20):
                stack.enter_context(socket.socket(socket.AF_INET)).connect(("127.0.0.1", int(tcp.rpartition(":")[2])))
                stack.enter_context(socket.socket(socket.AF_UNIX)).connect(ipc.removeprefix("ipc://"))
            descriptors.full = False
            wait_for(lambda: intake.status()["in"]["peers"] == 2)
            (entry,) = intake._receiver._inputs
            peers = sorted(map(peer_of, entry.connections._accepted))
            assert peers == ["127.0.0.1", f"process {os.getpid()}"]
    finally:
        intake.stop(0.0)


def test_a_shortage_is_told_once_and_its_end_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device_agent.descriptors.raise_limit", lambda: None)
    metrics, now = ProcessMetrics(), [0.0]
    descriptors = Descriptors(metrics, monotonic=lambda: now[0])
    with lowered(0):
        for _ in range(3):
            now[0] += 10
            descriptors.look()
    for _ in range(3):
        now[0] += 10
        descriptors.look()
    assert [line.getMessage()[:10] for line in caplog.records] == [SHORT[:10], OVER[:10]]
    assert metrics.descriptor_shortages == 1


def test_without_descriptors_the_soft_limit_is_raised() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[1] - 1, before[1]))
        Descriptors(ProcessMetrics()).short()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_spare_descriptor_serves_when_there_is_no_other() -> None:
    spare = Spare()
    try:
        with lowered(0):
            with pytest.raises(OSError, match="Too many open files"):
                os.dup(0)
            with spare.lent():
                os.close(os.dup(0))
    finally:
        spare.close()


def test_a_board_whose_machine_id_cannot_be_read_for_want_of_a_descriptor_is_no_other_board(tmp_path: Path) -> None:
    """Taken for another board, it would begin a new epoch."""
    (tmp_path / "machine-id").write_text("a")
    with lowered(0), pytest.raises(OSError, match="Too many open files"):
        board.fingerprint((tmp_path / "machine-id",))


@pytest.mark.parametrize("make", [lambda: ConfigError("x"), lambda: RuntimeError("x")])
def test_a_shortage_is_recognised_through_the_errors_that_it_becomes(make: Callable[[], Exception]) -> None:
    for cause, expected in ((OSError(errno.EMFILE, "x"), True), (zmq.ZMQError(errno.ENFILE), True), (OSError(errno.EIO, "x"), False)):
        error = make()
        error.__cause__ = cause
        assert is_short(error) is expected


def test_a_spool_that_cannot_be_opened_for_want_of_descriptors_keeps_none() -> None:
    """Opened again every second, as after a reload, it would use up what becomes free."""
    world = World(streams=("a", "b"), max_bytes=1 * MIB)
    for stream in ("a", "b"):
        world.commit(30, 1400, stream=stream)
    world.spool.stop()
    world.spool.close()
    assert not world.disk.descriptors
    failed = 0
    while True:
        left = iter(range(failed))

        def fail(operation: str, _path: str, left: Iterator[int] = left) -> OSError | None:
            fails = operation in {"open", "list"} and next(left, None) is None
            return OSError(errno.EMFILE, "Too many open files") if fails else None

        world.disk.fail = fail
        try:
            world.restart(cut=False)
        except SpoolError as refused:
            error = refused
        else:
            break
        failed += 1
        assert is_short(error)
        assert "LimitNOFILE" in str(error)
        assert not world.disk.descriptors, f"kept at the {failed}th"
    assert failed > 10
    world.disk.fail = lambda _op, _path: None
    world.check()


def test_sending_waits_for_descriptors(sqs: FakeSqs) -> None:
    queue = sqs.create("telemetry")
    transport = connect(AwsConfig(region="eu-central-1", endpoint_url=sqs.endpoint), UplinkConfig(), SystemClock())
    message = Message(id="x-1", first=1, last=1, body="{}", group=None, deduplication_id=None, size=2)
    try:
        with lowered(0):
            for _ in range(3):
                with pytest.raises(NotSent):
                    transport.send(queue, [message])
        assert transport.send(queue, [message]) == [None]
        transport.close()
        with lowered(0), pytest.raises(NotSent):
            transport.send(queue, [message])
    finally:
        transport.close()
