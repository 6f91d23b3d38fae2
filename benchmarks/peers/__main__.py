"""Measure the gateway beside its peers, in one run: `python -m benchmarks.peers [--quick] [--resume]`.

Every cell (one scenario of one subject in one round) is kept as a file of its own; `--resume` goes on with the last
run, also with other subjects, scenarios or more rounds. 0 however the figures turn out, also where a peer answers
wrongly: then it is marked. 1 where one of ours does.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from rich.console import Console

from benchmarks import report
from benchmarks.measure import Bystanders
from benchmarks.peers import bifrost, litellm, ours, portkey
from benchmarks.peers.cells import Cell, Opening, RunFolder, last_folder, new_folder, openings
from benchmarks.peers.scenarios import ON_REQUEST, OWN, QUICK, SCENARIOS, Sizes, Trial
from benchmarks.peers.subject import Ground, Subject
from benchmarks.peers.summary import summary
from benchmarks.peers.table import remarks, table
from benchmarks.processes import RunFailed, raise_file_limit, upstream

ROUNDS = 5
LAST = "last"
WIDTH = 190


def subjects() -> dict[str, Subject]:
    """In the order of the table's columns."""
    peers = [litellm.subject(), portkey.subject(), bifrost.subject()]
    ours_, cluster, direct, none = ours.subjects()
    peers = [replace(each, lacks=OWN | dict(each.lacks)) for each in peers]
    return {each.name: each for each in (ours_, cluster, direct, *peers, none)}


class Run:
    """Measures openings one after the other and says how far it is."""

    def __init__(self, folder: RunFolder, known: Mapping[str, Subject], sizes: Sizes, ground: Ground) -> None:
        self._folder = folder
        self._known = known
        self._sizes = sizes
        self._ground = ground
        self._machine = report.machine()

    def measure(self, opening: Opening) -> None:
        """All its cells get a file: figures, or why there are none."""
        subject = self._known[opening.subject]
        left = [each for each in opening.scenarios if not self._lacks(opening, subject, each)]
        while left:
            is_open = False
            try:
                with subject.open(self._ground) as running:
                    trial = Trial(self._ground.provider, subject, running, self._sizes)
                    trial.warm_up()
                    is_open = True
                    while left:
                        self._cell(opening, trial, left[0])
                        left.pop(0)
            except (RunFailed, psutil.Error, OSError) as error:
                # What did not start has no cell; what ended in one is started again for the others.
                failed = left[:1] if is_open else left[:]
                for scenario in failed:
                    self._write(opening, scenario, {}, [str(error)[:500]], 0.0, 0.0)
                del left[: len(failed)]

    def _cell(self, opening: Opening, trial: Trial, scenario: str) -> None:
        trial.faults = []
        others, began = Bystanders(), time.perf_counter()
        figures = SCENARIOS[scenario](trial)
        self._write(
            opening, scenario, figures, trial.faults, others.processors(), time.perf_counter() - began
        )

    def _lacks(self, opening: Opening, subject: Subject, scenario: str) -> bool:
        why = subject.lacks.get(scenario)
        if why:
            self._write(opening, scenario, {}, [], 0.0, 0.0, why)
        return why is not None

    def _write(
        self,
        opening: Opening,
        scenario: str,
        figures: Mapping[str, float],
        faults: Sequence[str],
        others: float,
        seconds: float,
        lack: str | None = None,
    ) -> None:
        subject = self._known[opening.subject]
        content = {
            "figures": dict(figures),
            "faults": list(faults),
            "lack": lack,
            "others": round(others, 2),
            "seconds": round(seconds, 2),
            "version": subject.version,
            "machine": self._machine,
            "sizes": asdict(self._sizes),
        }
        self._folder.write(Cell(opening.round, opening.subject, scenario), content)
        said = lack or "; ".join(faults)[:160] or f"{seconds:.1f} s"
        print(f"round {opening.round}, {opening.subject}, {scenario}: {said}", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if arguments == ["--build"]:
        print(bifrost.build() or "Bifrost is built.", file=sys.stderr)
        return 0
    known = subjects()
    options = _options(arguments, known)
    raise_file_limit()
    folder = _resumed(options.resume) if options.resume else new_folder()
    sizes = _sizes(folder) or (QUICK if options.quick else Sizes())
    rounds = options.rounds or (1 if options.quick else ROUNDS)
    folder.tell({name: each.described() for name, each in known.items()})
    began = time.perf_counter()
    chosen = _present(known, options.subject or list(known))
    wanted = options.scenario or SCENARIOS.keys() - ON_REQUEST
    scenarios = [each for each in SCENARIOS if each in wanted]
    with TemporaryDirectory(prefix="modelhive-peers-") as place, upstream() as provider:
        run = Run(folder, known, sizes, Ground(provider, Path(place)))
        for opening in openings(folder, chosen, scenarios, rounds):
            run.measure(opening)
    return _tell(folder, known, time.perf_counter() - began)


def _resumed(name: str) -> RunFolder:
    """A run's folder by its path; the last one where it is said no closer, a new one where there is none."""
    return RunFolder(Path(name)) if name != LAST else last_folder() or new_folder()


def _sizes(folder: RunFolder) -> Sizes | None:
    """What its cells were measured with, so that what is added can be compared; None where there are none."""
    sizes = [cell["sizes"] for cell in folder.cells()]
    return Sizes(**sizes[0]) if sizes else None


def _present(known: Mapping[str, Subject], wanted: Sequence[str]) -> list[str]:
    """Those that can run here; the others are named with the reason."""
    for name in wanted:
        if known[name].missing:
            print(f"SKIPPED {known[name].title}: {known[name].missing}", file=sys.stderr)
    return [name for name in known if name in wanted and not known[name].missing]


def _tell(folder: RunFolder, known: Mapping[str, Subject], seconds: float) -> int:
    cells = folder.cells()
    found = summary(cells)
    columns = [(name, each.title) for name, each in known.items() if name in found.rounds]
    out = Console(width=WIDTH, highlight=False)
    out.print(table(found, columns))
    for remark in remarks(found, columns):
        out.print(remark, markup=False, soft_wrap=True)
    for each in known.values():
        if each.missing:
            out.print(f"SKIPPED {each.title}: {each.missing}", markup=False, soft_wrap=True)
    busy = [cell["others"] for cell in cells if cell["figures"]]
    if busy:
        out.print(
            f"others kept {sum(busy) / len(busy):.2f} processors busy on average, {max(busy):.2f} at most"
        )
    out.print(
        f"{len(cells)} cells in {folder.path.resolve().relative_to(report.RESULTS.parents[1])}; {seconds:.0f} s in all"
    )
    return 1 if any(found.faults.get(name) for name in ("embedded", "cluster", "direct")) else 0


def _options(arguments: list[str], known: Mapping[str, Subject]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--rounds", type=int, help=f"how often everything is measured; {ROUNDS} if not said")
    parser.add_argument("--subject", action="append", choices=known, help="only this one; may be repeated")
    parser.add_argument(
        "--scenario", action="append", choices=SCENARIOS, help="only this one; may be repeated"
    )
    parser.add_argument(
        "--resume", nargs="?", const=LAST, metavar="FOLDER", help="go on with this run, or with the last"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
