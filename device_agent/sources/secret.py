"""Secret files of sources, as reasons to try again later: somebody may mend them meanwhile."""

from __future__ import annotations

from pathlib import Path

from device_agent.errors import NotNow
from device_agent.redact import path as shown
from device_agent.secretfile import exposed


def check(path: str, *, what: str) -> None:
    """Raise `NotNow` unless the file is there, and can be read by nobody else."""
    try:
        fault = exposed(Path(path))
    except OSError as error:
        raise NotNow(f"{what}: {shown(path)}: {error.strerror}; put the file there or correct the path") from None
    if fault:
        raise NotNow(f"{what}: {path} {fault}")


def read(path: str, *, what: str) -> str:
    """Return the text of a secret file, without the line end behind it. Raises `NotNow`."""
    check(path, what=what)
    try:
        return Path(path).read_text(encoding="utf-8-sig").rstrip("\r\n")
    except (OSError, ValueError) as error:
        raise NotNow(f"{what}: {path} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from None
