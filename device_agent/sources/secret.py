"""Secret files of sources: passwords, tokens and private keys, readable by the agent alone."""

from __future__ import annotations

import stat
from pathlib import Path

from device_agent.errors import NotNow
from device_agent.redact import path as shown


def check(path: str, *, what: str) -> None:
    """Raise `NotNow` unless the file is there, and readable by nobody else."""
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        raise NotNow(f"{what}: {shown(path)}: {error.strerror}; put the file there or correct the path") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise NotNow(f"{what}: {path} can be read by others (mode {stat.S_IMODE(mode):04o}); run: chmod 0600 {path}")


def read(path: str, *, what: str) -> str:
    """Return the text of a secret file, without the line end behind it. Raises `NotNow`."""
    check(path, what=what)
    try:
        return Path(path).read_text(encoding="utf-8-sig").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise NotNow(f"{what}: {path} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from None
