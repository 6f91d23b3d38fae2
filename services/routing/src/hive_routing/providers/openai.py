"""OpenAI, and any server that speaks its dialects over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hive_routing.providers.over_http import HttpProvider, Site, bearer
from hive_routing.providers.port import ProviderCall
from hive_routing.providers.sockets import SocketSite
from hive_routing.realtime.port import Line, SessionCall
from hive_runtime.provider_kinds import operations

PATHS = {
    "chat": "/chat/completions",
    "responses": "/responses",
    "messages": "/messages",
    "completions": "/completions",
    "embeddings": "/embeddings",
    "rerank": "/rerank",
    "moderations": "/moderations",
    "realtime": "/realtime",
}
"""Below the base URL, by operation."""

_ACCOUNT = {"organization": "openai-organization", "project": "openai-project"}


class OpenAIProvider(HttpProvider):
    """Calls `<base_url>/<path>` with our credential as a bearer token. base_url: `https://host[:port]/v1`."""

    speaks: Sequence[str] = ("chat", "responses", "completions", "embeddings", "moderations", "realtime")
    passed = frozenset({"openai-beta"})

    def __init__(self, site: Site, headers: Mapping[str, str] | None = None) -> None:
        account = {_ACCOUNT[name]: value for name, value in site.options.items() if name in _ACCOUNT}
        headers = {**bearer(site.credential), **account, **(headers or {})}
        super().__init__(site, headers, [site.credential])
        self._sockets = SocketSite.of(site, PATHS["realtime"], headers, self.passed)
        self.speaks = operations(site.options.get("speaks", "")) or self.speaks
        self._paths = {name: self.path + path for name, path in PATHS.items()}

    async def open_session(self, call: SessionCall) -> Line:
        return await self._sockets.open([("model", call.model), *call.query], call)

    def _path(self, call: ProviderCall) -> str:
        return self._paths[call.operation]
