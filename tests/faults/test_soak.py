"""A short soak in the suite; `make soak MINUTES=30` is the long one."""

from __future__ import annotations

import pytest

from tests.lab.board import Board
from tests.lab.soak import KIB, Sample, growth, soak


@pytest.mark.slow
def test_under_load_with_outages_memory_threads_files_and_disk_stay_flat(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Board(tmp_path_factory.mktemp("s")) as board:
        assert soak(board, seconds=10, rate=300, every=0.5, say=print) == []


@pytest.mark.parametrize("leak", ["memory", "threads", "files", "disk"])
def test_a_leak_is_noticed(leak: str) -> None:
    flat = {"memory": 80_000 * KIB, "threads": 9, "files": 40, "disk": 9_000 * KIB}
    assert growth([Sample(**flat)] * 30) == []
    step = {"memory": 2_000 * KIB, "threads": 1, "files": 1, "disk": 9_000 * KIB}[leak]
    assert leak in growth([Sample(**flat | {leak: flat[leak] + at * step}) for at in range(30)])[0]
