"""Deployer: the real `cdk synth`, `bootstrap` and `deploy` of the real app, against an endpoint of ours.

Promises that what runs is what the CDK made of this checkout: the synthesised app is kept in `.cache/localcloud` under a hash of
everything that goes into it (sources, lock files, settings), and used again only while that hash is the same. Bootstrap and
deployment are done anew into each new cloud. It is the synth that takes time (10 s; bootstrap 3 s, deployment 1.5 s).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path

from infra.appearing import appearing
from localcloud.ministack import ACCOUNT, REGION, fake_credentials

Progress = Callable[[str], None]

_INPUTS = (
    "app.py",
    "cdk.json",
    "infra/**/*.py",
    "lambdas/**/*.py",
    "device_agent/__init__.py",
    "device_agent/wire/**/*.py",
    "requirements.lock",
    "localcloud/package-lock.json",
    "localcloud/deploy.py",
    "localcloud/follow.py",
)
_KEEP = 6
"""Synthesised apps that are kept, 6 MB each."""

STEP_DEADLINE = 300
"""Seconds for one CDK command; the slowest takes 10 on two free cores."""


class DeployError(RuntimeError):
    """A CDK command failed; the text holds the command and what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """The outputs of the ingestion stack, under the names that the template gives them (`TelemetryQueueUrl`: `telemetry_queue_url`)."""

    region: str
    telemetry_queue_url: str
    events_queue_url: str
    telemetry_dead_letter_queue_url: str
    events_dead_letter_queue_url: str
    lake_bucket: str
    ledger_table: str
    state_table: str
    glue_database: str
    glue_table: str
    athena_workgroup: str
    archive_function: str
    state_function: str
    close_day_function: str
    check_gaps_function: str
    alarm_topic_arn: str
    device_policy_arn: str

    @classmethod
    def from_stack(cls, outputs: dict[str, str]) -> Outputs:
        """Read what `cdk deploy --outputs-file` wrote for one stack; outputs that this type does not know are left out.

        Raises:
            DeployError: one that it needs is not there.
        """
        names = {field.name: "".join(part.capitalize() for part in field.name.split("_")) for field in fields(cls)}
        missing = sorted(set(names.values()) - outputs.keys())
        if missing:
            raise DeployError(f"the deployed stack has no output {', '.join(missing)}; infra/ingestion.py and localcloud/deploy.py differ")
        return cls(**{name: outputs[output] for name, output in names.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What is to be deployed: a checkout and two context values."""

    root: Path
    stage: str = "dev"
    sse: str = "sqs"

    @property
    def context(self) -> dict[str, str]:
        """The context values; the bundle is the host's, since MiniStack runs functions in its own interpreter."""
        arch = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"
        return {"stage": self.stage, "sse": self.sse, "bundle": "host", "arch": arch}

    @property
    def stack(self) -> str:
        """The stack that is deployed; identity is not, MiniStack has no IoT role aliases."""
        return f"device-agent-{self.stage}-ingestion"

    def key(self) -> str:
        """Hash of all that the synthesised app is made of."""
        digest = hashlib.sha256(json.dumps([sys.version, self.context], sort_keys=True).encode())
        for path in sorted({path for pattern in _INPUTS for path in self.root.glob(pattern)}):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(self.root)}:{len(content)}:".encode() + content)
        return digest.hexdigest()[:16]


def deploy(
    deployment: Deployment, *, endpoint_url: str, progress: Progress, certificate: Path | None = None, outputs_file: Path | None = None
) -> Outputs:
    """Deploy the ingestion stack into the cloud at `endpoint_url` (whose `certificate` is trusted) and return its outputs.

    `outputs_file` gets what `cdk deploy --outputs-file` writes.

    Raises:
        DeployError: one of the commands failed, or `outputs_file` cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="device-agent-cdk-") as scratch:
        cdk = _Cdk(root=deployment.root, endpoint_url=endpoint_url, certificate=certificate, temporary=Path(scratch))
        bootstrap = _Background(lambda: cdk.run("bootstrap", f"aws://{ACCOUNT}/{REGION}", folder=Path(scratch)))
        try:
            assembly = _assembly(deployment, cdk=cdk, progress=progress)
            progress("local cloud: cdk bootstrap")
            bootstrap.join()
            progress(f"local cloud: cdk deploy {deployment.stack}")
            written = Path(scratch) / "outputs.json"
            cdk.run(
                "deploy",
                deployment.stack,
                *("--app", str(assembly), "--outputs-file", str(written)),
                # No change set: nobody looks at it here, and creating one is a second call.
                *("--method", "direct", "--require-approval", "never", "--progress", "events"),
                folder=Path(scratch),
            )
        except BaseException:  # Ctrl-C reaches this thread alone: the bootstrap's must hear of it
            cdk.end()
            bootstrap.wait()
            raise
        if outputs_file:
            try:
                shutil.copyfile(written, outputs_file)
            except OSError as error:
                raise DeployError(f"{outputs_file}: the outputs cannot be written: {error.strerror}") from None
        return Outputs.from_stack(json.loads(written.read_text(encoding="utf-8"))[deployment.stack])


def _assembly(deployment: Deployment, *, cdk: _Cdk, progress: Progress) -> Path:
    """Return the synthesised app of the code as it stands, from the cache if it is there."""
    cache = deployment.root / ".cache" / "localcloud"
    while True:
        key = deployment.key()
        assembly = cache / key
        if not assembly.exists():
            progress("local cloud: cdk synth (once for each version of the code, about 10 s)")
            with tempfile.TemporaryDirectory(prefix="device-agent-synth-") as draft:
                out = _synth(deployment, cdk=cdk, folder=Path(draft))
                if deployment.key() != key:
                    progress("local cloud: the code changed meanwhile; once more")
                    continue
                _keep(out, assembly)
        assembly.touch()
        return assembly


def _synth(deployment: Deployment, *, cdk: _Cdk, folder: Path) -> Path:
    context = [part for key, value in deployment.context.items() for part in ("-c", f"{key}={value}")]
    out = folder / "cdk.out"
    app = f'"{sys.executable}" app.py'
    cdk.run("synth", "--quiet", "--app", app, "--output", str(out), *context, folder=deployment.root)
    return out


def _keep(out: Path, assembly: Path) -> None:
    """Move a synthesised app into the cache in one step, and let the oldest go."""
    with appearing(assembly) as draft:
        shutil.copytree(out, draft, dirs_exist_ok=True)
    kept = sorted(assembly.parent.glob("[0-9a-f]*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in kept[_KEEP:]:
        shutil.rmtree(old, ignore_errors=True)


@dataclass(slots=True, kw_only=True)
class _Cdk:
    """The pinned command line, with an environment in which it can reach nothing but `endpoint_url`.

    Invariants: no command outlives this process, however that ends (see `follow`); after `end` none runs and none begins.
    `run` may be called from several threads, `end` from any.
    """

    root: Path
    endpoint_url: str
    certificate: Path | None
    temporary: Path | None = None  # for what a killed command leaves behind
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _running: set[subprocess.Popen[str]] = field(default_factory=set, init=False)
    _ended: bool = field(default=False, init=False)

    def run(self, command: str, *arguments: str, folder: Path) -> None:
        """Run one command in `folder`; its output is shown only if it fails.

        Raises:
            DeployError: it failed, took too long, or `end` came first.
        """
        tool = self.root / "localcloud" / "node_modules" / ".bin" / "cdk"
        if not tool.exists():
            raise DeployError(f"{tool} is missing; run `make setup`")
        # The other end of the command's standard input: closed with this process, if not before.
        standard_input, alive = os.pipe()
        try:
            line = [str(tool), command, "--no-notices", "--no-version-reporting", "--ci", *arguments]
            process = self._begin(line, folder=folder, standard_input=standard_input)
            try:
                said, _ = process.communicate(timeout=STEP_DEADLINE)
            except BaseException as error:
                _kill(process)
                said, _ = process.communicate()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise DeployError(f"cdk {command} did not end within {STEP_DEADLINE} s:\n{said.strip()}") from None
                raise
            finally:
                with self._lock:
                    self._running.discard(process)
        finally:
            os.close(alive)
        if process.returncode:
            raise DeployError(f"cdk {command} failed with status {process.returncode}:\n{said.strip()}")

    def end(self) -> None:
        """Kill what runs, and let nothing begin any more. Nothing that the commands do is worth a slow end."""
        with self._lock:
            self._ended = True
            for process in self._running:
                _kill(process)

    def _begin(self, line: list[str], *, folder: Path, standard_input: int) -> subprocess.Popen[str]:
        try:
            with self._lock:
                if self._ended:
                    raise DeployError(f"cdk {line[1]}: not begun, the deployment was given up")
                process = subprocess.Popen(  # noqa: S603 - our own arguments
                    [sys.executable, "-P", str(Path(__file__).with_name("follow.py")), *line],
                    cwd=folder,
                    env=self._environment(),
                    stdin=standard_input,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    start_new_session=True,
                )
                self._running.add(process)
                return process
        finally:
            os.close(standard_input)

    def _environment(self) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "CDK_"))}
        trust = {"AWS_CA_BUNDLE": str(self.certificate)} if self.certificate else {}
        temporary = {"TMPDIR": str(self.temporary)} if self.temporary else {}
        return {
            **inherited,
            **trust,
            **temporary,
            **fake_credentials(),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",  # node is there
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "CDK_DISABLE_VERSION_CHECK": "1",
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "PYTHONWARNINGS": "ignore",
        }


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill a command and all that it started."""
    with contextlib.suppress(ProcessLookupError):  # it has just ended, and its group with it
        os.killpg(process.pid, signal.SIGKILL)


class _Background:
    """One call in a thread; `join` waits for it and raises what it raised, `wait` only waits."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="cdk-bootstrap", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        self._thread.join()

    def join(self) -> None:
        self.wait()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that joins
            self._error = error
