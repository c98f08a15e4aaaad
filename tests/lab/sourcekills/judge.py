"""The judge: what is in the log, against what was accepted."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from tests.lab.sourcekills.log import Reading


def doubled(readings: Sequence[Reading], *, attempts: bool = False) -> int:
    """Return how many readings are there again; with `attempts` also those that a program sent again itself, as it had no answer."""
    return len(readings) - len({one.number if attempts else one.text for one in readings})


def missing(readings: Sequence[Reading], accepted: Sequence[str]) -> list[str]:
    """Return what was accepted and is not there."""
    there = {one.text for one in readings}
    return [text for text in accepted if text not in there]


def faults(readings: Sequence[Reading], *, sent: Collection[str], accepted: Sequence[str], flagged: bool) -> Iterator[str]:
    """Yield what is wrong. `flagged`: what is there again must say that the broker had sent it before."""
    if lost := missing(readings, accepted):
        yield f"{len(lost)} of {len(accepted)} accepted messages are not there, the first: {lost[0][:40]}"
    if strange := {one.text for one in readings} - set(sent):
        yield f"{len(strange)} readings were never sent: {min(strange)[:40]}"
    if flagged and (unsaid := _unsaid(readings)):
        yield f"{len(unsaid)} are there again and do not say so: {unsaid[0][:40]}"
    if not lost:
        yield from _disorder(readings, accepted)


def _disorder(readings: Sequence[Reading], accepted: Sequence[str]) -> Iterator[str]:
    """Yield the senders whose messages were first there in another order than they were accepted in."""
    order = list(dict.fromkeys(one.text for one in readings))
    for sender in sorted({_sender(text) for text in accepted}):
        wanted = [text for text in accepted if _sender(text) == sender]
        known = set(wanted)
        if [text for text in order if text in known] != wanted:
            yield f"the messages of sender {sender} are not in order"


def _sender(text: str) -> str:
    return text.partition(".")[0]


def _unsaid(readings: Sequence[Reading]) -> list[str]:
    seen: set[str] = set()
    found = []
    for one in readings:
        if one.text in seen and not one.redelivered:
            found.append(one.text)
        seen.add(one.text)
    return found
