"""What happens on a network that drops the packets of a connection in silence: `unshare -n python -m tests.lab.dropping SCENARIO`.

It runs in a network namespace of its own, since it changes the packet filter. Times are shortened, so that it takes seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import zmq

from device_agent.clock import SystemClock
from device_agent.config import AwsConfig, InputConfig, Pattern, UplinkConfig
from device_agent.descriptors import Descriptors
from device_agent.errors import DeviceAgentError
from device_agent.intake import Intake, sockets
from device_agent.metrics import Metrics
from device_agent.packer import Message
from device_agent.uplink import http, pools
from device_agent.uplink.client import Sqs
from tests.fakes.sqs import FakeSqs
from tests.intake.conftest import Sink
from tests.lab.agent import wait_for

READ_TIMEOUT = 300.0


def _run(*words: str) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def forget(port: int) -> None:
    """Drop the packets of all connections to a port that exist now."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, state = line.split()[1:4]
        if state == "01" and int(remote.partition(":")[2], 16) == port:
            own = str(int(local.partition(":")[2], 16))
            _run("iptables", "-A", "INPUT", "-p", "tcp", "--sport", own, "-j", "DROP")
            _run("iptables", "-A", "INPUT", "-p", "tcp", "--dport", own, "-j", "DROP")


def sending() -> Mapping[str, object]:
    """A request before, one just after the connection was forgotten, and one more."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_EC2_METADATA_DISABLED": "true"}
    http.OPTIONS[:] = [(level, name, 2000 if name == pools.socket.TCP_USER_TIMEOUT else value) for level, name, value in pools.OPTIONS]
    with FakeSqs(check_signatures=False) as server:
        queue = server.create("q")
        aws = AwsConfig(region="eu-central-1", endpoint_url=server.endpoint)
        sender = Sqs(aws=aws, config=UplinkConfig(read_timeout=READ_TIMEOUT), clock=SystemClock())
        said: dict[str, object] = {"read_timeout": READ_TIMEOUT}
        for number, name in enumerate(("first", "second", "third"), start=1):
            began = time.monotonic()
            try:
                message = Message(id=f"x-{number}", first=1, last=1, body="{}", group=None, deduplication_id=None, size=2)
                said[name] = repr(sender.send(queue, [message]))
            except DeviceAgentError as error:
                said[name] = f"{type(error).__name__}: {error}"
                said["waited"] = time.monotonic() - began
            if name == "first":
                forget(int(server.endpoint.rpartition(":")[2]))
        sender.close()
    return said


def receiving() -> Mapping[str, object]:
    """A SUB input that connects to a program, before and after the connection was forgotten."""
    sockets._OPTIONS.update({zmq.TCP_KEEPALIVE_IDLE: 1, zmq.TCP_KEEPALIVE_INTVL: 1, zmq.TCP_KEEPALIVE_CNT: 2})
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    program = context.socket(zmq.XPUB)
    program.setsockopt(zmq.XPUB_VERBOSE, 1)
    program.setsockopt(zmq.LINGER, 0)
    port = program.bind_to_random_port("tcp://127.0.0.1")
    sink, metrics = Sink("telemetry"), Metrics()
    source = InputConfig(name="in", pattern=Pattern.SUB, stream="telemetry", connect=(f"tcp://127.0.0.1:{port}",), subscribe=("",))
    intake = Intake([source], sink=sink, clock=SystemClock(), metrics=metrics, descriptors=Descriptors(metrics.process))
    intake.start()
    connections = 0
    for text in (b"first", b"second"):
        assert program.recv() == b"\x01"  # it has connected and subscribed
        connections += 1
        program.send(text)
        wait_for(lambda text=text: text in sink.payloads(), 60, what="the reading")  # type: ignore[misc]
        if text == b"first":
            forget(port)
    intake.stop(0.0)
    context.destroy(linger=0)
    return {"received": [bytes(one).decode() for one in sink.payloads() if isinstance(one, bytes)], "connections": connections}


if __name__ == "__main__":
    _run("ip", "link", "set", "lo", "up")
    print(json.dumps({"sending": sending, "receiving": receiving}[sys.argv[1]]()))
