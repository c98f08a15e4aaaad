"""Sources are measured with clients that see whether they are answered, and against servers that answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import loads, sources
from bench.goals import GOALS
from bench.processes import Endpoint, Process, free_port, python
from bench.readings import Readings
from bench.run import Run
from bench.sources import KINDS, Kind, Rounds, Taken
from device_agent.configfile import load
from localcloud.brokers import Broker, MissingError

READINGS = Readings("some", [b'{"a":1}', b'{"a":22}'])
COUNT = 150  # more than there are clients


def taken(rate: float, *, cpu: float = 1e-5, clients: float = 0.0, peak: float = 60.0) -> Taken:
    return Taken(rate=rate, cpu=cpu, clients=clients, peak_mib=peak)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return READINGS.write(tmp_path / "readings.bin")


@pytest.mark.parametrize("kind", ["http", "coap", "rep"])
def test_clients_get_an_answer_to_each_request(kind: str, file: Path, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    server = Process(python("bench.bare", kind, port), log=log)
    try:
        server.line()
        found = Process(python("bench.loads", kind, port, file, COUNT), log=log).result()
    finally:
        server.kill()
    assert found["count"] == COUNT
    assert found["seconds"] > 0


def test_a_client_that_is_refused_says_so(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port, log = free_port(), tmp_path / "log"
    server = Process(python("bench.bare", "http", port), log=log)
    monkeypatch.setattr(loads, "NAME", "two/parts")  # which it does not serve
    try:
        server.line()
        with pytest.raises(loads.Failed, match="404"):
            loads.main("http", str(port), str(file), "3")
    finally:
        server.kill()


def test_what_is_pushed_is_pulled(file: Path, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    loop = Process(python("bench.bare", "pull", port, COUNT), log=log)
    try:
        loop.line()
        pushed = Process(python("bench.loads", "push", port, file, COUNT), log=log)
        assert loop.result()["count"] == COUNT
        assert pushed.result()["count"] == COUNT
    finally:
        loop.kill()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.broker is not None], ids=lambda kind: kind.name)
def test_what_a_broker_was_filled_with_is_taken(kind: Kind, file: Path, tmp_path: Path) -> None:
    assert kind.broker is not None
    log = tmp_path / "log"
    try:
        made = kind.broker(tmp_path / "broker")
    except MissingError as error:
        pytest.skip(str(error))
    with made:
        assert Process(python("bench.loads", kind.name, made.url, file, COUNT), log=log).result()["count"] == COUNT
        assert Process(python("bench.bare", kind.name, made.url, COUNT), log=log).result()["count"] == COUNT


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_agent_understands_the_keys_of_each_kind(kind: Kind, tmp_path: Path) -> None:
    where = "1234" if kind.broker is None else f"{kind.name}://127.0.0.1:1234"
    board = sources.Board(tmp_path, endpoint=sources.NOWHERE, inputs=0, source=kind.keys.format(where=where))
    (found,) = load(board.folder / "agent.toml", environ={}).sources
    assert found.kind == kind.name.partition("_")[0]


def test_each_kind_has_a_goal_and_so_has_the_memory() -> None:
    assert set(sources.NAMES) <= set(GOALS)


def test_clients_that_are_busy_are_named_as_a_possible_bottleneck() -> None:
    idle = sources.figure(KINDS[0], Rounds([taken(100.0)], [taken(70.0, clients=0.2)]))
    busy = sources.figure(KINDS[0], Rounds([taken(100.0, clients=0.95)], [taken(70.0)]))
    assert idle.met
    assert "bottleneck" not in idle.note
    assert "95% of a core" in busy.note


def test_memory_is_that_of_the_largest_above_an_agent_without(monkeypatch: pytest.MonkeyPatch, endless: Run) -> None:
    peaks = dict(zip((kind.name for kind in KINDS), range(60, 100), strict=False))
    monkeypatch.setattr(sources, "_broker", lambda run, kind: _Nothing())
    monkeypatch.setattr(sources, "_measured", lambda run, kind, url: Rounds([taken(1.0)], [taken(1.0, peak=peaks[kind.name])]))
    monkeypatch.setattr(sources, "plain", lambda run, count: 50.0)
    found = {figure.name: figure for figure in sources.measure(endless)}
    assert found["source_rss_mib"].value == max(peaks.values()) - 50.0


def test_without_its_broker_a_kind_is_not_measured_and_the_others_are(monkeypatch: pytest.MonkeyPatch, endless: Run) -> None:
    def missing(folder: Path) -> Broker:
        raise MissingError("needs RabbitMQ (apt install rabbitmq-server)")

    kinds = (Kind(name="amqp", keys="", counts=(1, 1), broker=missing), Kind(name="http", keys="", counts=(1, 1), loads="http"))
    monkeypatch.setattr(sources, "KINDS", kinds)
    monkeypatch.setattr(sources, "_measured", lambda *_: Rounds([taken(1.0)], [taken(1.0)]))
    monkeypatch.setattr(sources, "plain", lambda run, count: 50.0)
    found = {figure.name: figure for figure in sources.measure(endless)}
    assert "not measured: needs RabbitMQ" in found["source_amqp_ratio"].note
    assert found["source_http_ratio"].value == 1.0


class _Nothing:
    def __enter__(self) -> str:
        return ""

    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def endless(tmp_path: Path) -> Any:
    """Return a run that starts nothing."""
    endpoint = Endpoint.__new__(Endpoint)
    return Run(quick=True, readings=READINGS, folder=tmp_path, producer=tmp_path, endpoint=endpoint, say=lambda _: None)
