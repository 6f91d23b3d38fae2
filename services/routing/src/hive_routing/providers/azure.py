"""Azure OpenAI: the API of today below `/openai/v1`, and the older one that is asked by deployments and by date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from hive_routing.providers.oauth.tokens import AccessTokens
from hive_routing.providers.openai import PATHS
from hive_routing.providers.over_http import HttpProvider, Site, bearer, in_path
from hive_routing.providers.port import ProviderAnswer, ProviderCall
from hive_routing.providers.sockets import SocketSite
from hive_routing.realtime.port import Line, SessionCall

SCOPE = "https://cognitiveservices.azure.com/.default"
_UNDATED = ("preview", "latest")
"""Versions of the API of today."""


class AzureProvider(HttpProvider):
    """base_url: of the resource; `/openai` or `/openai/v1` may stand at its end.

    Options: `api_version` (a date asks the older API), `auth: bearer` for a token in place of an API key, or
    `tenant_id` and `client_id` with that client's secret as the credential.
    """

    speaks = ("chat", "responses", "completions", "embeddings", "realtime")
    passed = frozenset({"openai-beta"})

    def __init__(self, site: Site) -> None:
        options = site.options
        version = options.get("api_version", "")
        base = site.base_url.rstrip("/").removesuffix("/v1").removesuffix("/openai")
        self._tokens = _tokens(site) if "client_id" in options else None
        site = replace(site, base_url=base)
        super().__init__(site, self._credential(site), [site.credential])
        self._version = version
        self._query = f"?api-version={quote(version)}" if version else ""
        self._is_dated = bool(version) and version not in _UNDATED
        below = "/openai" if self._is_dated else "/openai/v1"
        self._sockets = SocketSite.of(site, below + PATHS["realtime"], self._credential(site), self.passed)

    def _credential(self, site: Site) -> Mapping[str, str]:
        if self._tokens is not None or not site.credential:
            return {}
        return bearer(site.credential) if site.options.get("auth") else {"api-key": site.credential}

    def _path(self, call: ProviderCall) -> str:
        path = PATHS[call.operation]
        if not self._is_dated:
            return f"{self.path}/openai/v1{path}{self._query}"
        if call.operation == "responses":  # these name their model in the body alone
            return f"{self.path}/openai{path}{self._query}"
        return f"{self.path}/openai/deployments/{in_path(call.model)}{path}{self._query}"

    async def send(self, call: ProviderCall) -> ProviderAnswer:
        if self._tokens is None:
            return await self._post(self._path(call), call, call.body)
        token = await self._tokens.get()
        lines = f"authorization: Bearer {token}\r\n"
        return self._tokens.watched(
            await self._post(self._path(call), call, call.body, lines, token.encode())
        )

    async def open_session(self, call: SessionCall) -> Line:
        named = "deployment" if self._is_dated else "model"
        dated = [("api-version", self._version)] if self._is_dated else []
        more = {}
        if self._tokens is not None:
            more["authorization"] = f"Bearer {await self._tokens.get()}"
        return await self._sockets.open([*dated, (named, call.model), *call.query], call, more)

    async def close(self) -> None:
        await super().close()
        if self._tokens is not None:
            self._tokens.close()


def _tokens(site: Site) -> AccessTokens:
    options = site.options
    tenant, client = options.get("tenant_id", ""), options["client_id"]
    if not tenant:
        raise ValueError(
            "options.tenant_id is missing: it says where the tokens of options.client_id come from"
        )
    authority = options.get("authority") or "https://login.microsoftonline.com"
    form = {
        "grant_type": "client_credentials",
        "client_id": client,
        "client_secret": site.credential,
        "scope": SCOPE,
    }
    return AccessTokens(site, f"{authority}/{quote(tenant)}/oauth2/v2.0/token", lambda: form)
