"""A captive portal, a proxy or a load balancer answers in AWS's place: nobody takes it for AWS's word.

The public report: https://github.com/megvii-research/megfile/pull/643 (botocore reads any answer as the service's: of a proxy's page it
makes an error with the HTTP status as its code). Here a gateway's 401, 403 or 407 became "the credentials may not do this", and
`check --online` said ok, with exit code 0.
"""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.awsrequest import AWSRequest, AWSResponse, HeadersDict

from device_agent.cli import main
from device_agent.clock import SystemClock
from device_agent.config import AwsConfig, UplinkConfig
from device_agent.uplink import foreign, verdicts
from device_agent.uplink.client import connect
from device_agent.uplink.clock_offset import ClockOffset
from device_agent.uplink.http import Http
from device_agent.uplink.jobs import Ask, Send
from device_agent.uplink.verdicts import Cause, NotSent
from tests.fakes.spool import FakeSpool
from tests.fakes.sqs import FakeSqs, Fault
from tests.uplink.conftest import _credentials, sqs
from tests.uplink.simulation import Simulation
from tests.uplink.support import put, stream

__all__ = ["_credentials", "sqs"]  # fixtures

PORTAL = b"<html><head><title>Hotel WiFi &amp; Login</title></head><body><script>var a=1;</script>Please <b>log in</b></body></html>"
PAGES = [
    (PORTAL, "text/html"),
    (PORTAL, "application/json"),
    (b'{"error":"forbidden"}', "application/json"),
    (b'{"message":"Unauthorized"}', "application/x-amz-json-1.0"),
    (b'{"__type":"com.amazonaws.sqs#AccessDenied","message":"no"}', "application/json"),  # without a request id
    (b"<?xml version='1.0'?><error>blocked</error>", "text/xml"),
    (b'{"Attributes":{"login":"http://portal"}}', "application/json"),
    (b'{"credentials":"please"}', "application/json"),
    (b"Access Denied\r\n\r\nPolicy: 17", "text/plain"),
    (b"", ""),
    (b"\xff\xfe\0\x01", "application/octet-stream"),
]
STATUSES = (200, 301, 302, 303, 400, 401, 403, 404, 407, 413, 418, 429, 451, 500, 502, 503, 504, 511)


