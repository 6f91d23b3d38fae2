"""Ordinary text from what is installed, and what a check owes a text that comes in pieces."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from hive_guardrails.checks.port import Check, Finding

REPOSITORY = Path(__file__).parents[4]

Cuts = Callable[[Check, str, Iterable[int]], None]


@pytest.fixture(scope="session")
def ordinary() -> list[str]:
    """Documents, programs and licences, some megabytes of them."""
    library, packages = (Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib"))
    files = [
        *(REPOSITORY / "docs").glob("*.md"),
        *library.glob("*.py"),
        *library.glob("email/*.py"),
        *library.glob("json/*.py"),
        *library.glob("asyncio/*.py"),
        *packages.glob("*.dist-info/licenses/*"),
        *packages.glob("*.dist-info/METADATA"),
    ]
    texts = [file.read_text(errors="replace") for file in sorted(files) if file.is_file()]
    assert sum(map(len, texts)) > 3_000_000
    return texts


def check_cuts(check: Check, text: str, cuts: Iterable[int]) -> None:
    """At each cut: what is found in the text is found before it, or in what is left of it with what was held back."""
    whole = check.find(text, check.threshold)
    for cut in cuts:
        start = max(0, cut - check.overlap)
        before = check.find(text[:cut], check.threshold)
        after = [_moved(each, start) for each in check.find(text[start:], check.threshold)]
        assert [each for each in whole if each not in before and each not in after] == []
        assert [each for each in before if each.start < start and each not in whole] == []
        assert [each for each in after if each.end > cut and each not in whole] == []
        final = cut - check.open(text[:cut])
        leaked = [
            at
            for each in whole
            for at in range(each.start, min(each.end, final))
            if not any(seen.start <= at < seen.end for seen in before)
        ]
        assert leaked == [], "said to be final, and part of a finding"


def _moved(finding: Finding, by: int) -> Finding:
    return finding._replace(start=finding.start + by, end=finding.end + by)


@pytest.fixture(scope="session")
def cuts() -> Cuts:
    return check_cuts
