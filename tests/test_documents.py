"""What the documents point at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("*/*/README.md"),
        *ROOT.glob("*/README.md"),
    ]
    if "node_modules" not in path.parts and ".venv" not in path.parts
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#\s]+)\)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


def test_the_tour_follows_a_request_through_every_part() -> None:
    tour = (ROOT / "docs/tour.md").read_text()
    for part in ("embedded", "console", "edge", "routing", "libs/bus", "libs/relay", "libs/host"):
        assert f"{part}/src/" in tour


def test_contributing_names_files_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = [
        path
        for path in re.findall(r"`((?:services|libs|protos|docs|scripts)/[^`<]+)`", text)
        if "*" not in path
    ]
    assert named and [path for path in named if not (ROOT / path).exists()] == []
