"""Where an entry of LiteLLM's `model_list` is served: the provider as it is written here, and its name of the model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit, urlunsplit

import msgspec

from hive_console.importing.fields import Fields
from hive_console.importing.prefixes import ELSEWHERE, KEYLESS, VENDORS, Vendor, split_model
from hive_console.importing.report import Report
from hive_console.importing.secrets import Secrets
from hive_runtime.provider_kinds import KINDS

TOTAL_SECONDS: Final = 600
"""What a call may take in all where nothing is said."""
LONGEST_SECONDS: Final = 86_400
_OWN: Final = ("ollama", "llamacpp", "lmstudio")
_REGION: Final = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d/")
_BEFORE: Final[Mapping[str, tuple[str, ...]]] = {
    "bedrock": ("converse/", "converse_like/", "invoke/", "bedrock/"),
    "azure": ("o_series/", "gpt5_series/", "responses/"),
    "openai": ("responses/", "chat/completions/"),
    "vertex": ("gemini/", "google/"),
}
"""What LiteLLM wants before a model's name to choose an API; here the kind of provider says it."""
_AZURE_AI: Final = (".services.ai.azure.com", ".openai.azure.com", ".cognitiveservices.azure.com")


@dataclass(frozen=True, slots=True)
class Served:
    """provider: its fields as in the configuration file, without a name."""

    provider: Mapping[str, Any]
    model: str


