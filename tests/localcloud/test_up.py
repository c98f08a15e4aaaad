"""`python -m localcloud up`: what it prints can be typed, as it stands."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

from localcloud import LocalCloud
from localcloud.__main__ import _explain
from localcloud.cloud import ROOT
from localcloud.deploy import DeployError, Deployment, Outputs, deploy
from localcloud.ministack import fake_credentials


def typed(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        shlex.split(line), cwd=ROOT, env=os.environ | fake_credentials(), capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.e2e
@pytest.mark.parametrize("with_file", [True, False], ids=["outputs-file", "without"])
def test_the_lines_that_it_prints_work_as_they_are(
    cloud: LocalCloud, tmp_path: Path, with_file: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    [stack] = cloud.client("cloudformation").describe_stacks(StackName=cloud.stack)["Stacks"]
    file = tmp_path / "the outputs.json"
    file.write_text(json.dumps({cloud.stack: {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}}))
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _explain(cloud, file if with_file else None)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    [init] = [line for line in lines if "device-agent init" in line]
    [audit] = [line for line in lines if "device-agent audit" in line]

    made = typed(init)
    assert made.returncode == 0, made.stderr
    [config] = tmp_path.glob("*.toml")
    assert f'\nendpoint_url = "{cloud.device_endpoint_url}"\n' in config.read_text()
    assert f'\nregion = "{cloud.outputs.region}"\n' in config.read_text()
    assert cloud.outputs.events_queue_url in config.read_text()
    nobody = typed(f"{audit} --device nobody")
    assert nobody.stderr == "audit: the ledger knows no such device, stream or epoch\n"
    if with_file:
        assert str(file) in shlex.split(init)
        assert str(file) in shlex.split(audit)


_CDK = """#!/bin/bash
while [ $# -gt 0 ]; do
  if [ "$1" = --output ]; then mkdir "$2"; fi
  if [ "$1" = --outputs-file ]; then cp "$OUTPUTS" "$2"; fi
  shift
done
"""


def test_the_outputs_file_is_what_the_cdk_wrote_and_one_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "localcloud" / "node_modules" / ".bin" / "cdk"
    tool.parent.mkdir(parents=True)
    tool.write_text(_CDK)
    tool.chmod(0o755)
    deployment = Deployment(root=tmp_path)
    values = {"".join(part.capitalize() for part in field.name.split("_")): "x" for field in fields(Outputs)}
    written = tmp_path / "written.json"
    written.write_text(json.dumps({deployment.stack: values | {"Another": "y"}}))
    monkeypatch.setenv("OUTPUTS", str(written))

    wished = tmp_path / "outputs.json"
    deploy(deployment, endpoint_url="http://localhost:9", progress=print, outputs_file=wished)
    assert wished.read_bytes() == written.read_bytes()
    with pytest.raises(DeployError, match="cannot be written: No such file"):
        deploy(deployment, endpoint_url="http://localhost:9", progress=print, outputs_file=tmp_path / "no" / "outputs.json")


def test_a_file_that_cannot_be_written_is_refused_before_anything_starts(tmp_path: Path) -> None:
    for file in (tmp_path, tmp_path / "no" / "outputs.json"):
        done = typed(f"{sys.executable} -m localcloud up --outputs-file {file}")
        assert (done.returncode, done.stdout) == (2, "")
        assert "cannot be written" in done.stderr


@pytest.mark.parametrize("module", ["localcloud up", "localcloud.demo"])
@pytest.mark.parametrize("after", [0.15, 0.6])
def test_ctrl_c_while_it_begins_is_one_line_and_no_traceback(module: str, after: float, tmp_path: Path) -> None:
    command = [sys.executable, "-m", *module.split()]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        stat = Path(f"/proc/{process.pid}/status")
        until = time.monotonic() + 120
        while not _catches(stat, signal.SIGINT, signal.SIGTERM):  # the handler stands; before it, Python itself is starting
            assert time.monotonic() < until
            time.sleep(0.005)
        time.sleep(after)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)  # a second one, at once
        assert process.stdout is not None
        said = process.stdout.read()
    # 130 in a shell either way: CPython dies of SIGINT itself where it came inside an `exec` of text (a named tuple that is being made)
    assert process.returncode in {130, -signal.SIGINT}, said
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith(("interrupted: everything", "local cloud: interrupted"))
    assert list(tmp_path.iterdir()) == []


def _catches(status: Path, *numbers: signal.Signals) -> bool:
    caught = int(status.read_text().split("SigCgt:")[1].split()[0], 16)
    return all(caught >> (number - 1) & 1 for number in numbers)
