"""Anthropic's messages, at Anthropic or wherever else they are spoken."""

from __future__ import annotations

from dataclasses import replace

from hive_routing.providers.over_http import HttpProvider, Site, bearer
from hive_routing.providers.port import ProviderAnswer, ProviderCall

VERSION = "2023-06-01"
_OAUTH = "sk-ant-oat"
"""How tokens begin that are no API keys."""


class AnthropicProvider(HttpProvider):
    """base_url: what `/v1/messages` stands behind; a `/v1` at its end is no harm.

    Option: `auth: bearer` for a token in place of an API key.
    """

    speaks = ("messages",)
    passed = frozenset({"anthropic-beta"})

    def __init__(self, site: Site) -> None:
        key = site.credential
        as_bearer = "auth" in site.options or key.startswith(_OAUTH)
        credential = bearer(key) if as_bearer or not key else {"x-api-key": key}
        base = site.base_url.rstrip("/").removesuffix("/v1")
        super().__init__(replace(site, base_url=base), {"anthropic-version": VERSION, **credential}, [key])
        self._messages = f"{self.path}/v1/messages"

    def _path(self, call: ProviderCall) -> str:
        return self._messages

    async def send(self, call: ProviderCall) -> ProviderAnswer:
        answer = await super().send(call)
        if "request-id" in answer.headers:  # what the others call it
            answer.headers.setdefault("x-request-id", answer.headers["request-id"])
        return answer
