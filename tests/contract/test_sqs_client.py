"""The client's contract (`Transport`), against the scripted SQS and the responder of the benchmarks.

moto cannot take part: its in-process mode replaces botocore's sending, which is half of what is tested, and its server needs Flask.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import boto3
import pytest

from device_agent.clock import SystemClock
from device_agent.config import AwsConfig, StreamConfig, UplinkConfig
from device_agent.packer import Message
from device_agent.uplink import probe, send_once
from device_agent.uplink.client import Transport, connect
from device_agent.uplink.verdicts import Cause, NotSent, Refused
from tests.fakes.sqs import FakeSqs, Fault
from tests.fakes.sqs.responder import Responder
from tests.uplink.conftest import _credentials, sqs

__all__ = ["_credentials", "sqs"]  # fixtures

Endpoint = tuple[str, Callable[[str], str]]  # its address, and how to create a queue


def _create(endpoint: str) -> Callable[[str], str]:
    def create(name: str) -> str:
        client = boto3.client("sqs", region_name="eu-central-1", endpoint_url=endpoint)
        attributes = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
        try:
            return str(client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])
        finally:
            client.close()

    return create


@pytest.fixture(params=["fake", "responder"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    if request.param == "fake":
        with FakeSqs() as server:
            yield server.endpoint, _create(server.endpoint)
    else:
        responder = Responder()
        thread = threading.Thread(target=responder.serve)
        thread.start()
        yield responder.endpoint, lambda name: f"{responder.endpoint}/1/{name}"
        responder.running = False
        thread.join()


@pytest.fixture
def transport(endpoint: Endpoint) -> Iterator[Transport]:
    made = connect(AwsConfig(region="eu-central-1", endpoint_url=endpoint[0]), UplinkConfig(), SystemClock())
    yield made
    made.close()


def message(number: int, *, fifo: bool, body: str = "") -> Message:
    body = body or f'{{"n":{number}}}'
    ident = f"0123456789abcdef-{number}"
    return Message(
        id=ident, first=number, last=number, body=body, group=f"g{number}" if fifo else None, deduplication_id=ident if fifo else None,
        size=len(body.encode()),
    )  # fmt: skip


@pytest.mark.parametrize("fifo", [False, True])
def test_ten_messages_are_accepted_in_one_request(endpoint: Endpoint, transport: Transport, fifo: bool) -> None:
    url = endpoint[1]("q.fifo" if fifo else "q")
    assert transport.send(url, [message(number, fifo=fifo) for number in range(1, 11)]) == [None] * 10


def test_a_request_of_a_mebibyte_is_accepted(endpoint: Endpoint, transport: Transport) -> None:
    url = endpoint[1]("q")
    size = 1_048_576 // 10
    assert transport.send(url, [message(number, fifo=False, body="x" * size) for number in range(1, 11)]) == [None] * 10


def test_the_limit_of_a_queue_can_be_read(endpoint: Endpoint, transport: Transport) -> None:
    url = endpoint[1]("q")
    assert transport.limit(url) in {262_144, 1_048_576}


def test_a_queue_that_does_not_exist_is_not_now(endpoint: Endpoint, transport: Transport, request: pytest.FixtureRequest) -> None:
    if "responder" in request.node.name:
        pytest.skip("the responder has every queue")
    with pytest.raises(NotSent) as error:
        transport.send(f"{endpoint[0]}/123456789012/nowhere", [message(1, fifo=False)])
    assert error.value.cause is Cause.QUEUE


def test_probe_says_one_sentence_a_stream(sqs: FakeSqs) -> None:
    streams = [
        StreamConfig(name="good", queue=sqs.create("good")),
        StreamConfig(name="small", queue=sqs.create("small", MaximumMessageSize="1024")),
        StreamConfig(name="missing", queue=f"{sqs.endpoint}/123456789012/missing"),
    ]
    found = probe(AwsConfig(region="eu-central-1", endpoint_url=sqs.endpoint), streams)
    assert [(look.stream, look.good, look.mend) for look in found] == [
        ("good", True, False),
        ("small", False, True),
        ("missing", False, True),
    ]
    assert "max_envelope" in found[1].sentence
    assert found[1].key == ("stream", "small", "max_envelope")
    assert "does not exist" in found[2].sentence
    assert found[2].key == ("stream", "missing", "queue")
    assert sqs.accepted == []


def test_probe_tells_a_network_that_is_away_from_what_must_be_mended() -> None:
    streams = [StreamConfig(name="s", queue="http://127.0.0.1:1/123456789012/s")]
    (look,) = probe(AwsConfig(region="eu-central-1"), streams)
    assert (look.good, look.mend) == (False, False)
    assert "does not answer" in look.sentence


def test_send_once_delivers_or_says_why_not(sqs: FakeSqs) -> None:
    aws = AwsConfig(region="eu-central-1", endpoint_url=sqs.endpoint)
    stream = StreamConfig(name="q", queue=sqs.create("q"))
    send_once(aws, stream, message(1, fifo=False))
    assert len(sqs.accepted) == 1
    sqs.script(Fault("entries", "InvalidMessageContents", entries=(0,)), Fault("error", "AccessDenied", status=403))
    with pytest.raises(Refused):
        send_once(aws, stream, message(2, fifo=False))
    with pytest.raises(NotSent, match="sqs:SendMessage"):
        send_once(aws, stream, message(2, fifo=False))
