"""Compiles the intake's drain (device_agent/intake/native/drain.c) with whatever C compiler is there.

    python -m tools.drain    for this machine, beside its source; exit code 0 also without a compiler, with a word about it

The drain needs no headers but the compiler's and the C library's, and no libzmq to link with. Compilers are looked for in this order:
$CC, cc, gcc, clang, and zig as the PyPI package `ziglang`.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
SOURCE: Final = ROOT / "device_agent" / "intake" / "native" / "drain.c"
TARGET: Final = SOURCE.with_name("drain.so")
_FLAGS: Final = ("-std=c11", "-O2", "-Wall", "-Wextra")
_SHARED: Final = ("-fPIC", "-shared")


class NotBuilt(Exception):  # noqa: N818  # a state of this machine, not a mistake
    """There is no compiler, or it failed; the text says which."""


def compiler() -> list[str]:
    """Return the command of a C compiler.

    Raises:
        NotBuilt: there is none.
    """
    given = shlex.split(os.environ.get("CC", ""))
    for command in (given, ["cc"], ["gcc"], ["clang"]):
        if command and shutil.which(command[0]):
            return command
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "cc"]
    raise NotBuilt("there is no C compiler: install one (Debian: apt install gcc), or the PyPI package ziglang")


def build(command: Sequence[str], target: Path, *, flags: Sequence[str] = (), source: Path = SOURCE) -> None:
    """Compile `source` into `target`, `flags` instead of those of a shared library; what is there before is replaced at once, never half.

    Raises:
        NotBuilt: the compiler failed.
    """
    unfinished = target.absolute().with_suffix(f".{os.getpid()}.tmp")
    line = [*command, *_FLAGS, *(flags or _SHARED), "-o", str(unfinished), source.name]
    try:
        done = subprocess.run(line, cwd=source.parent, capture_output=True, text=True, check=False)  # noqa: S603  # a compiler on our source
        if done.returncode:
            raise NotBuilt(f"{shlex.join(line)} failed:\n{done.stderr.strip()}")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def main() -> int:
    """Build the drain for this machine, or say why not; the exit code is 0 either way."""
    try:
        build(compiler(), TARGET)
    except NotBuilt as error:
        TARGET.unlink(missing_ok=True)  # not one of an older source
        print(f"the drain in C is not built, so the slower Python path receives: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
