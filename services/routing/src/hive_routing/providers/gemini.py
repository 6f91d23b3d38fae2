"""Google's Gemini API with an API key: generateContent, and embeddings in OpenAI's form."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.providers.bodies import embeddings
from hive_routing.providers.bodies.embeddings import Asked
from hive_routing.providers.over_http import HttpProvider, Site, in_path
from hive_routing.providers.port import ProviderAnswer, ProviderCall

VERSION = "v1beta"
EMBEDDING_MEMBERS = ("task_type", "title")
"""Of a request for embeddings, beyond OpenAI's."""


class _Vector(msgspec.Struct):
    values: Raw


class _Spent(msgspec.Struct, frozen=True):
    promptTokenCount: int | None = None


class Vectors(msgspec.Struct):
    """What came of a text (`embedding`) or of several."""

    embeddings: list[_Vector] = []
    embedding: _Vector | None = None
    usageMetadata: _Spent = _Spent()


_embedded = msgspec.json.Decoder(Vectors).decode


class GeminiProvider(HttpProvider):
    """base_url: what `/v1beta/models/…` stands behind; a `/v1beta` at its end is no harm."""

    speaks = ("gemini", "embeddings")

    def __init__(self, site: Site) -> None:
        key = site.credential
        base = site.base_url.rstrip("/").removesuffix(f"/{VERSION}")
        super().__init__(replace(site, base_url=base), {"x-goog-api-key": key} if key else {}, [key])
        self._models = f"{self.path}/{VERSION}/"

    def _path(self, call: ProviderCall) -> str:
        return self._models + _name(call.model) + method(call)

    async def send(self, call: ProviderCall) -> ProviderAnswer:
        if call.operation != "embeddings":
            return await self._post(self._path(call), call, call.body)
        asked = embeddings.read(call.body, EMBEDDING_MEMBERS)
        name = _name(call.model)
        options = embedding_options(asked)
        requests = [{"model": name, "content": content(text), **options} for text in asked.texts]
        answer = await self._post(
            f"{self._models}{name}:batchEmbedContents", call, msgspec.json.encode({"requests": requests})
        )
        return self._rewritten(answer, lambda body: in_openais_form(body, asked, call.model))


def _name(model: str) -> str:
    return in_path(model if model.startswith(("models/", "tunedModels/")) else f"models/{model}")


def method(call: ProviderCall) -> str:
    """What a model is asked to do, as it stands behind its name."""
    return ":streamGenerateContent?alt=sse" if call.stream else ":generateContent"


def content(text: str) -> dict[str, Any]:
    return {"parts": [{"text": text}]}


def embedding_options(asked: Asked) -> dict[str, Any]:
    """How vectors are made, in Google's words."""
    given = {
        "outputDimensionality": asked.dimensions,
        "taskType": asked.more.get("task_type"),
        "title": asked.more.get("title"),
    }
    return {name: value for name, value in given.items() if value is not None}


def in_openais_form(body: bytes, asked: Asked, model: str) -> bytes:
    found = _embedded(body)
    vectors = [found.embedding] if found.embedding is not None else found.embeddings
    return embeddings.write(
        asked, model, [each.values for each in vectors], found.usageMetadata.promptTokenCount
    )
