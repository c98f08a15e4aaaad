"""Help, version, exit codes: what holds for every command; and the generated pages."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from device_agent import __version__, configfile
from device_agent.cli import main, reference
from device_agent.cli.parser import all_commands

ROOT = Path(__file__).parents[2]
NAMES = [name for name, _ in all_commands()]


def test_the_commands_are_those_of_the_design() -> None:
    assert set(NAMES) >= {"audit", "check", "decode", "init", "keys", "run", "send", "status"}


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"usage: device-agent {name}" in shown
    assert f"  device-agent {name}" in shown.partition("example:")[2] or f"| device-agent {name}" in shown.partition("example:")[2]


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert set(NAMES) <= {line.split()[0] for line in shown.splitlines() if line.startswith("    ")}
    assert "exit codes: 0 good, 1 failed at run time, 2 wrong usage" in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"device-agent {__version__}\n"


@pytest.mark.parametrize(
    "words", [[], ["nonsense"], ["check", "--nonsense"], ["check", "more"], ["--config"], ["send"], ["keys", "one"], ["che"]]
)
def test_wrong_usage_is_exit_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "usage: device-agent" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["deadletters", "fleet", "quarantine", "spool"])
def test_a_command_without_its_action_names_the_choices(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"device-agent {name}: error: the following arguments are required: {{")
    assert "show" in last or "verify" in last


def test_status_of_a_spool_that_nobody_has_made_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--directory", str(tmp_path / "none")]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(f"device-agent: no agent has run in {tmp_path}/none: there is no such directory; start it")
    assert "Errno" not in shown


@pytest.mark.parametrize("name", ["check", "run", "status"])
def test_a_missing_configuration_is_exit_code_2_and_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    words = [sys.executable, "-m", "device_agent.cli", name, "--config", str(path)]  # a process of its own: `run` takes over its output
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"device-agent: {path}: there is no such file; `device-agent init --output {path}` writes one\n"


@pytest.mark.parametrize("words", [["--help"], ["check", "--help"], ["audit", "--help"], ["decode", "/dev/null"]])
def test_what_needs_neither_zmq_nor_boto3_imports_neither(words: list[str]) -> None:
    look = "print({'zmq', 'boto3', 'botocore'} & set(sys.modules), file=sys.stderr)"
    code = f"import sys; from device_agent.cli import main; main({words!r}); {look}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr == "set()\n"


def test_a_closed_pipe_is_no_traceback() -> None:
    command = f"{sys.executable} -m device_agent.cli init --output - | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, cwd=ROOT, stdin=subprocess.DEVNULL)
    assert done.stdout.startswith("# Configuration")
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


# Generated pages


@pytest.mark.parametrize("name", reference.pages())
def test_a_generated_page_is_not_stale(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == reference.pages()[name], "run `make reference`"


def test_the_packaged_sample_is_valid() -> None:
    config = configfile.load(ROOT / "packaging" / "agent.toml", environ={})
    assert {source.pattern.value for source in config.input} == {"pull", "sub", "rep", "router"}


def test_the_sample_is_valid_with_every_default_spelled_out() -> None:
    lines = (ROOT / "packaging" / "agent.toml").read_text(encoding="utf-8").splitlines()
    required = {"endpoint", "role_alias", "certificate", "private_key", "secret_key"}  # of tables that are left out
    spelled = []
    for line in lines:
        key = line.removeprefix("# ").partition(" = ")[0]
        is_default = (
            line.startswith("# ") and " = " in line and key.isidentifier() and key not in {*required, "ca", "thing", "allow", "server_key"}
        )
        spelled.append(line.removeprefix("# ") if is_default and key not in {"subscribe", "reply", "message_id", "skip_probes"} else line)
    text = "\n".join(spelled).replace('topic = ""\n# Stream for readings', "# Stream for readings").replace('stream = ""\n', "")
    written = configfile.loads(text, "sample", environ={})
    assert written == configfile.load(ROOT / "packaging" / "agent.toml", environ={})


def test_the_unit_starts_what_the_readme_installs() -> None:
    unit = (ROOT / "packaging" / "device-agent.service").read_text(encoding="utf-8")
    assert "ExecStart=/usr/local/bin/device-agent run --config /etc/device-agent/agent.toml" in unit
    settings = [line for line in unit.splitlines() if line and not line.startswith(("#", "["))]
    for wanted in (
        "ExecReload=/bin/sh -c 'kill -HUP $MAINPID'",  # no program that a minimal Debian lacks
        "Type=notify",
        "WatchdogSec=60",
        "Restart=always",
        "StateDirectory=device-agent",
        "RuntimeDirectory=device-agent",
        "NoNewPrivileges=yes",
    ):
        assert wanted in settings
