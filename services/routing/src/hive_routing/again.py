"""Answers that are given again: from the cache, or along with an equal request that is under way.

They cost what the tenant's terms say, which is nothing by default, and pass no guard: they have passed them all.
What was taken out of this request is put back, as it is in an answer of a provider.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterable

from hive_routing.answers import Headers, send_whole, start_stream, stream_part
from hive_routing.attempts import CacheStatus
from hive_routing.caching import Entry, Following, Leading
from hive_routing.caching.terms import Terms
from hive_routing.spending import CACHE, Bill, Spending
from hive_routing.usage import Usage
from hive_routing.visit import Spent, Visit
from hive_runtime.money import format_usd

_OF_A_CALL = (b"x-hive-attempts", b"x-hive-upstream-request-id")


class Again:
    """Raises what `Spending.reserve` does, and HiveError where an answer that is followed breaks."""

    def __init__(self, spending: Spending) -> None:
        self._spending = spending

    async def give(self, entry: Entry, visit: Visit, terms: Terms) -> None:
        """What was kept."""
        cost = terms.price(entry.cost)
        bill = await self._reserve(cost, visit)
        try:
            await visit.caller.go()
            # Before anything is sent: who leaves has had it all the same.
            self._settle(entry, visit, cost, bill)
            if entry.streamed:
                last = await self._stream(entry.headers, _each(entry.chunks[:-1]), visit)
            else:
                last = b"".join(entry.chunks)
            await self._end(entry, last, visit, bill)
        finally:
            bill.close()

    async def follow(self, seat: Following, visit: Visit, terms: Terms) -> Leading | None:
        """What an equal request hears, while it hears it; a seat where this one has to lead instead."""
        with seat:
            begun = await seat.start()
            if isinstance(begun, Leading):
                return begun
            bill = await self._reserve_share(visit, terms)
            try:
                await visit.caller.go()
                if begun.streamed:
                    last = await self._stream(begun.headers, seat, visit)
                else:
                    last = b"".join([piece async for piece in seat])
                assert seat.entry is not None, "it is known once all pieces are"
                self._settle(seat.entry, visit, terms.price(seat.entry.cost), bill)
                await self._end(seat.entry, last, visit, bill)
            finally:
                bill.close()
        return None

    def _reserve(self, amount: int, visit: Visit) -> Awaitable[Bill]:
        """amount: nano-dollars."""
        caller = visit.caller
        caller.handling.cache = CacheStatus.HIT
        return self._spending.reserve_again(
            visit.request,
            caller.payer,
            caller.request_id,
            caller.attempt,
            visit.model,
            amount,
            caller.handling,
        )

    def _reserve_share(self, visit: Visit, terms: Terms) -> Awaitable[Bill]:
        """The tenant's part of what a call may cost, where it is not known yet what it does."""
        if not terms.price_percent:
            return self._reserve(0, visit)
        caller = visit.caller
        caller.handling.cache = CacheStatus.HIT
        return self._spending.reserve(
            visit.request,
            caller.payer,
            caller.request_id,
            caller.attempt,
            visit.model,
            caller.handling,
            terms.price_percent,
        )

    async def _stream(
        self, headers: Iterable[tuple[bytes, bytes]], pieces: AsyncIterator[bytes], visit: Visit
    ) -> bytes:
        """Send a stream up to its last events; gives what is left of it to send."""
        gates = visit.guarded.replay_gates()
        await start_stream(visit.send, self._headers(headers, visit))
        async for piece in pieces:
            if data := await gates.feed(piece) if gates else piece:
                await visit.send(stream_part(data))
        return await gates.end() if gates else b""

    def _settle(self, entry: Entry, visit: Visit, cost: int, bill: Bill) -> None:
        """cost: nano-dollars."""
        bill.again(visit.model, cost, entry.streamed)
        visit.caller.spent = Spent(entry.model_id, CACHE, CACHE, Usage(0, 0, {}), cost, 0)

    async def _end(self, entry: Entry, last: bytes, visit: Visit, bill: Bill) -> None:
        """Send the end."""
        told = format_usd(bill.cost or 0)
        if entry.streamed:
            end = last + visit.request.endpoint.ending(entry.chunks[-1], {"cost": told})
            await visit.send({"type": "http.response.body", "body": end, "more_body": False})
            return
        headers = [*self._headers(entry.headers, visit), (b"x-hive-cost", told.encode())]
        await send_whole(visit.send, visit.guarded.restored(last), headers)

    def _headers(self, headers: Iterable[tuple[bytes, bytes]], visit: Visit) -> Headers:
        return [*headers, (b"x-hive-attempts", b"0"), *visit.own_headers()]


def kept_headers(headers: Headers) -> Headers:
    """Those of an answer that are true again when it is given again."""
    kept = dict(headers)
    for name in _OF_A_CALL:
        kept.pop(name, None)
    return list(kept.items())


async def _each(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
