"""The rpc door for prices: all of the list, then every change, for those who cannot hear of it over the bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

from hive_billing.price_list import PriceList
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from modelhive.control.v1.state_pb2 import (
    SnapshotRequest,
    SnapshotResponse,
    StateRecord,
    WatchRequest,
    WatchResponse,
)
from modelhive.control.v1.state_pb2_grpc import StateServicer, add_StateServicer_to_server
from modelhive.events.v1.ledger_pb2 import PriceListed

KIND = PriceListed.DESCRIPTOR.full_name
SIGN_OF_LIFE_SECONDS = 0.5
PORTION = 200


class StateDoor(StateServicer):
    """prices: the list of whoever keeps the books; None where that is not this process."""

    attach = staticmethod(add_StateServicer_to_server)

    def __init__(self, prices: Callable[[], PriceList | None], clock: Clock) -> None:
        self._prices = prices
        self._clock = clock

    async def Snapshot(self, request: SnapshotRequest, context: object) -> AsyncIterator[SnapshotResponse]:
        version, listed = self._list(request.kind).listed()
        for records in _portions(_changes({}, listed, version)):
            yield SnapshotResponse(records=records)
        yield SnapshotResponse(through=version)

    async def Watch(self, request: WatchRequest, context: object) -> AsyncIterator[WatchResponse]:
        prices, told = self._list(request.kind), dict[str, PriceListed]()
        while self._prices() is prices:
            news = prices.news
            version, listed = prices.listed()
            for records in _portions(_changes(told, listed, version)):
                yield WatchResponse(records=records)
            told = dict(listed)
            yield WatchResponse(through=version)
            while not await self._hears(news) and self._prices() is prices:
                prices.may_speak()
                yield WatchResponse(through=version)
        raise _away()

    def _list(self, kind: str) -> PriceList:
        if kind != KIND:
            raise HiveError(Kind.NOT_FOUND, f"Billing does not own {kind!r}: it tells {KIND}.", "kind")
        prices = self._prices()
        if prices is None:
            raise _away()
        return prices

    async def _hears(self, news: asyncio.Event) -> bool:
        """Whether there is any, before it is time for a sign of life."""
        waiting = {
            asyncio.ensure_future(news.wait()),
            asyncio.ensure_future(self._clock.sleep(SIGN_OF_LIFE_SECONDS)),
        }
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
        return news.is_set()


def _changes(
    told: Mapping[str, PriceListed], listed: Mapping[str, PriceListed], version: int
) -> list[StateRecord]:
    live = [
        StateRecord(key=subject, revision=price.version, message=price.SerializeToString())
        for subject, price in listed.items()
        if told.get(subject) != price
    ]
    return live + [StateRecord(key=subject, revision=version) for subject in told if subject not in listed]


def _portions(records: list[StateRecord]) -> list[list[StateRecord]]:
    return [records[start : start + PORTION] for start in range(0, len(records), PORTION)]


def _away() -> HiveError:
    message = "Another process keeps the price list, and this one stands by. Try again in a moment."
    return HiveError(Kind.UNAVAILABLE, message, retry_after=1)
