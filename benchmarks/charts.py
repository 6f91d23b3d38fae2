"""Bar charts as SVG, for light and dark pages alike: each figure a block, each subject a bar in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from benchmarks.report import number

WIDTH, LABELS, BAR, BLOCK, ROOM = 760, 220, 16, 30, 110
STYLE = (
    "text{font:12px sans-serif;fill:#24292f}.t{font-weight:bold}.o{fill:#0969da}.b{fill:#8c959f}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.o{fill:#4493f8}.b{fill:#6e7681}}"
)


@dataclass(frozen=True, slots=True)
class Block:
    """A figure: title, and label with value of each bar; a bar without a value says why. ours: bars in colour."""

    title: str
    bars: Sequence[tuple[str, float | None, str]]
    ours: int = 0


def chart(blocks: Sequence[Block]) -> str:
    """One picture of all blocks, each on a linear scale of its own that begins at 0."""
    parts: list[str] = []
    y = 8
    for block in blocks:
        y += BLOCK - 10
        parts.append(f'<text class="t" x="0" y="{y}">{escape(block.title)}</text>')
        most = max((value for _, value, _ in block.bars if value is not None), default=0.0)
        for place, (label, value, words) in enumerate(block.bars):
            y += BAR + 4
            length = (WIDTH - LABELS - ROOM) * max(value or 0.0, 0.0) / (most or 1.0)
            colour = "o" if place < block.ours else "b"
            shown = number(value) if value is not None else words
            parts += [
                f'<text x="{LABELS - 8}" y="{y}" text-anchor="end">{escape(label)}</text>',
                f'<rect class="{colour}" x="{LABELS}" y="{y - 12}" width="{length:.1f}" height="{BAR}" rx="2"/>',
                f'<text x="{LABELS + length + 6:.1f}" y="{y}">{escape(shown)}</text>',
            ]
        y += 10
    size = f'width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}"'
    inside = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n<style>{STYLE}</style>\n{inside}\n</svg>'
