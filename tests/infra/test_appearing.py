"""A folder appears whole or not at all, also where two make it at once."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from infra.appearing import appearing


def make(final: Path, text: str, error: BaseException | type[BaseException] | None = None) -> None:
    with appearing(final) as draft:
        (draft / "file").write_text(text)
        if error is not None:
            raise error


def test_of_two_that_make_it_at_once_the_first_wins_and_both_succeed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks first whether it is there may have seen nothing, and be second all the same."""
    final = tmp_path / "cache" / "folder"
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path != final and exists(path))
    make(final, "first")
    make(final, "second")
    assert (final / "file").read_text() == "first"
    assert list(final.parent.iterdir()) == [final]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOTEMPTY, "of the body, not of the rename")])
def test_what_fails_half_way_leaves_nothing_and_is_told(tmp_path: Path, error: BaseException | type[BaseException]) -> None:
    with pytest.raises((KeyboardInterrupt, OSError)):
        make(tmp_path / "folder", "half", error)
    assert list(tmp_path.iterdir()) == []


def test_another_reason_why_it_cannot_appear_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(NotADirectoryError):
        make(tmp_path / "folder", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
