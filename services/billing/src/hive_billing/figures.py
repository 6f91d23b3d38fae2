"""What operators see of the books: postings, what tenants could not pay, what contradicts itself, what is lent."""

from __future__ import annotations

from operator import attrgetter

import structlog

from hive_billing.books import Books, Draft
from hive_runtime.telemetry import Metrics

_kind = attrgetter("kind")
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
        postings = draft.postings
        kinds = [*map(_kind, postings)]
        while kinds:
            kind, count = kinds[-1], len(kinds)
            kinds = [each for each in kinds if each is not kind]
            self._postings.labels(kind.name.lower()).inc(count - len(kinds))
        # What of the cost the tenant did not pay, or got back.
        if overrun := sum([each.cost - each.spent for each in postings if each.cost > each.spent]):
            self._overrun.inc(overrun)
        if draft.leases:
            self._lent.set(sum(len(each.by_holder) for each in books.leased.values()))
        for cause in draft.conflicts:
            self._conflicts.inc()
            log.error("a cause came again with another amount: the first one stands", cause=cause)
