"""How Cohere answers: errors are a message and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec

from hive_testing.simulator.calls import Call
from hive_testing.simulator.checking.shapes import Members, Misfit, dotted
from hive_testing.simulator.dialect import Overlaid, bearer
from hive_testing.simulator.reply import InvalidRequest


class Cohere(Overlaid):
    def error(self, status: int, message: str, param: str | None = None, code: str | None = None) -> Any:
        return {"message": message}

    def error_body(self, error: Any, number: int) -> bytes:
        return msgspec.json.encode({"id": f"sim{number}", **error})

    def check_key(self, call: Call, key: str) -> None:
        if bearer(call) != key:
            raise InvalidRequest("invalid api token", status=401)


COHERE = Cohere()


def check_types(shape: Members, fields: dict[str, Any]) -> None:
    """The body against the signature of the SDK's method; raises `InvalidRequest`."""
    try:
        shape.check(fields, ())
    except Misfit as misfit:
        raise InvalidRequest(_words(misfit), dotted(misfit.path)) from misfit


def _words(misfit: Misfit) -> str:
    path = dotted(misfit.path)
    match misfit.kind:
        case "unknown":
            return f"invalid request: unknown field: parameter '{path}' is not a valid field"
        case "missing":
            return f"invalid request: {path} is required"
        case "value":
            return (
                f"invalid request: {path} must be one of {', '.join(misfit.expected)}, got {misfit.given!r}"
            )
    return f"invalid type: parameter {path} is of type {type(misfit.given).__name__}, not {misfit.expected}"
