"""Builds the wheels for boards into dist/: one for each processor with the drain in C, and one for any machine without it.

    python -m tools.wheels

Promises: the same source gives the same bytes, twice or on another machine with the same zlib. Zig cross-compiles (PyPI's `ziglang`, no
Docker), and times, order and modes of files are fixed. The libraries need glibc 2.17 or newer and nothing else; on musl, pip takes the
wheel for any machine.

How: hatchling builds the pure wheel. Each other one is that wheel and a compiled `drain.so`, with its tag in WHEEL and its digest in RECORD
(PyPA specification "Binary distribution format").
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tools.drain import ROOT, TARGET, build

DIST: Final = ROOT / "dist"
#: Platform tag of a wheel: what zig compiles for. armv7l is Debian's armhf: ARMv7-A with VFPv3-D16.
PLATFORMS: Final[Mapping[str, tuple[str, ...]]] = {
    "manylinux_2_17_x86_64": ("-target", "x86_64-linux-gnu.2.17", "-mcpu=baseline"),
    "manylinux_2_17_aarch64": ("-target", "aarch64-linux-gnu.2.17", "-mcpu=baseline"),
    "manylinux_2_17_armv7l": ("-target", "arm-linux-gnueabihf.2.17", "-mcpu=generic+v7a-neon-d32"),
}
_FLAGS: Final = ("-shared", "-fPIC", "-s", "-Wl,--build-id=none", "-fno-sanitize=all", "-g0")
_TIME: Final = (2020, 2, 2, 0, 0, 0)  # hatchling's
_LIBRARY: Final = TARGET.relative_to(ROOT).as_posix()


def pure(folder: Path) -> Path:
    """Build the wheel for any machine into `folder`."""
    uv = Path(sys.executable).with_name("uv")
    command = [
        str(uv),
        "build",
        "--quiet",
        "--wheel",
        "--no-build-isolation",
        "--python",
        sys.executable,
        "--out-dir",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(command, check=True)  # noqa: S603  # our own tool
    (wheel,) = folder.glob("*-py3-none-any.whl")
    return wheel


def library(platform: str, folder: Path) -> bytes:
    """Return the drain, compiled for a platform. Raises `tools.drain.NotBuilt`."""
    target = folder / f"{platform}.so"
    build([sys.executable, "-m", "ziglang", "cc", *PLATFORMS[platform]], target, flags=_FLAGS)
    return target.read_bytes()


def platform_wheel(wheel: Path, platform: str, drain: bytes) -> Path:
    """Write the wheel of a platform beside the pure one, and return its path."""
    target = wheel.with_name(wheel.name.replace("-any.whl", f"-{platform}.whl"))
    with zipfile.ZipFile(wheel) as source:
        files = {name: source.read(name) for name in source.namelist()}
    (described,) = (name for name in files if name.endswith(".dist-info/WHEEL"))
    (record,) = (name for name in files if name.endswith(".dist-info/RECORD"))
    text = files[described].decode().replace("Tag: py3-none-any", f"Tag: py3-none-{platform}")
    files[described] = text.replace("Root-Is-Purelib: true", "Root-Is-Purelib: false").encode()
    files[_LIBRARY] = drain
    del files[record]
    lines = [f"{name},sha256={_digest(files[name])},{len(files[name])}\n" for name in sorted(files)]
    files[record] = "".join([*lines, f"{record},,\n"]).encode()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files, key=lambda name: (".dist-info/" in name, name)):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if name == _LIBRARY else 0o100644) << 16
            archive.writestr(entry, files[name])
    return target


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def build_all(folder: Path) -> list[Path]:
    """Build all of them into `folder`, the pure one first."""
    wheel = pure(folder)
    return [wheel, *(platform_wheel(wheel, platform, library(platform, folder)) for platform in PLATFORMS)]


def main() -> int:
    """Build all of them and say what they are."""
    DIST.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for path in build_all(Path(folder)):
            content = path.read_bytes()
            (DIST / path.name).write_bytes(content)
            print(f"{hashlib.sha256(content).hexdigest()}  dist/{path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
