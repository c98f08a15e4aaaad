"""`[[input]]` with `kind = "poll"`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from device_agent.config import endpoints as rules
from device_agent.config.setting import Unit, setting
from device_agent.config.sources.base import Mistake, SourceConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class PollConfig(SourceConfig):
    """`[[input]]` with `kind = "poll"`: asks ZeroMQ programs that only answer (REP, ROUTER); each answer is a reading."""

    endpoints: tuple[str, ...] = setting("Programs to ask, all at the same time: `tcp://127.0.0.1:5560`, `ipc:///run/sensor`.")
    request: str = setting("What they are sent.", default="")
    every: float = setting("From one question to the next.", unit=Unit.DURATION, bounds=(0.01, 86400.0), default=10.0)
    timeout: float = setting("How long answers are waited for; at most `every`.", unit=Unit.DURATION, bounds=(0.01, 86400.0), default=1.0)

    SOURCE: ClassVar[str] = "device_agent.sources.poll:Poll"
    TOPIC: ClassVar[str] = "the endpoint"

    @property
    def place(self) -> str:
        """See `SourceConfig`."""
        return f"connect {', '.join(self.endpoints)}"

    @property
    def hands_over(self) -> bool:
        """See `SourceConfig`."""
        return True

    def mistakes(self) -> Iterator[Mistake]:
        """See `SourceConfig`."""
        if not self.endpoints:
            yield "endpoints", 'must not be empty, such as endpoints = ["tcp://127.0.0.1:5560"]'
        for position, endpoint in enumerate(self.endpoints):
            problem = _problem(endpoint)
            if endpoint in self.endpoints[:position]:
                problem = f"{endpoint!r} stands here twice"
            if problem:
                yield ("endpoints", position), problem
        if len(self.endpoints) > self.window:
            yield "window", f"must be at least the number of endpoints, {len(self.endpoints)}: all may answer at once"
        if self.timeout > self.every:
            yield "timeout", "must be at most `every`: a question ends before the next"


def _problem(endpoint: str) -> str:
    try:
        rules.check(endpoint, bind=False)
    except ValueError as error:
        return str(error)
    if endpoint.partition("://")[0] not in {"tcp", "ipc"}:
        return f"{endpoint!r}: only tcp and ipc carry a question and its answer to another process"
    return ""
