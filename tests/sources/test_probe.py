"""`check --online` with brokers: what each says, in the words of `status`, without taking a message from anybody."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.ports import own_ports
from tests.sources import looks
from tests.sources.brokers import ActiveMq, Mosquitto, RabbitMq, publisher
from tests.sources.certificates import make_certificates
from tests.sources.conftest import Board
from tests.sources.looks import amqp, away, good, mqtt, stomp, wrong
from tests.sources.queues import channel, left, make, send


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    return looks.secret(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A broker's."""
    (tmp_path / "broker").mkdir()
    return tmp_path / "broker"


@pytest.fixture
def mosquitto(folder: Path) -> Iterator[Mosquitto]:
    with Mosquitto(folder) as made:
        yield made


@pytest.fixture(scope="module")
def activemq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ActiveMq]:
    with ActiveMq(tmp_path_factory.mktemp("activemq")) as made:
        yield made


@pytest.fixture
def queue(rabbit: RabbitMq) -> str:
    name = uuid.uuid4().hex
    make(rabbit, name)
    return name


# MQTT


@pytest.mark.parametrize(
    ("version", "topics", "untried"),
    [("5", ("a/#",), ""), ("5", ("a/#", "$share/g/b"), " (not tried: to subscribe to $share/g/b)"),
     ("3.1.1", ("a/#", "b"), " (not tried: to subscribe to a/#, b)")],
)  # fmt: skip
def test_an_mqtt_broker_that_takes_us_is_good(mosquitto: Mosquitto, version: str, topics: tuple[str, ...], untried: str) -> None:
    assert good(mqtt(mosquitto.url, version=version, topics=topics)) == f"{mosquitto.url} lets this device in{untried}"


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_the_session_of_a_running_agent_is_not_disturbed(board: Board, mosquitto: Mosquitto, version: str) -> None:
    settings = mqtt(mosquitto.url, version=version, topics=("a/#", "$share/g/b"))
    board.start(settings)
    good(settings)
    with publisher(mosquitto) as client:
        client.send(b"1", topic="a/b")
        client.send(b"2", b"3", topic="b")
        assert sorted(board.sink.wait_for(3)) == [b"1", b"2", b"3"]
    assert board.problem() == ""
    log = (mosquitto.folder / "log").read_text()
    assert log.count("as board-7.in (") == 1, "the agent has connected once"
    assert log.count("as board-7.in.check (") == 1
    board.stop()
    board.start(settings)
    assert board.status()["session"] == "resumed"


def test_a_probe_of_mqtt_leaves_no_session_and_gets_no_retained_message(mosquitto: Mosquitto) -> None:
    with publisher(mosquitto) as client:
        client._client.publish("a/b", b"kept", qos=1, retain=True).wait_for_publish(60)
        good(mqtt(mosquitto.url))
        client.send(b"another")
    log = (mosquitto.folder / "log").read_text()
    assert "as board-7.in.check (p5, c1" in log, "a clean start"
    assert "Sending PUBLISH to board-7.in.check" not in log


def test_a_wrong_password_of_mqtt_is_told_as_status_does(folder: Path, secret: Path) -> None:
    (folder / "passwords").write_text("")
    with Mosquitto(folder, allow_anonymous="false", password_file=f"{folder}/passwords") as broker:
        said = wrong(mqtt(broker.url, username="agent", password_file=str(secret)))
        assert said.startswith(f"{broker.url} refuses the connection: ")
        assert said.endswith("; check username, password_file and client_id")
        assert "wr0ng" not in said


@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket")  # paho leaves it to the garbage when a handshake fails
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket")
def test_a_broker_of_an_unknown_authority_is_told(tmp_path: Path, folder: Path) -> None:
    make_certificates(tmp_path)
    files = {name: str(tmp_path / file) for name, file in (("cafile", "ca.pem"), ("certfile", "server.pem"), ("keyfile", "server.key"))}
    with Mosquitto(folder, **files) as broker:
        url = broker.url.replace("mqtt:", "mqtts:")
        assert f"{url} cannot be trusted" in wrong(mqtt(url))
        for other in (amqp(broker.url.replace("mqtt:", "amqps:")), stomp(broker.url.replace("mqtt:", "stomp+ssl:"))):
            assert f"{other.url} cannot be trusted" in wrong(other), "before anything of its protocol is said"
        assert good(mqtt(url, ca=str(tmp_path / "ca.pem"))) == f"{url} lets this device in"


