"""Process owner: one MiniStack on loopback, with a port and data folders of its own, always stopped.

Promises: it listens on 127.0.0.1 only; it knows nothing of the user's AWS configuration; two may run side by side; `stop`
is idempotent and leaves neither a process nor a file; should this process be killed, the server ends by itself (see `serve`).
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from localcloud.ports import free_ports

REGION = "us-east-1"
ACCOUNT = "000000000000"

START_DEADLINE = 60.0
"""Seconds; it takes 0.6 on a laptop core that is free."""

_ATTEMPTS = 3
"""A free port can be taken by somebody else before MiniStack binds it."""


class StartError(RuntimeError):
    """MiniStack did not come up; the text holds the end of its log."""


def fake_credentials() -> dict[str, str]:
    """Environment that makes any AWS SDK sign with nothing real and read no file of the user."""
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",  # MiniStack takes any
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class MiniStack:
    """One running server. Owned by the thread that starts it; `stop` may be called from any."""

    def __init__(self, *, process: subprocess.Popen[bytes], port: int, folder: Path, certificate: Path | None) -> None:
        self._process = process
        self._folder = folder
        self.port = port
        self.certificate = certificate
        # `localhost`, because the CDK makes virtual-host bucket names of an address, and MiniStack knows this name.
        self.url = f"{'https' if certificate else 'http'}://localhost:{port}"

    @classmethod
    def start(cls, *, enforce: bool = False, deadline: float = START_DEADLINE) -> MiniStack:
        """Start one and wait until it answers; with `enforce` by TLS only, checking signatures and IAM policies.

        Raises:
            StartError: it ended, or was not ready within `deadline` seconds.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            server = cls._spawn(enforce=enforce)
            try:
                server._wait_ready(deadline)
            except BaseException as error:
                server.stop()
                if isinstance(error, StartError) and attempt < _ATTEMPTS:
                    continue
                raise
            return server
        raise AssertionError("unreachable")

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group."""
        return self._process.pid

    def log(self, *, lines: int = 40) -> str:
        """Return the last lines of its log; function output is in it."""
        try:
            text = (self._folder / "log").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return "(no log: already stopped)"
        return "\n".join(text.splitlines()[-lines:])

    def stop(self) -> None:
        """End the server and its function workers, and remove its data. Nothing in it is worth a slow end."""
        with contextlib.suppress(ProcessLookupError):  # it is gone already, and its group with it
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @classmethod
    def _spawn(cls, *, enforce: bool) -> MiniStack:
        folder = Path(tempfile.mkdtemp(prefix="device-agent-localcloud-"))
        try:
            return cls._spawn_in(folder, enforce=enforce)
        except BaseException:  # also Ctrl-C: nobody else knows of the folder yet
            shutil.rmtree(folder, ignore_errors=True)
            raise

    @classmethod
    def _spawn_in(cls, folder: Path, *, enforce: bool) -> MiniStack:
        port = _free_port()
        for name in ("tmp", "state", "s3"):
            (folder / name).mkdir()
        environment = _environment(folder=folder, port=port)
        certificate: Path | None = None
        if enforce:
            from localcloud.certificate import make  # noqa: PLC0415 - its library takes a while and few runs need it

            certificate, key = make(folder)
            environment |= {"AUTH": "true", "USE_SSL": "1"}
            environment |= {"MINISTACK_SSL_CERT": str(certificate), "MINISTACK_SSL_KEY": str(key)}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own script
                # -P: this folder stays off the import path, where its ministack.py would hide the real one.
                [sys.executable, "-P", str(Path(__file__).with_name("serve.py")), str(folder)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        return cls(process=process, port=port, folder=folder, certificate=certificate)

    def _wait_ready(self, deadline: float) -> None:
        until = time.monotonic() + deadline
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise StartError(f"MiniStack ended with status {self._process.returncode}:\n{self.log()}")
            if _ready(self.port, certificate=self.certificate):
                return
            time.sleep(0.05)
        raise StartError(f"MiniStack was not ready within {deadline:.0f} s:\n{self.log()}")


def _environment(*, folder: Path, port: int) -> dict[str, str]:
    """Everything that MiniStack sees, and with it the functions, which inherit it: nothing of this process's environment."""
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "HOME": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        "STATE_DIR": str(folder / "state"),
        "S3_DATA_DIR": str(folder / "s3"),
        "IOT_MTLS_ENABLED": "0",  # these two would listen on fixed ports
        "SFTP_ENABLED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        **fake_credentials(),
    }


def _free_port() -> int:
    return free_ports(1)[0]


def _ready(port: int, *, certificate: Path | None) -> bool:
    connection: http.client.HTTPConnection
    if certificate:
        context = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=2, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/_ministack/ready")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False  # not listening yet; the caller has the deadline
    finally:
        connection.close()
