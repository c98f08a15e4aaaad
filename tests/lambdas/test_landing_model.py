"""The exhaustive model of the protocol: safe with two invocations, and two broken variants are caught."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

MODEL = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "models" / "landing.py"), run_name="model")


def test_two_invocations_are_safe_in_every_interleaving() -> None:
    assert MODEL["explore"](2, "") == 14_199


@pytest.mark.parametrize(("variant", "verdict"), [("putanyway", "LOST"), ("overwrite", "DOUBLE")])
def test_a_broken_variant_is_caught(variant: str, verdict: str) -> None:
    with pytest.raises(SystemExit, match=f"^{verdict}: envelope"):
        MODEL["explore"](2, variant)
