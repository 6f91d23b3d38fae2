"""What operators see of the books: postings, what tenants could not pay, what contradicts itself, what is lent."""

from __future__ import annotations

import structlog

from hive_billing.books import Books, Draft
from hive_billing.ledger import OVERRUN
from hive_runtime.telemetry import Metrics

log = structlog.get_logger(__name__)


class Figures:
    def __init__(self, metrics: Metrics) -> None:
        self._postings = metrics.counter("hive_billing_postings", "Postings to the ledger.", ("kind",))
        self._overrun = metrics.counter(
            "hive_billing_overrun_nanos", "What the operator paid for tenants, in nano-dollars."
        )
        self._conflicts = metrics.counter(
            "hive_billing_cause_conflicts",
            "Causes that came again with another amount; the first one stands.",
        )
        self._lent = metrics.gauge("hive_billing_leases", "Leases of holders that are not settled.")

    def note(self, draft: Draft, books: Books) -> None:
        """What was written just now."""
        counts: dict[str, int] = {}
        overrun = 0
        for posting in draft.postings:
            name = posting.kind.name.lower()
            counts[name] = counts.get(name, 0) + 1
            for account, amount in posting.entries:
                if account == OVERRUN and amount < 0:
                    overrun -= amount
        for name, count in counts.items():
            self._postings.labels(name).inc(count)
        if overrun:
            self._overrun.inc(overrun)
        if draft.leases:
            self._lent.set(sum(len(each.by_holder) for each in books.leased.values()))
        for cause in draft.conflicts:
            self._conflicts.inc()
            log.error("a cause came again with another amount: the first one stands", cause=cause)
