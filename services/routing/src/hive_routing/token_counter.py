"""How many tokens a prompt has before it is sent, in every dialect that has an endpoint for it. Asks no provider."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from msgspec import Raw

from hive_routing.catalogue import Catalogue
from hive_routing.dialects.port import Dialect
from hive_routing.endpoints import Field, invalid
from hive_routing.estimates import prompt_countable
from hive_routing.request import model_name, parse_object
from hive_routing.tokens import Countable, TokenCounter

_ARRAY = Field(list[Any], "an array")
_FIELDS = {
    "prompt": Field(str, "a string"),
    "messages": _ARRAY,
    "contents": _ARRAY,
    "tools": _ARRAY,
    "system": Field(str | list[Any], "a string or an array of blocks"),
}


async def count_tokens(
    body: bytes, catalogue: Catalogue, counter: TokenCounter, allowed: Collection[str] | None
) -> dict[str, Any]:
    """The answer of /v1/utils/token_counter; raises HiveError `invalid` or `not_found`."""
    fields = parse_object(body)
    model = catalogue.find(model_name(fields), allowed)
    counted = _countable(fields)
    used = model.deployments[0].model if model.deployments else model.id
    return {
        "total_tokens": await counter.count(counted, used),
        "request_model": model.id,
        "model_used": used,
        "tokenizer_type": "local_tokenizer",
        "original_response": None,
        "error": False,
        "error_message": None,
        "status_code": None,
    }


async def count_prompt(
    dialect: Dialect,
    fields: dict[str, Raw],
    model_id: str,
    catalogue: Catalogue,
    counter: TokenCounter,
    allowed: Collection[str] | None,
) -> int:
    """Of a body in one of the dialects; raises HiveError `invalid` or `not_found`."""
    model = catalogue.find(model_id, allowed)
    counted = prompt_countable(dialect.read_prompt(fields))
    return await counter.count(counted, model.deployments[0].model if model.deployments else model.id)


def _countable(fields: Mapping[str, Raw]) -> Countable:
    values = {name: kind.read(name, fields[name]) for name, kind in _FIELDS.items() if name in fields}
    if all(values.get(name) is None for name in ("prompt", "messages", "contents")):
        raise invalid("prompt", "One of `prompt`, `messages` and `contents` is needed.")
    counted = Countable()
    counted.add(values.get("prompt"))
    counted.add(values.get("system"))
    counted.add_json(values.get("tools"))
    if values.get("messages") is not None:
        counted.add_messages(values["messages"])
    counted.add_contents(values.get("contents"))
    return counted
