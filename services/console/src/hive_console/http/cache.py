"""`/cache`: the answers that routing keeps to give them again."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from hive_console.books import SECONDS, answer_of
from hive_console.http.reading import parameters
from hive_console.tenants import Tenants
from hive_rpc import Channel
from modelhive.routing.v1.cache_pb2 import ClearRequest, StatsRequest
from modelhive.routing.v1.cache_pb2_grpc import CacheStub


def cache_routes(tenants: Tenants, channel: Channel) -> APIRouter:
    router = APIRouter(prefix="/cache")
    cache = CacheStub(channel)

    @router.get("")
    async def stats() -> dict[str, Any]:
        found = await answer_of("routing", cache.Stats(StatsRequest(), timeout=SECONDS))
        return {
            "object": "cache",
            "entries": found.entries,
            "bytes": found.bytes,
            "max_bytes": found.max_bytes,
            "hits": found.hits,
            "misses": found.misses,
            "followers": found.followers,
            "evicted": found.evicted,
            "expired": found.expired,
        }

    # A misspelt filter must not clear the answers of everybody.
    @router.delete("", dependencies=[Depends(parameters("tenant"))])
    async def clear(tenant: str | None = None) -> dict[str, Any]:
        if tenant is not None:
            tenant = (await tenants.get(tenant)).id
        call = cache.Clear(ClearRequest(tenant_id=tenant or ""), timeout=SECONDS)
        done = await answer_of("routing", call)
        return {"object": "cache.cleared", "tenant": tenant, "cleared": done.cleared}

    return router
