"""Faults of the queue and the network: after each, nothing is lost, the status says one clear sentence, and sending resumes by itself."""

from __future__ import annotations

import dataclasses
import random
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from device_agent.clock import SystemClock
from device_agent.config import AwsConfig, UplinkConfig
from device_agent.metrics import Metrics
from device_agent.uplink.client import connect
from device_agent.uplink.verdicts import Cause, NotSent
from tests.fakes.spool import FakeSpool
from tests.fakes.sqs import FakeSqs, Fault
from tests.uplink.conftest import Start, _credentials, eventually, sqs, start
from tests.uplink.support import FAST, envelopes, payloads, put, stream

__all__ = ["_credentials", "eventually", "sqs", "start"]  # fixtures

Eventually = Callable[[Callable[[], bool]], None]
NAMES = ("telemetry", "events.fifo")

#: code, HTTP status, a word of the sentence
WHOLE = [
    ("RequestThrottled", 403, "fewer requests"),
    ("ThrottlingException", 400, "fewer requests"),
    ("InternalError", 500, "fault of its own"),
    ("ServiceUnavailable", 503, "fault of its own"),
    ("AccessDenied", 403, "sqs:SendMessage"),
    ("AccessDeniedException", 400, "sqs:SendMessage"),
    ("InvalidClientTokenId", 403, "credentials"),
    ("UnrecognizedClientException", 400, "credentials"),
    ("ExpiredToken", 403, "credentials"),
    ("ExpiredTokenException", 400, "credentials"),
    ("RequestTimeTooSkewed", 403, "clock"),
    ("InvalidSignatureException", 403, "clock"),
    ("KmsDisabled", 400, "KMS"),
    ("KmsAccessDenied", 400, "KMS"),
    ("KmsThrottled", 400, "KMS"),
    ("QueueDoesNotExist", 400, "does not exist"),
    ("QueueDeletedRecently", 400, "does not exist"),
    ("MissingParameter", 400, "another kind"),
    ("SomethingNew", 400, "does not know"),
    ("BatchEntryIdsNotDistinct", 400, "form of the request"),
]


