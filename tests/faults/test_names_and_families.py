"""Names with addresses of one family, or of both: an input that connects finds its program, whichever family that program listens on.

The public report: https://github.com/zeromq/libzmq/issues/4313 (with ZMQ_IPV6 a name is looked up as IPv6, without as IPv4, and the other
family is never tried). Here a name with IPv6 addresses only was never connected to, and one `[...]` endpoint made all names of its input
IPv6's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import zmq

from device_agent.config import Pattern
from device_agent.intake import dialing
from localcloud.cloud import ROOT
from tests.intake.conftest import Bench, bench, path
from tests.lab.agent import wait_for

__all__ = ["bench", "path"]  # fixtures

ipv6 = pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="this kernel has no IPv6")

#: An input that connects to names, in a process whose /etc/hosts is its own; the producers listen in the same process.
SCRIPT = """
import sys, zmq
from device_agent.clock import SystemClock
from device_agent.config import InputConfig, Pattern
from device_agent.descriptors import Descriptors
from device_agent.intake import Intake, dialing
from device_agent.metrics import Metrics
from tests.intake.conftest import Sink

dialing._FIRST_TURN = 0.2
context, sockets, endpoints = zmq.Context(), [], []
for name, listen in [one.split("=") for one in sys.argv[1:]]:
    push = context.socket(zmq.PUSH)
    push.setsockopt(zmq.IPV6, int("[" in listen))
    push.setsockopt(zmq.LINGER, 0)
    port = push.bind_to_random_port(f"tcp://{listen}")
    sockets.append((push, f"{name} by {listen}".encode()))
    endpoints.append(f"tcp://{name}:{port}")
sink = Sink("telemetry")
config = InputConfig(name="in", pattern=Pattern.PULL, stream="telemetry", connect=tuple(endpoints))
metrics = Metrics()
intake = Intake([config], sink=sink, clock=SystemClock(), metrics=metrics, descriptors=Descriptors(metrics.process))
intake.start()
for push, payload in sockets:
    push.send(payload)
for payload in sorted(sink.wait_for(len(endpoints))):
    print(payload.decode())
for endpoint, said in intake.status()["in"]["dials"].items():
    print(endpoint.rpartition(":")[0], said)
intake.stop(0.0)
context.destroy(linger=0)
"""
HOSTS = """
127.0.0.1 localhost v4.test both.test
::1 v6.test both.test
"""


def connected(tmp_path: Path, *programs: str) -> list[str]:
    hosts = tmp_path / "hosts"
    hosts.write_text(HOSTS)
    inside = f'mount --bind {hosts} /etc/hosts && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", inside, "sh", sys.executable, "-c", SCRIPT, *programs]
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare, to give a process an /etc/hosts of its own")
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=180, check=False
    )
    if "unshare" in done.stderr:
        pytest.skip(f"no mount namespace here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@ipv6
@pytest.mark.parametrize(
    ("name", "listen"), [("v4.test", "127.0.0.1"), ("v6.test", "[::1]"), ("both.test", "127.0.0.1"), ("both.test", "[::1]")]
)
def test_a_name_is_found_by_either_family(tmp_path: Path, name: str, listen: str) -> None:
    family = "IPv6 (::1)" if "[" in listen else "IPv4 (127.0.0.1)"
    assert connected(tmp_path, f"{name}={listen}") == [f"{name} by {listen}", f"tcp://{name} connected by {family}"]


@ipv6
def test_an_ipv6_address_beside_a_name_silences_nobody(tmp_path: Path) -> None:
    found = connected(tmp_path, "[::1]=[::1]", "both.test=127.0.0.1", "v4.test=127.0.0.1")
    assert found[:3] == ["[::1] by [::1]", "both.test by 127.0.0.1", "v4.test by 127.0.0.1"]


@ipv6
def test_ipv4_and_ipv6_endpoints_of_one_input_are_bound_each_by_its_own_family(bench: Bench) -> None:
    bench.run(bind=("tcp://[::1]:*", "tcp://127.0.0.1:*"))
    both = bench.intakes[0].status()["in"]["endpoints"]
    for endpoint in both:
        bench.client(zmq.PUSH, endpoint, options={zmq.IPV6: int("[" in endpoint)}).send(endpoint.encode())
    assert sorted(bench.sink.wait_for(2)) == sorted(one.encode() for one in both)


def test_what_is_tried_shows_in_status_and_once_in_the_log(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dialing, "_FIRST_TURN", 0.01)
    caplog.set_level("INFO")
    bench.run(Pattern.PULL, bind=(), connect=("tcp://localhost:1",))
    seen: set[str] = set()

    def both() -> bool:
        seen.add(bench.intakes[0].status()["in"]["dials"]["tcp://localhost:1"])
        return seen == {"trying IPv4", "trying IPv6"}

    wait_for(both, what="a try in each family", every=0.01)
    assert [line for line in caplog.messages if "trying IPv6 and IPv4 in turns" in line and "tcp://localhost:1" in line]


def test_ipv4_that_answers_in_the_turn_of_ipv6_is_told_as_ipv4() -> None:
    """libzmq asks for IPv6 with AI_V4MAPPED (getaddrinfo(3)), so a name without IPv6 addresses is connected to in either turn."""
    assert dialing.family("::ffff:127.0.0.1") == dialing.family("127.0.0.1") == "IPv4 (127.0.0.1)"
    assert dialing.family("fe80::1") == "IPv6 (fe80::1)"
    assert dialing.family("") == "an address that is gone"


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [
        ("tcp://gateway.local:5555", True), ("tcp://localhost:1", True), ("tcp://127.0.0.1:1", False), ("tcp://[::1]:1", False),
        ("tcp://*:5555", False), ("ipc:///run/x", False), ("tcp://eth0;gateway:5555", True), ("epgm://eth0;239.1.1.1:5555", False),
    ],
)  # fmt: skip
def test_names_are_told_from_addresses(endpoint: str, name: bool) -> None:
    assert dialing.named(endpoint) is name
