"""The exhaustive model of close-day beside landing: safe in every interleaving, and broken variants and assumptions are caught."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

MODEL = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "models" / "closing.py"), run_name="model")


def test_close_days_one_after_the_other_are_safe_beside_two_invocations() -> None:
    assert MODEL["explore"](2, 1, "") == 252_851


def test_two_close_days_at_a_time_are_safe_where_nothing_fails() -> None:
    assert MODEL["explore"](2, 2, "", calm=True) > 10_000  # with all that can fail: 2,425,432 states, by hand


def test_two_that_write_over_each_other_are_caught() -> None:
    with pytest.raises(SystemExit, match=r"^DOUBLE: envelope"):
        MODEL["explore"](2, 2, "lastwins", calm=True)


@pytest.mark.parametrize(
    ("closers", "variant", "verdict"),
    [
        (1, "foldunseen", "LOST"),
        (1, "overwrite", "LOST"),
        (1, "shortlived", "DOUBLE"),
        (1, "hasty", "DOUBLE"),
    ],
)
def test_a_broken_variant_or_assumption_is_caught(closers: int, variant: str, verdict: str) -> None:
    with pytest.raises(SystemExit, match=f"^{verdict}: envelope"):
        MODEL["explore"](2, closers, variant)
