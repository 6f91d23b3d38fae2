"""The rpc door of the cache, for administration."""

from __future__ import annotations

from typing import Any

from hive_routing.caching.store import Port
from modelhive.routing.v1 import cache_pb2 as pb
from modelhive.routing.v1.cache_pb2_grpc import CacheServicer, add_CacheServicer_to_server


class CacheDoor(CacheServicer):
    attach = staticmethod(add_CacheServicer_to_server)

    def __init__(self, store: Port) -> None:
        self._store = store

    async def Stats(self, request: pb.StatsRequest, context: Any) -> pb.StatsResponse:
        stats = await self._store.stats()
        return pb.StatsResponse(
            entries=stats.entries,
            bytes=stats.bytes,
            max_bytes=stats.max_bytes,
            hits=stats.hits,
            misses=max(0, stats.misses - stats.followers),
            followers=stats.followers,
            evicted=stats.evicted,
            expired=stats.expired,
        )

    async def Clear(self, request: pb.ClearRequest, context: Any) -> pb.ClearResponse:
        return pb.ClearResponse(cleared=await self._store.clear(request.tenant_id))
