"""What an operator sees who names what is not there, or has no credentials: one line that says what to do."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import moto
import pytest

from device_agent.cli import main

NAMES = ["--ledger", "nope", "--lake", "nope"]


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No AWS settings at all, and no instance to ask for some."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def empty(somebody: None) -> Iterator[None]:
    with moto.mock_aws():
        yield


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(words)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith(f"device-agent: {words[0]}: ") or words[0] not in captured.err
    return code, captured.err


def test_a_table_that_is_not_there(empty: None, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = said(capsys, "audit", *NAMES)
    assert code == 2
    assert "ResourceNotFoundException" in line
    assert "check the names, and --region" in line


class CloudFormation(BaseHTTPRequestHandler):
    """Knows no stack, and says so as the real one does (moto's needs packages that nothing else here does)."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        error = "<Code>ValidationError</Code><Message>Stack with id nope does not exist</Message>"
        body = f"<ErrorResponse><Error><Type>Sender</Type>{error}</Error></ErrorResponse>".encode()
        self.send_response(400)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def cloudformation() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), CloudFormation) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("words", [["audit"], ["fleet", "ls"], ["deadletters", "list"]])
def test_a_stack_that_is_not_there(somebody: None, cloudformation: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, line = said(capsys, *words, "--stack", "nope", "--endpoint-url", cloudformation)
    assert code == 2
    assert "Stack with id nope does not exist" in line
    assert "check the names, and --region" in line


def test_no_region(capsys: pytest.CaptureFixture[str]) -> None:
    code, line = said(capsys, "audit", *NAMES)
    assert code == 2
    assert "You must specify a region; say --region" in line


def test_a_region_that_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    code, line = said(capsys, "audit", *NAMES, "--region", "not a region")
    assert code == 2
    assert "say --region, such as" in line


def test_no_credentials(capsys: pytest.CaptureFixture[str]) -> None:
    code, line = said(capsys, "audit", *NAMES, "--region", "us-east-1")
    assert code == 2
    assert "Unable to locate credentials; set AWS_PROFILE" in line


def test_a_profile_that_is_not_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nope")
    code, line = said(capsys, "audit", *NAMES, "--region", "us-east-1")
    assert code == 2
    assert "profile (nope) could not be found; set AWS_PROFILE" in line


def test_an_endpoint_that_is_no_url(somebody: None, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = said(capsys, "audit", *NAMES, "--endpoint-url", "localhost:4566")
    assert code == 2
    assert "--endpoint-url localhost:4566: is no URL" in line


def test_a_network_that_is_away_is_exit_code_1(somebody: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    code, line = said(capsys, "audit", "--stack", "x", "--endpoint-url", "http://127.0.0.1:1")
    assert code == 1
    assert "check the network" in line
