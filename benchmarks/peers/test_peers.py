"""What a run of peers keeps, resumes, computes and publishes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.charts import Block, chart
from benchmarks.page import PAGES, condensed, page, picture
from benchmarks.peers import bifrost, litellm, portkey
from benchmarks.peers.cells import Cell, Opening, RunFolder, openings
from benchmarks.peers.promises import PROMISES
from benchmarks.peers.scenarios import SCENARIOS
from benchmarks.peers.summary import LINES, Line, summary
from benchmarks.peers.table import cell, remarks

CPU = Line("chat_32", "cpu_ms", "chat", "ms")
RATE = Line("chat_32", "per_second", "chat", "/s", at_least=True)
MACHINE = {
    "moment": "2026-11-30T08:00:00Z",
    "processor": "a processor",
    "processors": 2,
    "system": "Linux",
    "python": "3.11.7",
    "packages": {"uvloop": "0.23.0"},
}
SIZES = {"warm": 2.0, "rest": 2.0, "closed": 3.0, "light": 5.0, "held": 1000, "soak": 10.0}
SUBJECTS: dict[str, dict[str, Any]] = {
    "embedded": {"title": "Ours", "version": "1.0", "settings": "all of it", "missing": None},
    "other": {"title": "Other", "version": "2.0", "settings": "its best", "missing": None},
    "absent": {"title": "Absent", "version": "v3", "settings": "built", "missing": "there is no Go"},
}


def raw(
    subject: str,
    scenario: str,
    figures: dict[str, float],
    *faults: str,
    lack: str | None = None,
    others: float = 0.1,
) -> dict[str, Any]:
    return {
        "subject": subject,
        "scenario": scenario,
        "figures": figures,
        "faults": list(faults),
        "lack": lack,
        "others": others,
        "seconds": 4.0,
        "machine": MACHINE,
        "sizes": SIZES,
    }


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "run")
    made.tell(SUBJECTS)
    return made


def keep(folder: RunFolder, number: int, content: dict[str, Any]) -> None:
    folder.write(Cell(number, content["subject"], content["scenario"]), content)


def test_rounds_alternate_and_what_was_measured_is_not_measured_again(folder: RunFolder) -> None:
    keep(folder, 1, raw("a", "start", {"first_chat_s": 1.0}))
    keep(folder, 1, raw("b", "start", {}, "it did not start"))
    keep(folder, 1, raw("b", "idle", {"rss_mb": 1.0}))
    assert list(openings(folder, ["a", "b"], ["start", "idle"], rounds=2)) == [
        Opening(1, "a", ["idle"]),
        Opening(2, "a", ["start", "idle"]),
        Opening(2, "b", ["start", "idle"]),
    ]


def test_a_run_goes_on_with_other_subjects(folder: RunFolder) -> None:
    keep(folder, 1, raw("a", "start", {"first_chat_s": 1.0}))
    assert list(openings(folder, ["a", "c"], ["start"], rounds=1)) == [Opening(1, "c", ["start"])]


def test_half_a_file_is_not_a_cell(folder: RunFolder) -> None:
    (folder.path / "01.a.start.half").write_text('{"subject": "a"')
    assert folder.cells() == []
    assert not folder.has(Cell(1, "a", "start"))


def test_medians_ratios_and_who_is_better() -> None:
    found = summary(
        [raw("embedded", "chat_32", {"cpu_ms": cpu, "per_second": 100.0}) for cpu in (1.0, 9.0, 2.0)]
        + [raw("other", "chat_32", {"cpu_ms": 1.0, "per_second": 50.0})]
    )
    assert found.median("embedded", CPU) == 2.0
    assert (found.ratio("other", CPU), found.ratio("other", RATE)) == (0.5, 0.5)
    assert (found.lost("other", CPU), found.lost("other", RATE)) == (True, False)


def test_nothing_at_all_is_better_than_something() -> None:
    idle = Line("idle", "cpu_percent", "idle", "%")
    found = summary(
        [raw("embedded", "idle", {"cpu_percent": 5.0}), raw("other", "idle", {"cpu_percent": 0.0})]
    )
    assert (found.ratio("other", idle), found.lost("other", idle)) == (None, True)


def test_a_cell_with_faults_is_marked_and_what_failed_is_said() -> None:
    found = summary(
        [
            raw("embedded", "chat_32", {"cpu_ms": 2.0}),
            raw("other", "chat_32", {"cpu_ms": 3.0}, "3 of 9 answers were wrong"),
            raw("other", "hit", {}, lack="it keeps no cache"),
            raw("other", "tools", {}, "it ended"),
        ]
    )
    hit, tools = Line("hit", "cpu_ms", "hit", "ms"), Line("tools", "cpu_ms", "tools", "ms")
    shown = [cell(found, "other", each) for each in (CPU, hit, tools)]
    assert shown == ["3.00! ×1.50", "n/a", "failed"]
    assert remarks(found, [("other", "Other")]) == [
        "Other, n/a for hit: it keeps no cache",
        "Other, ! in chat_32: 3 of 9 answers were wrong",
        "Other, ! in tools: it ended",
    ]


def test_every_line_shows_a_scenario_that_is_run() -> None:
    assert {each.scenario for each in LINES} == set(SCENARIOS)


def test_peers_say_why_they_cannot_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(portkey, "PACKAGE", tmp_path / "gateway")
    monkeypatch.setenv("PATH", str(tmp_path))
    bifrost.HOME.mkdir(parents=True)
    bifrost.WHY_NOT.write_text(
        "go: reading https://somewhere/x: 403 Forbidden\n\tserver response: not available\n"
    )
    reasons = [each.subject().missing or "" for each in (litellm, portkey, bifrost)]
    assert "make bench-peers" in reasons[0]
    assert "make bench-peers" in reasons[1]
    assert "server response: not available" in reasons[2]
    assert "://" not in reasons[2]


def test_the_page_says_first_where_we_lose(folder: RunFolder) -> None:
    for number, cpu in enumerate((0.4, 0.5, 0.6), start=1):
        keep(folder, number, raw("embedded", "chat_32", {"cpu_ms": cpu, "per_second": 2500.0}))
        keep(folder, number, raw("other", "chat_32", {"cpu_ms": 0.25, "per_second": 1000.0}))
    text = "\n\n".join(page(condensed(folder)))
    assert text.index("## Where we lose") < text.index("## The budget") < text.index("## Beside the peers")
    assert "| small chat, 32 connections: CPU | ms | 0.50 | 0.25 |" in text
    assert "**missed, 1.11 × the budget**" in text
    why = next(each.why for each in PROMISES if (each.row.scenario, each.row.figure) == ("chat_32", "cpu_ms"))
    assert f"Ours, small chat, 32 connections: CPU: {why}." in text
    assert "| met |" in text
    assert "**Absent** 3: built. **Skipped**: there is no Go." in text
    assert "The machine was busy" not in text


def test_a_busy_machine_is_said(folder: RunFolder) -> None:
    keep(folder, 1, raw("embedded", "chat_32", {"cpu_ms": 0.4, "per_second": 2500.0}, others=1.5))
    assert "The machine was busy: others kept 1.5 of 2 processors" in "\n\n".join(page(condensed(folder)))


def test_what_was_not_measured_is_not_called_kept(folder: RunFolder) -> None:
    keep(folder, 1, raw("embedded", "soak", {"growth_bytes": 1.0, "rss_mb": 100.0}))
    text = "\n\n".join(page(condensed(folder)))
    assert (
        "| an hour of mixed traffic: growth per request, without the analytical store | not measured |"
        in text
    )
    assert "| met |" not in text


def test_a_run_without_figures_is_not_published(folder: RunFolder) -> None:
    keep(folder, 1, raw("embedded", "chat_32", {}, "it did not start"))
    with pytest.raises(ValueError, match="no figures"):
        condensed(folder)


def test_pictures_have_a_bar_for_each_value_and_words_for_each_gap(folder: RunFolder) -> None:
    keep(folder, 1, raw("embedded", "chat_32", {"cpu_ms": 0.5}))
    made = picture(condensed(folder), "cpu")
    assert 'class="o"' in made
    assert "did not run" in made
    assert "prefers-color-scheme:dark" in made
    assert chart([Block("a < b", [("x", 2.0, "")])]).count("<rect") == 1


def test_all_pages_are_below_docs() -> None:
    assert {name.partition(".")[0].partition("/")[0] for name in PAGES} == {"benchmarks"}


def test_an_hour_is_judged_by_what_grew_meanwhile(folder: RunFolder) -> None:
    keep(folder, 1, raw("embedded", "hour", {"growth_bytes": 1.0, "rss_mb": 100.0}))
    text = "\n\n".join(page(condensed(folder)))
    assert (
        "an hour of mixed traffic: growth per request, without the analytical store | 1.00 B |  | ≤ 50 B |  | met |"
        in text
    )
