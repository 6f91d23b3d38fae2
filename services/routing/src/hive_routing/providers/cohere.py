"""Cohere: its reranker as it is, chats through its OpenAI-compatible base, embeddings in OpenAI's form."""

from __future__ import annotations

from dataclasses import replace

import msgspec
from msgspec import Raw

from hive_routing.providers.bodies import embeddings
from hive_routing.providers.bodies.embeddings import Asked
from hive_routing.providers.over_http import HttpProvider, Site, bearer
from hive_routing.providers.port import ProviderAnswer, ProviderCall

_PATHS = {"chat": "/compatibility/v1/chat/completions", "rerank": "/v2/rerank", "embeddings": "/v2/embed"}
_EMBEDDING_MEMBERS = ("input_type", "truncate", "max_tokens", "priority")
_DEFAULT_INPUT = "search_document"


class _ByType(msgspec.Struct):
    float: list[Raw]


class _Billed(msgspec.Struct, frozen=True):
    input_tokens: float | None = None


class _Meta(msgspec.Struct, frozen=True):
    billed_units: _Billed = _Billed()


class _Embedded(msgspec.Struct):
    embeddings: _ByType
    meta: _Meta = _Meta()


_embedded = msgspec.json.Decoder(_Embedded).decode


class CohereProvider(HttpProvider):
    """base_url: what `/v2/rerank` and `/compatibility/v1` stand behind."""

    speaks = ("chat", "embeddings", "rerank")

    def __init__(self, site: Site) -> None:
        base = site.base_url.rstrip("/").removesuffix("/v2").removesuffix("/compatibility/v1")
        super().__init__(replace(site, base_url=base), bearer(site.credential), [site.credential])

    def _path(self, call: ProviderCall) -> str:
        return self.path + _PATHS[call.operation]

    async def send(self, call: ProviderCall) -> ProviderAnswer:
        if call.operation != "embeddings":
            return await self._post(self._path(call), call, call.body)
        asked = embeddings.read(call.body, _EMBEDDING_MEMBERS)
        fields = {
            "model": call.model,
            "texts": asked.texts,
            "embedding_types": ["float"],
            "input_type": _DEFAULT_INPUT,
            **asked.more,
        }
        if asked.dimensions is not None:
            fields["output_dimension"] = asked.dimensions
        answer = await self._post(self._path(call), call, msgspec.json.encode(fields))
        return self._rewritten(answer, lambda body: _in_openais_form(body, asked, call.model))


def _in_openais_form(body: bytes, asked: Asked, model: str) -> bytes:
    found = _embedded(body)
    tokens = found.meta.billed_units.input_tokens
    return embeddings.write(asked, model, found.embeddings.float, None if tokens is None else int(tokens))
