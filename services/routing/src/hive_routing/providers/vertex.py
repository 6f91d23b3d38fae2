"""Google's Vertex AI: Gemini's bodies and Claude's, at the addresses of a project, with a token in place of a key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Raw

from hive_routing.providers import anthropic, gemini
from hive_routing.providers.bodies import embeddings
from hive_routing.providers.bodies.embeddings import Asked
from hive_routing.providers.oauth.tokens import AccessTokens
from hive_routing.providers.over_http import HttpProvider, Site, in_path
from hive_routing.providers.port import ProviderAnswer, ProviderCall
from hive_runtime.clock import Clock

VERSION = "v1beta1"
ANTHROPIC_VERSION = "vertex-2023-10-16"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_URI = "https://oauth2.googleapis.com/token"
MACHINE_TOKEN_URI = (
    "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"
)
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFE_SECONDS = 3600


class Credential(msgspec.Struct):
    """The JSON that Google gives out: of a service account, or of a user who has logged in (`authorized_user`)."""

    type: str
    token_uri: str = TOKEN_URI
    client_email: str = ""
    private_key: str = ""
    private_key_id: str = ""
    client_id: str = ""
    client_secret: str = ""
    refresh_token: str = ""


class _Statistics(msgspec.Struct, frozen=True):
    token_count: float | None = None


class _Vector(msgspec.Struct):
    values: Raw
    statistics: _Statistics = _Statistics()


class _Prediction(msgspec.Struct):
    embeddings: _Vector


class _Predicted(msgspec.Struct):
    predictions: list[_Prediction]


_predicted = msgspec.json.Decoder(_Predicted).decode
_object = msgspec.json.Decoder(dict[str, Raw]).decode


class _AtProject(HttpProvider):
    """Options: `project` and `location`. Credential: Google's JSON; without one, the machine's own identity."""

    def __init__(self, site: Site, headers: Mapping[str, str]) -> None:
        super().__init__(site, headers)
        project, location = site.options.get("project"), site.options.get("location") or "global"
        if not project:
            raise ValueError("options.project is missing: it is a part of every address")
        self._place = f"{self.path}/{VERSION}/projects/{quote(project)}/locations/{quote(location)}/"
        self._tokens = access_tokens(site)

    async def _ask(self, path: str, call: ProviderCall, body: bytes) -> ProviderAnswer:
        token = await self._tokens.get()
        lines = f"authorization: Bearer {token}\r\n"
        return self._tokens.watched(await self._post(path, call, body, lines, token.encode()))

    async def close(self) -> None:
        await super().close()
        self._tokens.close()


class VertexProvider(_AtProject):
    """Gemini. A model may be named as it is, or by its path (`publishers/…`, `endpoints/…`)."""

    speaks = ("gemini", "embeddings")

    def __init__(self, site: Site) -> None:
        super().__init__(site, {})

    async def send(self, call: ProviderCall) -> ProviderAnswer:
        path = self._place + _named(call.model, "google")
        if call.operation != "embeddings":
            return await self._ask(path + gemini.method(call), call, call.body)
        asked = embeddings.read(call.body, gemini.EMBEDDING_MEMBERS)
        does, body, read = _embedding(asked, call.model)
        answer = await self._ask(f"{path}:{does}", call, msgspec.json.encode(body))
        return self._rewritten(answer, lambda body: read(body, asked, call.model))


class VertexAnthropicProvider(_AtProject):
    """Claude: Anthropic's messages, which name their version and leave their model to the path."""

    speaks = ("messages",)
    passed = frozenset({"anthropic-beta"})

    def __init__(self, site: Site) -> None:
        super().__init__(site, {"anthropic-version": anthropic.VERSION})

    async def send(self, call: ProviderCall) -> ProviderAnswer:
        fields = _object(call.body)
        fields.pop("model", None)
        fields.setdefault("anthropic_version", Raw(msgspec.json.encode(ANTHROPIC_VERSION)))
        does = "streamRawPredict" if call.stream else "rawPredict"
        path = f"{self._place}{_named(call.model, 'anthropic')}:{does}"
        return await self._ask(path, call, msgspec.json.encode(fields))


def _named(model: str, publisher: str) -> str:
    if model.startswith(("publishers/", "endpoints/")):
        return in_path(model)
    return f"publishers/{publisher}/models/{in_path(model)}"


_Read = Callable[[bytes, Asked, str], bytes]


def _embedding(asked: Asked, model: str) -> tuple[str, dict[str, Any], _Read]:
    """What a model that embeds is asked to do, the body for it, and how its answer is read.

    Newer models have methods of their own, one for a text and one for several; the others predict.
    """
    options = gemini.embedding_options(asked)
    if "gemini" in model or "maas" in model:
        requests = [{"content": gemini.content(text), "embedContentConfig": options} for text in asked.texts]
        if len(requests) == 1:
            return "embedContent", requests[0], gemini.in_openais_form
        return "batchEmbedContents", {"requests": requests}, gemini.in_openais_form
    size = options.pop("outputDimensionality", None)
    more = {"task_type": options.get("taskType"), "title": options.get("title")}
    more = {name: value for name, value in more.items() if value is not None}
    body: dict[str, Any] = {"instances": [{"content": text, **more} for text in asked.texts]}
    if size is not None:
        body["parameters"] = {"outputDimensionality": size}
    return "predict", body, _of_predictions


def _of_predictions(body: bytes, asked: Asked, model: str) -> bytes:
    vectors = [each.embeddings for each in _predicted(body).predictions]
    counts = [each.statistics.token_count for each in vectors]
    tokens = int(sum(count or 0 for count in counts)) if None not in counts else None
    return embeddings.write(asked, model, [each.values for each in vectors], tokens)


def access_tokens(site: Site) -> AccessTokens:
    """Where the tokens of a site come from. Raises ValueError for a credential that is none of Google's."""
    if not site.credential:
        return AccessTokens(site, MACHINE_TOKEN_URI, None, {"metadata-flavor": "Google"})
    try:
        credential = msgspec.json.decode(site.credential, type=Credential)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ValueError("the credential is no JSON of a service account or a user of Google's") from None
    if credential.type == "authorized_user":
        form = {
            "grant_type": "refresh_token",
            "client_id": credential.client_id,
            "client_secret": credential.client_secret,
            "refresh_token": credential.refresh_token,
        }
        return AccessTokens(site, credential.token_uri, lambda: form)
    if credential.type != "service_account":
        raise ValueError(f"a credential of type {credential.type!r} cannot be used: give a service account's")
    return AccessTokens(site, credential.token_uri, _assertions(credential, site.clock))


def _assertions(credential: Credential, clock: Clock) -> Callable[[], Mapping[str, str]]:
    """Gives a form with a JWT that the service account has signed just now."""
    # An extra, and slow to import.
    from hive_routing.providers.oauth.signed import Signer

    signer = Signer(credential.private_key, credential.private_key_id)

    def form() -> Mapping[str, str]:
        now = int(clock.now())
        claims = {
            "iss": credential.client_email,
            "scope": SCOPE,
            "aud": credential.token_uri,
            "iat": now,
            "exp": now + _LIFE_SECONDS,
        }
        return {"grant_type": _GRANT, "assertion": signer.signed(claims)}

    return form
