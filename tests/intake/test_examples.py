"""The programs in examples/ against an intake: what they say they sent is what arrived."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import zmq

from device_agent.config import Pattern
from tests.intake.conftest import Bench

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(*command: str) -> dict[str, int]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    result: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return result


def example(name: str, *options: str) -> dict[str, int]:
    return run(sys.executable, str(EXAMPLES / name), *options)


@pytest.mark.parametrize("name", ["sensors_push.py", "weather_pub.py", "order_req.py", "pipeline_dealer.py"])
def test_every_program_explains_itself(name: str) -> None:
    if name == "sensors_push.py":
        pytest.importorskip("psutil")
    done = subprocess.run([sys.executable, str(EXAMPLES / name), "--help"], capture_output=True, text=True, timeout=120, check=True)
    assert "--connect" in done.stdout


def test_sensor_readings_are_json_with_their_topic(bench: Bench) -> None:
    pytest.importorskip("psutil")
    endpoint = bench.run(topic="first-frame")
    assert example("sensors_push.py", "--connect", endpoint, "--rate", "1000", "--count", "20") == {"sent": 20}
    payloads = bench.sink.wait_for(20)
    assert all("t" in json.loads(payload) for payload in payloads if isinstance(payload, bytes))
    assert "memory" in [topic for batch in bench.sink.batches for topic in batch.run.topics or ()]


def test_orders_are_acknowledged_and_logged_with_their_number(bench: Bench, tmp_path: Path) -> None:
    log = tmp_path / "log"
    result = example("order_req.py", "--connect", bench.run(Pattern.REP), "--rate", "1000", "--count", "10", "--log", str(log))
    assert result == {"sent": 10, "acknowledged": 10, "repeated": 0, "refused": 0}
    assert [json.loads(line)["seq"] for line in log.read_text().splitlines()] == list(range(1, 11))


def test_an_order_is_sent_again_when_the_agent_was_away(bench: Bench, tmp_path: Path) -> None:
    command = [sys.executable, str(EXAMPLES / "order_req.py"), "--connect", f"ipc://{tmp_path}/in", "--count", "1", "--timeout", "0.2"]
    with zmq.Context() as context, context.socket(zmq.ROUTER) as dead:  # accepts, and never answers
        dead.setsockopt(zmq.LINGER, 0)
        dead.bind(f"ipc://{tmp_path}/in")
        client = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert dead.poll(120_000)
    with client:
        bench.run(Pattern.REP, bind=(f"ipc://{tmp_path}/in",))
        out, _ = client.communicate(timeout=120)
    result = json.loads(out)
    assert result["acknowledged"] == 1
    assert result["repeated"] >= 1


def test_a_pipelining_dealer_matches_every_answer(bench: Bench) -> None:
    endpoint = bench.run(Pattern.ROUTER, message_id="first-frame")
    assert example("pipeline_dealer.py", "--connect", endpoint, "--count", "300") == {"sent": 300, "acknowledged": 300, "refused": 0}


def test_a_pipelining_dealer_keeps_its_rate_and_logs_what_was_acknowledged(bench: Bench, tmp_path: Path) -> None:
    endpoint = bench.run(Pattern.ROUTER, message_id="first-frame")
    log = tmp_path / "log"
    result = example("pipeline_dealer.py", "--connect", endpoint, "--rate", "20", "--seconds", "0.5", "--log", str(log))
    assert 1 <= result["sent"] <= 11  # fewer on a busy machine
    assert result["acknowledged"] == result["sent"]
    assert [json.loads(line)["n"] for line in log.read_text().splitlines()] == list(range(result["sent"]))


def test_a_pipelining_dealer_says_what_got_no_answer(bench: Bench) -> None:
    bench.sink.hold = True
    endpoint = bench.run(Pattern.ROUTER, message_id="first-frame")
    command = [sys.executable, str(EXAMPLES / "pipeline_dealer.py"), "--connect", endpoint, "--count", "5", "--timeout", "0.3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert json.loads(done.stdout) == {"sent": 5, "acknowledged": 0, "refused": 0}


def test_the_publisher_reaches_a_subscriber(bench: Bench) -> None:
    endpoint = bench.run(Pattern.SUB, topic="first-frame", subscribe=("weather/temperature",))
    assert example("weather_pub.py", "--connect", endpoint, "--rate", "100", "--count", "60") == {"sent": 60}
    bench.sink.wait_for(1)  # how many depends on when the subscription arrived
    assert {topic for batch in bench.sink.batches for topic in batch.run.topics or ()} == {"weather/temperature"}


@pytest.mark.skipif(shutil.which("gcc") is None or not Path("/usr/include/zmq.h").exists(), reason="needs gcc and libzmq3-dev")
def test_the_c_program_compiles_and_pushes(bench: Bench, tmp_path: Path) -> None:
    program = tmp_path / "push"
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-o", str(program), str(EXAMPLES / "push.c"), "-lzmq"], check=True, timeout=120)
    endpoint = bench.run(topic="first-frame")
    log = tmp_path / "log"
    assert run(str(program), "--connect", endpoint, "--count", "25", "--rate", "500", "--log", str(log)) == {"sent": 25}
    assert len(bench.sink.wait_for(25)) == 25
    assert [json.loads(line)["n"] for line in log.read_text().splitlines()] == list(range(25))
    sent = run(str(program), "--connect", endpoint, "--count", "1000000", "--rate", "20", "--seconds", "0.5")["sent"]
    assert 5 <= sent <= 11
