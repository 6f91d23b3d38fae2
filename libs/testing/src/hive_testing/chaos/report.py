"""What a run has shown: for people as text, for machines as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hive_testing.chaos.endings import How
from hive_testing.chaos.traffic import Tally


@dataclass
class Report:
    """problems: what must not be; empty where all that was promised held."""

    seed: int
    seconds: float
    faults: list[str]
    calls: int = 0
    per_second: float = 0.0
    requests: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, dict[str, int]] = field(default_factory=dict)
    exits: list[str] = field(default_factory=list)
    billed: int = 0
    exact: int = 0
    postings: int = 0
    spent_usd: str = ""
    replayed: int = 0
    rounds_until_well: int = 0
    slow_proofs: int = 0
    problems: list[str] = field(default_factory=list)

    def take(self, tally: Tally, seconds: float, requests: int) -> None:
        """requests: that the client sent for these calls, again sent ones too."""
        self.calls, self.requests = tally.calls, requests
        self.per_second = round(tally.calls / seconds, 1)
        self.ends = {str(how): tally.count(how) for how in How if tally.count(how)}
        self.kinds = tally.by_kind()
        unpleasant = {str(end) for _, end in tally.endings if end.how not in (How.ANSWERED, How.LEFT)}
        self.errors = {
            end: sum(ends.get(end, 0) for ends in self.kinds.values()) for end in sorted(unpleasant)
        }
        self.problems += tally.failures

    @property
    def text(self) -> str:
        return "\n".join(self._lines())

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def _lines(self) -> Iterator[str]:
        yield f"seed {self.seed}, {self.seconds:g} seconds, {len(self.faults)} faults"
        yield from (f"  {fault}" for fault in self.faults)
        yield f"{self.calls} calls, {self.per_second} a second; {self.requests} requests with what was asked again"
        yield from (f"  {count:6d}  {how}" for how, count in self.ends.items())
        saw = sum(self.errors.values())
        yield f"{saw} callers saw an error" + (f" ({saw / self.calls:.2%})" if self.calls else "")
        yield from (f"  {count:6d}  {what}" for what, count in self.errors.items())
        yield f"{len(self.exits)} processes ended by themselves"
        yield from (f"  {line}" for each in self.exits for line in each.splitlines())
        yield f"well again after {self.rounds_until_well} rounds of all kinds of calls"
        yield (
            f"money: {self.billed} attempts billed by the provider, {self.exact} posted to the nano-dollar,"
            f" {self.billed - self.exact} as estimates; {self.postings} postings, ${self.spent_usd} spent"
        )
        if self.slow_proofs:
            yield f"{self.slow_proofs} times a proof was begun again: the admin API did not answer in time"
        yield f"replay: {self.replayed} records of usage told again"
        yield f"{len(self.problems)} problems" if self.problems else "no problem: all that was promised held"
        yield from (f"  {problem}" for problem in self.problems)
