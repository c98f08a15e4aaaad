"""`make test-arm`: the intake's loop in C on emulated ARM processors, against its slow twin.

    python -m tests.lab.arm
    python -m tests.lab.arm --root armhf=/srv/armhf    # also the contract suites, in a Debian root of that processor

Zig compiles the fuzzer (`drainfuzz.c`) for each processor, with the checks for undefined behaviour; qemu-user runs it. That covers sizes
and alignments of 32 bits. A root needs python3, python3-zmq, python3-msgpack, python3-zstandard, python3-pytest and python3-hypothesis;
the drain of the wheel is put beside its source for the time of the run.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from tests.lab import fuzzdrain
from tools import drain, wheels

_ZIG = (sys.executable, "-m", "ziglang", "cc")
_CHECKS = ("-O1", "-g", "-static", "-fsanitize=undefined", "-fno-sanitize-recover=all")
#: Debian's name of a processor: what zig compiles the fuzzer for, qemu's name, and the platform of its wheel.
_PROCESSORS = {
    "armhf": ("arm-linux-musleabihf", "qemu-arm", "manylinux_2_17_armv7l"),
    "arm64": ("aarch64-linux-musl", "qemu-aarch64", "manylinux_2_17_aarch64"),
}
_SUITES = ("tests/contract/test_readers.py", "tests/contract/test_answering_paths.py")


def fuzzed(name: str, seconds: int) -> bool:
    """Run the fuzzer on one processor and tell whether nothing broke."""
    target, emulator, _ = _PROCESSORS[name]
    program = fuzzdrain.build(Path(".cache") / "arm" / name, command=[*_ZIG, "-target", target], flags=_CHECKS)
    done = subprocess.run([emulator, str(program), str(seconds), "1"], capture_output=True, text=True, check=False)
    print(f"{name}: {done.stdout or done.stderr}", end="", flush=True)
    return done.returncode == 0


def suites(name: str, root: Path) -> bool:
    """Run the contract suites with the Python and the libzmq of a root."""
    _, emulator, platform = _PROCESSORS[name]
    kept = drain.TARGET.read_bytes() if drain.TARGET.exists() else None
    try:
        drain.TARGET.write_bytes(wheels.library(platform, Path(".cache") / "arm"))
        python = next(root.glob("usr/bin/python3.[0-9]*"))
        command = [
            shutil.which(emulator) or emulator,
            "-L",
            str(root),
            str(python),
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            "/dev/null",
        ]
        environ = {"PYTHONPATH": f"{drain.ROOT}:{root}/usr/lib/python3/dist-packages", "PYTHONHOME": f"{root}/usr", "PATH": ""}
        command += [f"--rootdir={drain.ROOT}", "--import-mode=importlib", "--noconftest", *_SUITES]
        return subprocess.run(command, env=environ, cwd=drain.ROOT, check=False).returncode == 0
    finally:
        drain.TARGET.unlink(missing_ok=True)
        if kept is not None:
            drain.TARGET.write_bytes(kept)


def main() -> int:
    """Run what was asked for; exit code 1 if something broke, 2 without an emulator."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab.arm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--root", action="append", default=[], metavar="PROCESSOR=DIRECTORY", help="a Debian root: armhf or arm64")
    options = parser.parse_args()
    missing = [emulator for _, emulator, _ in _PROCESSORS.values() if shutil.which(emulator) is None]
    if missing:
        print(f"{', '.join(missing)} is not here; on Debian: apt install qemu-user", file=sys.stderr)
        return 2
    results = [fuzzed(name, options.seconds) for name in _PROCESSORS]
    for root in options.root:
        name, _, directory = root.partition("=")
        results.append(suites(name, Path(directory)))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
