"""Rows of billing's tables to domain values and back."""

from __future__ import annotations

from typing import Any

import msgspec

from hive_billing import ledger
from hive_billing.books import Balance
from hive_billing.holders import Holder, Kept
from hive_billing.leases import Spans
from hive_billing.ledger import Posting, PostingKind
from hive_billing.tables import postings

encode = msgspec.json.Encoder().encode


class Details(msgspec.Struct, omit_defaults=True):
    """What of a posting no query asks for."""

    units: dict[str, int] = {}
    scopes: tuple[str, ...] = ()
    holder: str = ""
    carried: int = 0
    tags: tuple[str, ...] = ()
    note: str = ""


_decode_details = msgspec.json.Decoder(Details).decode
_decode_entries = msgspec.json.Decoder(ledger.Entries).decode
_decode_strays = msgspec.json.Decoder(list[int]).decode
_NAMES = [column.name for column in postings.columns]


def posting_row(posting: Posting) -> tuple[Any, ...]:
    details = Details(
        units=posting.units,  # type: ignore[arg-type]
        scopes=posting.scopes,
        holder=posting.holder,
        carried=posting.carried,
        tags=posting.tags,
        note=posting.note,
    )
    return (
        posting.sequence,
        posting.cause,
        int(posting.kind),
        posting.occurred_ms,
        posting.posted_ms,
        posting.tenant_id,
        posting.key_id,
        posting.request_id,
        posting.attempt,
        posting.call,
        posting.model,
        posting.provider,
        posting.deployment,
        posting.account,
        posting.counter,
        posting.cost,
        posting.spent,
        posting.provider_cost,
        posting.price_version,
        posting.estimated,
        posting.corrects,
        encode(posting.entries).decode(),
        encode(details).decode(),
    )


def posting_of(row: Any) -> Posting:
    fields = dict(zip(_NAMES, row, strict=True))
    details = _decode_details(fields.pop("details"))
    fields["kind"] = PostingKind(fields["kind"])
    fields["estimated"] = bool(fields["estimated"])
    fields["entries"] = _decode_entries(fields["entries"])
    return Posting(**fields, **{name: getattr(details, name) for name in Details.__struct_fields__})


def balance_row(balance: Balance) -> tuple[Any, ...]:
    return balance.tenant_id, balance.amount, balance.funded, balance.used, balance.closing


def holder_row(holder: Holder) -> tuple[Any, ...]:
    strays = encode(holder.kept.strays).decode()
    return (
        holder.name,
        holder.address,
        holder.written,
        holder.ended,
        holder.kept.through,
        strays,
        holder.generation,
        holder.given_up,
    )


def holder_of(row: Any, now_ms: int, monotonic: float, spans: Spans, has_leases: bool) -> Holder:
    """Its time goes on where it stood, but never lasts longer than if it had spoken just now.

    Nor does that of one that has leases end before it can be heard: while nobody kept the books, nobody else was lent
    its money either.
    """
    kept = Kept(row.through, _decode_strays(row.strays))
    left = max(spans.grantable if has_leases else 0.0, (row.booked_until_ms - now_ms) / 1000)
    left = min(sum(spans), left)
    until = monotonic + left
    return Holder(
        row.holder,
        row.address,
        until - spans.booked,
        until,
        row.booked_until_ms,
        row.ended,
        row.generation,
        row.given_up,
        kept,
    )
