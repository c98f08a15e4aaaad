"""`init` writes what `check` finds good; `check` shows what was understood and what is wrong on this machine."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from pathlib import Path

import pytest

from device_agent import configfile, uplink
from device_agent.cli import findings, main
from device_agent.cli.commands.init import propose_device
from device_agent.config import Pattern
from device_agent.uplink.probe import Look
from device_agent.wire.names import is_device
from tests.cli.boards import Board

REGION = "eu-west-1"
TELEMETRY = f"https://sqs.{REGION}.amazonaws.com/123456789012/telemetry"
EVENTS = f"https://sqs.{REGION}.amazonaws.com/123456789012/events.fifo"

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "DEVICE_AGENT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "stdin", io.StringIO())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.toml"


def init(path: Path, *words: str) -> int:
    return main(["init", "--output", str(path), "--spool", str(path.parent / "spool"), *words])


def test_what_init_writes_passes_check(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(path) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"{path}: written for device ")
    assert "the queue URLs in it are examples" in captured.err
    assert main(["check", "--config", str(path)]) == 0
    assert not (path.parent / "spool").exists()


def test_options_are_written(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--device", "board-9", "--telemetry-queue", TELEMETRY, "--events-queue", EVENTS, "--endpoint-url", "http://localhost:4566"]
    assert init(path, *words) == 0
    config = configfile.load(path, environ={})
    assert (config.device.id, config.aws.region, config.aws.endpoint_url) == ("board-9", REGION, "http://localhost:4566")
    assert [stream.queue for stream in config.stream] == [TELEMETRY, EVENTS]
    assert "examples" not in capsys.readouterr().err


def test_outputs_of_the_cdk_are_read(path: Path, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs.json"
    stack = {
        "TelemetryQueueUrl": "http://localhost:4566/000000000000/t",
        "EventsQueueUrl": "http://localhost:4566/000000000000/e.fifo",
        "Region": "us-west-2",
    }
    outputs.write_text(json.dumps({"identity": {"RoleAlias": "x"}, "ingestion": stack}), encoding="utf-8")
    assert init(path, "--outputs", str(outputs)) == 0
    config = configfile.load(path, environ={})
    assert (config.aws.region, config.stream[0].queue) == ("us-west-2", stack["TelemetryQueueUrl"])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"a": 1}', '{"a": {"TelemetryQueueUrl": "x"}}'])
def test_other_files_are_no_outputs(path: Path, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = tmp_path / "outputs.json"
    outputs.write_text(text, encoding="utf-8")
    assert init(path, "--outputs", str(outputs)) == 2
    assert str(outputs) in capsys.readouterr().err
    assert not path.exists()


def test_a_file_is_overwritten_only_by_force(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("mine", encoding="utf-8")
    assert init(path) == 2
    assert "exists already" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == "mine"
    assert init(path, "--force") == 0
    assert path.read_text(encoding="utf-8") != "mine"


def test_wrong_options_write_nothing(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(path, "--device", "a b") == 2
    assert "'a b' is not a device id" in capsys.readouterr().err
    assert not path.exists()


def test_a_directory_that_is_not_there_is_one_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(path.parent / "none" / "agent.toml") == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_standard_output_gets_the_file_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--output", "-"]) == 0
    configfile.loads(capsys.readouterr().out, "stdout", environ={})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_it_asks_and_an_empty_answer_takes_the_proposal(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(f"board-1\n\n{TELEMETRY.replace(REGION, 'us-east-1')}\n\n"))
    assert init(path) == 0
    config = configfile.load(path, environ={})
    assert (config.device.id, config.aws.region) == ("board-1", "us-east-1")
    assert "the queue URLs in it are examples" in capsys.readouterr().err, "one of them is"


@pytest.mark.parametrize("host", ["raspberrypi", "pi.local", "", "Häuschen", "-x-", "a" * 200, "..."])
def test_a_proposed_device_id_is_valid_and_random(host: str) -> None:
    proposals = {propose_device(host) for _ in range(20)}
    assert len(proposals) > 10
    assert all(is_device(proposal) for proposal in proposals)


# check


def written(path: Path, *changes: tuple[str, str]) -> list[str]:
    init(path)
    text = path.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")
    return ["check", "--config", str(path)]


def line_of(path: Path, text: str) -> int:
    return next(number for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if text in line)


def test_the_summary_says_what_was_understood(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = written(path, ('# max_bytes = "256 MiB"', 'max_bytes = "2 MiB"'))
    capsys.readouterr()
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "at most 2 MiB; when full: block" in shown
    assert "bind tcp://127.0.0.1:5557" in shown
    assert "events.fifo" in shown
    assert "warning  input sensors: readings above" in shown
    assert "ok       spool.directory:" in shown


def test_all_mistakes_are_on_standard_error(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = written(path, ("[spool]", "[spool]\nhwm = 1"), ('pattern = "pull"', 'pattern = "push"'))
    capsys.readouterr()
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 2
    assert all(line.startswith(f"{path}:") for line in captured.err.splitlines())


def test_too_little_for_so_many_streams_is_a_mistake_of_the_config(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = "".join(f'\n[[stream]]\nname = "s{at}"\nqueue = "https://sqs.us-east-1.amazonaws.com/123456789012/s"\n' for at in range(9))
    words = written(path, ('# max_bytes = "256 MiB"', 'max_bytes = "1 MiB"'))
    path.write_text(path.read_text(encoding="utf-8") + more, encoding="utf-8")
    assert main(words) == 2
    assert f"{path}:{line_of(path, 'max_bytes')}: spool.max_bytes: 1048576 bytes are too little for 11 streams" in capsys.readouterr().err


def test_a_spool_that_is_a_file_fails(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = written(path)
    (path.parent / "spool").write_text("", encoding="utf-8")
    assert main(words) == 2
    assert (
        f"failed   {path}:{line_of(path, 'directory =')}: spool.directory: {path.parent}/spool is not a directory"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("directory", ["/proc/device-agent/spool", "/proc"])
def test_a_spool_directory_that_cannot_be_made_or_written_fails_even_for_root(
    path: Path, directory: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = written(path, (f'directory = "{path.parent}/spool"', f'directory = "{directory}"'))
    assert main(words) == 2
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("failed"))
    assert line.startswith(f"failed   {path}:{line_of(path, 'directory =')}: spool.directory: user ")
    assert "name another directory" in line


def test_check_leaves_nothing_behind(path: Path) -> None:
    deep = path.parent / "a" / "b" / "spool"
    words = written(path, (f'directory = "{path.parent}/spool"', f'directory = "{deep}"'))
    assert main(words) == 0
    assert sorted(path.parent.iterdir()) == [path]
    deep.mkdir(parents=True)
    assert main(words) == 0
    assert not list(deep.iterdir())


@pytest.mark.parametrize(
    ("seconds", "verdict", "shown"),
    [
        (0.0021, "ok      ", "after 2.10 ms (fdatasync, median)"),
        (0.000004, "warning ", "after 0.00 ms (fdatasync, median): no card is that quick"),
        (0.4, "warning ", "after 400.00 ms (fdatasync, median): REQ and DEALER clients wait for it"),
    ],
)
def test_what_a_write_costs_is_measured_and_doubted(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seconds: float, verdict: str, shown: str
) -> None:
    now = [0.0]

    def slow(_fd: int) -> None:
        now[0] += seconds

    monkeypatch.setattr(findings.os, "fdatasync", slow)
    monkeypatch.setattr(findings.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(findings, "_file_system", lambda _path: "ext4")
    assert main(written(path)) == 0
    assert f"{verdict} spool.directory: a write is on the disk {shown}" in capsys.readouterr().out


def test_missing_key_files_and_socket_directories_fail(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    curve = '\n[input.curve]\nsecret_key = "/none/key"\n\n[[input]]\nname = "pipeline"'
    words = written(path, ("tcp://127.0.0.1:5557", "ipc:///none/x"), ('\n[[input]]\nname = "pipeline"', curve))
    assert main(words) == 2
    shown = capsys.readouterr().out
    assert f"failed   {path}:{line_of(path, 'ipc:///none/x')}: input.bind: input orders: ipc:///none/x" in shown
    assert f"failed   {path}:{line_of(path, '/none/key')}: input.curve.secret_key: input orders: cannot read secret key /none/key" in shown
    assert "warning  input orders: curve.allow is empty" in shown


def test_an_open_port_is_warned_of(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = written(path, ('bind = ["tcp://127.0.0.1:5555"]', 'bind = ["tcp://*:5555"]'))
    assert main(words) == 0
    assert "warning  input sensors: tcp://*:5555 takes readings from anybody on the network" in capsys.readouterr().out


def test_a_private_key_that_others_can_read_fails(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "key.pem"
    key.write_text("", encoding="ascii")
    key.chmod(0o644)
    iot = f"[aws.iot]\nendpoint = 'x.example'\nrole_alias = 'a'\ncertificate = '/none'\nprivate_key = '{key}'\n\n[spool]"
    words = written(path, ("[spool]", iot))
    assert main(words) == 2
    shown = capsys.readouterr().out
    assert f"chmod 600 {key}" in shown
    assert f"failed   {path}:{line_of(path, '/none')}: aws.iot.certificate: /none" in shown


def test_online_asks_every_queue(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    good = Look(stream="telemetry", good=True, sentence="the queue answers")
    bad = Look(stream="events", good=False, sentence="no such queue: deploy it", mend=True, key=("stream", "events", "queue"))
    monkeypatch.setattr(uplink, "probe", lambda aws, streams, *, config: [good, bad])
    words = written(path)
    assert main([*words, "--online"]) == 2
    shown = capsys.readouterr().out
    assert "ok       stream telemetry: the queue answers" in shown
    assert f"failed   {path}:{line_of(path, 'events.fifo')}: stream.queue: stream events: no such queue: deploy it" in shown


def test_a_queue_that_a_variable_names_is_reported_under_the_variable(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = written(path)
    monkeypatch.setenv("DEVICE_AGENT_STREAM_EVENTS_QUEUE", EVENTS.replace(REGION, "us-east-1"))
    bad = Look(stream="events", good=False, sentence="no such queue", mend=True, key=("stream", "events", "queue"))
    monkeypatch.setattr(uplink, "probe", lambda aws, streams, *, config: [bad])
    assert main([*words, "--online"]) == 2
    assert "failed   environment: DEVICE_AGENT_STREAM_EVENTS_QUEUE: stream.queue: stream events: no such queue" in capsys.readouterr().out


def test_a_network_that_is_away_is_exit_code_1_and_nothing_to_mend(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    words = written(path, ("[aws]", '[aws]\nendpoint_url = "http://127.0.0.1:1"'))
    assert main([*words, "--online"]) == 1
    shown = capsys.readouterr().out
    assert shown.count("\naway     ") == 2
    assert "failed" not in shown


@pytest.mark.parametrize(
    ("example", "pattern", "setting"),
    [
        ("sensors_push.py", Pattern.PULL, ("topic", "first-frame")), ("push.c", Pattern.PULL, ("topic", "first-frame")),
        ("weather_pub.py", Pattern.SUB, ("topic", "first-frame")), ("order_req.py", Pattern.REP, None),
        ("pipeline_dealer.py", Pattern.ROUTER, ("message_id", "first-frame")),
    ],
)  # fmt: skip
def test_every_example_finds_its_input_in_the_file_that_init_writes(
    example: str, pattern: Pattern, setting: tuple[str, str] | None, path: Path
) -> None:
    assert init(path, "--region", REGION) == 0
    (endpoint,) = set(re.findall(r'(?:default=|endpoint = )"(tcp://[0-9.:]+)"', (EXAMPLES / example).read_text()))
    (source,) = [one for one in configfile.load(path, environ={}).input if endpoint in one.bind]
    assert source.pattern is pattern
    assert setting is None or getattr(source, setting[0]) == setting[1]


def test_check_looks_at_the_log_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = Board(tmp_path)
    board.put("telemetry", *(b"reading %d" % number for number in range(50)))
    board.close()
    words = ["check", "--config", str(board.config)]
    main(words)
    shown = " ".join(capsys.readouterr().out.split())
    assert "begin as they should, and the last of each log is sound" in shown
    assert "only `device-agent spool verify` reads every reading" in shown
    data = bytearray(board.segment("telemetry").read_bytes())
    data[90] ^= 0xFF
    board.segment("telemetry").write_bytes(data)
    main(words)
    shown = " ".join(capsys.readouterr().out.split())
    assert f"warning spool: {board.segment('telemetry')}" in shown
    assert "`device-agent spool verify` reads the whole log and says what is lost" in shown
