"""Lock (as in nsq's dirlock): one agent an ipc path.

libzmq unlinks whatever lies at an ipc path and binds: a second bind succeeds, and the first program hears nothing any more; a file that
is no socket would be deleted. So: a lock file beside the path, held while we are bound; a look at what lies there; and a umask, since
a socket is as open as the umask at its bind lets it be.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from device_agent.errors import ConfigError

#: sun_path has 108 bytes with the final 0 (unix(7)).
MAX_PATH: Final = 107
#: Owner and group may connect: 0660.
_UMASK: Final = 0o117
_PREFIX: Final = "ipc://"
_LISTENS: Final = "another program listens there; stop it or choose another path"


def path_of(endpoint: str) -> Path | None:
    """Return the path of an ipc endpoint; None for other transports, and for abstract names, which the kernel itself protects."""
    if not endpoint.startswith(_PREFIX) or endpoint.startswith(f"{_PREFIX}@"):
        return None
    return Path(endpoint.removeprefix(_PREFIX))


def mistake(path: Path) -> str:
    """Return why nothing can be bound at `path`, and what to do; empty if it can. Looks, and changes nothing."""
    if len(os.fsencode(path)) > MAX_PATH:
        return f"the path has more than {MAX_PATH} bytes, more than Linux takes for a socket; choose a shorter one"
    if not path.parent.is_dir():
        return f"directory {path.parent} does not exist; create it (systemd: RuntimeDirectory=device-agent)"
    if not os.access(path.parent, os.W_OK | os.X_OK):
        return f"directory {path.parent} is not writable for this user; change its owner or choose another path"
    if os.path.lexists(path) and not stat.S_ISSOCK(path.lstat().st_mode):
        return "there is a file that is not a socket; move it away or choose another path"
    return ""


def taken(path: Path) -> str:
    """Return who has `path` already, and what to do; empty if nobody. Looks, and changes nothing."""
    try:
        fd = os.open(lock_of(path), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:  # no agent was here, or `Lock` says what is wrong
        return _LISTENS if answers(path) else ""
    try:
        return _taken(path, fd)
    finally:
        os.close(fd)


def lock_of(path: Path) -> Path:
    """Return the lock file that goes with an ipc socket."""
    return path.with_name(path.name + ".lock")


def _taken(path: Path, fd: int) -> str:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "another agent has it (its lock file is held); stop that one or choose another path"
    return _LISTENS if answers(path) else ""


class Lock:
    """A held lock file."""

    def __init__(self, path: Path) -> None:
        """Lock `path`, an ipc socket's.

        Raises:
            ConfigError: another program has the path, or it cannot be used.
        """
        reason = mistake(path)
        if reason:
            raise ConfigError(reason)
        self._lock = lock_of(path)
        try:
            self._fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise ConfigError(f"cannot open its lock file {self._lock}: {error.strerror}; remove it, or change its owner") from error
        try:
            reason = _taken(path, self._fd)
        except OSError as error:
            reason = f"cannot look who listens there: {error.strerror}; try again"
        if reason:
            os.close(self._fd)
            raise ConfigError(reason)

    def release(self) -> None:
        """Let go; the file stays, since removing a lock file is a race."""
        os.close(self._fd)


def answers(path: Path) -> bool:
    """Tell whether somebody listens at `path`; a socket that was left behind by a crash refuses. OSError: there is no descriptor."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:  # a full backlog, no permission: somebody is there
            return True
        return True


@contextmanager
def group_only() -> Iterator[None]:
    """Make what is bound meanwhile accessible for owner and group only. The umask is the process's: keep it short."""
    before = os.umask(_UMASK)
    try:
        yield
    finally:
        os.umask(before)
