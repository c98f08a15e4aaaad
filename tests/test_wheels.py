"""The wheels for boards: what zig makes is not asked here (`make wheels`); what is put around it is."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools import wheels


@pytest.fixture(scope="module")
def pure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wheels.pure(tmp_path_factory.mktemp("wheel"))


def test_the_wheel_for_any_machine_has_the_source_of_the_drain_and_no_library(pure: Path) -> None:
    names = zipfile.ZipFile(pure).namelist()
    assert "device_agent/intake/native/drain.c" in names
    assert not [name for name in names if name.endswith(".so")]


@pytest.mark.parametrize("platform", wheels.PLATFORMS)
def test_a_platform_wheel_says_its_platform_and_the_digest_of_every_file(pure: Path, platform: str) -> None:
    made = wheels.platform_wheel(pure, platform, b"a library")
    assert made.name == pure.name.replace("any", platform)
    with zipfile.ZipFile(made) as archive:
        assert archive.read("device_agent/intake/native/drain.so") == b"a library"
        (described,) = (name for name in archive.namelist() if name.endswith("/WHEEL"))
        assert f"Tag: py3-none-{platform}\n" in archive.read(described).decode()
        assert "Root-Is-Purelib: false\n" in archive.read(described).decode()
        (record,) = (name for name in archive.namelist() if name.endswith("/RECORD"))
        rows = {name: (digest, size) for name, digest, size in csv.reader(io.StringIO(archive.read(record).decode()))}
        assert set(rows) == set(archive.namelist())
        for name in set(rows) - {record}:
            content = archive.read(name)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
            assert rows[name] == (f"sha256={digest}", str(len(content)))


def test_the_same_content_gives_the_same_bytes(pure: Path, tmp_path: Path) -> None:
    platform = next(iter(wheels.PLATFORMS))
    first = wheels.platform_wheel(pure, platform, b"a library").read_bytes()
    again = tmp_path / pure.name
    again.write_bytes(wheels.pure(tmp_path / "again").read_bytes())
    assert wheels.platform_wheel(again, platform, b"a library").read_bytes() == first


def test_an_agent_out_of_a_platform_wheel_receives_natively(pure: Path, tmp_path: Path) -> None:
    from device_agent.intake.native import library

    if not library.PATH.exists():
        pytest.skip("the drain in C was not built")
    made = wheels.platform_wheel(pure, "manylinux_2_17_x86_64", library.PATH.read_bytes())
    with zipfile.ZipFile(made) as archive:
        archive.extractall(tmp_path / "site")
    code = "import device_agent.intake as i; print(i.__file__, i.receiver_path())"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(tmp_path / "site")}, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{tmp_path}/site/device_agent/intake/__init__.py native\n"
