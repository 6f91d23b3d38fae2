"""The named questions. A new one is an entry here: nothing else knows any of them by name.

Most fold the measures of `families.py`. `Lines` list rows of their own, and `runway` is calculated from another
question's answer and the books (`runway.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from hive_analytics.families import COLUMNS, GUARD, LEDGER, REQUESTS, USAGE, Family
from hive_runtime.money import PROMPT_UNITS

MOST_ROWS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Column:
    """kind: `text`, `count`, `nanos`, `milliseconds`, `ratio`, `time`, `days` (the contract says what they mean).

    sql: over measures, or over the columns of a row.
    """

    name: str
    kind: str
    sql: str


@dataclass(frozen=True, slots=True)
class Folded:
    """A question that folds measures, by whatever dimensions and step it is asked.

    uses: the measures that its columns name. order: where no step is asked for. always: dimensions that it is
    asked by whoever asks. present: groups where this does not hold are left out.
    """

    name: str
    says: str
    families: tuple[Family, ...]
    uses: tuple[str, ...]
    columns: tuple[Column, ...]
    order: str
    always: tuple[str, ...] = ()
    present: str = ""
    bound: int = MOST_ROWS
    takes_step: bool = True

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What all of its rows have."""
        shared = set.intersection(*(set(family.dimensions) for family in self.families))
        return tuple(dimension for dimension in COLUMNS if dimension in shared)


