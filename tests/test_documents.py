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

WAY = [
    "services/embedded/src/hive_embedded/main.py",
    "libs/host/src/hive_host/host.py",
    "services/console/src/hive_console/service.py",
    "services/edge/src/hive_edge/gateway.py",
    "libs/relay/src/hive_relay/caller.py",
    "libs/bus/src/hive_bus/memory/bus.py",
    "libs/relay/src/hive_relay/responder.py",
    "libs/relay/src/hive_relay/run.py",
    "services/routing/src/hive_routing/http.py",
    "services/routing/src/hive_routing/pipeline.py",
    "services/routing/src/hive_routing/dispatch.py",
    "services/routing/src/hive_routing/providers/openai.py",
    "services/routing/src/hive_routing/stream.py",
    "libs/relay/src/hive_relay/call.py",
    "libs/runtime/src/hive_runtime/dialects.py",
]
"""Where a chat request passes, in the order of the tour; others come between."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#\s]+)\)", page.read_text())
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


def test_the_tour_follows_a_request_through_every_part() -> None:
    named = re.findall(r"\]\(\.\./([^)#\s]+)\)", (ROOT / "docs/tour.md").read_text())
    assert [path for path in dict.fromkeys(named) if path in WAY] == WAY


def test_contributing_names_files_that_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = [
        path
        for path in re.findall(r"`((?:services|libs|protos|docs|scripts)/[^`<]+)`", text)
        if "*" not in path
    ]
    assert named and [path for path in named if not (ROOT / path).exists()] == []
