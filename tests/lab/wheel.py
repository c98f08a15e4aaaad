"""`make test-wheel`: the wheel of this processor, as a board installs it: built twice with the same bytes, installed, and tested.

    python -m tests.lab.wheel

The tests of the intake and of the formats run against the installed package, from a folder in which the source is not.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tools import wheels

_ROOT: Final = wheels.ROOT
_SUITES: Final = ("tests/contract/test_readers.py", "tests/contract/test_answering_paths.py", "tests/intake", "tests/wire")
#: What the suites import beside the agent.
_TOOLS: Final = ("pytest", "hypothesis", "psutil")
_WHERE: Final = "import device_agent.intake as i; print(i.__file__, i.receiver_path())"


def built(folder: Path) -> Path:
    """Build all wheels twice and return this processor's; an error if the bytes differ."""
    first, again = (wheels.build_all(_made(folder / name)) for name in ("first", "again"))
    for one, other in zip(first, again, strict=True):
        if one.read_bytes() != other.read_bytes():
            raise SystemExit(f"{one.name}: two builds differ")
    print(f"{len(first)} wheels, built twice with the same bytes", flush=True)
    return next(wheel for wheel in first if platform.machine() in wheel.name)


def installed(wheel: Path, folder: Path) -> Path:
    """Install a wheel and what the tests need, in the versions of requirements.lock, and return the Python that has it."""
    uv = str(Path(sys.executable).with_name("uv"))
    python = folder / "venv" / "bin" / "python"
    lock = str(_ROOT / "requirements.lock")
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder / "venv")], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), "--constraint", lock, str(wheel), *_TOOLS], check=True)
    return python


def tested(python: Path, folder: Path) -> int:
    """Run the suites against what is installed; return pytest's exit code."""
    for name in ("tests", "localcloud", "infra", "examples", "docs"):
        shutil.copytree(_ROOT / name, folder / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    shutil.copy(_ROOT / "pyproject.toml", folder)
    said = subprocess.run([str(python), "-c", _WHERE], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    print(said[said.find("site-packages") :], flush=True)
    if "site-packages" not in said or not said.endswith(" native"):
        raise SystemExit("that is not the installed package with its loop in C")
    return subprocess.run([str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *_SUITES], cwd=folder, check=False).returncode


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def main() -> int:
    """Build, install, test."""
    with tempfile.TemporaryDirectory(prefix="device-agent-wheel-") as name:
        folder = Path(name)
        python = installed(built(folder), folder)
        return tested(python, _made(folder / "board"))


if __name__ == "__main__":
    sys.exit(main())
