"""The judge of the laboratory: what was acknowledged against what is in the lake. It can say no: tests/faults/test_judge.py shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One reading in the lake."""

    stream: str
    epoch: str
    seq: int
    topic: str
    producer: str
    number: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One positive answer."""

    stream: str
    seq: int
    producer: str
    number: int


def row(line: dict[str, object], stream: str) -> Row:
    """Make a row of a line of the lake."""
    producer, number, _ = str(line["data"]).split(" ", 2)
    return Row(stream, str(line["epoch"]), int(str(line["seq"])), str(line.get("topic", "")), producer, int(number))


def acknowledged(log: Path, *, skip: int = 0) -> list[Acknowledged]:
    """Read what the producers logged."""
    entries = [line.split() for line in log.read_text().splitlines()[skip:]]
    return [Acknowledged(stream, int(seq), producer, int(number)) for stream, seq, producer, number in entries]


def faults(
    rows: Iterable[Row], answers: list[Acknowledged], *, committed: dict[str, int], began: dict[str, int] | None = None,
    newest: dict[str, int] | None = None,
) -> list[str]:  # fmt: skip
    """Return one sentence for each promise that is broken.

    Args:
        rows: everything in the lake.
        answers: everything that was acknowledged.
        committed: by stream, the last sequence number.
        began: by stream, the first one that `rows` is to have, 1 by default.
        newest: by topic of the stream `events`, the sequence number that the state table shows.
    """
    found = sorted(rows, key=lambda one: (one.stream, one.epoch, one.seq))
    broken = _places(found, committed, began or {})
    broken += _order(found)
    at = {(one.stream, one.seq): one for one in found}
    lost = [one for one in answers if (one.stream, one.seq) not in at]
    if lost:
        broken.append(f"{len(lost)} acknowledged readings are not in the lake, the first: {lost[0]}")
    changed = [
        one
        for one in answers
        if (there := at.get((one.stream, one.seq))) is not None and (there.producer, there.number) != (one.producer, one.number)
    ]
    if changed:
        broken.append(f"{len(changed)} acknowledged readings have another content, the first: {changed[0]}")
    twice = [key for key, count in Counter((one.stream, one.seq) for one in answers).items() if count > 1]
    if twice:
        broken.append(f"{len(twice)} sequence numbers were acknowledged twice, the first: {twice[0]}")
    if newest is not None:
        last = {one.topic: one.seq for one in found if one.stream == "events"}
        if last != newest:
            broken.append(f"the state table shows {newest}, the newest are {last}")
    return broken


def _places(found: list[Row], committed: dict[str, int], began: dict[str, int]) -> list[str]:
    broken = []
    for stream, last in committed.items():
        mine = [one for one in found if one.stream == stream]
        if epochs := {one.epoch for one in mine} if len({one.epoch for one in mine}) > 1 else set():
            broken.append(f"{stream} has more than one epoch: {sorted(epochs)}")
        counts = Counter(one.seq for one in mine)
        if doubled := [seq for seq, count in counts.items() if count > 1]:
            broken.append(f"{stream}: {len(doubled)} rows stand twice, the first: {doubled[0]}")
        wanted = range(began.get(stream, 1), last + 1)
        if holes := [seq for seq in wanted if seq not in counts]:
            broken.append(f"{stream}: {len(holes)} of {len(wanted)} sequence numbers are missing, the first: {holes[0]}")
        if beyond := [seq for seq in counts if seq not in wanted]:
            broken.append(f"{stream}: {len(beyond)} rows outside {wanted}, the first: {beyond[0]}")
    return broken


def _order(found: list[Row]) -> list[str]:
    """Each program's numbers rise with the sequence numbers of its stream, and none comes twice."""
    broken, last = [], dict[tuple[str, str], Row]()
    for one in found:
        before = last.get((one.stream, one.producer))
        if before is not None and before.seq != one.seq:
            if one.number == before.number:
                broken.append(f"{one.producer}'s reading {one.number} was committed twice: {before.seq} and {one.seq} of {one.stream}")
            elif one.number < before.number:
                broken.append(
                    f"{one.producer}'s reading {one.number} stands behind {before.number}: {before.seq}, {one.seq} of {one.stream}"
                )
        last[one.stream, one.producer] = one
    return broken[:3]
