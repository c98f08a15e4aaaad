"""STOMP against a real ActiveMQ: queues, the dead-letter queue, restarts and refusals. RabbitMQ's are in test_rabbitstomp.py."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device_agent.config.sources import StompConfig
from device_agent.ports import Verdict
from tests.lab.agent import wait_for
from tests.sources.brokers import ActiveMq
from tests.sources.certificates import make_certificates
from tests.sources.conftest import Board
from tests.sources.stompclient import own_name, sender


def settings(url: str, **changes: Any) -> StompConfig:
    return StompConfig(**({"name": "in", "kind": "stomp", "stream": "telemetry", "destination": "/queue/open.q", "url": url} | changes))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ActiveMq]:
    """Shared by the tests that do not stop it; each has a queue of its own."""
    with ActiveMq(tmp_path_factory.mktemp("activemq")) as made:
        yield made


@pytest.fixture
def queue() -> str:
    return f"/queue/{own_name()}"


def test_what_came_while_the_agent_was_away_is_delivered_then(board: Board, broker: ActiveMq, queue: str) -> None:
    with sender(broker) as client:
        client.send(b"1", b"2", b"3", to=queue)
        board.start(settings(broker.url, destination=queue))
        assert board.sink.wait_for(3) == [b"1", b"2", b"3"]
        assert board.topics() == [queue] * 3
        assert board.status()["server"].startswith("ActiveMQ/")


def test_a_durable_subscription_keeps_what_is_published_meanwhile(board: Board, broker: ActiveMq) -> None:
    topic = f"/topic/{own_name()}"
    board.start(settings(broker.url, destination=topic, durable=True))
    board.stop()
    with sender(broker) as client:
        client.send(b"1", b"2", to=topic)
    board.start(settings(broker.url, destination=topic, durable=True))
    assert board.sink.wait_for(2) == [b"1", b"2"]


def test_two_agents_of_one_name_are_told(board: Board, broker: ActiveMq, tmp_path: Path) -> None:
    """The broker refuses the second."""
    (tmp_path / "other").mkdir()
    other, one = Board(tmp_path / "other"), settings(broker.url, destination=f"/topic/{own_name()}", durable=True)
    try:
        board.start(one)
        other.begin(one)
        wait_for(lambda: "refuses the connection" in other.problem(), what="the problem")
        assert "Client: board-7.in already connected" in other.problem()
        assert board.status()["stands"]
    finally:
        other.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_broker_that_is_started_again_sends_what_was_not_acknowledged(board: Board, tmp_path: Path, number: int) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    with ActiveMq(folder) as broker:
        board.start(settings(broker.url))
        with sender(broker) as client:
            client.send(b"kept", to="/queue/open.q")
            board.sink.wait_for(1)
            wait_for(lambda: board.counters.replies == 1, what="its answer")
            wait_for(lambda: board.status()["under_way"] == 0, what="its acknowledgement")
            board.sink.hold = True
            client.send(b"one", b"two", to="/queue/open.q")
            board.sink.wait(lambda: len(board.sink.payloads()) >= 2)
        settle_the_store(broker)
        broker.stop(number)
        wait_for(lambda: board.problem() and not board.status()["stands"], what="the problem")
        board.sink.refuse("the disk took none")
        board.sink.hold = False
        broker.start()
        wait_for(lambda: board.status()["stands"], what="the connection")
        board.sink.wait(lambda: {b"one", b"two"} <= set(kept(board)))
        assert kept(board).count(b"kept") == 1
        assert board.problem() == ""
        board.stop(drain=5.0)


def test_a_broker_that_is_not_there_yet_is_waited_for(board: Board, tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = ActiveMq(folder)
    board.begin(settings(broker.url))
    wait_for(lambda: f"{broker.url} does not answer: Connection refused" in board.problem(), what="the problem")
    with broker:
        wait_for(lambda: board.status()["stands"], what="the connection")
        board.stop()


def test_a_wrong_password_is_told_with_what_to_look_at(board: Board, broker: ActiveMq, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("wr0ng\n")
    secret.chmod(0o600)
    given = settings(broker.url, username="agent", password_file=str(secret), destination="/queue/secret.q")
    board.begin(given)
    wait_for(lambda: "refuses the connection" in board.problem(), what="the problem")
    assert "check username, password_file and virtual_host" in board.problem()
    assert "wr0ng" not in board.problem()
    secret.write_text("s3cret\nsecond: line\n")
    wait_for(lambda: "the password must be one line" in board.problem(), what="the next problem")
    secret.write_text("s3cret\n")
    wait_for(lambda: board.status()["stands"], what="the connection")


def test_a_destination_that_is_refused_is_told_by_its_name(board: Board, broker: ActiveMq) -> None:
    board.begin(settings(broker.url, destination="/queue/secret.q"))
    wait_for(lambda: "refuses to subscribe to /queue/secret.q" in board.problem(), what="the problem")
    assert "not authorized" in board.problem()


def test_what_is_too_large_is_kept_aside_and_goes_to_the_dead_letter_queue(board: Board, broker: ActiveMq, queue: str) -> None:
    """Also what is too large for the quarantine, of which only the broker has a copy; and nothing comes twice."""
    large, huge = b"y" * 3_000_000, b"z" * 5_000_000
    board.start(settings(broker.url, destination=queue, max_reading=1000, window=2))
    with sender(broker) as client:
        client.send(b"before", b"x" * 1001, large, huge, b"after", to=queue)
        board.sink.wait_for(2)
        wait_for(lambda: len(board.sink.aside) == 2, what="the two in quarantine")
        assert [payload for _, payload, _ in board.sink.aside] == [b"x" * 1001, large]
        assert sorted(client.take("/queue/ActiveMQ.DLQ", 3)) == [b"x" * 1001, large, huge]
        board.stop(drain=5.0)
        client.send(b"end", to=queue)
        board.start(settings(broker.url, destination=queue, max_reading=1000, window=2))
        assert board.sink.wait_for(3) == [b"before", b"after", b"end"]
    assert len(board.sink.aside) == 2


def test_a_full_spool_for_longer_than_the_heart_beats_keeps_the_connection(board: Board, broker: ActiveMq, queue: str) -> None:
    board.start(settings(broker.url, destination=queue, heart_beat=1.0))
    board.sink.verdicts["telemetry"] = Verdict.FULL
    with sender(broker) as client:
        client.send(*(b"%d" % number for number in range(30)), to=queue)
        refused = board.counters.postponed
        # 30 messages each fifth of a second, for more than twice what ActiveMQ is patient
        wait_for(lambda: board.counters.postponed > refused + 750, what="25 rounds of refusals")
        assert board.status()["stands"]
        board.sink.verdicts.clear()
        found = [int(bytes(payload)) for payload in board.sink.wait_for(30)]
    assert sorted(found) == list(range(30))
    assert board.problem() == ""


def test_texts_without_a_length_and_names_with_colons_are_taken(board: Board, broker: ActiveMq) -> None:
    """ActiveMQ sends a text without content-length; and a colon in a header is escaped."""
    queue = f"/queue/{own_name()}:a:b"
    board.start(settings(broker.url, destination=queue))
    with sender(broker) as client:
        client.connection.auto_content_length = False
        client.send("Grüße\n\n".encode(), to=queue)
        assert board.sink.wait_for(1) == ["Grüße\n\n".encode()]
    assert board.topics() == [queue]


def test_over_tls_with_certificates_on_both_sides(board: Board, tmp_path: Path) -> None:
    ours = {name: str(tmp_path / file) for name, file in (("ca", "ca.pem"), ("certificate", "client.pem"), ("private_key", "client.key"))}
    stores = key_stores(tmp_path)
    folder = tmp_path / "broker"
    folder.mkdir()
    with ActiveMq(folder, tls=stores) as broker:
        url = f"stomp+ssl://127.0.0.1:{broker.tls_port}"
        board.begin(settings(url))
        wait_for(lambda: "cannot be trusted" in board.problem(), what="an unknown authority")
        board.stop()
        board.begin(settings(url, ca=ours["ca"]))
        wait_for(lambda: "ended the connection" in board.problem(), what="the refusal of a client without a certificate")
        board.stop()
        board.start(settings(url, **ours))
        with sender(broker) as client:
            expected = [b"%d" % number + b"x" * 20_000 for number in range(100)]
            client.send(*expected, to="/queue/open.q")
        assert board.sink.wait_for(100) == expected
        board.stop(drain=5.0)


def key_stores(folder: Path) -> tuple[Path, Path, str]:
    """Make certificates, and write those of the broker as Java wants them."""
    make_certificates(folder)
    if shutil.which("keytool") is None:
        pytest.skip("needs keytool (apt install default-jre-headless)")
    for command in (
        "openssl pkcs12 -export -in server.pem -inkey server.key -out keys.p12 -passout pass:secret",
        "keytool -importcert -noprompt -file ca.pem -alias ca -keystore trust.p12 -storetype PKCS12 -storepass secret",
    ):
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder / "keys.p12", folder / "trust.p12", "secret"


def settle_the_store(broker: ActiveMq) -> None:
    """Return when the broker has handled every acknowledgement that was sent: a receipt for something later says so."""
    with sender(broker) as client:
        client.send(b"", to="/queue/open.other")


def kept(board: Board) -> list[bytes]:
    """What the spool has on disk."""
    return [bytes(payload) for batch in board.sink.batches if batch not in board.sink.refused_batches for payload in batch.run.payloads]


def test_what_the_broker_says_is_kept_when_asked_for(board: Board, broker: ActiveMq, queue: str) -> None:
    board.start(settings(broker.url, destination=queue, properties=True))
    with sender(broker) as client:
        client.send(b"warm", to=queue, **{"content-type": "text/plain", "Sensor-Id": "7:a"})
    event = json.loads(bytes(board.sink.wait_for(1)[0]))
    assert event.pop("id").startswith("ID:")
    assert event.pop("time").startswith("20")
    assert ["Sensor-Id", "7:a"] in json.loads(event.pop("headers"))
    assert event == {
        "specversion": "1.0", "source": "/devices/board-7/inputs/in", "type": "device-agent.message.v1", "subject": queue,
        "datacontenttype": "text/plain", "redelivered": False, "data": "warm",
    }  # fmt: skip
