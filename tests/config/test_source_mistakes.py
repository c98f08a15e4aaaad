"""Mistakes in the inputs that are not ZeroMQ: one line each, with file, line, key, and what to do."""

# ruff: noqa: E501  # a table of mistakes: each line of a message stands on one line here, too

from __future__ import annotations

import pytest

from device_agent.config import AmqpConfig, HttpConfig, MqttConfig
from tests.config.samples import GOOD, load, mistakes

MQTT = (
    GOOD
    + """
[[input]]
name = "broker"
kind = "mqtt"
stream = "telemetry"
topics = ["a/#"]
"""
)
HTTP = (
    GOOD
    + """
[[input]]
name = "scripts"
kind = "http"
stream = "telemetry"
"""
)
AMQP = (
    GOOD
    + """
[[input]]
name = "rabbit"
kind = "amqp"
stream = "telemetry"
queue = "hello"
"""
)
FILTER = "is no topic filter: '+' stands alone between slashes, '#' alone at the end"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (MQTT.replace('"mqtt"', '"mqt"'), "33: input.kind: must be one of zeromq, mqtt, http, amqp; did you mean mqtt?"),
        (MQTT.replace('topics = ["a/#"]\n', ""), "31: input.topics: missing; it has no default"),
        (MQTT.replace('["a/#"]', "[]"), '35: input.topics: must not be empty; "#" is everything'),
        (MQTT.replace("a/#", "a#"), f"35: input.topics: 'a#' {FILTER}"),
        (MQTT.replace("a/#", "a/#/b"), f"35: input.topics: 'a/#/b' {FILTER}"),
        (MQTT.replace("a/#", "a+/b"), f"35: input.topics: 'a+/b' {FILTER}"),
        (MQTT.replace("a/#", "$share//a"), f"35: input.topics: '$share//a' {FILTER}"),
        (MQTT + "hwm = 1", "36: input.hwm: unknown key; known here: name, kind, stream, route, window, max_reading, url, username, password_file, ca, certificate, private_key, topics, qos, version, client_id, keep_alive, session_expiry"),
        (MQTT + 'url = "localhost"', "36: input.url: 'localhost' is not a broker's URL, mqtt://localhost:1883 or mqtts://broker.example:8883"),
        (MQTT + 'url = "mqtt://u:s3cret@h"', "36: input.url: must not hold a user name or password; see username and password_file"),
        (MQTT + 'url = "mqtt://h/path"', "36: input.url: must end with the port, mqtt://localhost:1883 or mqtts://broker.example:8883"),
        (MQTT + 'ca = "/ca.pem"', "31: input.url: ca and certificate are for mqtts:// only"),
        (MQTT + 'password_file = "/p"', "31: input.username: missing; password_file is given"),
        (MQTT + 'private_key = "/k"', "31: input.certificate: missing; private_key is given, and one is of no use without the other"),
        (MQTT + "qos = 2", "36: input.qos: must be from 0 to 1"),
        (MQTT + "window = 0", "36: input.window: must be from 1 to 1000"),
        (MQTT + 'version = "4"', "36: input.version: must be one of 5, 3.1.1"),
        (MQTT.replace('"telemetry"\ntopics', '"telemetri"\ntopics'), "34: input.stream: there is no [[stream]] of the name 'telemetri'; did you mean telemetry?"),
        (MQTT.replace("broker", "sensors"), "32: input.name: 'sensors' is taken already, line 11"),
        (HTTP + 'listen = "8580"', "35: input.listen: '8580' is not an address and a port, 127.0.0.1:8580 or [::1]:8580"),
        (HTTP + 'listen = "127.0.0.1:99999"', "35: input.listen: '127.0.0.1:99999' is not an address and a port, 127.0.0.1:8580 or [::1]:8580"),
        (HTTP + 'listen = "0.0.0.0:8580"', "35: input.listen: anybody on the network could send to 0.0.0.0: set token_file or client_ca, or listen on 127.0.0.1"),
        (HTTP + 'client_ca = "/ca.pem"', "31: input.certificate: missing; client_ca is given, and only TLS has certificates"),
        (HTTP + 'certificate = "/c.pem"', "31: input.private_key: missing; certificate is given, and one is of no use without the other"),
        (AMQP.replace('queue = "hello"\n', ""), "31: input.queue: missing; it has no default"),
        (AMQP.replace('"hello"', '""'), "35: input.queue: must not be empty"),
        (AMQP.replace("hello", "ä" * 128), "35: input.queue: must be at most 255 bytes long in UTF-8"),
        (AMQP + 'url = "mqtt://localhost"', "36: input.url: 'mqtt://localhost' is not a broker's URL, amqp://localhost:5672 or amqps://broker.example:5671"),
        (AMQP + 'url = "amqp://guest@localhost/%2f"', "36: input.url: must not hold a user name or password; see username and password_file"),
        (AMQP + 'url = "amqp://localhost/%2f?heartbeat=1"', "36: input.url: must end with the path, amqp://localhost:5672 or amqps://broker.example:5671"),
        (AMQP + 'ca = "/ca.pem"', "31: input.url: ca and certificate are for amqps:// only"),
        (AMQP + 'exchange = "readings"', '31: input.keys: missing; exchange is given, and ["#"] is every message of a topic exchange, [""] of a fanout exchange'),
        (AMQP + 'keys = ["a.#"]', "31: input.exchange: missing; keys is given"),
        (AMQP + f'exchange = "readings"\nkeys = ["a", "{"k" * 256}"]', "37: input.keys: must be at most 255 bytes long in UTF-8"),
        (AMQP + 'give_back_after = "0s"', "36: input.give_back_after: must be from 1s to 24h"),
        (HTTP + 'listen = "127.0.0.1:5555"', "35: input.listen: 'tcp://127.0.0.1:5555' cannot be bound beside 'tcp://127.0.0.1:5555', line 13"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_line(text: str, line: str) -> None:
    assert mistakes(text) == [f"agent.toml:{line}"]


def test_what_is_right_is_taken_with_the_defaults_and_variables_of_its_kind() -> None:
    mqtt = load(MQTT, DEVICE_AGENT_INPUT_BROKER_URL="mqtts://broker:8883", DEVICE_AGENT_INPUT_BROKER_TOPICS="x/+,$share/g/#").sources[0]
    assert isinstance(mqtt, MqttConfig)
    assert (mqtt.url, mqtt.topics, mqtt.qos, mqtt.window) == ("mqtts://broker:8883", ("x/+", "$share/g/#"), 1, 256)
    amqp = load(AMQP, DEVICE_AGENT_INPUT_RABBIT_URL="amqps://broker/plant%2f7").sources[0]
    assert isinstance(amqp, AmqpConfig)
    assert (amqp.url, amqp.address, amqp.virtual_host, amqp.tls) == ("amqps://broker/plant%2f7", ("broker", 5671), "plant/7", True)
    assert [AmqpConfig(name="a", kind="amqp", stream="s", queue="q", url=f"amqp://h{end}").virtual_host for end in ("", "/", "/%2f")] == [
        "/"
    ] * 3
    for listen in ("[::1]:1", "localhost:1", "127.0.0.2:0"):
        http = load(HTTP + f'listen = "{listen}"').sources[0]
        assert isinstance(http, HttpConfig)
        assert http.listen == listen
    assert load(HTTP + 'listen = "0.0.0.0:1"\ntoken_file = "/t"').sources
