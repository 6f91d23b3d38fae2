"""GET /v1/models: the list, and one of its models. The other endpoints take any name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import msgspec

from hive_testing.simulator import errors
from hive_testing.simulator.answer import Answer, plain
from hive_testing.simulator.calls import Call
from hive_testing.simulator.reply import CREATED

PATH = "/v1/models"
LISTED = ("sim-embedding", "sim-large", "sim-small")


def answer(call: Call, listed: Sequence[str]) -> Answer:
    """The list of models, one model, or 404."""
    wanted = unquote(call.path.removeprefix(PATH).removeprefix("/"))
    if not wanted:
        body = {"object": "list", "data": [_model(name) for name in sorted(listed)]}
        return plain(200, msgspec.json.encode(body), call.number, call.keep_alive)
    if wanted in listed:
        return plain(200, msgspec.json.encode(_model(wanted)), call.number, call.keep_alive)
    missing = errors.error(404, f"The model {wanted!r} does not exist.", "model")
    return plain(404, errors.body(missing), call.number, call.keep_alive)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "simulator"}
