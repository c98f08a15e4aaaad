"""The chart of a run, as SVG: a bar a figure, how far it is from its goal on a logarithmic scale. No library for one picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from bench.goals import Figure

_ROW: Final = 24
_LEFT: Final = 260
_HALF: Final = 220  # pixels of one side of the scale
_MOST: Final = 10.0  # factor at the end of a side
_RIGHT: Final = 210
_TOP: Final = 46
_GOOD: Final = "#2a7f4f"
_BAD: Final = "#b3402e"


def margin(figure: Figure) -> float:
    """Return how many times better than its goal a figure is; below 1: worse. 0 where there is no value."""
    goal = figure.target
    if math.isnan(figure.value) or goal.value <= 0:
        return 0.0
    if goal.at_least:
        return figure.value / goal.value
    return goal.value / figure.value if figure.value > 0 else math.inf


def length(factor: float) -> float:
    """Return the signed pixels of a bar."""
    if factor <= 0:
        return -_HALF
    return max(-1.0, min(1.0, math.log(factor, _MOST) if factor < math.inf else 1.0)) * _HALF


def draw(figures: Sequence[Figure], *, title: str) -> str:
    """Return the picture; `title` says machine and data."""
    middle, height = _LEFT + _HALF, _TOP + _ROW * len(figures) + 34
    width = _LEFT + 2 * _HALF + _RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="12" y="20" font-size="14" font-weight="bold">{escape(title)}</text>',
        f'<text x="12" y="36" fill="#555">right of the line: better than the goal; each side is a factor of {_MOST:.0f}</text>',
    ]
    parts += [line for number, figure in enumerate(figures) for line in _bar(figure, middle, _TOP + _ROW * number)]
    bottom = _TOP + _ROW * len(figures)
    for factor in (1 / _MOST, 1 / 3, 1.0, 3.0, _MOST):
        x = middle + length(factor)
        parts.append(f'<line x1="{x:.0f}" y1="{_TOP}" x2="{x:.0f}" y2="{bottom}" stroke="{"black" if factor == 1 else "#ddd"}"/>')
        parts.append(
            f'<text x="{x:.0f}" y="{bottom + 16}" text-anchor="middle" fill="#555">{"goal" if factor == 1 else f"{factor:.2g} x"}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def _bar(figure: Figure, middle: int, y: int) -> list[str]:
    goal = figure.target
    pixels = length(margin(figure))
    x, colour = (middle if pixels >= 0 else middle + pixels), (_GOOD if figure.met else _BAD)
    value = "not measured" if math.isnan(figure.value) else f"{number(figure.value)} (goal {goal.sign} {number(goal.value)}) {goal.unit}"
    return [
        f'<text x="{_LEFT - 10}" y="{y + 16}" text-anchor="end">{escape(figure.name)}</text>',
        f'<rect x="{x:.1f}" y="{y + 4}" width="{max(1.0, abs(pixels)):.1f}" height="{_ROW - 8}" fill="{colour}"/>',
        f'<text x="{middle + _HALF + 10}" y="{y + 16}">{escape(value)}</text>',
    ]


def number(value: float) -> str:
    """Write a value for people: three figures that say something, thousands apart."""
    if math.isnan(value):
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
