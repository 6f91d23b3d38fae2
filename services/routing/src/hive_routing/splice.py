"""The closed list of what is changed in a client's body before a provider gets it.

`model`, `stream_options.include_usage`, the output bound (its name, or the bound where money needs one and the
caller named none), and PDFs that came as image parts.
Every other value keeps its bytes; members keep their order, and of several with one name the last stays,
so that the provider cannot read another one than the gateway did.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
from msgspec import Raw

from hive_routing.dialects.responses.prompt_writing import thinks
from hive_routing.request import PDF_MARK, Request
from hive_routing.reranking import provider_fields

DOCUMENT_NAME = b"document.pdf"

_TRUE = Raw(b"true")
_NOTHING = Raw(b"null")
_FILE = Raw(b'"file"')
_ASK_FOR_USAGE = Raw(b'{"include_usage":true}')
_PDF_URL = re.compile(rb'\s*"data:application\\?/pdf[;,]')

_encode = msgspec.json.encode
_object = msgspec.json.Decoder(dict[str, Raw]).decode
_array = msgspec.json.Decoder(list[Raw]).decode
_texts = msgspec.json.Decoder(list[str] | None).decode

_KEPT_HERE = frozenset({"previous_response_id", "conversation", "background"})
_SEALED = "reasoning.encrypted_content"


def splice(request: Request, model: str, bound_field: str, bound: int | None = None) -> bytes:
    """The body for a provider that calls the model `model` and its bound of the output `bound_field`, if known.

    bound: output tokens of a choice at the most, where the caller named none and the gateway has to.
    """
    return _SPLICES.get(request.endpoint.operation, _splice_model)(request, model, bound_field, bound)


def _splice_model(request: Request, model: str, bound_field: str, bound: int | None) -> bytes:
    return _encode(request.fields | {"model": Raw(_encode(model))})


def _splice_chat(request: Request, model: str, bound_field: str, bound: int | None) -> bytes:
    fields = request.fields.copy()
    fields["model"] = Raw(_encode(model))
    if request.stream:
        fields["stream_options"] = _with_usage(fields.get("stream_options"))
    names = request.endpoint.bounds
    if bound is not None and names:
        for name in names:
            fields.pop(name, None)  # a null of the caller's
        fields[bound_field if bound_field in names else names[0]] = Raw(b"%d" % bound)
    elif bound_field in names:
        fields = _with_bound(fields, bound_field, names)
    return _encode(fields)


def _splice_rerank(request: Request, model: str, bound_field: str, bound: int | None) -> bytes:
    documents = msgspec.json.decode(request.fields["documents"])  # as the guards have left them
    values = request.values | {"documents": documents}
    return _encode(provider_fields(request.fields, values) | {"model": Raw(_encode(model))})


def _splice_responses(request: Request, model: str, bound_field: str, bound: int | None) -> bytes:
    """The gateway keeps what is to be kept, and gives the whole conversation each time.

    So the provider keeps nothing, and what a model thought has to come sealed, for it cannot be named by an id later.
    """
    fields = {name: raw for name, raw in request.fields.items() if name not in _KEPT_HERE}
    fields["model"] = Raw(_encode(model))
    fields["store"] = Raw(b"false")
    if bound is not None:
        fields["max_output_tokens"] = Raw(b"%d" % bound)
    if "reasoning" in fields or thinks(model):
        include = _texts(fields.get("include", _NOTHING)) or []
        if _SEALED not in include:
            fields["include"] = Raw(_encode([*include, _SEALED]))
    return _encode(fields)


def _splice_gemini(request: Request, model: str, bound_field: str, bound: int | None) -> bytes:
    """The path says which model, and whether it streams."""
    fields = {name: raw for name, raw in request.fields.items() if name not in ("model", "stream")}
    if bound is not None:
        given = next((name for name in ("generationConfig", "generation_config") if name in fields), None)
        config = _object(fields[given]) if given and bytes(fields[given]) != b"null" else {}
        fields[given or "generationConfig"] = Raw(_encode(config | {"maxOutputTokens": Raw(b"%d" % bound)}))
    return _encode(fields)


def attach_documents(request: Request) -> None:
    """Turn `image_url` parts that hold a PDF into file parts; looks closer only where `/pdf` occurs."""
    if not request.names_pdf or request.endpoint.operation != "chat":
        return
    if (messages := request.fields.get("messages")) is not None:
        request.replace({"messages": _each(messages, _message)})


def _with_usage(options: Raw | None) -> Raw:
    if options is None or bytes(options) == b"null":
        return _ASK_FOR_USAGE
    return Raw(_encode(_object(options) | {"include_usage": _TRUE}))


def _with_bound(fields: dict[str, Raw], bound_field: str, names: tuple[str, ...]) -> dict[str, Raw]:
    """Rename the bound that the client used, at its place; both or none of them stay as they are."""
    used = [name for name in names if name in fields]
    if len(used) != 1 or used[0] == bound_field:
        return fields
    return {bound_field if name == used[0] else name: value for name, value in fields.items()}


def _each(array: Raw, change: Callable[[dict[str, Raw]], dict[str, Raw] | None]) -> Raw:
    """The array with those of its objects changed for which `change` gives another one."""
    try:
        items = _array(array)
    except (msgspec.ValidationError, RecursionError):
        return array
    changed = [_changed(item, change) if PDF_MARK in bytes(item) else None for item in items]
    if not any(changed):
        return array
    return Raw(_encode([new or old for old, new in zip(items, changed, strict=True)]))


def _changed(item: Raw, change: Callable[[dict[str, Raw]], dict[str, Raw] | None]) -> Raw | None:
    try:
        new = change(_object(item))
    except (msgspec.ValidationError, RecursionError):
        return None
    return None if new is None else Raw(_encode(new))


def _message(message: dict[str, Raw]) -> dict[str, Raw] | None:
    content = message.get("content", _NOTHING)
    parts = _each(content, _part)
    return None if parts is content else message | {"content": parts}


def _part(part: dict[str, Raw]) -> dict[str, Raw] | None:
    image = part.get("image_url")
    url = _object(image).get("url", _NOTHING) if image is not None else _NOTHING
    if not _PDF_URL.match(memoryview(url)):
        return None
    file = Raw(b'{"filename":"%b","file_data":%b}' % (DOCUMENT_NAME, bytes(url)))
    rest = {name: value for name, value in part.items() if name not in ("type", "image_url")}
    return {"type": _FILE, "file": file} | rest


_SPLICES: dict[str, Callable[[Request, str, str, int | None], bytes]] = {
    "chat": _splice_chat,
    "completions": _splice_chat,
    "rerank": _splice_rerank,
    "responses": _splice_responses,
    "gemini": _splice_gemini,
}
