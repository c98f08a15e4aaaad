"""`kill -9` at any instant, while the cloud fails at random: what was acknowledged is in the lake once, in order, and the books balance."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud import LocalCloud
from tests.lab.killing import KillLoop

pytest.importorskip("ministack", reason="the local cloud is not installed here")

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_twenty_kills_lose_double_and_reorder_nothing(cloud: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> None:
    from tests.lab.backend import CloudBackend

    folder: Path = tmp_path_factory.mktemp("k")
    with CloudBackend(cloud, seed=1) as backend:
        loop = KillLoop(backend, folder, seed=1, device="kill-1", rate=100, say=print)
        with loop.agent:
            result = loop.round(20, longest=0.7)
    assert result.faults == []
    assert result.acknowledged
