"""The ledger: postings of entries that sum to zero, each with a cause that no other posting has.

Credits are positive, debits negative. Accounts of a tenant: `wallet:<tenant>`, `budget:<key>`,
`receivable:<tenant>` (what it owes stands there as a negative amount). The other side: `revenue`, `overrun`
(what the operator pays for tenants), `provider_cost:<provider>` with `payable:<provider>`, `funding:<source>`,
`refunds`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from operator import itemgetter
from typing import Final

import msgspec

REVENUE: Final = "revenue"
OVERRUN: Final = "overrun"
REFUNDS: Final = "refunds"
OWN: Final = ("wallet:", "budget:", "receivable:")
"""What the accounts of tenants begin with."""

Entries = tuple[tuple[str, int], ...]
_amount = itemgetter(1)


class PostingKind(IntEnum):
    """What a posting is about; the numbers are those of the contract."""

    CREDIT = 1
    RECHARGE = 2
    TRANSFER = 3
    USAGE = 4
    CORRECTION = 5
    REFUND = 6

    @property
    def is_spending(self) -> bool:
        """It pays for usage, or takes such a payment back; else it brings or moves money."""
        return self in _SPENDING


# No set: the hash of an enum's member is a call of Python's.
_SPENDING = (PostingKind.USAGE, PostingKind.CORRECTION, PostingKind.REFUND)


class Posting(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One posting as it stands in the ledger for ever. Amounts are nano-dollars, times Unix milliseconds.

    account: the tenant's own account that it is about: who pays, or whose money it is. counter: the other
    account of a credit or a transfer. cost: by how much `revenue` changes. spent: what the tenant pays by it.
    carried: how much of the cost came out of the holder's leases of `scopes`.
    """

    sequence: int
    cause: str
    kind: PostingKind
    occurred_ms: int
    posted_ms: int
    tenant_id: str
    account: str
    entries: Entries
    key_id: str = ""
    request_id: str = ""
    attempt: int = 0
    call: int = 0
    model: str = ""
    provider: str = ""
    deployment: str = ""
    counter: str = ""
    cost: int = 0
    spent: int = 0
    provider_cost: int = 0
    price_version: int = 0
    estimated: bool = False
    corrects: str = ""
    units: Mapping[str, int] = {}
    scopes: tuple[str, ...] = ()
    holder: str = ""
    carried: int = 0
    tags: tuple[str, ...] = ()
    note: str = ""


class Usage(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One attempt as its holder tells it.

    carried: how much of `cost` its leases of each scope carry, those of `generation`; 0: whatever leases it has.
    """

    request_id: str
    attempt: int
    call: int
    tenant_id: str
    key_id: str
    occurred_ms: int
    cost: int
    provider_cost: int
    model: str = ""
    provider: str = ""
    deployment: str = ""
    price_version: int = 0
    estimated: bool = False
    units: Mapping[str, int] = {}
    scopes: tuple[str, ...] = ()
    holder: str = ""
    sequence: int = 0
    carried: int = 0
    generation: int = 0
    tags: tuple[str, ...] = ()

    @property
    def cause(self) -> str:
        return f"usage:{self.request_id}:{self.attempt}.{self.call}"


def wallet(tenant_id: str) -> str:
    return "wallet:" + tenant_id


def budget(key_id: str) -> str:
    return "budget:" + key_id


def receivable(tenant_id: str) -> str:
    return "receivable:" + tenant_id


def funding(source: str) -> str:
    return "funding:" + source


def is_own(account: str) -> bool:
    """It belongs to a tenant or one of its keys."""
    return account.startswith(OWN)


def owner_id(account: str) -> str:
    """The tenant's or key's id in an account's name."""
    return account.partition(":")[2]


def total(entries: Iterable[tuple[str, int]]) -> int:
    return sum(map(_amount, entries))


def spending(payer: str, paid: int, cost: int, provider: str, provider_cost: int) -> Entries:
    """Entries of usage that costs `cost`, of which the payer pays `paid` and the operator the rest."""
    entries = []
    if paid:
        entries.append((payer, -paid))
    if cost != paid:
        entries.append((OVERRUN, paid - cost))
    if cost:
        entries.append((REVENUE, cost))
    if provider_cost:
        entries.append(("provider_cost:" + provider, -provider_cost))
        entries.append(("payable:" + provider, provider_cost))
    return tuple(entries)


def transfer(source: str, target: str, amount: int) -> Entries:
    return (source, -amount), (target, amount)
