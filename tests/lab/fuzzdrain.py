"""The intake's loop in C against scripts of frames and errors, with the compiler's checks of memory and of undefined behaviour."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tools import drain

_SOURCE = Path(__file__).with_name("drainfuzz.c")
_CHECKS = ("-g", "-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def build(target: Path, *, command: Sequence[str] = (), flags: Sequence[str] = _CHECKS) -> Path:
    """Compile the fuzzer, the drain in it, with the compiler `command`: by default this machine's. Raises `drain.NotBuilt`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    drain.build(command or drain.compiler(), target, flags=flags, source=_SOURCE)
    return target


def run(program: Path, seconds: float, seed: int | None) -> subprocess.CompletedProcess[str]:
    """Let it try scripts for so long."""
    environ = {
        **os.environ,
        "ASAN_OPTIONS": "quarantine_size_mb=4",
    }  # freed memory is told from used one all the same, and a script costs a tenth
    command = [str(program), str(int(seconds)), *([str(seed)] if seed is not None else [])]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
