"""A step scheduler: functions run in threads, but only one at a time and only from one operation to the next."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.lambdas.fakes import Crash, Fate

_PATIENCE = 20.0


class Actor:
    """One running function, stopped before each operation until `step` says what becomes of it."""

    def __init__(self, function: Callable[[Callable[[str], Fate]], Any]) -> None:
        """Start `function(gate)` and run it to its first operation."""
        self.result: Any = None
        self.error: BaseException | None = None
        self.operation = ""  # the one that waits
        self.done = False
        self._fate = Fate.WELL
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(function,), daemon=True)
        self._thread.start()
        self._wait()

    def step(self, fate: Fate = Fate.WELL) -> None:
        """Let the waiting operation happen, and run to the next one or to the end."""
        assert not self.done
        self._fate = fate
        self._go.release()
        self._wait()

    def finish(self) -> None:
        """Let all go well from here."""
        while not self.done:
            self.step()

    def kill(self) -> None:
        if not self.done:
            self.step(Fate.CRASH_BEFORE)
        assert self.done

    def _wait(self) -> None:
        assert self._stopped.acquire(timeout=_PATIENCE), "a function hangs"
        if self.done:
            self._thread.join(_PATIENCE)
            if self.error is not None and not isinstance(self.error, Crash):
                raise self.error

    def _gate(self, operation: str) -> Fate:
        self.operation = operation
        self._stopped.release()
        assert self._go.acquire(timeout=_PATIENCE), "nobody steps"
        return self._fate

    def _run(self, function: Callable[[Callable[[str], Fate]], Any]) -> None:
        try:
            self.result = function(self._gate)
        except BaseException as error:  # noqa: BLE001  # handed to the test's thread
            self.error = error
        self.done = True
        self._stopped.release()
