"""Secret files: passwords, tokens and private keys are for the agent alone."""

from __future__ import annotations

import stat
from pathlib import Path


def exposed(path: Path) -> str:
    """Return that others can read a file, and what to do; empty if nobody but its owner can. Raises OSError: it cannot be looked at."""
    mode = stat.S_IMODE(path.stat().st_mode)
    return f"can be read by others (mode {mode:04o}); run: chmod 600 {path}" if mode & (stat.S_IRWXG | stat.S_IRWXO) else ""
