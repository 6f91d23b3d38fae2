"""A client's body, parsed once: the fields as raw JSON, and the few values that the gateway acts on."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Raw

from hive_routing.endpoints import ACTED_ON, Endpoint, invalid, shown
from hive_runtime.errors import HiveError, Kind

_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


@dataclass(slots=True)
class Request:
    """One request to a hot endpoint.

    fields: the body's members as the client spelled them; the last one of a name counts.
    choices: how many choices a full answer has.
    usage_asked: the client wants the usage as a chunk of its stream.
    """

    endpoint: Endpoint
    model: str
    fields: dict[str, Raw]
    size: int
    stream: bool = False
    usage_asked: bool = False
    choices: int = 1
    values: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, endpoint: Endpoint, body: bytes) -> Request:
        """The fields and the model's name; raises HiveError `invalid` where there are none."""
        fields = parse_object(body)
        return cls(endpoint, model_name(fields), fields, len(body))

    def check(self) -> None:
        """Read the known fields; raises HiveError `invalid` that names the first wrong one."""
        known = self.endpoint.fields
        values = self.values
        for name, raw in self.fields.items():
            if (kind := known.get(name)) is not None:
                values[name] = kind.read(name, raw)
        self.choices = self.endpoint.read(values, self.fields)
        self.stream = bool(values.get("stream"))
        options = values.get("stream_options") or {}
        _refuse_twins(options, ("include_usage",))
        self.usage_asked = bytes(options.get("include_usage", b"")) == b"true"


def parse_object(body: bytes) -> dict[str, Raw]:
    """The members of a JSON object; raises HiveError `invalid` that says what is wrong with the body."""
    try:
        if not body.isascii():
            body.decode()
        fields = _decode_object(body)
    except RecursionError:
        problem = "it is nested too deeply"
    except UnicodeDecodeError as error:
        problem = f"it is not UTF-8 (byte {error.start})"
    except msgspec.ValidationError as error:
        raise HiveError(Kind.INVALID, f"The body must be a JSON object. {error}.") from None
    except msgspec.DecodeError as error:
        problem = str(error)
    else:
        _refuse_twins(fields, ACTED_ON)
        return fields
    raise HiveError(Kind.INVALID, f"The body is not valid JSON: {problem}.")


def _refuse_twins(fields: Iterable[str], acted_on: Collection[str]) -> None:
    """Some providers read names without regard to case, and would take a twin for the field we checked."""
    for name in fields:
        folded = name.casefold()
        if folded != name and folded in acted_on:
            raise invalid(name, f"`{name}` is spelled `{folded}`.")


def model_name(fields: dict[str, Raw]) -> str:
    """The value of `model`; raises HiveError `invalid`."""
    raw = fields.get("model")
    if raw is None:
        raise invalid("model", "`model` is missing: name the model to ask.")
    try:
        if name := _decode_text(raw):
            return name
    except msgspec.DecodeError:
        pass
    raise invalid("model", f"`model` must be a non-empty string; got {shown(raw)}.")
