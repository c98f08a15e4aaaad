"""Leak check: a test leaves no thread, socket or file behind. tests/conftest.py switches it on for every test.

Not checked: tests that share a server, the local cloud above all, whose connections and threads come and go as it likes.
"""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

#: Fixtures of a session or of a module; the last one is asked for by a parameter.
_SHARED = {"cloud", "ministack", "shared_board", "local_aws"}
#: Seconds that threads and sockets which are ending anyway may take for it: libzmq closes those of its I/O threads when it comes to it.
GRACE = 60.0


def open_files() -> set[str]:
    """What this process has open: pipes, sockets and files by their number and name."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of this very listing, and what other threads close meanwhile
            found.add(f"{link.name} {link.readlink()}")
    return {name for name in found if not name.endswith("/fd")}


@pytest.fixture(autouse=True)
def nothing_is_left_open(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compare before and after, with a little patience."""
    parameters = request.node.callspec.params.values() if hasattr(request.node, "callspec") else ()
    if request.node.get_closest_marker("e2e") or _SHARED & {*request.fixturenames, *(one for one in parameters if isinstance(one, str))}:
        yield
        return
    with watched():
        yield


@contextlib.contextmanager
def watched(*, grace: float = GRACE) -> Iterator[None]:
    """The check itself."""
    threads, files = set(threading.enumerate()), open_files()
    yield
    until = time.monotonic() + grace
    while (left := set(threading.enumerate()) - threads) | (kept := open_files() - files):
        if time.monotonic() > until:
            break
        gc.collect()  # a client that is garbage holds its connections until then
        time.sleep(0.02)
    assert not left, f"threads were left: {sorted(thread.name for thread in left)}"
    assert not kept, f"something was left open: {sorted(kept)}"
