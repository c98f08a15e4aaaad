"""The intake's loop in C is built with whatever compiler is there, without a warning; and without one, the set-up goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import drain


def test_the_set_up_goes_on_without_a_compiler_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drain, "TARGET", tmp_path / "drain.so")
    monkeypatch.setenv("CC", "false")
    (tmp_path / "drain.so").write_bytes(b"of an older source")
    assert drain.main() == 0
    assert "the slower Python path receives" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_drain_builds_without_a_warning(tmp_path: Path) -> None:
    try:
        command = drain.compiler()
    except drain.NotBuilt as error:
        pytest.skip(str(error))
    drain.build(command, tmp_path / "drain.so", flags=["-shared", "-fPIC", "-Werror", "-Wpedantic", "-Wconversion", "-Wshadow"])
