"""docs/guarantees.md cannot drift: every event names tests that exist, every fault test is named or belongs to a file that is, and the
README has the same short form."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
_NODE = re.compile(r"`([a-z0-9_/]+\.py)::(\w+)`")
_FILE = re.compile(r"`(tests/[a-z0-9_/]+\.py)`")
_BLOCK = re.compile(r"<!-- guarantees -->\n(.*?)<!-- /guarantees -->", re.DOTALL)


def events(text: str) -> list[tuple[str, str, str]]:
    """Return the rows of all tables: event, what happens, shown by."""
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if len(row) != 3 or (row[0] != "event" and not row[0].startswith("---"))]  # type: ignore[misc]


@cache
def names(path: Path) -> frozenset[str]:
    """Return what a test file defines, without running it."""
    if not path.exists():
        return frozenset()
    body = ast.parse(path.read_text(encoding="utf-8")).body
    found = {one.name for one in body if isinstance(one, ast.FunctionDef | ast.ClassDef)}
    targets = [target for one in body if isinstance(one, ast.Assign) for target in one.targets]
    return frozenset(found | {target.id for target in targets if isinstance(target, ast.Name)})


LONG = _BLOCK.sub("", PAGE)


@pytest.mark.parametrize("row", events(LONG), ids=lambda row: row[0][:60])
def test_an_event_says_what_happens_and_names_tests_that_exist(row: tuple[str, str, str]) -> None:
    assert len(row) == 3, f"a row has three columns: {row}"
    _, happens, shown = row
    assert happens
    found = _NODE.findall(shown)
    assert found, "an event without a test"
    assert not _NODE.sub("", shown).replace(",", "").strip(), f"not a test: {shown}"
    for file, name in found:
        assert name in names(ROOT / "tests" / file), f"tests/{file} has no {name}"


def test_the_short_form_names_files_whose_tests_the_long_one_names() -> None:
    [block] = _BLOCK.findall(PAGE)
    named = {f"tests/{file}" for file, _ in _NODE.findall(LONG)}
    rows = events(block)
    assert len(rows) == 8
    for row in rows:
        files = _FILE.findall(row[2])
        assert files
        assert set(files) <= named, row


def test_every_file_of_fault_tests_is_named() -> None:
    named = {file for file, _ in _NODE.findall(LONG)}
    about_tests = {"faults/test_guarantees.py", "faults/test_judge.py", "faults/test_leaks.py"}
    files = {f"faults/{path.name}" for path in (ROOT / "tests" / "faults").glob("test_*.py")}
    assert files - about_tests <= named


def test_the_readme_has_the_short_form() -> None:
    found = _BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert found in ([], _BLOCK.findall(PAGE)), "copy the table between the markers from docs/guarantees.md"


def test_a_test_that_does_not_exist_would_be_noticed() -> None:
    assert "test_nothing" not in names(Path(__file__))
    assert "test_the_readme_has_the_short_form" in names(Path(__file__))
    assert "TestSpool" in names(ROOT / "tests" / "spool" / "test_spool_machine.py")
