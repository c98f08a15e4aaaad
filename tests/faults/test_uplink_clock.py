"""Faults of the clock: boards that wake up in 1970, that are days off, and that are set while they run. Real TLS, real signatures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")  # comes with moto; not on a board

from device_agent.config import AwsConfig
from device_agent.uplink import Uplink
from device_agent.uplink.clock_offset import BUILT, ClockOffset
from tests.fakes.spool import FakeSpool
from tests.fakes.sqs import FakeSqs
from tests.fakes.tls import Authority
from tests.uplink.conftest import Start, _credentials, eventually, start
from tests.uplink.support import put, stream

__all__ = ["_credentials", "eventually", "start"]  # fixtures

Eventually = Callable[[Callable[[], bool]], None]
Serve = Callable[..., FakeSqs]


class WrongClock:
    """The real monotonic clock, and a wall clock that is off."""

    def __init__(self, offset: float) -> None:
        self.offset = offset  # seconds

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> int:
        return max(0, time.time_ns() // 1000 + int(self.offset * 1e6))

    def synced(self) -> bool:
        return False


SINCE_1970 = -time.time()


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """A certificate authority that boto3's environment trusts."""
    made = Authority(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", made.ca)
    return made


@pytest.fixture
def serve(authority: Authority) -> Iterator[Serve]:
    """Start SQS behind TLS; the servers end after the uplinks, which `start` ends."""
    with ExitStack() as servers:

        def run(issuer: Authority = authority, **certificate: Any) -> FakeSqs:
            return servers.enter_context(FakeSqs(tls=issuer.server(issuer.issue("server", **certificate))))

        yield run


def start_at(start: Start, sqs: FakeSqs, spool: FakeSpool, clock: WrongClock) -> Uplink:
    """An uplink to `sqs` on a board with this clock."""
    aws = AwsConfig(region="eu-central-1", endpoint_url=sqs.endpoint)
    return start(spool, stream(sqs.create("telemetry")), clock=clock, aws=aws)


@pytest.fixture
def sqs(serve: Serve) -> FakeSqs:
    """SQS with a certificate that is valid today."""
    return serve()


@pytest.mark.parametrize("offset", [SINCE_1970, -3600.0, 3600.0, 86_400.0 * 400], ids=["1970", "hour-slow", "hour-fast", "400-days-fast"])
def test_a_board_with_a_wrong_clock_learns_the_time_and_sends(offset: float, sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    spool = FakeSpool("telemetry")
    put(spool, "telemetry", b"x")
    start(spool, stream(sqs.create("telemetry")), clock=WrongClock(offset))
    eventually(lambda: spool.delivered_ranges("telemetry") == [(1, 1)])


def test_in_1970_a_certificate_of_another_time_is_taken_since_its_dates_mean_nothing(
    serve: Serve, start: Start, eventually: Eventually
) -> None:
    sqs = serve(begins=-60.0, ends=-30.0)
    spool = FakeSpool("telemetry")
    put(spool, "telemetry", b"x")
    start_at(start, sqs, spool, WrongClock(SINCE_1970))
    eventually(lambda: spool.delivered_ranges("telemetry") == [(1, 1)])


def test_with_a_plausible_clock_an_expired_certificate_is_refused(serve: Serve, start: Start, eventually: Eventually) -> None:
    sqs = serve(begins=-60.0, ends=-30.0)
    spool = FakeSpool("telemetry")
    put(spool, "telemetry", b"x")
    uplink = start_at(start, sqs, spool, WrongClock(0.0))
    eventually(lambda: uplink.status()["telemetry"]["state"] == "backing off")
    assert "cannot be trusted" in uplink.status()["telemetry"]["problem"]
    assert sqs.requests == []


@pytest.mark.parametrize("offset", [SINCE_1970, 0.0], ids=["1970", "right"])
def test_another_hosts_certificate_is_refused_also_in_1970(offset: float, serve: Serve, start: Start, eventually: Eventually) -> None:
    sqs = serve(host="elsewhere.example")
    spool = FakeSpool("telemetry")
    put(spool, "telemetry", b"x")
    uplink = start_at(start, sqs, spool, WrongClock(offset))
    eventually(lambda: uplink.status()["telemetry"]["state"] == "backing off")
    assert sqs.requests == []


@pytest.mark.parametrize("offset", [SINCE_1970, 0.0], ids=["1970", "right"])
def test_a_strangers_certificate_is_refused_also_in_1970(
    offset: float, serve: Serve, tmp_path: Path, start: Start, eventually: Eventually
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    sqs = serve(Authority(other))
    spool = FakeSpool("telemetry")
    put(spool, "telemetry", b"x")
    uplink = start_at(start, sqs, spool, WrongClock(offset))
    eventually(lambda: uplink.status()["telemetry"]["state"] == "backing off")
    assert sqs.requests == []


def test_once_the_clock_is_set_dates_are_verified_again(serve: Serve, start: Start, eventually: Eventually) -> None:
    sqs = serve(begins=-60.0, ends=-30.0)
    spool = FakeSpool("telemetry")
    put(spool, "telemetry", b"x")
    clock = WrongClock(SINCE_1970)
    uplink = start_at(start, sqs, spool, clock)
    eventually(lambda: spool.delivered_ranges("telemetry") == [(1, 1)])
    clock.offset = 0.0
    put(spool, "telemetry", b"y")
    eventually(lambda: uplink.status()["telemetry"]["state"] == "backing off")
    assert spool.delivered_ranges("telemetry") == [(1, 1)]


def test_a_clock_that_is_set_or_unset_while_it_runs_does_no_harm(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    spool = FakeSpool("telemetry")
    clock = WrongClock(0.0)
    start(spool, stream(sqs.create("telemetry")), clock=clock)
    for count, offset in enumerate([0.0, 7200.0, SINCE_1970, 0.0, -7200.0, 0.0], start=1):
        clock.offset = offset
        put(spool, "telemetry", b"x")
        eventually(lambda count=count: spool.delivered_ranges("telemetry") == [(1, count)])  # type: ignore[misc]


@pytest.mark.parametrize("date", [None, "", "yesterday", "Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 99 Foo 2026 00:00:00 GMT", "\x00"])
def test_a_date_that_is_none_teaches_nothing(date: str | None) -> None:
    clock = WrongClock(0.0)
    offset = ClockOffset(clock)
    offset.learn(date)
    assert abs(offset.seconds() - clock.now() / 1e6) < 1


def test_no_right_clock_shows_less_than_the_build_date() -> None:
    assert time.time_ns() // 1000 >= BUILT
