"""The index of the decisions lists each record, with its title."""

from __future__ import annotations

from pathlib import Path

DECISIONS = Path(__file__).parents[1] / "docs" / "decisions"


def test_every_decision_is_listed_with_its_title() -> None:
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    records = sorted(DECISIONS.glob("[0-9]*.md"))
    assert records
    for record in records:
        title = record.read_text(encoding="utf-8").splitlines()[0].partition(". ")[2]
        assert f"- [{record.name[:4]}]({record.name}) {title}\n" in index
