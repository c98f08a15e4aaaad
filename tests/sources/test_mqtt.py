"""MQTT: what users of other tools ran into, each against a real Mosquitto."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from device_agent.config import MqttConfig
from device_agent.ports import Verdict
from tests.lab.agent import wait_for
from tests.lab.ports import own_ports
from tests.sources.brokers import Mosquitto, publisher
from tests.sources.certificates import make_certificates
from tests.sources.conftest import Board


def settings(url: str, **changes: Any) -> MqttConfig:
    return MqttConfig(**({"name": "in", "kind": "mqtt", "stream": "telemetry", "topics": ("a/#",), "url": url} | changes))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(folder) as made:
        yield made


VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


@VERSIONS
def test_what_came_while_the_agent_was_away_is_delivered_then(board: Board, broker: Mosquitto, version: str) -> None:
    """The session lasts and is found again: a random client id makes it worthless (telegraf#797)."""
    board.start(settings(broker.url, version=version))
    board.stop()
    with publisher(broker) as client:
        client.send(b"1", b"2", b"3")
    board.start(settings(broker.url, version=version))
    assert board.sink.wait_for(3) == [b"1", b"2", b"3"]
    assert board.status()["session"] == "resumed"


@VERSIONS
def test_a_topic_that_left_the_configuration_is_unsubscribed(board: Board, broker: Mosquitto, version: str) -> None:
    """A persistent session keeps it for ever otherwise (https://github.com/influxdata/telegraf/issues/9703)."""
    board.start(settings(broker.url, version=version, topics=("a/#", "b/#")))
    board.stop()
    board.start(settings(broker.url, version=version, topics=("a/#",)))
    with publisher(broker) as client:
        client.send(b"not this", topic="b/1")
        client.send(b"this", topic="a/1")
        assert board.sink.wait_for(1) == [b"this"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@VERSIONS
def test_a_broker_that_is_started_again_is_found_again(board: Board, broker: Mosquitto, version: str, how: int) -> None:
    """Also without its sessions: it is subscribed again (telegraf#6232, mosquitto#769)."""
    board.start(settings(broker.url, version=version))
    broker.stop(how)
    wait_for(lambda: "does not answer" in board.problem(), what="the problem")
    for file in broker.folder.glob("*.db*"):
        file.unlink()
    broker.start()
    wait_for(lambda: board.status()["stands"] and board.status()["peers"] == 1, what="the connection")
    with publisher(broker) as client:
        client.send(b"again")
        assert board.sink.wait_for(1) == [b"again"]
    assert board.problem() == ""


def test_a_broker_that_is_not_there_yet_is_waited_for(board: Board, tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = Mosquitto(folder)
    board.begin(settings(broker.url))
    wait_for(lambda: f"{broker.url} does not answer" in board.problem(), what="the problem")
    with broker:
        wait_for(lambda: board.status()["stands"], what="the connection")
        board.stop()


def test_a_wrong_password_is_told_with_what_to_look_at(board: Board, tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    (folder / "passwords").write_text("")
    secret = tmp_path / "password"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    with Mosquitto(folder, allow_anonymous="false", password_file=f"{folder}/passwords") as broker:
        board.begin(settings(broker.url, username="agent", password_file=str(secret)))
        wait_for(lambda: "refuses the connection" in board.problem(), what="the problem")
        assert "check username, password_file and client_id" in board.problem()
        assert "s3cret" not in board.problem()
        secret.chmod(0o644)
        wait_for(lambda: "can be read by others" in board.problem(), what="the other problem")
        board.stop()


def test_two_agents_with_one_client_id_are_told(board: Board, broker: Mosquitto, tmp_path: Path) -> None:
    """The broker ends the older connection for the newer one; with version 5 some say why (Mosquitto 2.0.11 does not)."""
    (tmp_path / "other").mkdir()
    other = Board(tmp_path / "other")
    try:
        board.start(settings(broker.url))
        other.start(settings(broker.url))
        wait_for(lambda: "as 'board-7.in'" in board.problem() + other.problem(), what="the problem")
    finally:
        other.stop()


@pytest.mark.slow
@VERSIONS
def test_a_full_spool_for_longer_than_the_keep_alive_keeps_the_connection(board: Board, broker: Mosquitto, version: str) -> None:
    board.start(settings(broker.url, version=version, keep_alive=5.0))
    board.sink.verdicts["telemetry"] = Verdict.FULL
    with publisher(broker) as client:
        client.send(*(b"%d" % number for number in range(30)))
        refused = board.counters.postponed
        # 30 messages (3.1.1: Mosquitto's 20) each fifth of a second, for more than twice the keep-alive
        wait_for(lambda: board.counters.postponed > refused + 1800, what="sixty rounds of refusals")
        assert board.status()["stands"]
        board.sink.verdicts.clear()
        found = board.sink.wait_for(30)
        assert sorted(int(bytes(payload)) for payload in found) == list(range(30))


def test_publishers_of_every_quality_are_heard(board: Board, broker: Mosquitto) -> None:
    board.start(settings(broker.url))
    with publisher(broker) as client:
        for qos in (0, 1, 2):
            client.send(b"%d" % qos, qos=qos)
        assert board.sink.wait_for(3) == [b"0", b"1", b"2"]


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_what_the_broker_says_is_kept_when_asked_for(board: Board, broker: Mosquitto, version: str) -> None:
    board.start(settings(broker.url, version=version, properties=True))
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.ContentType, properties.CorrelationData, properties.ResponseTopic = "text/plain", b"\xff", "answers"
    properties.UserProperty = [("Sensor-Id", "7"), ("Sensor-Id", "8")]
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.publish("a/b", b"warm", qos=1, properties=properties).wait_for_publish(60)
    client.disconnect()
    client.loop_stop()
    event = json.loads(bytes(board.sink.wait_for(1)[0]))
    assert event.pop("id")
    expected = {
        "specversion": "1.0", "source": "/devices/board-7/inputs/in", "type": "device-agent.message.v1", "subject": "a/b", "qos": 1,
        "retain": False, "redelivered": False,
    }  # fmt: skip
    if version == "5":
        said = {"responsetopic": "answers", "correlationdata": "ff", "headers": '[["Sensor-Id","7"],["Sensor-Id","8"]]'}
        assert event == expected | said | {"datacontenttype": "text/plain", "data": "warm"}
    else:
        assert event == expected | {"data_base64": "d2FybQ=="}
    assert board.topics() == ["a/b"]


def test_without_acknowledgements_messages_are_taken_all_the_same(board: Board, broker: Mosquitto) -> None:
    board.start(settings(broker.url, qos=0, window=4))
    with publisher(broker) as client:
        expected = [b"%d" % number for number in range(100)]
        client.send(*expected)
        assert board.sink.wait_for(100) == expected


def test_a_flood_that_no_window_bounds_is_not_taken_into_memory(board: Board, broker: Mosquitto) -> None:
    """Receive Maximum does not count messages of QoS 0 (MQTT 5.0, 3.3.4)."""
    board.start(settings(broker.url, window=4))
    board.sink.verdicts["telemetry"] = Verdict.FULL
    with publisher(broker) as client:
        client.send(*(b"%d" % number for number in range(500)), qos=0)
        refused = board.counters.postponed
        wait_for(lambda: board.counters.postponed > refused + 40, what="some rounds of refusals")
        assert board.status()["under_way"] <= 8
        board.sink.verdicts.clear()
        board.sink.wait_for(8)
        board.stop()


@pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket")  # paho leaves it to the garbage when a handshake fails
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket")
def test_over_tls_with_certificates_on_both_sides(board: Board, tmp_path: Path) -> None:
    make_certificates(tmp_path)
    folder = tmp_path / "broker"
    folder.mkdir()
    files = {name: str(tmp_path / file) for name, file in (("cafile", "ca.pem"), ("certfile", "server.pem"), ("keyfile", "server.key"))}
    ours = {name: str(tmp_path / file) for name, file in (("ca", "ca.pem"), ("certificate", "client.pem"), ("private_key", "client.key"))}
    with Mosquitto(folder, **files, require_certificate="true") as broker:
        url = f"mqtts://127.0.0.1:{broker.port}"
        board.begin(settings(url))
        wait_for(lambda: "cannot be trusted" in board.problem(), what="an unknown authority")
        board.stop()
        board.begin(settings(url, ca=ours["ca"]))
        wait_for(lambda: board.problem() and not board.status()["stands"], what="the refusal of a client without a certificate")
        board.stop()
        board.start(settings(url, **ours))
        with publisher(broker, **ours) as client:
            client.send(b"secret")
        assert board.sink.wait_for(1) == [b"secret"]
        board.stop()


def test_an_acknowledgement_goes_over_the_connection_that_its_message_came_by(board: Board) -> None:
    """Packet ids are used again after a reconnect (paho.golang#160): what was taken before must not acknowledge what comes after."""
    port = own_ports(1)[0]
    acknowledged: list[list[bytes]] = []
    board.sink.hold = True
    with socket.create_server(("127.0.0.1", port)) as listener:
        first_is_over = threading.Event()

        def serve() -> None:
            for turn in range(2):
                connection, _ = listener.accept()
                with connection:
                    acknowledged.append(talk(connection, b"turn %d" % turn, end=first_is_over if turn == 0 else None))

        thread = threading.Thread(target=serve)
        thread.start()
        board.begin(settings(f"mqtt://127.0.0.1:{port}", version="3.1.1"))
        board.sink.wait_for(1)
        first_is_over.set()
        board.sink.wait_for(2)
        board.sink.hold = False
        board.sink.commit()
        wait_for(lambda: board.counters.replies + board.counters.replies_lost == 2, what="both answers")
        board.stop(drain=5.0)
        thread.join()
    assert acknowledged == [[], [b"\x00\x07"]], "once, for the second message with packet id 7"


def talk(connection: socket.socket, payload: bytes, *, end: threading.Event | None) -> list[bytes]:
    """A broker of one message, with packet id 7: return the packet ids of the PUBACKs that came until the end."""
    connection.settimeout(60)
    found: list[bytes] = []
    if end is not None:
        threading.Thread(target=lambda: (end.wait(60), connection.shutdown(socket.SHUT_RDWR))).start()
    try:
        while packet := read_packet(connection):
            kind, body = packet
            if kind == 0x10:  # CONNECT
                connection.sendall(b"\x20\x02\x00\x00")
            elif kind == 0x82:  # SUBSCRIBE
                connection.sendall(b"\x90\x03" + body[:2] + b"\x01")
                message = b"\x00\x03a/b" + b"\x00\x07" + payload
                connection.sendall(bytes((0x32, len(message))) + message)
            elif kind == 0x40:  # PUBACK
                found.append(body)
    except OSError:
        pass
    return found


def read_packet(connection: socket.socket) -> tuple[int, bytes] | None:
    head = connection.recv(2, socket.MSG_WAITALL)
    if len(head) < 2:
        return None
    return head[0], connection.recv(head[1], socket.MSG_WAITALL) if head[1] else b""


@pytest.mark.parametrize(("version", "advice"), [("5", ', or set version = "3.1.1" if it is an old one'), ("3.1.1", "")])
def test_a_server_that_takes_the_connection_and_says_nothing_is_named(
    board: Board, monkeypatch: pytest.MonkeyPatch, version: str, advice: str
) -> None:
    """An MQTT 3.1.1 broker may ignore a client of version 5 (amqtt does)."""
    monkeypatch.setattr("device_agent.sources.mqtt._CONNECT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mqtt://127.0.0.1:{silent.getsockname()[1]}"
        board.begin(settings(url, version=version))
        expected = f"{url} takes connections, but says nothing: is it an MQTT broker? Restart it{advice}"
        wait_for(lambda: board.problem() == expected, what="the problem")
        board.stop_sources(drain=5.0)
