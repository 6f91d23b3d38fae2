"""The hot endpoints as data: the fields of their bodies, with type and range, and the rules between fields.

What is not listed here passes to the provider unread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypedDict

import msgspec
from msgspec import Meta, Raw

from hive_routing.dialects.port import Dialect
from hive_routing.dialects.registry import BY_NAME
from hive_routing.ending import last_events
from hive_routing.reranking import MOST_DOCUMENTS
from hive_runtime.errors import HiveError, Kind

SHOWN_CHARS = 80
MAX_INPUTS = 2048


class Field:
    """One field: how its JSON is read and, for callers who got it wrong, what it must be. null is absence."""

    __slots__ = ("_decode", "type", "words")

    def __init__(self, type: Any, words: str) -> None:
        self.type = type | None
        self._decode = msgspec.json.Decoder(self.type).decode
        self.words = words

    def read(self, name: str, raw: Raw) -> Any:
        """The value; raises HiveError `invalid` that names the field, its value and what is allowed."""
        try:
            return self._decode(raw)
        except (msgspec.DecodeError, RecursionError):
            raise invalid(name, f"`{name}` must be {self.words}; got {shown(raw)}.") from None


class MessagesField(Field):
    """An array with a message in it; what the messages hold is the provider's to check."""

    _START = re.compile(rb"\s*\[\s*\{")

    def __init__(self) -> None:
        messages = Annotated[list[dict[str, Any]], Meta(min_length=1)]
        super().__init__(messages, "an array of at least one message object")

    def read(self, name: str, raw: Raw) -> Any:
        if self._START.match(memoryview(raw)):
            return True
        raise invalid(name, f"`{name}` must be {self.words}; got {shown(raw)}.")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One hot endpoint.

    path: below `/v1/`. operation: what it is in the provider port.
    refused_mode: models of this mode cannot be asked here; `instead` says where they can.
    read: checks the fields against each other; gives the number of choices that the answer will have.
    bounds: the fields that bound the output of a choice, the one that gateways add first; none: it has no bound.
    dialect: in which conversations are held here. One without `fields` reads and checks its bodies itself.
    default_model: where the caller names none.
    """

    path: str
    operation: str
    fields: Mapping[str, Field]
    read: Callable[[Mapping[str, Any], Mapping[str, Raw]], int]
    refused_mode: str
    instead: str
    bounds: tuple[str, ...] = ()
    dialect: Dialect | None = None
    default_model: str | None = None
    is_bounded: bool = field(init=False)
    """Whether an answer can be told how long it may become."""
    read_all: Callable[[bytes], dict[str, Any]] = field(init=False, repr=False, compare=False)
    """The values of all fields in a body at once. Raises what msgspec does where one of them is wrong."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_bounded", bool(self.bounds) or not self.fields)
        types = {name: each.type for name, each in self.fields.items()}
        known = TypedDict("known", types, total=False)  # type: ignore[misc]  # mypy knows literal ones alone
        object.__setattr__(self, "read_all", msgspec.json.Decoder(known).decode)

    def ending(self, closing: bytes, told: dict[str, Any]) -> bytes:
        """How a stream ends. closing: what tells the usage, as JSON. told: what the gateway has to say in it."""
        return last_events(closing, told) if self.fields else closing


def invalid(param: str, message: str) -> HiveError:
    """A 400 that names the field."""
    return HiveError(Kind.INVALID, message, param)


def shown(raw: Raw) -> str:
    """A value as the caller sent it, shortened."""
    text = bytes(memoryview(raw)[: SHOWN_CHARS * 4]).decode("utf-8", "replace")
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…"


def _number(low: float, high: float) -> Field:
    return Field(Annotated[float, Meta(ge=low, le=high)], f"a number from {low} to {high}")


def _integer(low: int, high: int | None = None) -> Field:
    words = f"an integer of at least {low}" if high is None else f"an integer from {low} to {high}"
    return Field(Annotated[int, Meta(ge=low, le=high)], words)


_BOOLEAN = Field(bool, "true or false")
_TEXT = Field(str, "a string")
_OBJECT = Field(dict[str, Raw], "an object")
_TEXT_OR_OBJECT = Field(str | dict[str, Raw], "a string or an object")
_TOOLS = Field(Annotated[list[dict[str, Raw]], Meta(max_length=128)], "an array of at most 128 objects")
_METADATA = Field(
    Annotated[
        dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
    ],
    "an object of at most 16 strings (512 characters each, keys 64)",
)
_TEXTS_OR_TOKENS = str | list[str | int | list[int]]

