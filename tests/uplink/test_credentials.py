"""The AWS IoT credentials provider: mutual TLS, renewal, refusal; against a small real provider."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")  # comes with moto; not on a board

from device_agent.config import AwsConfig, IotConfig, UplinkConfig
from device_agent.errors import ConfigError
from device_agent.uplink.clock_offset import ClockOffset
from device_agent.uplink.credentials import IotCredentials
from device_agent.uplink.http import Http
from device_agent.uplink.verdicts import NotSent
from tests.fakes.spool import FakeSpool
from tests.fakes.sqs import FakeSqs
from tests.fakes.sqs.server import LoopbackServer
from tests.fakes.tls import Authority, Pair
from tests.uplink.conftest import Start
from tests.uplink.support import assert_probed, live_sockets, put, stream

Eventually = Callable[[Callable[[], bool]], None]


class MovableClock:
    """The real clock, moved."""

    def __init__(self) -> None:
        self.moved = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.moved

    def now(self) -> int:
        return int((time.time() + self.moved) * 1e6)

    def synced(self) -> bool:
        return True


class Provider:
    """GET /role-aliases/<alias>/credentials, for clients with a certificate of the authority."""

    def __init__(self, authority: Authority) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.lifetime = 3600.0
        self.status = 200
        self.clock = MovableClock()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def date_time_string(self, timestamp: float | None = None) -> str:
                return formatdate(provider.clock.now() / 1e6, usegmt=True)

            def do_GET(self) -> None:
                provider.asked.append((self.path, self.headers.get("x-amzn-iot-thingname")))
                body = provider.answer()
                self.send_response(provider.status)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Type", "application/json")
                self.send_header("x-amzn-RequestId", "0")
                if provider.status != 200:
                    self.send_header("x-amzn-ErrorType", "InvalidRequestException")
                self.end_headers()
                self.wfile.write(body)

        self._server = LoopbackServer(Handler, authority.server(authority.issue("provider"), clients=True))
        self.host = f"localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def answer(self) -> bytes:
        if self.status != 200:
            return b'{"message":"Invalid thing name passed"}'
        ends = datetime.fromtimestamp(self.clock.now() / 1e6 + self.lifetime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        keys = {"accessKeyId": "AKIDTEST", "secretAccessKey": "secret", "sessionToken": f"token-{len(self.asked)}", "expiration": ends}
        return json.dumps({"credentials": keys}).encode()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def provider(authority: Authority) -> Iterator[Provider]:
    made = Provider(authority)
    yield made
    made.stop()


def config(authority: Authority, host: str, pair: Pair | None = None) -> IotConfig:
    pair = pair or authority.issue("device")
    return IotConfig(
        endpoint=host, role_alias="device-role", certificate=pair.certificate, private_key=pair.key, ca=authority.ca, thing="board-7"
    )  # fmt: skip


def credentials(iot: IotConfig, clock: Any) -> tuple[IotCredentials, Http]:
    offset = ClockOffset(clock)
    pair = (iot.certificate, iot.private_key)
    http = Http(config=UplinkConfig(connect_timeout=2, read_timeout=2), offset=offset, ca=iot.ca, client_cert=pair)
    return IotCredentials(iot, http=http, offset=offset), http


def test_the_device_certificate_buys_credentials_that_sign_requests(
    authority: Authority, provider: Provider, sqs: FakeSqs, start: Start, eventually: Eventually
) -> None:
    sqs.token = "token-1"
    spool = FakeSpool("telemetry")
    put(spool, "telemetry", b"x")
    aws = AwsConfig(region="eu-central-1", endpoint_url=sqs.endpoint, iot=config(authority, provider.host))
    start(spool, stream(sqs.create("telemetry")), aws=aws)
    eventually(lambda: spool.delivered_ranges("telemetry") == [(1, 1)])
    assert provider.asked == [("/role-aliases/device-role/credentials", "board-7")]


def test_connections_to_the_provider_are_probed_and_give_up_in_time(authority: Authority, provider: Provider) -> None:
    source, http = credentials(config(authority, provider.host), provider.clock)
    with closing(http):
        source.get()
        assert_probed(live_sockets(http), unacknowledged=True)


def test_credentials_that_sqs_calls_expired_are_fetched_again(
    authority: Authority, provider: Provider, sqs: FakeSqs, start: Start, eventually: Eventually
) -> None:
    sqs.token = "token-3"
    spool = FakeSpool("telemetry")
    put(spool, "telemetry", b"x")
    aws = AwsConfig(region="eu-central-1", endpoint_url=sqs.endpoint, iot=config(authority, provider.host))
    start(spool, stream(sqs.create("telemetry")), aws=aws)
    eventually(lambda: spool.delivered_ranges("telemetry") == [(1, 1)])
    assert len(provider.asked) == 3


def test_they_are_renewed_before_they_expire_and_not_sooner(authority: Authority, provider: Provider) -> None:
    clock = provider.clock
    source, http = credentials(config(authority, provider.host), clock)
    assert source.get().token == "token-1"
    clock.moved = 2700.0
    assert source.get().token == "token-1"
    clock.moved = 2900.0  # less than a fifth of the hour is left
    assert source.get().token == "token-2"
    http.close()


def test_while_the_provider_fails_valid_credentials_are_used_on(authority: Authority, provider: Provider) -> None:
    clock = provider.clock
    source, http = credentials(config(authority, provider.host), clock)
    source.get()
    provider.status = 500
    clock.moved = 3000.0
    assert source.get().token == "token-1"
    asked = len(provider.asked)
    assert source.get().token == "token-1"
    assert len(provider.asked) == asked, "it does not ask at every signature"
    clock.moved = 3600.0
    with pytest.raises(NotSent, match="answered 500"):
        source.get()
    http.close()


def test_a_refusal_says_what_the_provider_says(authority: Authority, provider: Provider) -> None:
    provider.status = 403
    source, http = credentials(config(authority, provider.host), MovableClock())
    with pytest.raises(NotSent, match=r"403.*Invalid thing name"):
        source.get()
    http.close()


def test_without_a_certificate_of_the_authority_there_is_nothing(authority: Authority, provider: Provider, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    source, http = credentials(config(authority, provider.host, Authority(other).issue("stranger")), MovableClock())
    with pytest.raises(NotSent, match="credentials provider"):
        source.get()
    assert provider.asked == []
    http.close()


def test_a_key_that_others_can_read_is_refused_with_the_command_that_mends_it(authority: Authority) -> None:
    pair = authority.issue("device")
    Path(pair.key).chmod(0o640)
    with pytest.raises(ConfigError, match=r"mode 0640.*chmod 600"):
        credentials(config(authority, "localhost:1", pair), MovableClock())


def test_files_that_are_missing_are_all_named_at_once(authority: Authority, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    with pytest.raises(ConfigError) as error:
        credentials(config(authority, "localhost:1", Pair(nowhere, nowhere)), MovableClock())
    assert str(error.value).count("\n") == 1
