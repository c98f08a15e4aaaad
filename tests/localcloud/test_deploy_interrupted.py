"""However a deployment ends, no CDK command outlives it. The `cdk` here is a script that starts a sleeper, as the real one starts node."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from localcloud.cloud import ROOT
from localcloud.deploy import DeployError, _Cdk

_CDK = """#!/bin/bash
sleep 600 &
echo $$ $! > "{folder}/$1.draft" && mv "{folder}/$1.draft" "{folder}/$1.pids"
wait
"""

_STARTER = """
import sys
from pathlib import Path
from localcloud.deploy import Deployment, deploy
deploy(Deployment(root=Path(sys.argv[1])), endpoint_url="http://localhost:9", progress=print)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with nothing in it but a `cdk` that never ends."""
    tool = tmp_path / "localcloud" / "node_modules" / ".bin" / "cdk"
    tool.parent.mkdir(parents=True)
    tool.write_text(_CDK.format(folder=tmp_path))
    tool.chmod(0o755)
    return tmp_path


def gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def wait_until(condition: Any, what: str) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill-9"])
def test_an_interrupted_deployment_leaves_no_command_behind(checkout: Path, tmp_path: Path, how: signal.Signals) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", _STARTER, str(checkout)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as starter:
        files = [checkout / "bootstrap.pids", checkout / "synth.pids"]  # both run at once
        wait_until(lambda: all(file.exists() for file in files), "the commands did not start")
        pids = [int(pid) for file in files for pid in file.read_text().split()]
        assert not any(gone(pid) for pid in pids)
        starter.send_signal(how)
    assert starter.returncode != 0
    if how == signal.SIGINT:
        assert all(gone(pid) for pid in pids)
        assert list(temporary.iterdir()) == []
    wait_until(lambda: all(gone(pid) for pid in pids), "a command lives on")


def test_ctrl_c_just_as_a_command_ends_is_ctrl_c_and_no_other_error(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    communicate = subprocess.Popen.communicate
    pressed = []

    def press(process: subprocess.Popen[str], *args: Any, **kwargs: Any) -> Any:
        said = communicate(process, *args, **kwargs)  # the process is reaped, its group is gone
        if pressed:
            return said
        pressed.append(True)
        raise KeyboardInterrupt

    (checkout / "localcloud" / "node_modules" / ".bin" / "cdk").write_text("#!/bin/sh\nexit 0\n")
    monkeypatch.setattr(subprocess.Popen, "communicate", press)
    with pytest.raises(KeyboardInterrupt):
        _Cdk(root=checkout, endpoint_url="http://localhost:9", certificate=None).run("deploy", folder=checkout)


def test_after_the_end_no_command_begins(checkout: Path) -> None:
    cdk = _Cdk(root=checkout, endpoint_url="http://localhost:9", certificate=None)
    cdk.end()
    with pytest.raises(DeployError, match="given up"):
        cdk.run("deploy", folder=checkout)


def test_a_command_that_fails_says_so_with_its_status(checkout: Path) -> None:
    (checkout / "localcloud" / "node_modules" / ".bin" / "cdk").write_text("#!/bin/sh\necho no\nexit 7\n")
    with pytest.raises(DeployError, match=r"status 7:\nno"):
        _Cdk(root=checkout, endpoint_url="http://localhost:9", certificate=None).run("synth", folder=checkout)


def test_the_launcher_ends_as_its_command_did() -> None:
    launcher = [sys.executable, "-P", str(ROOT / "localcloud" / "follow.py")]

    def status(*command: str) -> int:
        with subprocess.Popen([*launcher, *command], stdin=subprocess.PIPE, start_new_session=True) as process:
            return process.wait(120)

    assert status("sh", "-c", "exit 7") == 7
    assert status("sh", "-c", "kill -9 $$") == 137
