"""Leases: who gets which slice of every scope, all or none, and when it is free again.

A lease may be granted from until its holder was not heard of for `grantable` seconds, and stays booked for `booked`
seconds more, so that the longest call can end and be told. Nothing is freed before without the holder's word.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

from hive_billing.accounts import Terms
from hive_billing.books import UNBOUNDED, Books, Why
from hive_billing.holders import Holder, Report


class Spans(NamedTuple):
    """Seconds; see the module."""

    grantable: float = 60.0
    booked: float = 660.0


class Slice(NamedTuple):
    scope: str
    amount: int
    free: int


class Granted(NamedTuple):
    terms: Terms
    slices: list[Slice]
    generation: int


class Short(NamedTuple):
    """The scope that was short of most, by how much, and what is free of it. Nothing was given of any scope."""

    terms: Terms
    scope: str
    lacks: int
    free: int
    generation: int


class Position(NamedTuple):
    """What a holder still has of a scope."""

    scope: str
    lease: int


class Said(NamedTuple):
    """What a holder says of itself when it renews.

    generation: of the positions. through: the last usage that it had closed by then. number: of this report, from 1.
    last_exact: the last report during which it asked for nothing.
    """

    positions: Sequence[Position] = ()
    generation: int = 0
    through: int = 0
    number: int = 0
    last_exact: int = 0


def acquire(
    books: Books,
    holder: Holder,
    terms: Terms,
    wants: Mapping[str, int],
    wanted: int,
    waiting: Mapping[str, int],
    fewest: int = 1,
) -> Granted | Short:
    """Give at least what is wanted of each scope, or nothing. CapsNotOpen before anything has changed.

    wants: by scope, else `wanted` of each. waiting: by scope, what others have to get first of what is left.
    fewest: holders that there are at least, whether they have been heard of or not.
    """
    books.require(terms.scopes)
    free = {scope: books.free(scope) for scope in terms.scopes}
    needs = {scope: max(0, wants.get(scope, 0) if wants else wanted) for scope in terms.scopes}
    lacks = {scope: needs[scope] - free[scope] for scope in free if needs[scope] > max(0, free[scope])}
    if lacks:
        scope = max(lacks, key=lambda name: lacks[name])
        return Short(terms, scope, lacks[scope], max(0, free[scope]), holder.generation)
    live = sum(each.is_live(books.monotonic) for each in books.holders.values()) if free else 1
    sharers = 2 * max(fewest, live)
    # What it used before it began anew is paid from what is free: that stays, until all of it has come.
    is_behind = not holder.kept.covers(holder.given_up, holder.behind)
    slices = []
    for scope, left in free.items():
        amount = needs[scope] if is_behind else _portion(left, needs[scope], waiting.get(scope, 0), sharers)
        if amount:
            books.change_lease(holder.name, scope, amount, Why.ACQUIRED)
        slices.append(Slice(scope, amount, max(0, left - amount)))
    return Granted(terms, slices, holder.generation)


def touch(
    books: Books, holder: Holder, address: str, spans: Spans, generation: int = 0, through: int = 0
) -> bool:
    """The holder is alive: its leases stay. False where there were none to stay, and it begins anew.

    generation: the last that it knows of. One that is not known here: the books are an older copy than what it had.
    through: the last usage that it has closed.
    """
    stays = books.monotonic < holder.booked_until and generation <= holder.generation
    if not stays:
        _lapse(books, holder, generation)
    if generation < holder.generation or holder.begins_anew:
        holder.behind = max(holder.behind, through)
        if generation == holder.generation:
            holder.begins_anew = False
    holder.grantable_until = books.monotonic + spans.grantable
    holder.booked_until = holder.grantable_until + spans.booked
    until_ms = books.now_ms + round((spans.grantable + spans.booked) * 1000)
    late = until_ms - holder.written > spans.grantable * 250
    if late or holder.ended or address != holder.address:
        holder.written, holder.ended, holder.address = until_ms, False, address
        books.draft.holders.add(holder.name)
    return stays


def renew(books: Books, holder: Holder, said: Said, asked: Container[str] = ()) -> None:
    """Free what is booked and the holder does not have: it got lost on its way.

    That is known from a report during which nothing was on its way to the holder or back, which the holder says with a
    later one, once all usage that it had closed before is settled. What of that does not come for so long as a lease
    stays booked is not waited for: should it come, it is paid from free money.

    asked: scopes of which the holder is asked to give something back.
    """
    report = holder.report
    if report is not None and report.number == said.last_exact:
        report.is_exact = True
    if report is not None and report.is_exact:
        if not holder.kept.covers(holder.given_up, report.through):
            if books.monotonic - report.said_at < holder.booked_until - holder.grantable_until:
                return
            holder.given_up = report.through
            books.draft.holders.add(holder.name)
        for scope, missing in report.surplus.items():
            lost = min(missing, books.lease(holder.name, scope))
            if lost > 0:
                books.change_lease(holder.name, scope, -lost, Why.TRIMMED)
        holder.report = None
    if said.number > holder.heard:  # else it is a copy that was long on its way
        holder.heard = said.number
        has = {position.scope: position.lease for position in said.positions}
        leases = books.leases_of(holder.name)
        surplus = {
            scope: booked - has.get(scope, 0) for scope, booked in leases.items() if scope not in asked
        }
        holder.report = Report(said.number, said.through, books.monotonic, surplus)


def give_back(books: Books, holder: Holder, amounts: Mapping[str, int], why: Why) -> int:
    """Free idle money of a holder, as far as it is booked; how much that was."""
    freed = 0
    for scope, amount in amounts.items():
        amount = min(amount, books.lease(holder.name, scope))
        if amount > 0:
            books.change_lease(holder.name, scope, -amount, why)
            freed += amount
            if holder.report is not None and scope in holder.report.surplus:
                holder.report.surplus[scope] -= amount
    return freed


def end(books: Books, holder: Holder) -> None:
    """The holder grants no more; what it has stays booked until it is settled or expires."""
    holder.ended = True
    holder.grantable_until = books.monotonic
    books.draft.holders.add(holder.name)


def free_all(books: Books, holder: Holder, why: Why) -> None:
    """Nothing that the holder has is its own any more."""
    for scope, amount in books.leases_of(holder.name).items():
        books.change_lease(holder.name, scope, -amount, why)
    books.leasing.discard(holder.name)


def expire(books: Books) -> list[str]:
    """Free what nobody has spoken for in time; the scopes that this freed."""
    freed: list[str] = []
    for name in list(books.leasing):
        holder = books.holders[name]
        if holder.booked_until <= books.monotonic:
            freed.extend(books.leases_of(name))
            _lapse(books, holder)
            end(books, holder)
    books.close_caps()
    return freed


def _lapse(books: Books, holder: Holder, generation: int = 0) -> None:
    """What the holder had is free, and what it is lent from now on is of another generation. It may not know so yet."""
    free_all(books, holder, Why.EXPIRED)
    holder.generation = max(holder.generation, generation) + 1
    holder.report, holder.begins_anew = None, True
    books.draft.holders.add(holder.name)


def _portion(free: int, needed: int, waiting: int, sharers: int) -> int:
    """All of it for a holder that is alone; else a part, so that the others find something."""
    if free <= 0 or free >= UNBOUNDED:
        return needed
    share = free if sharers <= 2 else free // sharers
    return min(free, max(needed, min(share, free - waiting)))
