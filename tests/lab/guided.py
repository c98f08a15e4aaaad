"""Coverage guidance for the fuzzer, with nothing but the interpreter: an input that goes a way no other went is changed further.

What counts as a way: a pair of lines of `device_agent` executed one after the other within a function (sys.settrace), as in AFL's edges.
Slower than atheris by an order of magnitude, and runs wherever Python does.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import device_agent

_OURS = str(Path(device_agent.__file__).parent)

Edge = tuple[int, int, int]  # code object, line before, line
Target = Callable[[bytes], None]


def edges(target: Target, data: bytes) -> set[Edge]:
    """Run the target and return the ways it went, also when it raises: then the exception is raised on."""
    found: set[Edge] = set()

    def enter(frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        if not code.co_filename.startswith(_OURS):
            return None
        ident, before = id(code), 0

        def step(frame: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
            nonlocal before
            if event == "line":
                found.add((ident, before, frame.f_lineno))
                before = frame.f_lineno
            return step

        return step

    former = sys.gettrace()
    sys.settrace(enter)
    try:
        target(data)
    finally:
        sys.settrace(former)
    return found


class Guide:
    """A pool of inputs that grows by those that go new ways."""

    def __init__(self, target: Target, seeds: list[bytes], change: Callable[[bytes, random.Random], bytes], randoms: random.Random) -> None:
        self._target, self._change, self._random = target, change, randoms
        self.pool = list(seeds)
        self.seen: set[Edge] = set()
        for data in seeds:
            self.seen |= edges(target, data)

    def next(self) -> bytes:
        """Return the next input: a change of one of the pool, the younger the likelier; now and then two spliced."""
        at = len(self.pool) - 1 - int(len(self.pool) * self._random.random() ** 2)
        data = self.pool[at]
        if self._random.random() < 0.1:
            other = self._random.choice(self.pool)
            data = data[: self._random.randrange(len(data) + 1)] + other[self._random.randrange(len(other) + 1) :]
        return self._change(data, self._random)

    def distilled(self) -> list[bytes]:
        """Return a part of the pool that goes all its ways: the shortest input first, then what adds to those before it."""
        known: set[Edge] = set()
        kept = []
        for data in sorted(self.pool, key=len):
            ways = edges(self._target, data)
            if ways - known:
                known |= ways
                kept.append(data)
        return kept

    def run(self, data: bytes) -> bool:
        """Try an input; True if it went a new way and was kept. Raises what the target raises."""
        new = edges(self._target, data) - self.seen
        if new:
            self.seen |= new
            self.pool.append(data)
        return bool(new)
