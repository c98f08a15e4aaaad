"""Desk: where the running agent is asked for its status, also while there are no file descriptors.

Promises: without a descriptor the question is answered with the spare one; if even that cannot be, it waits in the kernel's queue, and the
main thread does not spin. Belongs to the main thread.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from device_agent.descriptors import PAUSE, SHORT, Descriptors, Spare
from device_agent.status import StatusServer


class Desk:
    """Keeps a `StatusServer` in the selector of the main thread."""

    def __init__(
        self, selector: selectors.BaseSelector, status: Callable[[], dict[str, Any]], *, descriptors: Descriptors,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Listen nowhere yet. Raises OSError: there is no spare descriptor."""
        self._selector, self._status, self._descriptors, self._monotonic = selector, status, descriptors, monotonic
        self._spare = Spare()
        self._directory: Path | None = None
        self._server: StatusServer | None = None
        self._paused_until: float | None = None

    @property
    def paused(self) -> bool:
        """Whether nobody is answered for now."""
        return self._paused_until is not None

    def listen(self, directory: Path) -> None:
        """Listen in a spool directory, instead of the one before; without descriptors as soon as there are some. Raises OSError."""
        if directory == self._directory:
            return
        self._leave()
        self._directory = directory
        self._open()

    def answer(self) -> None:
        """Answer one client."""
        assert self._server is not None
        try:
            self._server.answer()
        except OSError as error:
            self._short(error)
            self._answer_with_spare(self._server)

    def _answer_with_spare(self, server: StatusServer) -> None:
        try:
            with self._spare.lent():
                server.answer()
        except OSError as error:
            self._short(error)
            self._selector.unregister(server)
            self._paused_until = self._monotonic() + PAUSE

    def retry(self) -> None:
        """Go on if the pause is over."""
        if self._paused_until is None or self._monotonic() < self._paused_until:
            return
        self._paused_until = None
        if self._server is None:
            self._open()
        else:
            self._selector.register(self._server, selectors.EVENT_READ)

    def close(self) -> None:
        """Stop listening."""
        self._leave()
        self._spare.close()

    def _open(self) -> None:
        assert self._directory is not None
        try:
            with self._spare.lent():
                self._server = StatusServer(self._directory, self._status)
        except OSError as error:
            self._short(error)
            self._paused_until = self._monotonic() + PAUSE
        else:
            self._selector.register(self._server, selectors.EVENT_READ)

    def _leave(self) -> None:
        if self._server is not None:
            if not self.paused:
                self._selector.unregister(self._server)
            self._server.close()
        self._server = self._paused_until = None

    def _short(self, error: OSError) -> None:
        if error.errno not in SHORT:
            raise error
        self._descriptors.short()