def answer(status: int, body: bytes, kind: str, **headers: str) -> AWSResponse:
    class Raw:
        def stream(self) -> Any:
            yield body

    given = {"Content-Type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return AWSResponse("https://sqs/", status, cast("Any", HeadersDict(given)), cast("Any", Raw()))


@pytest.mark.parametrize(("status", "page"), list(itertools.product(STATUSES, PAGES)))
def test_what_is_not_shaped_as_aws_is_no_verdict(status: int, page: tuple[bytes, str]) -> None:
    with pytest.raises(NotSent, match=f"something between here and AWS answers: HTTP {status}") as told:
        foreign.check(answer(status, *page))
    assert told.value.cause is (Cause.PASSAGE if status == 413 else Cause.FOREIGN)
    assert str(told.value).isprintable()
    assert len(str(told.value)) < 400


def test_the_first_line_is_readable_and_shows_no_place_with_secrets() -> None:
    with pytest.raises(NotSent) as told:
        foreign.check(answer(302, PORTAL, "text/html", Location="https://portal.example/login?token=s3cret"))
    assert "HTTP 302 to portal.example Hotel WiFi & Login" in str(told.value)
    assert "s3cret" not in str(told.value)


GOOD = [
    (200, b'{"Successful":[]}', "application/x-amz-json-1.0", {"x_amzn_RequestId": "1"}),
    (200, b"{}", "application/x-amz-json-1.0", {"x_amzn_RequestId": "1"}),
    (200, b'{"Attributes":{"MaximumMessageSize":"1024"}}', "application/x-amz-json-1.0", {}),  # an emulator
    (200, b"<?xml?><SendMessageBatchResponse><RequestId>1</RequestId></SendMessageBatchResponse>", "text/xml", {}),
    (400, b'{"__type":"com.amazonaws.sqs#QueueDoesNotExist"}', "application/x-amz-json-1.0", {"x_amzn_RequestId": "1"}),
    (403, b'{"message":"no"}', "application/json", {"x_amzn_RequestId": "1", "x_amzn_ErrorType": "AccessDeniedException"}),
    (403, b"<ErrorResponse><Error><Code>AccessDenied</Code></Error><RequestId>1</RequestId></ErrorResponse>", "text/xml", {}),
    (503, b'{"__type":"ServiceUnavailable"}', "application/x-amz-json-1.0", {"x_amzn_RequestId": "1"}),
]


@pytest.mark.parametrize(("status", "body", "kind", "headers"), GOOD)
def test_what_aws_says_passes(status: int, body: bytes, kind: str, headers: dict[str, str]) -> None:
    foreign.check(answer(status, body, kind, **headers))


@pytest.mark.parametrize("status", [407, 511])
def test_what_only_something_in_between_says_is_never_aws(status: int) -> None:
    with pytest.raises(NotSent, match="something between here and AWS"):
        foreign.check(answer(status, b'{"__type":"AccessDenied"}', "application/json", x_amzn_RequestId="1"))


@pytest.mark.parametrize("code", ["403", "", "Access denied by policy 17", "<b>no</b>", None, 5])
def test_a_code_is_a_name(code: object) -> None:
    with pytest.raises(NotSent, match="something between here and AWS"):
        foreign.check(answer(403, json.dumps({"code": code}).encode(), "application/json", x_amzn_RequestId="1"))


def test_the_clock_is_not_set_by_what_answers_in_awss_place() -> None:
    """A portal's `Date` is as wrong as its clock, and signatures by it are refused."""
    offset = ClockOffset(SystemClock())
    http = Http(config=UplinkConfig(), offset=offset)
    with FakeSqs(skew=4e8, check_signatures=False) as portal:
        portal.script(Fault("page", status=200, message="log in", only={"operation": "GetQueueAttributes"}))
        asked = AWSRequest(
            method="POST",
            url=portal.endpoint,
            data=json.dumps({"QueueUrl": portal.create("telemetry")}),
            headers={"X-Amz-Target": "AmazonSQS.GetQueueAttributes", "Content-Type": "application/x-amz-json-1.0"},
        ).prepare()
        try:
            with pytest.raises(NotSent, match="log in"):
                http.send(asked)
            assert abs(offset.seconds() - time.time()) < 3600
            http.send(asked)
            assert offset.seconds() - time.time() > 3e8
        finally:
            http.close()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 500, 503])
def test_a_status_without_a_code_is_nobodys_word(status: int) -> None:
    for code in ("", str(status)):
        assert verdicts.cause_of(code, status=status) is Cause.FOREIGN


# A proxy on the way, as botocore meets it


