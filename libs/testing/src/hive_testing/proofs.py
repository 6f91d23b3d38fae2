"""What must be true of the books whatever died: the provider's own bill beside the ledger, and doctor's word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hive_testing.http import eventually
from hive_testing.served import PRICE, Served
from hive_testing.simulator.bill import BillLine

PROMPT = Decimal(str(PRICE["prompt"])) / int(str(PRICE["per"]))
COMPLETION = Decimal(str(PRICE["completion"])) / int(str(PRICE["per"]))


@dataclass(frozen=True, slots=True)
class Proof:
    """billed: attempts on the provider's bill, of which so many are posted exactly, the others as estimates."""

    billed: int
    exact: int
    postings: int
    spent: Decimal

    def __str__(self) -> str:
        return (
            f"The provider billed {self.billed} attempts: {self.exact} posted to the nano-dollar,"
            f" {self.billed - self.exact} as estimates; {self.postings} postings, ${self.spent} spent, doctor is"
            " content."
        )


def prove(gateway: Served, bill: Sequence[BillLine], credit: Decimal, tenant: str = "default") -> Proof:
    """Raises AssertionError where money was lost, invented or counted twice.

    bill: all that the provider billed. credit: what the tenant's wallet began with.
    Each billed attempt has exactly one provider-cost posting, equal to the nano-dollar where its usage reached us
    and else an estimate; no cause is posted twice; what the wallet and the budgets from it lost is what was spent;
    doctor finds nothing.
    """
    eventually(lambda: kept(gateway), 60, "all usage is kept by all who keep it")
    found = examined(gateway)
    assert found["problems"] == [] and found["ok"], found
    postings = list(posted(gateway))
    usage = [each for each in postings if each["kind"] == "usage"]
    causes = Counter(each["cause"] for each in usage)
    assert set(causes.values()) <= {1}, [cause for cause, count in causes.items() if count > 1]
    by_cause = {each["cause"]: each for each in usage}
    exact = 0
    for line in bill:
        posting = by_cause.get(cause_of(line))
        assert posting is not None, f"{line} has no posting"
        if not posting["estimated"]:
            assert line.finished, f"{line} did not finish, and is posted as if it had"
            assert Decimal(posting["provider_cost_usd"]) == price_of(line), (line, posting)
            exact += 1
    spent = sum((Decimal(each["spent_usd"]) for each in postings), Decimal())
    wallet = gateway.admin("GET", f"/wallets/{tenant}")
    assert Decimal(wallet["used_usd"]) == spent
    left = Decimal(wallet["balance_usd"]) + Decimal(wallet["budgets_usd"])
    assert left == credit - spent, (wallet, spent)
    return Proof(len(bill), exact, len(postings), spent)


def posted(gateway: Served) -> Iterator[dict[str, Any]]:
    """The whole ledger, oldest first."""
    after = 0
    while True:
        page = gateway.admin("GET", f"/ledger?limit=100&order=asc&after={after}")
        yield from page["data"]
        if not page["has_more"]:
            return
        after = page["last_id"]


def cause_of(line: BillLine) -> str:
    """The cause under which the attempt is posted."""
    request, attempt, call = line.attempt_id.rsplit("-", 2)
    return f"usage:{request}:{attempt}.{call}"


def price_of(line: BillLine) -> Decimal:
    return line.prompt_tokens * PROMPT + line.completion_tokens * COMPLETION


def kept(gateway: Served) -> bool:
    """Whether all usage is kept by all who keep it."""
    figures = gateway.metrics()
    unkept = [value for name, value in figures.items() if name.startswith("hive_routing_usage_unkept")]
    return bool(unkept) and not any(unkept)


def examined(gateway: Served, seconds: float = 60) -> dict[str, Any]:
    """What doctor says once analytics has caught up with the books."""

    def caught_up() -> dict[str, Any]:
        found: dict[str, Any] = gateway.admin("GET", "/doctor")
        return found if found["watermark"] == found["last_posting"] else {}

    return eventually(caught_up, seconds, "analytics has what the books have")