class Deployments:
    """credentials: of `credential_list`, by name. timeout: seconds, what holds where an entry says nothing."""

    def __init__(
        self,
        report: Report,
        secrets: Secrets,
        credentials: Mapping[str, Mapping[str, Any]],
        timeout: Decimal | None,
    ) -> None:
        self._report = report
        self._secrets = secrets
        self._credentials = credentials
        self._timeout = timeout

    def read(self, written: Mapping[str, Any], path: str) -> tuple[Fields, list[Served]]:
        """written: `litellm_params`. Also gives them back with what was read of them; nothing is served where nobody
        here knows the provider, which is reported."""
        params = Fields(self._with_credential(written, path), path, self._report)
        found = self._found(params)
        if found is None:
            return params, []
        name, vendor, model = found
        address = params.text("api_base") or params.text("base_url")
        provider = self._provider(name, vendor, model, address, params)
        provider |= self._times(params)
        if _is_own(provider["kind"], str(provider.get("base_url", ""))):
            provider["free"] = True
            self._report.differs(
                params.path,
                "a server of your own, whose calls cost nothing where no price is written",
                "Its provider is marked `free`.",
            )
        organizations = params.items("organization") if provider["kind"] == "openai" else ()
        if not organizations:
            return params, [Served(provider, _name_there(provider["kind"], model))]
        return params, [
            Served(
                {**provider, "options": {**provider.get("options", {}), "organization": str(each)}},
                _name_there(provider["kind"], model),
            )
            for each in organizations
        ]

    def _with_credential(self, written: Mapping[str, Any], path: str) -> Mapping[str, Any]:
        name = written.get("litellm_credential_name")
        if name is None:
            return written
        rest = {key: value for key, value in written.items() if key != "litellm_credential_name"}
        if name not in self._credentials:
            self._report.lost(
                f"{path}.litellm_credential_name",
                "names a credential that `credential_list` does not have (it may be in LiteLLM's database)",
                "Write its api_key, and what else it holds, into the provider here.",
            )
            return rest
        return {**self._credentials[name], **rest}

    def _found(self, params: Fields) -> tuple[str, Vendor, str] | None:
        text = params.text("model")
        address = params.text("api_base") or params.text("base_url")
        found = split_model(text, params.text("custom_llm_provider"), has_address=bool(address))
        at = params.at("model")
        if found is None:
            self._report.lost(
                at,
                "nobody can tell from the model's name which provider serves it",
                "Name the provider in front of it, as in `openai/…`, and import again.",
            )
            return None
        name, model = found
        if name not in VENDORS:
            meaning = (
                f"{name!r} is no provider that is known here"
                if name in ELSEWHERE
                else "its provider is unknown"
            )
            self._report.lost(
                at,
                meaning,
                "If its server speaks OpenAI's dialect, declare a provider of kind `compatible`"
                " with its base_url; docs/providers.md has all kinds.",
            )
            return None
        return name, VENDORS[name], model

    def _provider(
        self, name: str, vendor: Vendor, model: str, address: str, params: Fields
    ) -> dict[str, Any]:
        kind = _kind_of(name, vendor, model, address)
        written = _WRITTEN.get(kind, Deployments._plain)
        return written(self, kind, vendor, address, params)

    def _plain(self, kind: str, vendor: Vendor, address: str, params: Fields) -> dict[str, Any]:
        base = _cleaned(kind, address) or vendor.base_url
        if not base and vendor.address and not KINDS[kind].base_url:
            base = f"${{{vendor.address}}}"
        fields: dict[str, Any] = {"kind": kind}
        if base and base != KINDS[kind].base_url:
            fields["base_url"] = base
        key = self._key(params.text("api_key"), params.at("api_key"), vendor, address)
        if not key and vendor.key and (kind not in KEYLESS or vendor.base_url):
            key = f"${{{vendor.key}}}"
        return {**fields, **({"api_key": key} if key else {})}

    def _key(self, text: str, path: str, vendor: Vendor, address: str) -> str:
        if text.lower() in ("none", "null", "empty", "dummy", "not-needed", "fake-key", "anything", "na"):
            return ""
        label = "" if (host := _host(address)).endswith("api.openai.com") else host.split(".")[0]
        label = "" if label.isdecimal() or label == "api" else label
        wanted = vendor.key or f"{vendor.kind}_api_key"
        return self._secrets.reference(text, path, f"{label}_{wanted}" if label else wanted)

    def _azure(self, kind: str, vendor: Vendor, address: str, params: Fields) -> dict[str, Any]:
        fields = self._plain(kind, vendor, address, params)
        options: dict[str, str] = {}
        if version := params.text("api_version") or _dated(address):
            options["api_version"] = version
        tenant, client = params.text("tenant_id"), params.text("client_id")
        secret, token = params.text("client_secret"), params.text("azure_ad_token")
        if tenant and client and secret:
            options |= {"tenant_id": tenant, "client_id": client}
            at = params.at("client_secret")
            fields["api_key"] = self._secrets.reference(secret, at, "AZURE_CLIENT_SECRET")
        elif token:
            options["auth"] = "bearer"
            at = params.at("azure_ad_token")
            fields["api_key"] = self._secrets.reference(token, at, "AZURE_AD_TOKEN")
        return {**fields, **({"options": options} if options else {})}

    def _vertex(self, kind: str, vendor: Vendor, address: str, params: Fields) -> dict[str, Any]:
        project = params.text("vertex_project") or params.text("vertex_ai_project") or "${VERTEXAI_PROJECT}"
        location = params.text("vertex_location") or params.text("vertex_ai_location")
        fields: dict[str, Any] = {"kind": kind}
        if address:
            fields["base_url"] = _cleaned(kind, address)
        credentials = params.take("vertex_credentials")
        if isinstance(credentials, Mapping):
            credentials = msgspec.json.encode(credentials).decode()
        text = params.text("vertex_credentials") if isinstance(credentials, str) else ""
        at = params.at("vertex_credentials")
        if isinstance(credentials, str) and credentials.lstrip().startswith("{"):
            fields["api_key"] = self._secrets.reference(credentials, at, "VERTEX_CREDENTIALS")
        elif text.startswith("${"):
            fields["api_key"] = text
        elif text:
            variable = self._secrets.name_for(text, "VERTEX_CREDENTIALS")
            fields["api_key"] = f"${{{variable}}}"
            self._report.to_do(
                at,
                "is the path of a file with a service account's key",
                f"Set {variable} to what stands in that file.",
            )
        options = {"project": project, **({"location": location} if location else {})}
        return {**fields, "options": options}

    def _bedrock(self, kind: str, vendor: Vendor, address: str, params: Fields) -> dict[str, Any]:
        model = params.text("model").removeprefix("bedrock/")
        for before in _BEFORE["bedrock"]:
            model = model.removeprefix(before)
        in_name = _REGION.match(model)
        region = params.text("aws_region_name") or (in_name[0].rstrip("/") if in_name else "")
        fields: dict[str, Any] = {"kind": kind}
        endpoint = params.text("aws_bedrock_runtime_endpoint") or address
        if endpoint:
            fields["base_url"] = endpoint.rstrip("/")
        if key := params.text("api_key"):
            at = params.at("api_key")
            fields["api_key"] = self._secrets.reference(key, at, "AWS_BEARER_TOKEN_BEDROCK")
        else:
            fields["api_key"] = self._access_key(params)
        return {**fields, "options": {"region": region or "${AWS_REGION_NAME}"}}

    def _access_key(self, params: Fields) -> str:
        members = {
            "access_key_id": params.text("aws_access_key_id") or "${AWS_ACCESS_KEY_ID}",
            "secret_access_key": params.text("aws_secret_access_key") or "${AWS_SECRET_ACCESS_KEY}",
        }
        if token := params.text("aws_session_token"):
            members["session_token"] = token
        hidden = {
            member: self._secrets.reference(value, params.at(f"aws_{member}"), f"AWS_{member}")
            for member, value in members.items()
        }
        return msgspec.json.encode(hidden).decode()

    def _times(self, params: Fields) -> dict[str, Any]:
        """LiteLLM's timeout is how long nothing may come; here that is the time to the first byte."""
        plain = params.number("timeout") or params.number("request_timeout") or self._timeout
        streams = params.number("stream_timeout")
        wanted = max((each for each in (plain, streams) if each), default=None)
        if not wanted:
            return {}
        seconds = float(min(wanted, Decimal(LONGEST_SECONDS)))
        times: dict[str, float] = {"first_byte": _short(seconds)}
        if seconds > TOTAL_SECONDS:
            times["total"] = _short(seconds)
        return {"timeouts": times}


