"""The bundle is the allow-list, whole, and the same bytes each time."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.bundle import PACKAGES, BundleError, Target, locked_requirements, prepare

ROOT = Path(__file__).resolve().parents[2]
HOST = Target(host=True, arch="arm64")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small checkout with things that must stay out."""
    files = {
        "device_agent/__init__.py": "",
        "device_agent/agent.py": "not for Lambda",
        "device_agent/wire/__init__.py": "",
        "device_agent/wire/block.py": "x = 1\n",
        "device_agent/wire/__pycache__/block.cpython-311.pyc": "",
        "device_agent/wire/notes.txt": "",
        "lambdas/__init__.py": "",
        "lambdas/archive.py": "y = 2\n",
        "lambdas/landing/__init__.py": "",
        "tests/test_it.py": "",
    }
    for name, text in files.items():
        path = tmp_path / "checkout" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    shutil.copy(ROOT / "requirements.lock", tmp_path / "checkout")
    return tmp_path / "checkout"


def content(bundle: Path) -> dict[str, str]:
    """Path -> digest and mode, of every file."""
    return {
        str(path.relative_to(bundle)): f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mode:o}"
        for path in sorted(bundle.rglob("*"))
        if path.is_file()
    }


def test_of_our_files_exactly_the_allow_list_is_in_it(checkout: Path) -> None:
    bundle = prepare(root=checkout, target=HOST)
    ours = {name for name in content(bundle) if name.startswith(("device_agent", "lambdas", "tests"))}
    assert ours == {
        "device_agent/__init__.py",
        "device_agent/wire/__init__.py",
        "device_agent/wire/block.py",
        "lambdas/__init__.py",
        "lambdas/archive.py",
        "lambdas/landing/__init__.py",
    }


def test_beside_our_files_there_are_four_packages_with_licences_and_no_byte_code(checkout: Path) -> None:
    names = content(prepare(root=checkout, target=HOST)).keys()
    tops = {name.split("/")[0] for name in names if not name.startswith(("device_agent/", "lambdas/"))}
    modules = {top for top in tops if not top.endswith(".dist-info")}
    assert modules == {"aws_lambda_powertools", "jmespath", "msgpack", "typing_extensions.py"}
    assert len(tops - modules) == len(PACKAGES)
    assert not [name for name in names if name.endswith((".pyc", ".lock")) or "__pycache__" in name]
    assert sum("LICEN" in name or "COPYING" in name for name in names) == len(PACKAGES)


def test_the_same_inputs_give_the_same_bytes_at_another_place_and_time(checkout: Path, tmp_path: Path) -> None:
    first = prepare(root=checkout, target=HOST)
    other = tmp_path / "other"
    shutil.copytree(checkout, other, ignore=shutil.ignore_patterns(".cache"))
    for path in other.rglob("*"):
        os.utime(path, (1, 1))
    second = prepare(root=other, target=HOST)
    assert content(first) == content(second)
    assert first.name == second.name


def test_it_is_made_once_and_anew_when_a_file_changes(checkout: Path) -> None:
    first = prepare(root=checkout, target=HOST)
    stamp = first.stat().st_mtime_ns
    assert prepare(root=checkout, target=HOST) == first
    assert first.stat().st_mtime_ns == stamp
    (checkout / "lambdas" / "archive.py").write_text("y = 3\n")
    assert prepare(root=checkout, target=HOST) != first


def test_a_run_that_is_killed_half_way_leaves_no_half_bundle(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", die)
        with pytest.raises(KeyboardInterrupt):
            prepare(root=checkout, target=HOST)
    assert list((checkout / ".cache" / "bundle").iterdir()) == []


def test_versions_and_hashes_come_from_the_lock_file() -> None:
    text = locked_requirements(ROOT / "requirements.lock")
    assert text.count("==") == len(PACKAGES)
    assert "--hash=sha256:" in text
    for name in PACKAGES:
        assert f"\n{name}==" in f"\n{text}"


def test_a_package_that_is_not_locked_is_named(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("msgpack==1.2.4\n")
    with pytest.raises(BundleError, match=r"jmespath.*make lock"):
        locked_requirements(lock)


def test_the_bundle_imports_on_its_own() -> None:
    """What it needs and does not carry is Lambda's own: here the one zstd library that stands in for Python 3.14's."""
    bundle = prepare(root=ROOT, target=HOST)
    names = ["device_agent.wire.block", "device_agent.wire.envelope", "msgpack", "jmespath", "aws_lambda_powertools"]
    names += [f"lambdas.{path.stem}" for path in (bundle / "lambdas").glob("*.py") if path.stem != "__init__"]
    program = (
        "import importlib, os, sys; sys.path[:0] = [sys.argv[1]]\n"
        "for name in sys.argv[2:]:\n"
        "    module = importlib.import_module(name)\n"
        "    assert module.__file__.startswith(sys.argv[1]), module.__file__\n"
    )
    environment = {"PATH": os.defpath, "AWS_DEFAULT_REGION": "us-east-1", "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= dict.fromkeys(("LAKE_BUCKET", "LEDGER_TABLE", "STATE_TABLE", "DLQ_URL", "QUEUE_URL"), "none")
    run = subprocess.run(
        [sys.executable, "-P", "-c", program, str(bundle), *names],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
