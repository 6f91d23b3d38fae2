"""Which service owns which path: the one table of every promised route, and nothing else.

A path is looked up whole first, then by its first segment. The `/v1` in front is optional everywhere.
Whether the owner runs here is the deployment's matter: where it does not, the path answers 404.
"""

from __future__ import annotations

from dataclasses import dataclass

from hive_runtime.dialects import Dialect


@dataclass(frozen=True, slots=True)
class Route:
    """service: who answers. queued: POSTs travel through the bus. seconds: until the request's deadline.

    served: this release has it; what it has not is promised all the same, and answers 404.
    """

    service: str
    dialect: Dialect = Dialect.OPENAI
    queued: bool = True
    served: bool = True
    seconds: float = 600.0


_CHAT = Route("routing")
_MESSAGES = Route("routing", Dialect.ANTHROPIC)
_RESPONSES = Route("routing", Dialect.RESPONSES)
_GEMINI = Route("routing", Dialect.GOOGLE)
_INTERACTIONS = Route("routing", Dialect.INTERACTIONS)
_MODELS = Route("routing", queued=False, seconds=30.0)
_COUNT = Route("routing", queued=False, seconds=60.0)


def _later(service: str, dialect: Dialect = Dialect.OPENAI) -> Route:
    """A promised route whose endpoint this release does not have."""
    return Route(service, dialect, served=False)


EXACT: dict[str, Route] = {
    "/chat/completions": _CHAT,
    "/completions": _CHAT,
    "/embeddings": _CHAT,
    "/models": _MODELS,
    "/utils/token_counter": _COUNT,
    "/generateContent": _GEMINI,
    "/streamGenerateContent": _GEMINI,
    "/messages/count_tokens": Route("routing", Dialect.ANTHROPIC, queued=False, seconds=60.0),
    "/responses/input_tokens": _COUNT,
}

FAMILIES: dict[str, Route] = {
    "models": _MODELS,
    "chat": _later("routing"),  # stored chat completions
    "messages": _MESSAGES,
    "responses": _RESPONSES,
    "conversations": Route("routing", queued=False),
    "rerank": _CHAT,
    "moderations": _CHAT,
    "interactions": _INTERACTIONS,
    "realtime": Route("routing", queued=False, seconds=30.0),  # its WebSockets: `sockets.py`
    "images": _later("media"),
    "audio": _later("media"),
    "videos": _later("media"),
    "ocr": _later("media"),
    "files": _later("rag"),
    "uploads": _later("rag"),
    "vector_stores": _later("rag"),
    "rag": _later("rag"),
    "batches": _later("workflows"),
    "fine_tuning": _later("workflows"),
    "assistants": _later("workflows"),
    "threads": _later("workflows"),
    "a2a": _later("workflows", Dialect.JSONRPC),
    "containers": _later("workflows"),
}

_GOOGLE_MODELS = Route("routing", Dialect.GOOGLE, queued=False, seconds=30.0)

GEMINI_VERBS = frozenset(
    ["generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents"]
)
"""`/models/{id}:{verb}` is Google's; any other colon is a part of the model's id."""


LABELS: dict[str, str] = {prefix + path: path for path in EXACT for prefix in ("", "/v1")}
"""How the paths that are looked up whole are called where requests are counted."""

_WHOLE: dict[str, Route] = {path: EXACT[label] for path, label in LABELS.items()}


def find(path: str) -> Route | None:
    """The route of a percent-encoded path; None where nothing was ever promised there."""
    if (whole := _WHOLE.get(path)) is not None:
        return whole
    if path.startswith("/v1/"):
        path = path[3:]
    elif path.startswith("/v1beta/"):
        path = path[7:]
        return _INTERACTIONS if path.startswith("/interactions") else _google(path)
    elif path.startswith("/v2/"):
        return _CHAT if path == "/v2/rerank" else None
    head = path[1:].partition("/")[0]
    family = FAMILIES.get(head)
    if family is _MODELS and path.rpartition(":")[2] in GEMINI_VERBS:
        return _google(path)
    return family


def label_of(path: str, route: Route | None) -> str:
    """A bounded set of names for counting."""
    if (label := LABELS.get(path)) is not None:
        return label
    if route is None:
        return "unknown"
    if path.startswith("/v1beta/"):
        return "/v1beta"
    bare = path[3:] if path.startswith("/v1/") else path
    return "/" + bare[1:].partition("/")[0]


def _google(path: str) -> Route:
    """Of Google's own paths below a version; their models' verbs among them."""
    return _GEMINI if path.rpartition(":")[2] in GEMINI_VERBS else _GOOGLE_MODELS
