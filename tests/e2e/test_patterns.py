"""The patterns of examples/patterns, each played to the lake of the local cloud."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from localcloud import LocalCloud
from localcloud.demo.books import Row
from localcloud.pattern.play import play
from localcloud.pattern.scene import FOLDER, Scene, names

pytestmark = pytest.mark.e2e

#: By pattern: (stream, topic, data) of what must stand in the lake, whatever the order; a function where that is not fixed.
EXPECTED = {
    "request-reply": [("events", "", f"Hello {number}") for number in (1, 2, 3)],
    "publish-subscribe": [
        *(("telemetry", "temperature/berlin", json.dumps({"celsius": celsius})) for celsius in (20, 21, 22)),
        ("events", "alarm/storm", "force 9"),
    ],
    "fan-out": [("telemetry", "tick", str(number)) for number in range(1, 6)],
    "point-to-point": [("events", "", f"order {number}") for number in range(1, 11)],
    "wire-tap": [("telemetry", "", f'{{"celsius": {20 + number}}}') for number in range(5)],
    "in-process": [("telemetry", "", f'{{"celsius": {20 + number}}}') for number in range(5)],
    "competing-consumers": [("telemetry", "", f'{{"job": {number}}}') for number in range(1, 21)],
    "idempotent-receiver": [("events", "order/A", '{"order": "A", "quantity": 3}')] * 2,
    "fifo-order": [("events", "door", state) for state in ("open", "closed", "locked") * 2],
    "topic-exchange": [
        ("events", "kern.critical", "disk on fire"), ("telemetry", "app.web.warn", "slow"), ("telemetry", "app.db.info", "vacuumed"),
    ],
    "dead-letter": [("events", "door", '"ajar"')],
    "mqtt-sensors": [
        *(("telemetry", "sensors/kitchen/temperature", f"{21 + number}.5") for number in range(3)), ("events", "sensors/door", "open"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", names())
def test_the_pattern_reaches_the_lake(cloud: LocalCloud, tmp_path: Path, name: str) -> None:
    said: list[str] = []
    rows = play(Scene.read(name), cloud, tmp_path, device=f"{name}-{tmp_path.name[-8:]}", say=said.append)
    found = [(row.stream, row.topic, row.data) for row in rows]
    if name == "survey":
        surveyed(rows)
    elif name == "work-queue":
        theirs = [line.partition("did ")[2] for line in said if "did task" in line]
        ours = [data for _, _, data in found]
        assert sorted(theirs + ours) == sorted(f"task {number}" for number in range(1, 21))
    elif name == "multicast":
        assert {(stream, topic) for stream, topic, _ in found} == {("telemetry", "beacon")}
    elif name == "pipeline":
        squares = [json.loads(data) for _, _, data in found]
        assert sorted((one["number"], one["square"]) for one in squares) == [(number, number * number) for number in range(10)]
    else:
        assert sorted(found) == sorted(EXPECTED[name])
    if name == "fifo-order":
        assert [data for _, _, data in found] == ["open", "closed", "locked"] * 2
    if name == "fan-out":
        assert said.count("     display | tick 5") == 2


def surveyed(rows: list[Row]) -> None:
    meters = [json.loads(row.data) for row in rows]
    assert {one["meter"] for one in meters} == {"gas", "water"}
    assert len({row.topic for row in rows}) == 2


@pytest.mark.parametrize("name", names())
def test_each_pattern_is_explained_with_its_picture(name: str) -> None:
    scene = Scene.read(name)
    readme = (FOLDER / name / "README.md").read_text()
    assert scene.title in readme
    assert scene.patterns in readme
    assert f"make pattern NAME={name}" in readme
    assert scene.picture
    assert all(len(line) <= 80 for line in scene.picture.splitlines())
