"""Secrets thrown at every field that may hold one: none is shown in an error, in the log, in `status` or by `check`.

The public report: https://github.com/boto/botocore/pull/3752 (botocore hides a proxy's password by its text, so one that also stands
earlier in the URL is shown).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import urllib3.exceptions
from botocore.exceptions import HTTPClientError, ProxyConnectionError
from botocore.httpsession import mask_proxy_url

from device_agent import configfile, events
from device_agent.cli import main
from device_agent.config import AwsConfig, IotConfig
from device_agent.errors import ConfigError, NotNow
from device_agent.intake import curve, keys
from device_agent.output import Output
from device_agent.redact import path, redact
from device_agent.uplink import failures
from device_agent.uplink.credentials import check_files
from tests.config.samples import GOOD
from tests.fakes.spool import FakeSpool
from tests.fakes.sqs import FakeSqs
from tests.uplink.conftest import Start, _credentials, eventually, sqs, start
from tests.uplink.support import put, stream

__all__ = ["_credentials", "eventually", "sqs", "start"]  # fixtures

Eventually = Callable[[Callable[[], bool]], None]

#: A password as somebody writes it into a URL: it stands elsewhere there, too, or holds what ends a URL's part.
PASSWORDS = ["http", "proxy", "3128", "p", ":", "s3cr3t-Word", "a/b@c", "a@b:c", "pa%40ss", "q?x#y", "***", "://"]


def spelled(password: str) -> list[str]:
    return [f"http://proxy:{password}@proxy.example:3128/", f"https://{password}:{password}@proxy.example", f"http://{password}@h:3128"]


@pytest.mark.parametrize("password", PASSWORDS)
def test_what_stands_before_the_at_of_a_url_goes_whatever_it_is(password: str) -> None:
    for url in spelled(password):
        for text in (url, f"cannot connect to {url}: refused", f"ProxyError('{url}')", f"{url} {url}"):
            shown = redact(text)
            assert "***@" in shown
            for part in shown.split("://")[1:]:
                assert part.startswith(("***@", "***@proxy.example")), shown


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_proxy_error_of_botocore_is_told_without_its_own_try_to_hide_it(password: str) -> None:
    for url in spelled(password):
        error = ProxyConnectionError(
            proxy_url=mask_proxy_url(url), error=urllib3.exceptions.ProxyError("Unable to connect to proxy", OSError())
        )
        said = failures.words(error)
        assert "Unable to connect to proxy" in said
        assert "://" not in said


@pytest.mark.parametrize(
    "text",
    [
        "Failed to parse: http://user:my s3cr3t@proxy.example:bad",
        "Invalid header value b's3cr3t\\n'",
        "-----BEGIN PRIVATE KEY-----\ns3cr3t\n-----END PRIVATE KEY----- is no file",
        "cannot open -----BEGIN EC PRIVATE KEY-----\ns3cr3t",
        "'u:s3cr3t@sqs.eu-central-1.amazonaws.com/1/q' is not a queue URL",
        "proxy u:a@s3cr3t@h:3128",
        "https://sqs.eu-central-1.amazonaws.com/1/q?X-Amz-Security-Token=s3cr3t is no queue URL",
        "Error when retrieving credentials from custom-process: token s3cr3t\nand more s3cr3t",
    ],
)
def test_texts_of_libraries_keep_nothing(text: str) -> None:
    assert "s3cr3t" not in redact(text)
    assert "s3cr3t" not in failures.words(HTTPClientError(error=ValueError(text)))
    assert "s3cr3t" not in str(NotNow(text))


def test_other_texts_stay_as_they_are() -> None:
    for text in ("queue=https://sqs.eu-central-1.amazonaws.com/1/q user=a@b", "tcp://[::1]:5555", "", "a@b"):
        assert redact(text) == text


@pytest.mark.parametrize("key", ["queue", "endpoint_url"])
@pytest.mark.parametrize("password", ["s3cr3t", "s3cr3t@x", "s3/cr3t"])
def test_a_url_with_a_login_is_a_mistake_and_is_not_shown(key: str, password: str) -> None:
    url = f"https://user:{password}@sqs.eu-central-1.amazonaws.com/123456789012/telemetry"
    good = "https://sqs.eu-central-1.amazonaws.com/123456789012/telemetry"
    text = GOOD.replace(good, url) if key == "queue" else GOOD.replace('"eu-central-1"', f'"eu-central-1"\nendpoint_url = "{url}"', 1)
    with pytest.raises(ConfigError) as told:
        configfile.loads(text, "agent.toml", environ={})
    assert key in str(told.value)
    assert password not in str(told.value)
    with pytest.raises(ConfigError) as told:
        configfile.loads(GOOD, "agent.toml", environ={"DEVICE_AGENT_STREAM_TELEMETRY_QUEUE": url})
    assert password not in str(told.value)


KEY = "-----BEGIN PRIVATE KEY-----\ns3cr3t\n-----END PRIVATE KEY-----"


def test_a_key_where_a_path_belongs_is_not_shown(tmp_path: Path) -> None:
    z85 = Path(keys.make_keys(tmp_path, "board")[1]).read_text(encoding="utf-8").split("secret-key")[1].split('"')[1]
    for written in (z85, f"{z85} ", f" {z85}", f"'{z85}'", z85[:-1], f"{z85}=", "keys" + z85):
        assert z85[:-1] not in path(written)
    assert path("/etc/device-agent/board.key_secret") == "/etc/device-agent/board.key_secret"
    for given in (z85, KEY):
        for read in (lambda given: curve.secret_key(Path(given)), lambda given: curve.allowed_keys((given,))):
            with pytest.raises(ConfigError) as told:
                read(given)
            assert z85 not in str(told.value)
            assert "s3cr3t" not in str(told.value)
        with pytest.raises(ConfigError) as told:
            check_files(IotConfig(endpoint="x", role_alias="r", certificate=given, private_key=given, ca=given))
        assert z85 not in str(told.value)
        assert "s3cr3t" not in str(told.value)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"])
@pytest.mark.parametrize("password", ["http", "127", "s3cr3t@word", "s3cr3t/word", "with space"])
def test_a_proxys_password_is_in_neither_log_nor_status_nor_check(
    name: str, password: str, sqs: FakeSqs, start: Start, eventually: Eventually, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], tmp_path: Path,
) -> None:  # fmt: skip
    for variable in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(name, f"http://user:{password}@127.0.0.1:1")
    scheme = "https" if "https" in name.lower() else "http"
    queue = f"{scheme}://sqs.example/123456789012/telemetry"
    spool = FakeSpool("telemetry")
    put(spool, "telemetry", b"x")
    uplink = start(spool, stream(queue), aws=AwsConfig(region="eu-central-1"))
    eventually(lambda: bool(uplink.status()["telemetry"]["problem"]))
    config = tmp_path / "agent.toml"
    config.write_text(
        GOOD.replace("/var/lib/device-agent", str(tmp_path / "spool")).replace("https://sqs.eu-central-1.amazonaws.com", queue[:-23])
    )
    assert main(["check", "--config", str(config), "--online"]) == 1
    shown = [uplink.status()["telemetry"]["problem"], caplog.text, *capsys.readouterr()]
    for text in shown:
        for form in (f":{password}@", f":{quote(password, safe='')}@", f"user:{password}"):
            assert form not in text
        if "s3cr3t" in password:
            assert "s3cr3t" not in text


def test_the_log_hides_what_an_error_of_a_library_says(tmp_path: Path) -> None:
    lines: list[str] = []

    class Kept(Output):
        def __init__(self) -> None:
            """Nothing to open."""

        def put(self, line: str) -> None:
            lines.append(line)

    logger = logging.getLogger("device_agent")
    before = logger.handlers[:], logger.level, logger.propagate
    try:
        events.configure("info", journal=False, output=Kept())
        events.uplink_bug(ValueError("http://user:s3cr3t@proxy.example"))
    finally:
        logger.handlers[:], logger.propagate = before[0], before[2]
        logger.setLevel(before[1])
    assert "proxy.example" in lines[0]
    assert "s3cr3t" not in "".join(lines)


@pytest.mark.parametrize("text", ["tcp://*:5555", "connected by IPv4: tcp://[::1]:5555", "12:30:15 a@b", "agent.toml:12: device.id: no"])
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("query", ["?X-Amz-Security-Token=s3cr3t", "#s3cr3t"])
@pytest.mark.parametrize(("table", "line"), [("aws", 'endpoint_url = "http://127.0.0.1:1/{}"'), ("stream", 'queue = "https://sqs/{}"')])
def test_a_query_in_a_url_of_the_config_is_refused_and_not_shown(query: str, table: str, line: str) -> None:
    text = f"[aws]\n{line.format(query)}" if table == "aws" else f"[[stream]]\n{line.format(query)}"
    with pytest.raises(ConfigError, match=line.split(maxsplit=1)[0]) as error:
        configfile.loads(text, "agent.toml", environ={})
    assert query.startswith("#") or "s3cr3t" not in str(error.value)