_Writer = Callable[[Deployments, str, Vendor, str, Fields], dict[str, Any]]
_WRITTEN: Final[Mapping[str, _Writer]] = {
    "azure": Deployments._azure,
    "vertex": Deployments._vertex,
    "vertex-anthropic": Deployments._vertex,
    "bedrock": Deployments._bedrock,
}


def _dated(address: str) -> str:
    """The version that the query of an address names."""
    return (
        next(iter(parse_qs(urlsplit(address).query).get("api-version", [])), "") if "://" in address else ""
    )


def _short(seconds: float) -> float:
    return int(seconds) if seconds == int(seconds) else seconds


def _host(address: str) -> str:
    return (urlsplit(address).hostname or "") if "://" in address else ""


def _is_own(kind: str, address: str) -> bool:
    """Whether it is a server on the operator's own machines, where LiteLLM counts a call as free."""
    host = _host(address)
    if kind in _OWN and not address:
        return True
    if host == "localhost" or host.endswith((".local", ".internal")) or (host and "." not in host):
        return True
    try:
        return ip_address(host).is_private
    except ValueError:
        return False


def _kind_of(name: str, vendor: Vendor, model: str, address: str) -> str:
    host = _host(address)
    if vendor.kind == "openai" and address and not host.endswith("api.openai.com"):
        return "compatible"
    if name == "azure_ai" and host.endswith(_AZURE_AI) and model.startswith("claude"):
        return "anthropic"
    if name == "azure_ai" and host and not host.endswith(_AZURE_AI):
        return "compatible"
    if vendor.kind == "vertex" and model.startswith("claude"):
        return "vertex-anthropic"
    return vendor.kind


def _cleaned(kind: str, address: str) -> str:
    """The base URL as this kind of provider wants it; a variable as it is."""
    if "://" not in address:
        return address
    parts = urlsplit(address)
    path = parts.path.rstrip("/")
    if kind == "azure":
        path = path.partition("/openai")[0].removesuffix("/models")
    elif kind == "ollama":
        path = f"{path.removesuffix('/v1')}/v1"
    elif kind == "cohere":
        path = ""
    for ending in ("/chat/completions", "/v1/messages", "/embeddings", "/completions"):
        path = path.removesuffix(ending)
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def _name_there(kind: str, model: str) -> str:
    for before in _BEFORE.get(kind, ()):
        model = model.removeprefix(before)
    if kind == "bedrock":
        return _REGION.sub("", model, count=1)
    if kind == "fireworks" and "*" not in model and not model.startswith("accounts/"):
        return f"accounts/fireworks/models/{model}"
    if kind == "huggingface" and model.count("/") > 1:
        server, _, model = model.partition("/")
        return f"{model}:{server}"
    return model


def variables_in(fields: Mapping[str, Any]) -> Iterator[str]:
    """Names of the variables that a provider's fields refer to."""
    for value in fields.values():
        if isinstance(value, Mapping):
            yield from variables_in(value)
        elif isinstance(value, str):
            yield from re.findall(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", value)