@dataclass(frozen=True, slots=True)
class Lines:
    """A question that lists rows, each once. one: the columns that tell rows apart."""

    name: str
    says: str
    family: Family
    columns: tuple[Column, ...]
    where: str
    order: str
    one: str
    bound: int = 20
    takes_step: bool = field(default=False, init=False)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What they can be filtered by; there is nothing to group."""
        return self.family.dimensions


@dataclass(frozen=True, slots=True)
class Runway:
    """How long the money lasts."""

    name: str
    says: str
    columns: tuple[Column, ...]
    dimensions: tuple[str, ...] = ("tenant", "key")
    bound: int = MOST_ROWS
    takes_step: bool = field(default=False, init=False)


Question = Folded | Lines | Runway


def _ratio(name: str, part: str, whole: str) -> Column:
    return Column(name, "ratio", f"if({whole} = 0, NULL, {part} / {whole})")


def _percentiles(measure: str, count: str) -> tuple[Column, ...]:
    merged = f"quantilesExactMerge(0.5, 0.95, 0.99)({measure})"
    return tuple(
        Column(name, "milliseconds", f"if(sum({count}) = 0, NULL, {merged}[{place}] / 1000)")
        for place, name in enumerate(("p50", "p95", "p99"), 1)
    )


def _sum(name: str, kind: str, *measures: str) -> Column:
    return Column(name, kind, " + ".join(f"sum({measure})" for measure in measures))


_USED = "(sum(requests) != 0 OR sum(calls) != 0 OR sum(spent) != 0 OR sum(provider_cost) != 0)"
"""The ledger has postings that are no usage: a group of credits and transfers alone has nothing to show."""

_ASKED = "(sum(requests) - sum(from_cache))"
"""Requests that deployments had to answer."""

_CALL = (
    Column("time", "time", "toUnixTimestamp64Milli(started)"),
    Column("request", "text", "request_id"),
    Column("tenant", "text", "tenant_id"),
    Column("key", "text", "key_id"),
    Column("model", "text", "model"),
    Column("deployment", "text", "deployment"),
    Column("endpoint", "text", "endpoint"),
    Column("outcome", "text", "outcome"),
    Column("duration", "milliseconds", "duration_us / 1000"),
    Column("ttft", "milliseconds", "first_content_us / 1000"),
)
_ONE_CALL = "request_id, attempt, call"

_ALL: Final[tuple[Question, ...]] = (
    Folded(
        "usage",
        "How many requests and tokens there were, and what was paid for them.",
        (USAGE, LEDGER),
        (
            "requests",
            "calls",
            *PROMPT_UNITS,
            "completion",
            "reasoning",
            "audio_out",
            "spent",
            "provider_cost",
        ),
        (
            _sum("requests", "count", "requests"),
            _sum("calls", "count", "calls"),
            _sum("prompt_tokens", "count", *PROMPT_UNITS),
            _sum("completion_tokens", "count", "completion", "reasoning", "audio_out"),
            _sum("spent", "nanos", "spent"),
            _sum("provider_cost", "nanos", "provider_cost"),
        ),
        order="sum(spent) DESC, sum(requests) DESC",
        present=_USED,
    ),
    Folded(
        "spend",
        "What tenants paid for usage, and what providers charged for it, by the ledger.",
        (LEDGER,),
        ("spent", "provider_cost", "postings"),
        (
            _sum("spent", "nanos", "spent"),
            _sum("provider_cost", "nanos", "provider_cost"),
            _sum("postings", "count", "postings"),
        ),
        order="sum(spent) DESC, sum(provider_cost) DESC",
    ),
    Folded(
        "requests",
        "How many requests were made, each where its last call went, and how many calls to deployments."
        " A request that the response cache answered is one of the provider `cache`, and no call.",
        (USAGE,),
        ("requests", "calls"),
        (_sum("requests", "count", "requests"), _sum("calls", "count", "calls")),
        order="sum(requests) DESC, sum(calls) DESC",
    ),
    Folded(
        "tokens",
        "How many tokens were read and written; each is counted in one column only.",
        (USAGE,),
        (*PROMPT_UNITS, "completion", "reasoning", "audio_out"),
        (
            _sum("prompt", "count", "prompt"),
            _sum("cached_prompt", "count", "cached_prompt"),
            _sum("cache_write", "count", "cache_write_5m", "cache_write_1h"),
            _sum("completion", "count", "completion"),
            _sum("reasoning", "count", "reasoning"),
            _sum("audio", "count", "audio_in", "audio_out"),
            _sum("total", "count", *PROMPT_UNITS, "completion", "reasoning", "audio_out"),
        ),
        order=" + ".join(f"sum({unit})" for unit in (*PROMPT_UNITS, "completion", "reasoning")) + " DESC",
    ),
    Folded(
        "errors",
        "How many calls to deployments failed. A client that left is no failure.",
        (USAGE,),
        ("calls", "failed"),
        (
            _sum("calls", "count", "calls"),
            _sum("failed", "count", "failed"),
            _ratio("rate", "sum(failed)", "sum(calls)"),
        ),
        order="sum(failed) DESC, sum(calls) DESC",
        present="sum(calls) > 0",
    ),
    Folded(
        "latency",
        "How long calls to deployments took that were answered to their end.",
        (USAGE,),
        ("answered", "latency"),
        (_sum("calls", "count", "answered"), *_percentiles("latency", "answered")),
        order="sum(answered) DESC",
        present="sum(answered) > 0",
    ),
    Folded(
        "ttft",
        "How long it took until the first content came, of calls where any came.",
        (USAGE,),
        ("timed", "ttft"),
        (_sum("calls", "count", "timed"), *_percentiles("ttft", "timed")),
        order="sum(timed) DESC",
        present="sum(timed) > 0",
    ),
    Folded(
        "cache",
        "How many of the requests the response cache was asked for, and how many of those it had."
        " A bypass is a request whose caller wanted no look-up.",
        (REQUESTS,),
        ("received", "hits", "misses", "bypasses"),
        (
            _sum("requests", "count", "received"),
            _sum("looked_up", "count", "hits", "misses"),
            _sum("hits", "count", "hits"),
            _sum("misses", "count", "misses"),
            _sum("bypasses", "count", "bypasses"),
            _ratio("rate", "sum(hits)", "(sum(hits) + sum(misses))"),
        ),
        order="sum(hits) + sum(misses) DESC, sum(bypasses) DESC",
        present="sum(hits) + sum(misses) + sum(bypasses) > 0",
    ),
    Folded(
        "guard",
        "What the guardrails decided, and how often they blocked. A request has a decision of each guard and stage.",
        (GUARD,),
        ("verdicts", "allowed", "flagged", "redacted", "blocked"),
        (
            _sum("decisions", "count", "verdicts"),
            _sum("allowed", "count", "allowed"),
            _sum("flagged", "count", "flagged"),
            _sum("redacted", "count", "redacted"),
            _sum("blocked", "count", "blocked"),
            _ratio("rate", "sum(blocked)", "sum(verdicts)"),
        ),
        order="sum(blocked) DESC, sum(verdicts) DESC",
        present="sum(verdicts) > 0",
    ),
    Folded(
        "guarded",
        "How many requests guards have read, and how many were refused by one.",
        (REQUESTS,),
        ("received", "guarded", "refused"),
        (
            _sum("requests", "count", "received"),
            _sum("guarded", "count", "guarded"),
            _sum("blocked", "count", "refused"),
            _ratio("rate", "sum(refused)", "sum(guarded)"),
        ),
        order="sum(refused) DESC, sum(guarded) DESC",
        present="sum(guarded) > 0",
    ),
    Folded(
        "replays",
        "How many requests got the stored answer of an earlier one with the same Idempotency-Key.",
        (REQUESTS,),
        ("received", "replays"),
        (
            _sum("requests", "count", "received"),
            _sum("replays", "count", "replays"),
            _ratio("rate", "sum(replays)", "sum(received)"),
        ),
        order="sum(replays) DESC, sum(received) DESC",
        present="sum(replays) > 0",
    ),
    Folded(
        "attempts",
        "How many calls to deployments a request took on average, of those that the response cache did not answer.",
        (USAGE,),
        ("requests", "from_cache", "calls"),
        (
            Column("requests", "count", _ASKED),
            _sum("calls", "count", "calls"),
            Column("calls_per_request", "count", f"if({_ASKED} = 0, NULL, sum(calls) / {_ASKED})"),
        ),
        order="sum(calls) DESC",
        present="sum(calls) > 0",
    ),
    Folded(
        "top_keys",
        "Which keys spent the most.",
        (USAGE, LEDGER),
        ("spent", "provider_cost", "requests", "calls"),
        (
            _sum("spent", "nanos", "spent"),
            _sum("provider_cost", "nanos", "provider_cost"),
            _sum("requests", "count", "requests"),
            _sum("calls", "count", "calls"),
        ),
        order="sum(spent) DESC, sum(requests) DESC",
        always=("tenant", "key"),
        present=_USED,
        bound=10,
        takes_step=False,
    ),
    Lines(
        "slowest",
        "The calls to deployments that took longest.",
        USAGE,
        _CALL,
        where="cache != 'hit'",
        order="duration_us DESC",
        one=_ONE_CALL,
    ),
    Lines(
        "failed",
        "The calls to deployments that failed, the newest first.",
        USAGE,
        (*_CALL, Column("error", "text", "error"), Column("upstream", "text", "upstream_request_id")),
        where="failed",
        order="started DESC",
        one=_ONE_CALL,
    ),
    Runway(
        "runway",
        "How many days wallets (no key) and budgets last, at what was spent per day in the last 7 days."
        " What a wallet has includes what lies in the budgets of its keys.",
        (
            Column("tenant", "text", ""),
            Column("key", "text", ""),
            Column("left", "nanos", ""),
            Column("per_day", "nanos", ""),
            Column("days", "days", ""),
        ),
    ),
)
QUESTIONS: Final[Mapping[str, Question]] = {question.name: question for question in _ALL}