@contextmanager
def between(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Answer each connection by `serve`, after the head of its request; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    connection.settimeout(10)
                    serve(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def says(*parts: bytes) -> Callable[[socket.socket], None]:
    """Send the first part after the first thing that comes, and so on, and close."""

    def serve(connection: socket.socket) -> None:
        for part in parts:
            connection.recv(65536)
            connection.sendall(part)
        if parts[-1].endswith(TUNNEL):
            connection.recv(65536)  # what the client says in the tunnel, so that the end is no reset

    return serve


TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nlogin"
ANSWERS = "something between here and AWS answers: "


@pytest.mark.parametrize(
    ("parts", "cause", "told"),
    [
        (
            (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",),
            Cause.FOREIGN,
            f"{ANSWERS}the proxy says 407 Proxy Authentication Required",
        ),
        ((b"HTTP/1.1 403 Forbidden by policy\r\n\r\n",), Cause.FOREIGN, f"{ANSWERS}the proxy says 403 Forbidden by policy"),
        ((b"HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n",), Cause.FOREIGN, f"{ANSWERS}the proxy says 302 Found"),
        ((b"HTTP/1.1 502 Bad Gateway\r\n\r\n",), Cause.NETWORK, f"{ANSWERS}the proxy says 502 Bad Gateway"),
        ((b"SSH-2.0-OpenSSH_9.2\r\n",), Cause.FOREIGN, f"{ANSWERS}it speaks no HTTP (SSH-2.0-OpenSSH_9.2)"),
        ((TUNNEL, PAGE), Cause.FOREIGN, f"{ANSWERS}it speaks no TLS"),
        ((TUNNEL,), Cause.NETWORK, ""),
        ((b"",), Cause.NETWORK, ""),
    ],
)
def test_a_proxy_that_refuses_or_speaks_no_tls_is_told_from_silence(
    parts: tuple[bytes, ...], cause: Cause, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an https queue a proxy's word comes as the error of CONNECT,, deep in botocore's, and not as an answer."""
    with between(says(*parts)) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:s3cret@127.0.0.1:{port}")
        aws = AwsConfig(region="eu-central-1")
        transport = connect(aws, UplinkConfig(connect_timeout=5, read_timeout=5), SystemClock())
        try:
            with pytest.raises(NotSent) as error:
                transport.limit("https://sqs.eu-central-1.amazonaws.com/123456789012/telemetry")
        finally:
            transport.close()
    assert error.value.cause is cause
    assert told in str(error.value)
    assert "s3cret" not in str(error.value)


def test_an_endpoint_that_does_not_say_its_limit_is_no_good_answer_to_a_check() -> None:
    """An emulator may lack it: the scheduler sends all the same (`test_without_the_limit_it_sends_all_the_same`)."""
    body = b"{}"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nx-amzn-RequestId: 1\r\nContent-Length: %d\r\n\r\n" % len(body)
    with between(says(head + body)) as port:
        transport = connect(AwsConfig(region="eu-central-1", endpoint_url=f"http://127.0.0.1:{port}"), UplinkConfig(), SystemClock())
        try:
            with pytest.raises(NotSent, match="does not say the queue's MaximumMessageSize") as error:
                transport.limit("https://sqs.eu-central-1.amazonaws.com/123456789012/telemetry")
        finally:
            transport.close()
    assert error.value.cause is Cause.REQUEST


def test_without_the_limit_it_sends_all_the_same() -> None:
    spool = FakeSpool("telemetry", envelope=1)
    put(spool, "telemetry", b"1")
    sim = Simulation(spool, [stream("https://sqs.eu-central-1.amazonaws.com/1/telemetry")], UplinkConfig())
    asked = sim.scheduler.next()
    assert isinstance(asked, Ask)
    sim.scheduler.done(asked, NotSent(Cause.REQUEST, "the emulator does not say the queue's MaximumMessageSize"))
    assert isinstance(sim.scheduler.next(), Send)


CONFIG = """
[device]
id = "board-7"
[aws]
region = "eu-central-1"
endpoint_url = "{endpoint}"
[spool]
directory = "{folder}/spool"
[[input]]
name = "in"
pattern = "pull"
bind = ["ipc://{folder}/in"]
stream = "telemetry"
[[stream]]
name = "telemetry"
queue = "{queue}"
"""


@pytest.mark.parametrize("status", [200, 302, 401, 403, 407, 503])
def test_check_online_says_who_answers_and_is_not_content(
    status: int, sqs: FakeSqs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG.format(endpoint=sqs.endpoint, folder=tmp_path, queue=sqs.create("telemetry")))
    page = json.dumps({"error": "authentication required"})
    sqs.script(
        Fault("page", status=status, message=page, content_type="application/json", times=None, only={"operation": "GetQueueAttributes"})
    )
    assert main(["check", "--config", str(path), "--online"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert f"something between here and AWS answers: HTTP {status}" in shown
    assert "authentication required" in shown
    assert "telemetry answers" not in shown