_SAMPLING = {
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "n": _integer(1, 128),
    "stream": _BOOLEAN,
    "stream_options": _OBJECT,
    "stop": Field(
        str | Annotated[list[str], Meta(max_length=4)], "a string or an array of at most 4 strings"
    ),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "logit_bias": Field(
        dict[str, Annotated[float, Meta(ge=-100, le=100)]],
        "an object of token ids, each with a number from -100 to 100",
    ),
    "seed": Field(int, "an integer"),
    "user": _TEXT,
}

_CHAT_FIELDS = _SAMPLING | {
    "messages": MessagesField(),
    "max_tokens": _integer(1),
    "max_completion_tokens": _integer(1),
    "logprobs": _BOOLEAN,
    "top_logprobs": _integer(0, 20),
    "tools": _TOOLS,
    "tool_choice": _TEXT_OR_OBJECT,
    "parallel_tool_calls": _BOOLEAN,
    "functions": _TOOLS,
    "function_call": _TEXT_OR_OBJECT,
    "response_format": _OBJECT,
    "reasoning_effort": _TEXT,
    "verbosity": _TEXT,
    "modalities": Field(list[str], "an array of strings"),
    "audio": _OBJECT,
    "prediction": _OBJECT,
    "store": _BOOLEAN,
    "metadata": _METADATA,
    "service_tier": _TEXT,
    "safety_identifier": _TEXT,
    "prompt_cache_key": _TEXT,
    "prompt_cache_retention": _TEXT,
    "prompt_cache_options": _OBJECT,
    "web_search_options": _OBJECT,
    "moderation": _OBJECT,
}

_COMPLETION_FIELDS = _SAMPLING | {
    "prompt": Field(_TEXTS_OR_TOKENS, "a string, an array of strings, of tokens, or of token arrays"),
    "max_tokens": _integer(0),
    "best_of": _integer(0, 20),
    "logprobs": _integer(0, 5),
    "echo": _BOOLEAN,
    "suffix": _TEXT,
}

_RERANK_FIELDS = {
    "query": _TEXT,
    "documents": Field(list[str | dict[str, Any]], "an array of strings or objects"),
    "top_n": _integer(1),
    "rank_fields": Field(list[str], "an array of strings"),
    "return_documents": _BOOLEAN,
    "max_chunks_per_doc": _integer(1),
    "max_tokens_per_doc": _integer(1),
}

_MODERATION_FIELDS = {
    "input": Field(str | list[str | dict[str, Any]], "a string, an array of strings, or parts")
}

_EMBEDDING_FIELDS = {
    "input": Field(_TEXTS_OR_TOKENS, "a string, an array of strings, of tokens, or of token arrays"),
    "dimensions": _integer(1),
    "encoding_format": Field(Literal["float", "base64"], "`float` or `base64`"),
    "user": _TEXT,
}


def _read_chat(values: Mapping[str, Any], fields: Mapping[str, Raw]) -> int:
    if values.get("messages") is None:
        raise invalid("messages", "`messages` is missing: it must be an array of at least one message.")
    if values.get("stream_options") is not None:
        _check_stream_options(values)
    if values.get("top_logprobs") is not None and not values.get("logprobs"):
        raise invalid("top_logprobs", "`top_logprobs` needs `logprobs` to be true.")
    return values.get("n") or 1


def _read_completion(values: Mapping[str, Any], fields: Mapping[str, Raw]) -> int:
    if "prompt" not in fields:
        raise invalid("prompt", "`prompt` is missing: it must be a string or an array.")
    _check_stream_options(values)
    prompts = _texts_or_tokens("prompt", values["prompt"])
    samples = values.get("n") or 1
    best_of = values.get("best_of")
    if best_of is not None and best_of < samples:
        raise invalid("best_of", f"`best_of` must be at least `n` ({samples}); got {best_of}.")
    if best_of is not None and best_of > 1 and values.get("stream"):
        raise invalid("best_of", f"`best_of` must be 1 where `stream` is true; got {best_of}.")
    return prompts * int(samples)


def _read_embedding(values: Mapping[str, Any], fields: Mapping[str, Raw]) -> int:
    given = values.get("input")
    if given is None:
        raise invalid("input", "`input` is missing: it must be a string or an array.")
    if given == "":
        raise invalid("input", "`input` must not be an empty string.")
    count = _texts_or_tokens("input", given)
    if count > MAX_INPUTS:
        raise invalid("input", f"`input` must have at most {MAX_INPUTS} items; got {count}.")
    if isinstance(given, list) and (not all(given) and type(given[0]) is not int):
        raise invalid("input", "`input` must have no empty item.")
    return count


