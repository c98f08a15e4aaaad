"""Compiles the intake's drain (device_agent/intake/native/drain.c) with whatever C compiler is there.

    python -m tools.drain            for this machine, beside its source; exit code 0 also without a compiler, with a word about it
    python -m tools.drain --sanitize FILE    with address and undefined-behaviour checks, for `make fuzz`

The drain needs no headers but the compiler's and the C library's, and no libzmq to link with. Compilers are looked for in this order:
$CC, cc, gcc, clang, and zig as the PyPI package `ziglang`.
"""

from __future__ import annotations

import argparse
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
_FLAGS: Final = ("-std=c11", "-O2", "-fPIC", "-shared", "-fvisibility=default", "-Wall", "-Wextra")
_SANITIZE: Final = ("-g", "-O1", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


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


def build(command: Sequence[str], target: Path, *, flags: Sequence[str] = ()) -> None:
    """Compile the drain into the shared library `target`; what is there before is replaced at once, never half.

    Raises:
        NotBuilt: the compiler failed.
    """
    unfinished = target.with_suffix(f".{os.getpid()}.tmp")
    line = [*command, *_FLAGS, *flags, "-o", str(unfinished), SOURCE.name]
    try:
        done = subprocess.run(line, cwd=SOURCE.parent, capture_output=True, text=True, check=False)  # noqa: S603  # a compiler on our source
        if done.returncode:
            raise NotBuilt(f"{shlex.join(line)} failed:\n{done.stderr.strip()}")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.drain", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sanitize", type=Path, metavar="FILE", help="build this file with checks, and fail without a compiler")
    options = parser.parse_args(arguments)
    try:
        if options.sanitize:
            build(compiler(), options.sanitize.absolute(), flags=_SANITIZE)
        else:
            build(compiler(), TARGET)
    except NotBuilt as error:
        if options.sanitize:
            print(error, file=sys.stderr)
            return 2
        TARGET.unlink(missing_ok=True)  # not one of an older source
        print(f"the drain in C is not built, so the slower Python path receives: {error}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
