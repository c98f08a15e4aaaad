"""Builds `producer.c` once, against the libzmq that pyzmq brought along, so that no libzmq-dev is needed. Cached under .cache/bench."""

from __future__ import annotations

import ctypes.util
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import zmq

ROOT: Final = Path(__file__).parents[1]
CACHE: Final = ROOT / ".cache" / "bench"
SOURCE: Final = Path(__file__).with_name("producer.c")


class NotHere(Exception):  # noqa: N818  # a state of this machine, not a mistake
    """The benchmarks cannot run here; the text says what to install."""


def libzmq() -> Path | str:
    """Return the shared library that pyzmq uses: the wheel's own, or the system's name for it.

    Raises:
        NotHere: there is none.
    """
    package = Path(zmq.__file__).parent
    for found in sorted(package.parent.glob("pyzmq.libs/libzmq*.so*")):
        return found
    name = ctypes.util.find_library("zmq")
    if name is None:
        raise NotHere("no libzmq beside pyzmq and none in the system; install one (Debian: sudo apt install libzmq5)")
    return name


def producer() -> Path:
    """Return the path of the compiled producer; compile it if the source or the library is another than last time.

    Raises:
        NotHere: there is no C compiler, or it fails.
    """
    library = libzmq()
    key = hashlib.blake2b(SOURCE.read_bytes() + str(library).encode(), digest_size=8).hexdigest()
    target = CACHE / f"producer-{key}"
    if target.exists():
        return target
    compiler = next((path for name in (os.environ.get("CC", ""), "gcc", "cc", "clang") if name and (path := shutil.which(name))), None)
    if compiler is None:
        raise NotHere("the benchmarks' producer is a C program and there is no C compiler; install one (Debian: sudo apt install gcc)")
    CACHE.mkdir(parents=True, exist_ok=True)
    link = [str(library), f"-Wl,-rpath,{library.parent}"] if isinstance(library, Path) else [f"-l:{library}"]
    unfinished = target.with_suffix(f".{os.getpid()}")
    command = [compiler, "-O2", "-Wall", "-o", str(unfinished), str(SOURCE), *link, "-Wl,--allow-shlib-undefined"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # a compiler on our own source
    if done.returncode:
        raise NotHere(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
    unfinished.replace(target)
    return target
