"""What the uplink's tests share: a spool in memory, a scripted SQS on loopback, and an uplink between them that is always stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from device_agent.clock import Clock, SystemClock
from device_agent.config import AwsConfig, StreamConfig, UplinkConfig
from device_agent.metrics import Metrics
from device_agent.ports import Source
from device_agent.uplink import Uplink
from tests.fakes.sqs import FakeSqs
from tests.uplink.support import FAST

Start = Callable[..., Uplink]


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """boto3's chain finds these, and nothing of the machine's."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def sqs() -> Iterator[FakeSqs]:
    """The scripted SQS."""
    with FakeSqs() as server:
        yield server


@pytest.fixture
def start(sqs: FakeSqs) -> Iterator[Start]:
    """Start uplinks to `sqs`; stop them at the end."""
    started: list[Uplink] = []

    def run(
        source: Source, *streams: StreamConfig, config: UplinkConfig = FAST, clock: Clock | None = None, metrics: Metrics | None = None,
        aws: AwsConfig | None = None,
    ) -> Uplink:  # fmt: skip
        uplink = Uplink(
            device="board-7", agent="test/0", aws=aws or AwsConfig(region="eu-central-1", endpoint_url=sqs.endpoint), config=config,
            streams=streams, source=source, clock=clock or SystemClock(), metrics=metrics or Metrics(),
        )  # fmt: skip
        started.append(uplink)
        uplink.start()
        return uplink

    yield run
    for uplink in started:
        uplink.stop(0.0)


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait until something is true; nothing takes as long as the ceiling."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < deadline, "it did not become true within two minutes"
            time.sleep(0.005)

    return wait
