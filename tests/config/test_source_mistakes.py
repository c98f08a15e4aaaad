"""Mistakes in the inputs that are not ZeroMQ: one line each, with file, line, key, and what to do."""

# ruff: noqa: E501  # a table of mistakes: each line of a message stands on one line here, too

from __future__ import annotations

import pytest

from device_agent.config import HttpConfig, MqttConfig
from device_agent.config.sources import BUILT_IN, AmqpConfig, CoapConfig, StompConfig
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
POLL = (
    GOOD
    + """
[[input]]
name = "ask"
kind = "poll"
stream = "telemetry"
endpoints = ["tcp://127.0.0.1:1"]
"""
)
COAP = HTTP.replace('"http"', '"coap"')
STOMP = (
    GOOD
    + """
[[input]]
name = "hello"
kind = "stomp"
stream = "telemetry"
destination = "/queue/hello"
"""
)
NNG_TABLE = """
[[input]]
name = "cameras"
kind = "nng"
pattern = "pull"
stream = "telemetry"
bind = ["tcp://127.0.0.1:5560"]
"""
NNG = GOOD + NNG_TABLE
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
        (MQTT.replace('"mqtt"', '"mqt"'), f"33: input.kind: must be one of zeromq, {', '.join(BUILT_IN)}; did you mean mqtt?"),
        (MQTT.replace('topics = ["a/#"]\n', ""), "31: input.topics: missing; it has no default"),
        (MQTT.replace('["a/#"]', "[]"), '35: input.topics: must not be empty; "#" is everything'),
        (MQTT.replace("a/#", "a#"), f"35: input.topics: 'a#' {FILTER}"),
        (MQTT.replace("a/#", "a/#/b"), f"35: input.topics: 'a/#/b' {FILTER}"),
        (MQTT.replace("a/#", "a+/b"), f"35: input.topics: 'a+/b' {FILTER}"),
        (MQTT.replace("a/#", "$share//a"), f"35: input.topics: '$share//a' {FILTER}"),
        (MQTT + "hwm = 1", "36: input.hwm: unknown key; known here: name, kind, stream, route, window, max_reading, url, username, password_file, ca, certificate, private_key, properties, topics, qos, version, client_id, keep_alive, session_expiry"),
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
        (POLL.replace('["tcp://127.0.0.1:1"]', "[]"), '35: input.endpoints: must not be empty, such as endpoints = ["tcp://127.0.0.1:5560"]'),
        (POLL.replace("tcp://127.0.0.1:1", "inproc://x"), "35: input.endpoints: 'inproc://x': only tcp and ipc carry a question and its answer to another process"),
        (POLL.replace("127.0.0.1:1", "*:1"), "35: input.endpoints: 'tcp://*:1': '*' is only for bind; name the host to connect to"),
        (POLL.replace('1:1"]', '1:1", "tcp://127.0.0.1:1"]'), "35: input.endpoints: 'tcp://127.0.0.1:1' stands here twice"),
        (POLL.replace('1:1"]', '1:1", "tcp://127.0.0.1:2"]') + "window = 1", "36: input.window: must be at least the number of endpoints, 2: all may answer at once"),
        (POLL + 'every = "1s"\ntimeout = "2s"', "37: input.timeout: must be at most `every`: a question ends before the next"),
        (POLL + 'every = "1ms"', "36: input.every: must be from 10ms to 24h"),
        (COAP + 'listen = "5683"', "35: input.listen: '5683' is not an address and a port, 127.0.0.1:5683 or [::1]:5683"),
        (COAP + 'listen = "0.0.0.0:5683"', "35: input.listen: anybody on the network could send to 0.0.0.0: set token_file, or listen on 127.0.0.1"),
        (COAP + 'listen = ""', "35: input.listen: is empty, and so is observe: there is nothing to receive"),
        (COAP + 'listen = ""\nobserve = ["coap://h/a"]\ntoken_file = "/t"', "37: input.token_file: is for clients of listen, which is empty"),
        (COAP + 'observe = ["coap://h/a", "http://h/a"]', "35: input.observe: 'http://h/a' is not a resource, coap://10.0.0.5/sensors/light"),
        (COAP + 'observe = ["coap://h:x/a"]', "35: input.observe: 'coap://h:x/a' is not a resource, coap://10.0.0.5/sensors/light"),
        (COAP + 'observe = ["coaps://h/a"]', "35: input.observe: must begin with coap://; CoAP over DTLS is not supported"),
        (COAP + 'observe = ["coap://h/a", "coap://h/a"]', "35: input.observe: 'coap://h/a' is given twice"),
        (COAP + f'observe = ["coap://h/{"a" * 260}"]', "35: input.observe: its host and path are its topic, and longer than 256 bytes"),
        (COAP + "max_transfers = 0", "35: input.max_transfers: must be from 1 to 1000"),
        (COAP + COAP.replace(GOOD, "").replace("scripts", "two"), "36: input.listen: 'udp://127.0.0.1:5683' cannot be bound beside 'udp://127.0.0.1:5683', line 31"),
        (STOMP.replace('destination = "/queue/hello"\n', ""), "31: input.destination: missing; it has no default"),
        (STOMP.replace("/queue/hello", ""), "35: input.destination: must not be empty"),
        (STOMP + 'username = "a\\nb"', "36: input.username: must not hold control characters"),
        (STOMP + 'virtual_host = "a\\rb"', "36: input.virtual_host: must not hold control characters"),
        (STOMP + "durable = true", "36: input.durable: is for topics only; a queue keeps its messages by itself"),
        (STOMP + 'heart_beat = "0.5s"', "36: input.heart_beat: must be from 1s to 1h"),
        (STOMP + 'url = "tcp://h"', "36: input.url: 'tcp://h' is not a broker's URL, stomp://localhost:61613 or stomp+ssl://broker.example:61614"),
        (STOMP + 'url = "stomp://u:s3cret@h"', "36: input.url: must not hold a user name or password; see username and password_file"),
        (STOMP + 'ca = "/ca.pem"', "31: input.url: ca and certificate are for stomp+ssl:// only"),
        (GOOD + NNG_TABLE.replace('"pull"', '"push"'), "34: input.pattern: must be one of pull, sub, rep, surveyor; did you mean pull?"),
        (GOOD + NNG_TABLE.replace('pattern = "pull"\n', ""), "31: input.pattern: missing; it has no default"),
        (GOOD + NNG_TABLE.replace('bind = ["tcp://127.0.0.1:5560"]', ""), '31: input: needs bind or connect, such as bind = ["tcp://127.0.0.1:5560"]'),
        (GOOD + NNG_TABLE.replace("tcp://127.0.0.1:5560", "127.0.0.1:5560"), "36: input.bind: '127.0.0.1:5560' has no transport; write tcp://127.0.0.1:5560 or ipc:///run/device-agent/sensors"),
        (GOOD + NNG_TABLE.replace("tcp://", "udp://"), "36: input.bind: 'udp://127.0.0.1:5560': transport must be one of tcp, ipc, tls+tcp, ws"),
        (GOOD + NNG_TABLE.replace("tcp://", "ws://").replace("5560", "0"), "36: input.bind: 'ws://127.0.0.1:0': the port must be a number from 1 to 65535"),
        (GOOD + NNG_TABLE.replace("tcp://127.0.0.1:5560", "ipc://run/x"), "36: input.bind: 'ipc://run/x': an ipc endpoint needs an absolute path, ipc:///run/device-agent/sensors"),
        (GOOD + NNG_TABLE.replace("5560", "5560/x"), "36: input.bind: 'tcp://127.0.0.1:5560/x' must end with the port"),
        (GOOD + NNG_TABLE.replace("5560", "5555"), "36: input.bind: 'tcp://127.0.0.1:5555' cannot be bound beside 'tcp://127.0.0.1:5555', line 13"),
        (NNG + 'connect = ["tcp://*:5560"]', "37: input.connect: 'tcp://*:5560': '*' is only for bind; name the host to connect to"),
        (NNG + 'subscribe = ["a"]', "37: input.subscribe: is for sub inputs only; this one is pull"),
        (NNG + 'reply = "World"', "37: input.reply: is for rep inputs only; this one is pull"),
        (NNG + 'every = "5s"', "37: input.every: is for surveyor inputs only; this one is pull"),
        (GOOD + NNG_TABLE.replace('"pull"', '"surveyor"') + 'timeout = "11s"', "37: input.timeout: must not be above every: a question ends the one before it"),
        (NNG + f'topic = "{"t" * 257}"', "37: input.topic: must be at most 256 bytes of UTF-8"),
        (NNG + '[[input.route]]\ntopic = "a"\nstream = "telemetry"', "37: input.route: needs topics, and the messages of a pull input have none; set stream, or topic"),
        (NNG + 'ca = "/ca.pem"', "37: input.ca: is for tls+tcp:// under connect only"),
        (NNG + 'client_ca = "/ca.pem"', "37: input.client_ca: is for tls+tcp:// under bind only"),
        (GOOD + NNG_TABLE.replace("tcp://", "tls+tcp://"), "31: input.certificate: missing; tls+tcp:// under bind needs certificate and private_key"),
        (NNG + 'connect = ["tls+tcp://h:1"]', "31: input.ca: missing; tls+tcp:// under connect needs the CA that signed the other side's certificate"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_line(text: str, line: str) -> None:
    assert mistakes(text) == [f"agent.toml:{line}"]


def test_what_is_right_is_taken_with_the_defaults_and_variables_of_its_kind() -> None:
    mqtt = load(MQTT, DEVICE_AGENT_INPUT_BROKER_URL="mqtts://broker:8883", DEVICE_AGENT_INPUT_BROKER_TOPICS="x/+,$share/g/#").sources[0]
    assert isinstance(mqtt, MqttConfig)
    assert (mqtt.url, mqtt.topics, mqtt.qos, mqtt.window) == ("mqtts://broker:8883", ("x/+", "$share/g/#"), 1, 256)
    stomp = load(STOMP + 'url = "stomp+ssl://broker"\ncertificate = "/c"\nprivate_key = "/k"').sources[0]
    assert isinstance(stomp, StompConfig)
    assert (stomp.tls, stomp.address, stomp.virtual_host, stomp.durable, stomp.heart_beat) == (True, ("broker", 61614), "/", False, 30.0)
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
    for listen in ("[::1]:5683", "localhost:5683", "", "0.0.0.0:1"):
        more = 'token_file = "/t"' if "0.0.0.0" in listen else 'observe = ["coap://[fe80::1]:5684/a?b=c", "coap://h"]'
        coap = load(COAP + f'listen = "{listen}"\n{more}').sources[0]
        assert isinstance(coap, CoapConfig)
        assert (coap.listen, coap.max_transfers) == (listen, 16)
    assert load(COAP + 'listen = "127.0.0.1:5555"').sources  # UDP beside the TCP of ZeroMQ