def test_a_queue_that_is_not_there_is_known_before_there_is_anything_to_send(
    sqs: FakeSqs, start: Start, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    known = sqs.create("telemetry")
    lost = sqs.create("events.fifo").replace("events.fifo", "elsewhere.fifo")
    uplink = start(FakeSpool("telemetry", "events"), stream(known), stream(lost, "events"))
    eventually(lambda: uplink.status()["telemetry"]["state"] == "ok")
    eventually(lambda: "does not exist" in uplink.status()["events"]["problem"])
    sqs.create("elsewhere.fifo")
    eventually(lambda: uplink.status()["events"]["state"] == "ok")
    assert any("does not exist" in line and "streams=events" in line for line in caplog.messages)
    assert not sqs.bodies("telemetry")


def test_while_the_disk_cannot_be_read_it_is_told_and_sending_resumes_with_it(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    """It was taken for a bug, and the envelope was stuck until the next start."""
    spool = FakeSpool("telemetry", envelope=1)
    spool.unreadable = "No such device"
    uplink = start(spool, stream(sqs.create("telemetry")))
    put(spool, "telemetry", b"0", b"1")
    eventually(lambda: "No such device: the log on disk cannot be read" in uplink.status()["telemetry"]["problem"])
    spool.unreadable = ""
    eventually(lambda: spool.delivered_ranges("telemetry") == [(1, 2)])


@pytest.mark.parametrize(("code", "status", "word"), WHOLE)
def test_a_failing_queue_keeps_the_data_says_why_and_resumes(
    code: str, status: int, word: str, sqs: FakeSqs, start: Start, eventually: Eventually
) -> None:
    spool = FakeSpool("telemetry", "events", envelope=1)
    sqs.script(Fault("error", code, status=status, times=None))
    uplink = start(spool, stream(sqs.create("telemetry")), stream(sqs.create("events.fifo")))
    for key in ("telemetry", "events"):
        put(spool, key, *(b"%02d" % number for number in range(15)))
    for key in ("telemetry", "events"):
        eventually(lambda key=key: word in uplink.status()[key]["problem"])  # type: ignore[misc]  # a busy machine may time out before
        said = uplink.status()[key]
        assert key in said["problem"]
        assert "\n" not in said["problem"]
        assert said["next_try_in"] <= FAST.backoff_cap
        assert not spool.is_sendable(key)
        assert spool.delivered_ranges(key) == []
    sqs.heal()
    for key, name in (("telemetry", "telemetry"), ("events", "events.fifo")):
        eventually(lambda key=key: spool.delivered_ranges(key) == [(1, 15)])  # type: ignore[misc]
        arrived = payloads(sqs.bodies(name))
        assert (arrived if key == "events" else sorted(arrived)) == [b"%02d" % number for number in range(15)]
        eventually(lambda key=key: uplink.status()[key]["state"] == "ok")  # type: ignore[misc]
        assert spool.is_sendable(key)
    assert not spool.quarantined


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["lost", "hang", "reset", "html", "garbage"])
def test_a_network_that_fails_costs_nothing_and_keeps_the_order(
    name: str, kind: str, sqs: FakeSqs, start: Start, eventually: Eventually
) -> None:
    key = name.removesuffix(".fifo")
    spool = FakeSpool(key, envelope=1)
    sqs.script(Fault(kind, seconds=2.0, times=3))  # type: ignore[arg-type]
    start(spool, stream(sqs.create(name)))
    put(spool, key, *(b"%02d" % number for number in range(15)))
    eventually(lambda: spool.delivered_ranges(key) == [(1, 15)])
    assert not spool.quarantined
    assert set(payloads(sqs.bodies(name))) == {b"%02d" % number for number in range(15)}
    if name.endswith(".fifo"):
        assert payloads(sqs.bodies(name)) == [b"%02d" % number for number in range(15)]
        assert kind in {"reset", "html", "garbage"} or sqs.model.duplicates > 0  # the re-send had the same deduplication id


def test_nobody_listens_and_then_somebody_does(start: Start, eventually: Eventually) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{taken.getsockname()[1]}"
        spool = FakeSpool("telemetry")
        put(spool, "telemetry", b"x")
        aws = AwsConfig(region="eu-central-1", endpoint_url=closed)
        uplink = start(spool, stream(f"{closed}/1/telemetry"), aws=aws)
        eventually(lambda: uplink.status()["telemetry"]["state"] == "backing off")
        assert "network" in uplink.status()["telemetry"]["problem"]
        assert spool.in_flight("telemetry") == [] or spool.delivered_ranges("telemetry") == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("code", ["InternalError", "RequestThrottled", "ServiceUnavailable"])
def test_entries_that_fail_go_again_and_their_neighbours_do_not(
    name: str, code: str, sqs: FakeSqs, start: Start, eventually: Eventually
) -> None:
    key = name.removesuffix(".fifo")
    spool = FakeSpool(key, envelope=1)
    put(spool, key, *(b"%d" % number for number in range(10)))
    sqs.script(Fault("entries", code, sender_fault=False, entries=(0, 3, 9), times=2))
    metrics = Metrics()
    start(spool, stream(sqs.create(name)), metrics=metrics)
    eventually(lambda: spool.delivered_ranges(key) == [(1, 10)])
    assert sorted(payloads(sqs.bodies(name))) == [b"%d" % number for number in range(10)]
    assert metrics.streams[key].retried_messages >= 2
    assert not spool.quarantined


@pytest.mark.parametrize("code", ["AccessDenied", "ExpiredToken", "KmsThrottled", "KmsDisabled", "RequestThrottled", "RequestExpired"])
def test_entries_are_not_quarantined_for_lack_of_permission_whatever_sender_fault_says(
    code: str, sqs: FakeSqs, start: Start, eventually: Eventually
) -> None:
    spool = FakeSpool("telemetry", envelope=1)
    put(spool, "telemetry", *(b"%d" % number for number in range(10)))
    sqs.script(Fault("entries", code, sender_fault=True, entries=range(10), times=3))
    start(spool, stream(sqs.create("telemetry")))
    eventually(lambda: spool.delivered_ranges("telemetry") == [(1, 10)])
    assert not spool.quarantined
    assert len(sqs.accepted) == 10


def test_entries_that_the_answer_does_not_name_go_again(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    spool = FakeSpool("telemetry", envelope=1)
    put(spool, "telemetry", *(b"%d" % number for number in range(10)))
    sqs.script(Fault("unnamed", entries=(2, 4), times=2))
    start(spool, stream(sqs.create("telemetry")))
    eventually(lambda: spool.delivered_ranges("telemetry") == [(1, 10)])
    assert len(sqs.accepted) == 10


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_that_is_the_senders_fault_is_quarantined_and_the_rest_goes_on(
    name: str, sqs: FakeSqs, start: Start, eventually: Eventually
) -> None:
    key = name.removesuffix(".fifo")
    spool = FakeSpool(key, envelope=1)
    put(spool, key, *(b"%d" % number for number in range(5)))
    sqs.script(Fault("entries", "InvalidMessageContents", message="Invalid characters found", entries=(0,)))
    metrics = Metrics()
    start(spool, stream(sqs.create(name)), metrics=metrics)
    eventually(lambda: len(sqs.accepted) == 5)  # four readings and the notice
    ((_, first, last, reason, body),) = spool.quarantined
    assert (first, last) == (1, 1)
    assert "InvalidMessageContents" in reason
    assert payloads([body]) == [b"0"]
    assert sorted(payloads(sqs.bodies(name))) == [b"1", b"2", b"3", b"4"]
    assert [one.reason for one in envelopes(sqs.bodies(name)) if hasattr(one, "reason")] == ["quarantined"]
    assert metrics.streams[key].quarantined == 1


def test_a_request_that_is_refused_for_one_message_is_taken_apart(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    spool = FakeSpool("telemetry", envelope=1)
    put(spool, "telemetry", *(b"%d" % number for number in range(10)))
    sqs.script(Fault("error", "InvalidMessageContents", times=4))  # 10, 5, 2, 1: the one that is alone then is it
    start(spool, stream(sqs.create("telemetry")), config=UplinkConfig(senders=1, backoff_first=0.01, backoff_cap=0.05))
    eventually(lambda: len(sqs.accepted) == 10)
    assert [entries for operation, _, entries in sqs.requests if operation == "SendMessageBatch"][:5] == [10, 5, 2, 1, 1]
    assert len(spool.quarantined) == 1


def test_an_endpoint_with_a_lower_limit_for_batches_gets_smaller_ones(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    spool = FakeSpool("telemetry", envelope=1)
    put(spool, "telemetry", *(b"%d" % number for number in range(40)))
    sqs.script(Fault("error", "BatchRequestTooLong", times=2))
    start(spool, stream(sqs.create("telemetry")), config=UplinkConfig(senders=1))
    eventually(lambda: spool.delivered_ranges("telemetry") == [(1, 40)])
    assert not spool.quarantined
    assert max(entries for operation, _, entries in sqs.requests[3:] if operation == "SendMessageBatch") <= 5


PAGES = (200, 302, 307, 400, 401, 403, 404, 407, 429, 500, 502, 503, 511)
STRANGE = [
    *((Fault("page", status=status), f"between here and AWS answers: HTTP {status}", "not AWS's answer") for status in PAGES),
    (Fault("page", status=413), "HTTP 413", "client_max_body_size"),
    (Fault("garbage"), "between here and AWS answers: HTTP 200 Please log in", "not AWS's answer"),
    (Fault("endless"), "more than 1024 KiB", "does not answer"),
    (Fault("drip"), "Read timeout", "does not answer"),
]


@pytest.mark.parametrize(("fault", "what", "why"), STRANGE, ids=lambda one: f"{one.kind}-{one.status}" if isinstance(one, Fault) else "")
def test_an_answer_that_is_not_of_sqs_is_told_and_quarantines_nothing(
    fault: Fault, what: str, why: str, sqs: FakeSqs, start: Start, eventually: Eventually
) -> None:
    """A bare 413, as a proxy gives, set acknowledged readings aside; a body that dripped or did not end held a sender for ever."""
    spool = FakeSpool("telemetry", envelope=1)
    sqs.script(dataclasses.replace(fault, times=None))
    uplink = start(spool, stream(sqs.create("telemetry")))
    put(spool, "telemetry", *(b"%d" % number for number in range(10)))
    eventually(lambda: what in uplink.status()["telemetry"]["problem"] and why in uplink.status()["telemetry"]["problem"])
    assert len(uplink.status()["telemetry"]["problem"]) < 400
    sqs.heal()
    eventually(lambda: spool.delivered_ranges("telemetry") == [(1, 10)])
    assert not spool.quarantined


def test_a_queue_that_takes_less_than_the_envelope_quarantines_it_with_the_way_out(
    sqs: FakeSqs, start: Start, eventually: Eventually
) -> None:
    spool = FakeSpool("telemetry")
    put(spool, "telemetry", random.Random(1).randbytes(10_000))
    put(spool, "telemetry", b"small")
    start(spool, stream(sqs.create("telemetry", MaximumMessageSize="1024")))
    eventually(lambda: b"small" in payloads(sqs.bodies("telemetry")))
    eventually(lambda: bool(spool.quarantined))
    assert "MaximumMessageSize" in spool.quarantined[0][3]
    assert "1024" in spool.quarantined[0][3]


def test_a_limit_that_cannot_be_read_is_one_mebibyte(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    spool = FakeSpool("telemetry")
    put(spool, "telemetry", b"x")
    sqs.script(Fault("error", "AccessDenied", status=403, times=None, only={"operation": "GetQueueAttributes"}))
    uplink = start(spool, stream(sqs.create("telemetry")))
    eventually(lambda: spool.delivered_ranges("telemetry") == [(1, 1)])
    assert uplink.status()["telemetry"]["max_message"] == 1_048_576


def test_a_queue_that_is_not_there_yet_is_waited_for(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    spool = FakeSpool("telemetry")
    put(spool, "telemetry", b"x")
    uplink = start(spool, stream(f"{sqs.endpoint}/123456789012/telemetry"))
    eventually(lambda: uplink.status()["telemetry"]["state"] == "backing off")
    assert "does not exist" in uplink.status()["telemetry"]["problem"]
    sqs.create("telemetry")
    eventually(lambda: spool.delivered_ranges("telemetry") == [(1, 1)])


def test_one_queue_that_fails_does_not_stop_another(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    spool = FakeSpool("telemetry", "events", envelope=1)
    sqs.script(Fault("error", "KmsDisabled", times=None, only={"queue": "telemetry"}))
    uplink = start(spool, stream(sqs.create("telemetry")), stream(sqs.create("events.fifo")))
    for name in ("telemetry", "events"):
        put(spool, name, *(b"x" for _ in range(10)))
    eventually(lambda: spool.delivered_ranges("events") == [(1, 10)])
    assert uplink.status()["events"]["state"] == "ok"
    assert spool.delivered_ranges("telemetry") == []


def test_credentials_that_are_missing_are_waited_for(
    sqs: FakeSqs, start: Start, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    spool = FakeSpool("telemetry")
    put(spool, "telemetry", b"x")
    uplink = start(spool, stream(sqs.create("telemetry")))
    eventually(lambda: uplink.status()["telemetry"]["state"] == "backing off")
    assert "no AWS credentials found" in uplink.status()["telemetry"]["problem"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    eventually(lambda: spool.delivered_ranges("telemetry") == [(1, 1)])


def test_credentials_that_were_replaced_are_taken_up(
    sqs: FakeSqs, start: Start, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the old one")
    spool = FakeSpool("telemetry")
    put(spool, "telemetry", b"x")
    uplink = start(spool, stream(sqs.create("telemetry")))
    eventually(lambda: uplink.status()["telemetry"]["state"] == "backing off")
    assert "secret key" in uplink.status()["telemetry"]["problem"]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    eventually(lambda: spool.delivered_ranges("telemetry") == [(1, 1)])


def test_a_clock_that_is_wrong_is_corrected_by_the_answers(sqs: FakeSqs, start: Start, eventually: Eventually) -> None:
    sqs.skew = 90 * 86400.0
    spool = FakeSpool("telemetry")
    put(spool, "telemetry", b"x")
    start(spool, stream(sqs.create("telemetry")))
    eventually(lambda: spool.delivered_ranges("telemetry") == [(1, 1)])


@pytest.mark.parametrize("variable", ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"])
def test_a_byte_order_mark_in_the_shared_files_of_aws_is_told(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore says only `Unable to parse config file` (editors of Windows write such a mark)."""
    file = tmp_path / "written-by-notepad"
    file.write_bytes("\ufeff[default]\r\naws_access_key_id = A\r\n".encode())
    monkeypatch.setenv(variable, str(file))
    transport = connect(AwsConfig(region="eu-central-1", endpoint_url="http://127.0.0.1:1"), UplinkConfig(), SystemClock())
    with pytest.raises(NotSent, match="written-by-notepad cannot be read; save it as plain UTF-8, without a byte order mark") as told:
        transport.limit("https://sqs.eu-central-1.amazonaws.com/123456789012/telemetry")
    assert told.value.cause is Cause.CREDENTIALS
