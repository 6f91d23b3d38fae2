"""Providers that speak OpenAI's dialect: a row of `hive_runtime.provider_kinds.COMPATIBLE` says where they differ."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from hive_routing.providers.bodies import reranking
from hive_routing.providers.bodies.edits import Edits
from hive_routing.providers.openai import OpenAIProvider
from hive_routing.providers.over_http import Site
from hive_routing.providers.port import ProviderAnswer, ProviderCall
from hive_runtime.provider_kinds import Compatible


class CompatibleProvider(OpenAIProvider):
    """Like OpenAI but for what its row says."""

    def __init__(self, site: Site, row: Compatible) -> None:
        self.speaks = row.speaks
        super().__init__(site)
        self._edits = Edits(frozenset(row.drops), frozenset(row.message_drops), dict(row.renames))
        self._rerank = row.rerank

    def send(self, call: ProviderCall) -> Coroutine[Any, Any, ProviderAnswer]:
        if call.operation == "rerank":
            return self._reranked(call)
        body = self._edits.made(call.body) if self._edits else call.body
        return self._post(self._path(call), call, body)

    async def _reranked(self, call: ProviderCall) -> ProviderAnswer:
        body = reranking.asked(call.body, self._rerank)
        return self._rewritten(await self._post(self._path(call), call, body), reranking.in_coheres_form)