def _read_rerank(values: Mapping[str, Any], fields: Mapping[str, Raw]) -> int:
    if not values.get("query"):
        raise invalid("query", "`query` is missing: it must be a non-empty string.")
    documents = values.get("documents")
    if not documents:
        raise invalid("documents", "`documents` is missing: it must be an array of at least one document.")
    if len(documents) > MOST_DOCUMENTS:
        said = f"`documents` must have at most {MOST_DOCUMENTS} items; got {len(documents)}."
        raise invalid("documents", said)
    return 1


def _read_moderation(values: Mapping[str, Any], fields: Mapping[str, Raw]) -> int:
    given = values.get("input")
    if not given or (isinstance(given, list) and any(each == "" for each in given)):
        raise invalid("input", "`input` is missing or empty: it must be a text, texts, or parts.")
    for place, part in enumerate(given if isinstance(given, list) else ()):
        if isinstance(part, dict) and part.get("type") not in ("text", "image_url"):
            said = f"`input[{place}].type` must be `text` or `image_url`; got {part.get('type')!r}."
            raise invalid(f"input[{place}].type", said)
    return 1


def _check_stream_options(values: Mapping[str, Any]) -> None:
    options = values.get("stream_options")
    if options is None:
        return
    if not values.get("stream"):
        raise invalid("stream_options", "`stream_options` is allowed only where `stream` is true.")
    if "include_usage" in options:
        _BOOLEAN.read("stream_options.include_usage", options["include_usage"])


def _texts_or_tokens(name: str, given: Any) -> int:
    """How many texts the value stands for; an array of numbers is one text."""
    if not isinstance(given, list):
        return 1
    if not given:
        raise invalid(name, f"`{name}` must not be an empty array.")
    if len({type(item) for item in given}) > 1:
        raise invalid(name, f"`{name}` must not mix strings, tokens and token arrays.")
    return 1 if isinstance(given[0], int) else len(given)


def _nothing(values: Mapping[str, Any], fields: Mapping[str, Raw]) -> int:
    return 1


def _conversation(path: str, dialect: str) -> Endpoint:
    """An endpoint whose dialect reads its bodies."""
    return Endpoint(path, dialect, {}, _nothing, "embedding", "/v1/embeddings", dialect=BY_NAME[dialect])


CHAT = Endpoint(
    "chat/completions",
    "chat",
    _CHAT_FIELDS,
    _read_chat,
    "embedding",
    "/v1/embeddings",
    ("max_tokens", "max_completion_tokens"),
    BY_NAME["chat"],
)
COMPLETIONS = Endpoint(
    "completions",
    "completions",
    _COMPLETION_FIELDS,
    _read_completion,
    "embedding",
    "/v1/embeddings",
    ("max_tokens",),
)
EMBEDDINGS = Endpoint(
    "embeddings", "embeddings", _EMBEDDING_FIELDS, _read_embedding, "chat", "/v1/chat/completions"
)

MESSAGES = _conversation("messages", "messages")
RESPONSES = _conversation("responses", "responses")
GENERATE = _conversation("generateContent", "gemini")
INTERACTIONS = _conversation("interactions", "interactions")

RERANK = Endpoint("rerank", "rerank", _RERANK_FIELDS, _read_rerank, "chat", "/v1/chat/completions")
MODERATIONS = Endpoint(
    "moderations",
    "moderations",
    _MODERATION_FIELDS,
    _read_moderation,
    "embedding",
    "/v1/embeddings",
    default_model="omni-moderation-latest",
)

ENDPOINTS = (CHAT, COMPLETIONS, EMBEDDINGS, RERANK, MODERATIONS, MESSAGES, RESPONSES, GENERATE, INTERACTIONS)
ACTED_ON = frozenset(
    {
        "model",
        *(name for endpoint in ENDPOINTS for name in endpoint.fields),
        # of the dialects that read their own bodies
        *("system", "thinking", "output_config", "stop_sequences"),
        *("instructions", "max_output_tokens", "background", "conversation", "previous_response_id"),
        *("include", "reasoning", "text"),
        *("contents", "generationConfig", "generation_config", "systemInstruction", "system_instruction"),
        *("toolConfig", "tool_config", "cachedContent", "cached_content"),
        *("agent", "previous_interaction_id"),
    }
)
"""Fields whose values decide something here."""
