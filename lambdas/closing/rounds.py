"""Rounds: every line of a bucket, many at a time, until all are done or the time is up.

Promises
1. A line that fails does not keep the others from their turn; it is counted, with its reason.
2. The bookmark never passes a line that failed or was not reached, so the next round of the day begins at the first of them.

How: entries of the registry are taken by the hundred; a pool of threads works on their lines; then the bookmark moves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, TypeVar

from device_agent.wire import ledger as keys
from device_agent.wire.errors import EnvelopeError
from device_agent.wire.ledger import Line
from lambdas.closing.ports import Entry, Ledger
from lambdas.landing.ports import NotNow, Unknown

Done = TypeVar("Done")

#: Entries whose lines are worked on before the bookmark moves: enough for all threads, few enough to repeat.
_CHUNK = 256


@dataclass(slots=True)
class Round(Generic[Done]):
    """What one round came to: the results of all lines that were done, and why others were not."""

    done: list[Done] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    complete: bool = False  # no time ran out
    after: str = ""  # the mark up to which nothing failed

    @property
    def failed(self) -> int:
        """Lines that failed."""
        return sum(self.reasons.values())


def entries(ledger: Ledger, *, bucket: int, buckets: int, after: str = "") -> Iterator[Entry]:
    """Yield a bucket's entries behind the mark `after`, in the order of their marks.

    Raises:
        ValueError: there is no such bucket.
        NotNow: the registry cannot be read.
    """
    for shard in keys.shards(bucket, buckets):
        if f"{shard:02d}~" > after:
            for entry in ledger.entries(shard, after=after):
                if keys.bucket(entry.mark.split("|")[1], buckets) == bucket:
                    yield entry


def run(
    work: Callable[[Line], Done],
    todo: Iterator[Entry],
    *,
    pool: Executor,
    out_of_time: Callable[[], bool],
    passed: Callable[[str], None] = lambda _: None,
) -> Round[Done]:
    """Work on all lines of `todo`; tell `passed` the mark up to which all is done, now and then."""
    result: Round[Done] = Round()
    while not out_of_time():
        chunk = list(islice(todo, _CHUNK))
        if not chunk:
            result.complete = True
            break
        futures = [pool.submit(_attempt, work, line, out_of_time) for entry in chunk for line in entry.lines]
        attempts = [attempt for future in futures if (attempt := future.result()) is not None]
        result.done += [attempt for attempt in attempts if not isinstance(attempt, _Failure)]
        result.reasons.update(attempt.reason for attempt in attempts if isinstance(attempt, _Failure))
        if len(attempts) < len(futures):
            break
        if not result.reasons:
            result.after = chunk[-1].mark
            passed(result.after)
    return result


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str


def _attempt(work: Callable[[Line], Done], line: Line, out_of_time: Callable[[], bool]) -> Done | _Failure | None:
    """Return what became of a line; None if there was no time for it."""
    if out_of_time():
        return None
    try:
        return work(line)
    except (NotNow, Unknown, EnvelopeError) as error:
        return _Failure(str(error))
    except Exception as error:  # noqa: BLE001  # a bug of ours, or an item that nobody wrote: the other lines must not pay for it
        return _Failure(f"broke down: {type(error).__name__}")
