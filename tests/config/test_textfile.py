"""Files as Windows editors and PowerShell save them.

The public report: https://github.com/python/cpython/issues/157201 (tomllib takes no byte order mark, and says "Invalid statement (at line
1, column 1)"). Here agent.toml and outputs.json were refused with that sentence.
"""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest

from device_agent import configfile
from device_agent.cli.outputs import read_outputs
from device_agent.configfile import textfile
from device_agent.errors import ConfigError
from device_agent.intake import curve, keys
from tests.config.samples import GOOD

OTHERS = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]


@pytest.mark.parametrize("text", [GOOD, GOOD.replace("\n", "\r\n")], ids=["lf", "crlf"])
def test_a_byte_order_mark_is_no_mistake(tmp_path: Path, text: str) -> None:
    path = tmp_path / "agent.toml"
    path.write_bytes(codecs.BOM_UTF8 + text.encode())
    assert configfile.load(path, environ={}) == configfile.loads(GOOD, "agent.toml", environ={})


def test_lines_of_mistakes_are_right_behind_a_mark_and_with_crlf(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_bytes(codecs.BOM_UTF8 + GOOD.replace("\n", "\r\n").replace("eu-central-1", "Frankfurt", 1).encode())
    with pytest.raises(ConfigError, match=r"agent\.toml:5: aws\.region"):
        configfile.load(path, environ={})


@pytest.mark.parametrize("encoding", OTHERS)
def test_another_encoding_has_a_name_and_a_way_out(tmp_path: Path, encoding: str) -> None:
    path, outputs = tmp_path / "agent.toml", tmp_path / "outputs.json"
    path.write_bytes(GOOD.encode(encoding))
    with pytest.raises(ConfigError, match=r"agent\.toml: is .*UTF-(16|32).*save it as UTF-8"):
        configfile.load(path, environ={})
    outputs.write_bytes(json.dumps({"s": {"A": "b"}}).encode(encoding))
    with pytest.raises(ConfigError, match=r"outputs\.json: is .*UTF-(16|32).*save it as UTF-8"):
        read_outputs(outputs, needed={"A"})


def test_latin_1_is_refused_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"agent\.toml:2: is not UTF-8 text; save the file as UTF-8"):
        textfile.decode("a = 1\nb = 'Käse'\n".encode("latin-1"), "agent.toml")


def test_outputs_of_powershell_are_read(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs.json"
    outputs.write_bytes(codecs.BOM_UTF8 + b'{"stack":\r\n{"A": "b"}}\r\n')
    assert read_outputs(outputs, needed={"A"}) == {"A": "b"}


def test_a_key_file_with_a_mark_is_read_and_one_in_utf_16_has_a_name(tmp_path: Path) -> None:
    _, secret = keys.make_keys(tmp_path, "board")
    path, text = Path(secret), Path(secret).read_text(encoding="utf-8")
    key = curve.secret_key(path)
    path.write_bytes(codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode())
    assert curve.secret_key(path) == key
    path.write_bytes(text.encode("utf-16"))
    with pytest.raises(ConfigError, match="UTF-16"):
        curve.secret_key(path)