def test_a_server_that_says_nothing_is_no_mqtt_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device_agent.sources.mqtt._CONNECT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "says nothing: is it an MQTT broker?" in wrong(mqtt(f"mqtt://127.0.0.1:{silent.getsockname()[1]}"))


# AMQP


def test_a_queue_of_a_rabbitmq_is_told_with_what_waits_in_it(rabbit: RabbitMq, queue: str) -> None:
    settings = amqp(rabbit.url, queue=queue)
    version = rabbit.control("version").strip()
    assert good(settings) == f"RabbitMQ {version}; queue {queue}: 0 messages wait, 0 consumers"
    send(rabbit, queue, b"one")
    assert good(settings).endswith(": 1 message waits, 0 consumers")
    send(rabbit, queue, b"two")
    assert good(settings).endswith(": 2 messages wait, 0 consumers")
    assert left(rabbit, queue) == [(b"one", False), (b"two", False)], "nothing was delivered"
    with channel(rabbit) as client:
        client.basic_consume(queue, lambda *_: None)
        assert good(settings).endswith(": 0 messages wait, 1 consumer")


def test_a_queue_that_is_not_there_is_told_and_not_made(rabbit: RabbitMq) -> None:
    name = uuid.uuid4().hex
    expected = f"queue '{name}' at {rabbit.url} is not there: make it, correct queue, or set declare = true"
    assert wrong(amqp(rabbit.url, queue=name)) == expected
    assert good(amqp(rabbit.url, queue=name, declare=True)).endswith(f"queue {name}: it is not there yet; the agent makes it")
    assert wrong(amqp(rabbit.url, queue=name)) == expected


@pytest.mark.parametrize("declare", [True, False])
def test_an_exchange_that_is_not_there_is_told(rabbit: RabbitMq, queue: str, declare: bool) -> None:
    said = wrong(amqp(rabbit.url, queue=queue, declare=declare, exchange="no-such", keys=("a",)))
    assert "the broker says: NOT_FOUND - no exchange 'no-such'" in said
    assert f"queue {queue}: 0 messages" in good(amqp(rabbit.url, queue=queue, declare=declare, exchange="amq.topic", keys=("a",)))


def test_a_wrong_password_of_amqp_is_told_as_status_does(rabbit: RabbitMq, queue: str, secret: Path) -> None:
    said = wrong(amqp(rabbit.url, queue=queue, username="guest", password_file=str(secret)))
    assert said == f"{rabbit.url} refuses the user 'guest'; check username and password_file"
    secret.chmod(0o644)
    assert "can be read by others" in wrong(amqp(rabbit.url, queue=queue, username="guest", password_file=str(secret)))


def test_a_rabbitmq_that_stops_answering_is_given_up(rabbit: RabbitMq, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("device_agent.sources.amqp.visit._ANSWER", 0.0)
    assert "does not answer questions within 0 s" in wrong(amqp(rabbit.url))


# STOMP


def test_a_stomp_broker_that_takes_us_is_good(activemq: ActiveMq) -> None:
    said = good(stomp(activemq.url))
    assert said.startswith("ActiveMQ/")
    assert said.endswith("lets this device in (not tried: to subscribe to /queue/open.q)")


def test_a_durable_subscriber_that_runs_is_not_in_the_way_of_a_probe(board: Board, activemq: ActiveMq) -> None:
    """The broker knows it by its client id, which nobody else may have."""
    settings = stomp(activemq.url, destination="/topic/probed", durable=True)
    board.start(settings)
    good(settings)
    assert board.status()["stands"]


def test_a_wrong_password_of_stomp_is_told_as_status_does(activemq: ActiveMq, secret: Path) -> None:
    said = wrong(stomp(activemq.url, username="agent", password_file=str(secret)))
    assert said.startswith(f"{activemq.url} refuses the connection: ")
    assert said.endswith("; check username, password_file and virtual_host")
    assert "wr0ng" not in said


# Nobody there


def test_brokers_that_are_not_there_are_away_and_not_wrong() -> None:
    (port,) = own_ports(1)
    for scheme, settings in (("mqtt", mqtt), ("amqp", amqp), ("stomp", stomp)):
        url = f"{scheme}://127.0.0.1:{port}"
        assert away(settings(url)) == f"{url} does not answer: Connection refused; is the broker running, and the address right?"
