"""Every mistake is one line with file, line, key, and what to do; and all come at once."""

# ruff: noqa: E501  # a table of mistakes: each line of a message stands on one line here, too

from __future__ import annotations

from pathlib import Path

import pytest

from device_agent import configfile
from device_agent.errors import ConfigError
from tests.config.samples import GOOD, changed, load, mistakes

PULL = 'pattern = "pull"'
BIND = 'bind = ["tcp://127.0.0.1:5555"]'
QUEUE = 'queue = "https://sqs.eu-central-1.amazonaws.com/123456789012/telemetry"'
ID = 'id = "board-7"'

#: What is replaced in the good file, and the one line that comes of it.
ONE: list[tuple[str, str, str]] = [
    (ID, 'idd = "x"\nid = "board-7"', "agent.toml:2: device.idd: unknown key; did you mean id?"),
    (ID, "", "agent.toml:1: device.id: missing; it has no default"),
    (ID, 'id = ""', "agent.toml:2: device.id: must not be empty"),
    (ID, 'id = "board 7"', "agent.toml:2: device.id: 'board 7' is not a device id: 1 to 80 letters, digits, '_', '.' or '-', beginning with a letter or digit"),
    (ID, "id = 7", "agent.toml:2: device.id: must be text in quotes"),
    (ID, 'id = "a\\u0000"', "agent.toml:2: device.id: must not hold control characters"),
    ("[aws]", "[awss]", "agent.toml:4: awss: unknown table; did you mean aws?"),
    ("[device]\nid", "device", "agent.toml:1: device: must be a table, [device]"),
    ('region = "eu-central-1"', 'region = "Frankfurt"', "agent.toml:5: aws.region: 'Frankfurt' is not a region, such as eu-central-1"),
    ('region = "eu-central-1"', 'region = "eu-central-1"\nendpoint_url = "localhost:4566"', "agent.toml:6: aws.endpoint_url: 'localhost:4566' is not a URL, such as http://localhost:4566"),
    ("[spool]\n", "[spool]\nhwm = 3\n", "agent.toml:8: spool.hwm: unknown key; known here: directory, max_bytes, keep_free, when_full, commit_interval"),
    ("[spool]\n", "[spool]\nshare = 3\n", "agent.toml:8: spool.share: unknown key; it belongs in [[stream]]"),
    ("[spool]\n", "[spool]\nmax_bytes = 300000000\n", 'agent.toml:8: spool.max_bytes: must be a size with its unit, such as "64 KiB", "10 MiB"; 300000000 bytes are "300000000 B"'),
    ("[spool]\n", '[spool]\nmax_bytes = "300"\n', 'agent.toml:8: spool.max_bytes: must be a size with its unit, such as "64 KiB", "10 MiB"'),
    ("[spool]\n", '[spool]\nmax_bytes = "1 KiB"\n', "agent.toml:8: spool.max_bytes: must be from 1 MiB to 1 PiB"),
    ("[spool]\n", '[spool]\nmax_bytes = "1.00000001 MiB"\n', "agent.toml:8: spool.max_bytes: '1.00000001 MiB' is not a whole number of bytes"),
    ("[spool]\n", '[spool]\nwhen_full = "drop_oldest"\n', "agent.toml:8: spool.when_full: must be one of block, drop-oldest, drop-newest; did you mean drop-oldest?"),
    ("[spool]\n", "[spool]\ncommit_interval = 1\n", 'agent.toml:8: spool.commit_interval: must be a duration with its unit, such as "500ms", "5s", "2min"; 1 has no unit'),
    ("[spool]\n", '[spool]\ncommit_interval = "2min"\n', "agent.toml:8: spool.commit_interval: must be from 0s to 1min"),
    ('"/var/lib/device-agent"', '"~/spool"', "agent.toml:8: spool.directory: '~' is not expanded; write the whole path"),
    (PULL, 'pattern = "push"', "agent.toml:12: input.pattern: must be one of pull, sub, rep, router; did you mean pull?"),
    (PULL, PULL + "\nhwm = 5", "agent.toml:13: input.hwm: unknown key; did you mean high_water_mark?"),
    (PULL, PULL + "\nhigh_water_mark = true", "agent.toml:13: input.high_water_mark: must be a whole number"),
    (PULL, PULL + "\nhigh_water_mark = 0", "agent.toml:13: input.high_water_mark: must be from 1 to 1000000"),
    (PULL, PULL + '\nsubscribe = ["a"]', "agent.toml:13: input.subscribe: is for sub inputs only; this one is pull"),
    (PULL, PULL + '\nreply = "World"', "agent.toml:13: input.reply: is for rep inputs only; this one is pull"),
    (PULL, PULL + '\nmessage_id = "none"', "agent.toml:13: input.message_id: is for router inputs only; this one is pull"),
    (PULL, 'pattern = "router"\nmessage_id = "first"', "agent.toml:13: input.message_id: must be one of none, first-frame; did you mean first-frame?"),
    (PULL, PULL + '\nmax_reading = "1 MiB"', "agent.toml:13: input.max_reading: must be from 1 B to 700 KiB"),
    (PULL, PULL + f'\ntopic = "{"x" * 257}"', "agent.toml:13: input.topic: must be at most 256 bytes of UTF-8"),
    ('stream = "telemetry"', 'stream = "telemetri"', "agent.toml:14: input.stream: there is no [[stream]] of the name 'telemetri'; did you mean telemetry?"),
    ('stream = "telemetry"', 'stream = "x"', "agent.toml:14: input.stream: there is no [[stream]] of the name 'x'; there are: telemetry, events"),
    ('name = "orders"', 'name = "sensors"', "agent.toml:17: input.name: 'sensors' is taken already, line 11"),
    ('name = "sensors"', 'name = "Sensors"', "agent.toml:11: input.name: 'Sensors' is not a name: 1 to 40 lower-case letters, digits, '_' or '-', beginning with a letter or digit"),
    (BIND, "", 'agent.toml:10: input: needs bind or connect, such as bind = ["tcp://127.0.0.1:5555"]'),
    (BIND, 'bind = "tcp://127.0.0.1:5555"', 'agent.toml:13: input.bind: must be a list of texts, bind = ["..."]'),
    (BIND, "bind = [5555]", "agent.toml:13: input.bind: must be text in quotes"),
    (BIND, 'bind = [\n  "tcp://127.0.0.1:5555",\n  "tcp://127.0.0.1",\n]', "agent.toml:13: input.bind: 'tcp://127.0.0.1' has no port; write tcp://127.0.0.1:5555 or ipc:///run/device-agent/sensors"),
    (BIND, 'bind = ["tcp://127.0.0.1:5556"]', "agent.toml:19: input.bind: 'tcp://127.0.0.1:5556' cannot be bound beside 'tcp://127.0.0.1:5556', line 13"),
    (BIND, 'bind = ["tcp://*:5556"]', "agent.toml:19: input.bind: 'tcp://127.0.0.1:5556' cannot be bound beside 'tcp://*:5556', line 13"),
    (BIND, 'bind = ["norm://239.0.0.1:5555"]', "agent.toml:13: input.bind: 'norm://239.0.0.1:5555': multicast carries PUB and SUB only; this input is pull"),
    (BIND, BIND.replace("tcp://127.0.0.1:5555", "inproc://x") + '\ncurve = {secret_key = "k"}', "agent.toml:13: input.bind: 'inproc://x': inproc ignores CURVE, so anybody in the process could send; use ipc:// or tcp://"),
    (BIND, BIND + '\n[input.curve]\nallow = ["a"]', "agent.toml:14: input.curve.secret_key: missing; `device-agent keys` makes one (or give server_key, if the other side is the server)"),
    (BIND, BIND + '\n[input.curve]\nserver_key = "k"\nallow = ["a"]', "agent.toml:16: input.curve.allow: is for an input that is the CURVE server; with server_key the program on the other side decides who may"),
    (BIND, BIND + '\n[[input.route]]\ntopic = "a"\nstream = "events"\n[input.curve]\nsecret_key = "k"', "agent.toml:14: input.route: needs topics; set topic = \"first-frame\" in this input"),
    (QUEUE, "", "agent.toml:22: stream.queue: missing; it has no default"),
    (QUEUE, QUEUE.replace("central", "west"), "agent.toml:24: stream.queue: is a queue in eu-west-1, but aws.region is eu-central-1"),
    (QUEUE, QUEUE.replace("https", "http"), "agent.toml:24: stream.queue: AWS takes no unencrypted requests for these queues; write https://"),
    (QUEUE, 'queue = "arn:aws:sqs:eu-central-1:123456789012:telemetry"', "agent.toml:24: stream.queue: is an ARN; write the queue's URL, https://sqs.eu-central-1.amazonaws.com/123456789012/telemetry"),
    (QUEUE, 'queue = "telemetry"', "agent.toml:24: stream.queue: 'telemetry' is not a queue URL, https://sqs.<region>.amazonaws.com/<account>/<name>"),
    (QUEUE, QUEUE + '\ngroup = "{host}"', "agent.toml:25: stream.group: knows {device} and {stream}, not {host}"),
    (QUEUE, QUEUE + '\ngroup = "{device:>9999999}"', "agent.toml:25: stream.group: knows {device} and {stream}, not {device>9999999}"),
    (QUEUE, QUEUE + '\ngroup = "{device"', "agent.toml:25: stream.group: is not a template; write {device} and {stream}, and {{ or }} for a brace"),
    (QUEUE, QUEUE + '\ngroup = "a b"', "agent.toml:25: stream.group: gives 'a b'; a message group id has 1 to 128 letters, digits and punctuation"),
    (QUEUE, QUEUE + '\npack = "no"', "agent.toml:25: stream.pack: must be true or false"),
    ("[spool]", '[uplink]\nmax_rate = "200 KiB"\n[spool]', 'agent.toml:8: uplink.max_rate: must be a rate with its unit, such as "200 KiB/s"'),
    ("[spool]", '[uplink]\nbackoff_first = "50s"\nbackoff_cap = "5s"\n[spool]', "agent.toml:8: uplink.backoff_first: must not be above backoff_cap (5s)"),
    ("[spool]", '[agent]\nlog_level = "warn"\n[spool]', "agent.toml:8: agent.log_level: must be one of debug, info, warning, error; did you mean warning?"),
    ("[spool]", '[aws.iot]\nendpoint = "https://x/"\nrole_alias = "a"\ncertificate = "c"\nprivate_key = "k"\n[spool]', "agent.toml:8: aws.iot.endpoint: must be a host name, without https:// and without a path"),
    ("[device]", "[device", "agent.toml:1: not TOML: Expected ']' at the end of a table declaration"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line"), ONE, ids=[line[:60] for _, _, line in ONE])
def test_one_mistake_is_one_line(old: str, new: str, line: str) -> None:
    assert line in mistakes(changed(old, new))


def test_the_good_file_has_no_mistake() -> None:
    assert mistakes(GOOD) == []


def test_all_mistakes_come_at_once_in_the_order_of_the_file() -> None:
    text = changed(ID, "").replace(PULL, "hwm = 1").replace(QUEUE, 'queue = "x"').replace('linger = "0s"', "linger = 5")
    lines = mistakes(text)
    assert [line.partition(": ")[0] for line in lines] == [
        "agent.toml:1",
        "agent.toml:10",
        "agent.toml:12",
        "agent.toml:24",
        "agent.toml:29",
    ]


@pytest.mark.parametrize("missing", ["device", "aws", "spool", "input", "stream"])
def test_a_missing_table_is_named(missing: str) -> None:
    blocks = [block for block in GOOD.split("\n\n") if f"[{missing}]" not in block]
    assert any(line.startswith(f"agent.toml: {missing}: missing") for line in mistakes("\n\n".join(blocks)))


def test_lines_are_found_behind_strings_and_arrays_over_several_lines() -> None:
    text = (
        '[device]\nid = """\n[aws]\nx = 1\n"""\n\n[aws]\nregion = [\n  "]", # ]\n  "[spool]",\n]\n"bad key" = \'\'\'\n\n\'\'\'\na.b = 1\n'
    )
    lines = mistakes(text)
    assert any(line.startswith("agent.toml:2: device.id:") for line in lines)
    assert any(line.startswith("agent.toml:8: aws.region:") for line in lines)
    assert any(line.startswith("agent.toml:12: aws.bad key:") for line in lines)
    assert any(line.startswith("agent.toml:15: aws.a:") for line in lines)


def test_lines_are_right_with_windows_line_ends() -> None:
    assert mistakes(changed(ID, "id = 7").replace("\n", "\r\n")) == ["agent.toml:2: device.id: must be text in quotes"]


@pytest.mark.parametrize("endpoint", [
    "tcp://127.0.0.1:1", "tcp://*:65535", "tcp://[::]:5555", "tcp://[::1]:5555", "tcp://eth0:5555", "tcp://127.0.0.1:*", "ipc:///run/x", "inproc://x",
])  # fmt: skip
def test_endpoints_that_can_be_bound(endpoint: str) -> None:
    assert mistakes(changed("tcp://127.0.0.1:5555", endpoint)) == []


@pytest.mark.parametrize("endpoint", [
    "tcp://host.example:5555", "tcp://192.168.1.5:0;10.0.0.1:5555", "tcp://127.0.0.1:1;host:2", "ipc:///run/x",
])  # fmt: skip
def test_endpoints_that_can_be_connected_to(endpoint: str) -> None:
    wrong = mistakes(changed(BIND, f'connect = ["{endpoint}"]'))
    assert bool(wrong) == (":0;" in endpoint)


@pytest.mark.parametrize("endpoint", [
    "", "5555", "http://x", "tcp://", "tcp://127.0.0.1", "tcp://127.0.0.1:0", "tcp://127.0.0.1:65536", "tcp://127.0.0.1:x", "tcp://:5555", "tcp://::1:5555",
    "tcp://[::1:5555", "tcp://[x]:5555", "tcp://a b:5555", "tcp://a/b:5555", "ipc://", "ipc://relative", "ipc:///" + "x" * 107, "udp://1.2.3.4:5", "tcp ://x:1",
])  # fmt: skip
def test_endpoints_that_are_none(endpoint: str) -> None:
    assert len(mistakes(changed("tcp://127.0.0.1:5555", endpoint))) == 1


@pytest.mark.parametrize("queue", [
    "https://sqs.eu-central-1.amazonaws.com/123456789012/t", "https://sqs-fips.eu-central-1.amazonaws.com/123456789012/t.fifo", "http://localhost:4566/000000000000/t",
    "https://vpce-1.sqs.eu-central-1.vpce.amazonaws.com/123456789012/t", "https://sqs.eu-central-1.api.aws/123456789012/t", "http://localhost:4566/queue/t",
])  # fmt: skip
def test_queue_urls(queue: str) -> None:
    assert mistakes(changed("https://sqs.eu-central-1.amazonaws.com/123456789012/telemetry", queue)) == []


@pytest.mark.parametrize(
    "queue",
    [
        "x",
        "https://",
        "https://host/t",
        "ftp://h/123456789012/t",
        "https://h/123456789012/t?x",
        "https://h/123456789012/a.b",
        "https://[/1",
    ],
)
def test_what_is_no_queue_url(queue: str) -> None:
    assert len(mistakes(changed("https://sqs.eu-central-1.amazonaws.com/123456789012/telemetry", queue))) == 1


def test_a_mistake_in_one_key_does_not_hide_others_of_the_same_table() -> None:
    text = changed(PULL, 'pattern = "pulll"\nhwm = 2\nstream = 5').replace('stream = "telemetry"\n', "", 1)
    assert len(mistakes(text)) == 3


def test_an_empty_file_has_one_line_for_each_table_that_it_lacks() -> None:
    assert mistakes("") == [
        "agent.toml: device: missing; add the table [device]",
        "agent.toml: aws: missing; add the table [aws]",
        "agent.toml: spool: missing; add the table [spool]",
        "agent.toml: input: missing; at least one [[input]] is needed",
        "agent.toml: stream: missing; at least one [[stream]] is needed",
    ]


# Files


def test_a_file_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file; `device-agent init"):
        configfile.load(tmp_path / "agent.toml", environ={})


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        configfile.load(tmp_path, environ={})


def test_what_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_bytes(b"[device]\nid = '\xe4'\n")
    with pytest.raises(ConfigError, match=r"agent\.toml:2: is not UTF-8"):
        configfile.load(path, environ={})


def test_a_huge_file_is_no_config(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        configfile.load(path, environ={})


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_text(GOOD, encoding="utf-8")
    assert configfile.load(path, environ={}) == load(GOOD)
