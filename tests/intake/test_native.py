"""Which path receives: the drain in C where it fits, else the Python one, with a word about why; never a crash, never a second libzmq."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agent import libzmq
from device_agent.intake import receiver_path
from device_agent.intake.native import library
from tests.intake.conftest import Bench


@pytest.fixture
def anew() -> Iterator[None]:
    """Let the library be looked for again, and forget what was found."""
    library.find.cache_clear()
    yield
    library.find.cache_clear()


def test_the_functions_are_those_of_the_libzmq_that_pyzmq_uses() -> None:
    found = libzmq.library()
    assert found is not None
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libzmq" in line}
    assert len(mapped) == 1, "a second libzmq was loaded"


def test_a_pyzmq_whose_libzmq_is_not_found_is_read_by_python(anew: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libzmq, "library", lambda: None)
    assert receiver_path() == "python: libzmq's functions are not found in this pyzmq"


def test_a_libzmq_without_a_function_is_read_by_python(anew: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libzmq, "library", object)
    assert receiver_path().startswith("python: this libzmq (")


def test_without_a_built_drain_python_reads(anew: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "PATH", tmp_path / "drain.so")
    assert receiver_path().startswith("python: the drain was not built")


@pytest.mark.parametrize("content", [b"", b"\x7fELF of another machine", b"x" * 5000])
def test_a_file_that_is_no_library_of_this_machine_is_not_used(
    anew: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "drain.so").write_bytes(content)
    monkeypatch.setattr(library, "PATH", tmp_path / "drain.so")
    assert receiver_path().startswith("python: the drain does not load here")


def test_a_drain_of_another_version_is_not_used(anew: None, monkeypatch: pytest.MonkeyPatch) -> None:
    if not library.PATH.exists():
        pytest.skip("the drain in C was not built")
    monkeypatch.setattr(library, "ABI", 0)
    assert receiver_path() == "python: the drain was built of another version; build it again"


def test_an_input_says_which_path_receives(bench: Bench, path: str) -> None:
    bench.run()
    assert bench.intakes[0].status()["in"]["receiver"].startswith(path)
