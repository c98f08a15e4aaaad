"""A NAT or a firewall forgets a connection: no request waits for an answer that cannot come, and nobody waits for a peer that is gone.

The public reports: botocore 2916 and pull request 3140 (`tcp_keepalive` leaves the kernel's 7,200 s, so the first request after a pause
hangs for the whole read time-out), boto3 2510, httpx 2975, requests 3808.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time as clock
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import zmq
from botocore.awsrequest import AWSPreparedRequest, AWSResponse

from device_agent.clock import SystemClock
from device_agent.config import AwsConfig, Pattern, UplinkConfig
from device_agent.packer import Message
from device_agent.uplink import pools
from device_agent.uplink.client import Sqs
from device_agent.uplink.credentials import ChainCredentials
from device_agent.uplink.verdicts import NotSent
from localcloud.cloud import ROOT
from tests.fakes.sqs import FakeSqs
from tests.intake.conftest import Bench, bench, path
from tests.lab.agent import wait_for
from tests.lab.relay import Relay
from tests.uplink.conftest import _credentials, sqs
from tests.uplink.support import assert_probed, idle_pools, live_sockets

__all__ = ["_credentials", "bench", "path", "sqs"]  # fixtures


def message(number: int) -> Message:
    return Message(id=f"x-{number}", first=number, last=number, body="{}", group=None, deduplication_id=None, size=2)


def _address(server: FakeSqs) -> tuple[str, int]:
    return "127.0.0.1", int(urlsplit(server.endpoint).port or 0)


@pytest.fixture
def relay(sqs: FakeSqs) -> Iterator[Relay]:
    with Relay(_address(sqs)) as made:
        yield made


def transport(endpoint: str) -> Sqs:
    aws = AwsConfig(region="eu-central-1", endpoint_url=endpoint)
    return Sqs(aws=aws, config=UplinkConfig(read_timeout=0.5), clock=SystemClock())


class Time:
    def __init__(self) -> None:
        self.moved = 0.0

    def __call__(self) -> float:
        return 1000.0 + self.moved


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    made = Time()
    monkeypatch.setattr(pools, "now", made)
    return made


def test_a_connection_that_idled_long_gets_no_request(sqs: FakeSqs, relay: Relay, time: Time) -> None:
    queue = sqs.create("q")
    with closing(transport(relay.url)) as sender:
        assert sender.send(queue, [message(1)]) == [None]
        relay.forget()
        time.moved += pools.TRUSTED
        assert sender.send(queue, [message(2)]) == [None]
    assert relay.connections == 2
    assert len(sqs.accepted) == 2


def test_a_connection_that_idled_for_a_moment_is_used_again(sqs: FakeSqs, relay: Relay, time: Time) -> None:
    queue = sqs.create("q")
    with closing(transport(relay.url)) as sender:
        for number in range(1, 6):
            assert sender.send(queue, [message(number)]) == [None]
            time.moved += pools.TRUSTED - 1
    assert relay.connections == 1


def test_through_a_proxy_likewise(sqs: FakeSqs, time: Time, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = pytest.importorskip("tests.fakes.tls", reason="cryptography comes with moto; not on a board")
    authority = tls.Authority(tmp_path)
    with FakeSqs(tls=authority.server(authority.issue("localhost"))) as server, Relay(_address(server), proxy=True) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "")
        monkeypatch.setenv("AWS_CA_BUNDLE", authority.ca)
        queue = server.create("q")
        with closing(transport(server.endpoint)) as sender:
            assert sender.send(queue, [message(1)]) == [None]
            proxy.forget()
            time.moved += pools.TRUSTED
            assert sender.send(queue, [message(2)]) == [None]
            assert sender.send(queue, [message(3)]) == [None]
            assert_probed(live_sockets(sender._http), unacknowledged=True)
        assert proxy.connections == 2


def test_after_a_failure_no_other_idle_connection_is_tried(sqs: FakeSqs, relay: Relay) -> None:
    queue = sqs.create("q")
    with closing(transport(relay.url)) as sender:
        assert sender.send(queue, [message(1)]) == [None]
        [pool] = idle_pools(sender._http)
        second = pool._new_conn()
        second.connect()
        pool._put_conn(second)
        wait_for(lambda: relay.connections == 2, 60)
        relay.forget()
        with pytest.raises(NotSent):
            sender.send(queue, [message(2)])
        assert sender.send(queue, [message(2)]) == [None]
    assert relay.connections == 3


def test_time_in_which_the_board_sleeps_counts() -> None:
    assert abs(pools.now() - clock.clock_gettime(clock.CLOCK_BOOTTIME)) < 60


def test_sending_connections_are_probed_and_give_up_in_time(sqs: FakeSqs) -> None:
    with closing(transport(sqs.endpoint)) as sender:
        sender.send(sqs.create("q"), [message(1)])
        assert_probed(live_sockets(sender._http), unacknowledged=True)


class _Sts:
    """In the place of `Http`."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    def send(self, request: AWSPreparedRequest) -> AWSResponse:
        self.urls.append(request.url)
        body = (
            b"<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKID</AccessKeyId>"
            b"<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
            b"</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        )

        class Raw:
            def stream(self) -> Iterator[bytes]:
                yield body

        return AWSResponse(request.url, 200, {"x-amzn-RequestId": "1"}, Raw())  # type: ignore[arg-type]  # all that is read of it


def test_what_the_chain_asks_of_sts_goes_over_the_same_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("token")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/board")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    sts = _Sts()
    found = ChainCredentials(AwsConfig(region="eu-central-1"), http=sts).get()  # type: ignore[arg-type]  # as far as it goes
    assert found.access_key == "AKID"
    assert len(sts.urls) == 1
    assert "sts" in sts.urls[0]


# Inputs


def test_connections_of_inputs_are_probed(bench: Bench) -> None:
    with bench.context.socket(zmq.PUSH) as program:
        port = program.bind_to_random_port("tcp://127.0.0.1")
        endpoint = bench.run(Pattern.PULL, bind=("tcp://127.0.0.1:*",), connect=(f"tcp://127.0.0.1:{port}",))
        bench.client(zmq.PUSH, endpoint).send(b"bound")
        program.send(b"connected")
        bench.sink.wait_for(2)
        connections = bench.intakes[0]._receiver._inputs[0].connections
        wait_for(lambda: connections.peers == 2)  # libzmq tells of a connection when it comes to it
        descriptors = [*connections._accepted, *connections._connected]
        copies = [socket.socket(fileno=os.dup(one)) for one in descriptors]
        try:
            assert_probed(copies)
        finally:
            for one in copies:
                one.close()


# Packets that are dropped in silence


def _in_a_namespace(scenario: str) -> dict[str, Any]:
    """Run a function of `tests.lab.dropping` in a network of its own, where it may drop packets, and return what it printed."""
    allowed = os.geteuid() == 0 and shutil.which("iptables") and subprocess.run(["unshare", "-n", "true"], check=False).returncode == 0
    if not allowed:
        pytest.skip("needs root, iptables and network namespaces")
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-m", "tests.lab.dropping", scenario], cwd=ROOT, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.mark.root
def test_a_request_over_a_connection_that_was_just_forgotten_does_not_wait_for_the_read_timeout() -> None:
    said = _in_a_namespace("sending")
    assert said["second"].startswith("NotSent")
    assert said["third"] == "[None]"
    assert said["waited"] < 60 < said["read_timeout"]


@pytest.mark.root
def test_a_program_that_an_input_connects_to_is_connected_to_again_when_the_way_there_was_forgotten() -> None:
    assert _in_a_namespace("receiving") == {"received": ["first", "second"], "connections": 2}
