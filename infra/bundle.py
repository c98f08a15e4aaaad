"""Allow-list: what goes into the Lambda bundle, in this one place, and how it gets there without Docker.

Promises
1. The bundle is exactly our files (`OURS`) and the packages (`PACKAGES`) with their metadata and licences: no test, no
   agent, no byte-code.
2. The same inputs give the same bytes under the same paths, so CDK's asset hash, and with it the deployed code, changes
   only when the code does.
3. Versions are those of `requirements.lock`, with its hashes; none is stated here.

How: the packages come either from the registry as wheels for Lambda (`Target(host=False)`), or, for the local cloud and the
tests, from what this interpreter has installed, which needs no network. Both are kept in `.cache/bundle` under a
hash of all inputs; a bundle appears there by a rename, so it is whole or absent.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from infra.appearing import appearing

OURS = ("device_agent/__init__.py", "device_agent/wire/**/*.py", "lambdas/**/*.py")
"""Globs from the repository's root. `device_agent/__init__.py` imports nothing, so that it can travel with `wire`."""

PACKAGES = ("aws-lambda-powertools", "jmespath", "msgpack", "typing-extensions")
"""Distributions beside our files; boto3 is part of Lambda's runtime, zstd of Python 3.14's standard library."""

PYTHON = "3.14"
"""The functions' runtime; a test holds it equal to the one that the stack declares."""

_PLATFORMS = {"arm64": "aarch64-manylinux2014", "x86_64": "x86_64-manylinux2014"}
_METADATA = re.compile(r"\.dist-info/(METADATA|licenses/.*|LICEN[CS]E.*|COPYING.*|NOTICE.*)$")


class BundleError(RuntimeError):
    """The bundle cannot be made; the text says which part and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the bundle will run: this interpreter (`host`), or Lambda's on `arch` (`arm64` or `x86_64`)."""

    host: bool
    arch: str

    @property
    def key(self) -> str:
        """Name of the target, different for each that needs other files."""
        if self.host:
            return f"host-{sysconfig.get_platform()}-{sys.implementation.cache_tag}"
        return f"lambda-{PYTHON}-{self.arch}"


def prepare(*, root: Path, target: Target) -> Path:
    """Return the folder of the bundle for `target`, made from the checkout at `root` if it is not there yet.

    Raises:
        BundleError: a package is neither locked, installed nor to be had.
    """
    requirements = locked_requirements(root / "requirements.lock")
    ours = {path: (root / path).read_bytes() for path in own_files(root)}
    digest = hashlib.sha256()
    for part in (target.key, requirements, Path(__file__).read_text(encoding="utf-8")):
        digest.update(f"{len(part)}:{part}".encode())
    packages_key = digest.hexdigest()[:16]
    for path, content in ours.items():
        digest.update(f"{path}:{len(content)}:".encode() + content)
    cache = root / ".cache" / "bundle"
    bundle = cache / f"code-{digest.hexdigest()[:16]}"
    if not bundle.exists():
        packages = cache / f"packages-{packages_key}"
        if not packages.exists():
            with appearing(packages) as folder:
                _collect_packages(folder, target=target, requirements=requirements)
        with appearing(bundle) as folder:
            _copy(packages, [path.relative_to(packages) for path in sorted(packages.rglob("*")) if path.is_file()], folder)
            for path, content in ours.items():  # what was hashed, even if somebody edits meanwhile
                _write(folder / path, content)
    return bundle


def own_files(root: Path) -> list[Path]:
    """Our files of the bundle, relative to `root`, in order."""
    found = {path.relative_to(root) for pattern in OURS for path in root.glob(pattern) if path.is_file()}
    return sorted(found)


def locked_requirements(lock: Path) -> str:
    """The blocks of `requirements.lock` for `PACKAGES`, hashes included.

    Raises:
        BundleError: one of them is not locked.
    """
    blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", lock.read_text(encoding="utf-8"))
    by_name = {re.split(r"[=\s\[]", block, maxsplit=1)[0].lower(): block for block in blocks if block}
    missing = [name for name in PACKAGES if name not in by_name]
    if missing:
        raise BundleError(f"{lock}: {', '.join(missing)} not locked; run `make lock`")
    return "".join(by_name[name] for name in PACKAGES)


def _collect_packages(folder: Path, *, target: Target, requirements: str) -> None:
    with tempfile.TemporaryDirectory(prefix="device-agent-bundle-") as scratch:
        source = Path(scratch)
        if target.host:
            for name in PACKAGES:
                _copy(*_installed(name), folder)
            return
        _download(source / "site", arch=target.arch, requirements=requirements, scratch=source)
        found = [path.relative_to(source / "site") for path in sorted((source / "site").rglob("*")) if path.is_file()]
        _copy(source / "site", [path for path in found if _wanted(path)], folder)


def _installed(name: str) -> tuple[Path, list[Path]]:
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise BundleError(f"{name} is not installed in {sys.prefix}; run `make setup`") from None
    files = [Path(path) for path in distribution.files or ()]
    if not files:
        raise BundleError(f"{name} in {sys.prefix} has no file list; reinstall it with `make clean setup`")
    return Path(str(distribution.locate_file(""))), sorted(path for path in files if _wanted(path))


def _download(folder: Path, *, arch: str, requirements: str, scratch: Path) -> None:
    pinned = scratch / "requirements.txt"
    pinned.write_text(requirements, encoding="utf-8")
    uv = Path(sys.executable).parent / "uv"
    command = [
        *(str(uv), "pip", "install", "--quiet", "--target", str(folder)),
        *("--python-platform", _PLATFORMS[arch], "--python-version", PYTHON),
        *("--only-binary", ":all:", "--no-deps", "--require-hashes", "--requirement", str(pinned)),
    ]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own arguments
    except FileNotFoundError:
        raise BundleError(f"{uv} is missing; run `make setup`") from None
    except subprocess.CalledProcessError as error:
        raise BundleError(f"no wheels for Python {PYTHON} on {arch}; is the package registry reachable?\n{error.stderr.strip()}") from None


def _wanted(path: Path) -> bool:
    """Whether a file of a distribution belongs into the bundle: its modules, libraries and licences."""
    if ".." in path.parts or "__pycache__" in path.parts or path.parts[0] in {"bin", "share"}:
        return False  # scripts and byte-code
    if path.name.startswith(".") or path.suffix in {".pyc", ".pyi", ".pyx", ".c"}:
        return False
    return not path.parts[0].endswith(".dist-info") or _METADATA.search(path.as_posix()) is not None


def _copy(source: Path, paths: list[Path], folder: Path) -> None:
    for path in paths:
        _write(folder / path, (source / path).read_bytes())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o644)
