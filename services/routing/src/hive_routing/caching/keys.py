"""What makes two requests the same: a digest of everything that can change the answer, and of nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Raw

KEY_BYTES = 32
TENANT_BYTES = 16
MOST_TAGS = 4_096
MOST_NUMBERS = 4_096
SHORT_NUMBER = 16
"""Characters of numbers that are remembered: most requests name the same few, `0.2` or `0.95`."""
LARGEST_POWER = 400
"""Of ten, up to which a whole number is written out: beyond every number that a double can hold."""

WITHOUT_EFFECT = frozenset(
    {
        "model",  # the model's id stands for it: aliases of one model share its answers
        "user",  # whom the provider holds responsible for abuse; tenants are told apart anyway
        "safety_identifier",  # the same, by its newer name
        "metadata",  # labels for a stored completion, which the model never sees; see `_without_effect`
        # How the provider is to keep the prompt for its next reader: changes its bill, never its answer.
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
    }
)
"""Members that do not change what is answered.

Not among them, though the model does not see them: `store`, for an answer that the provider did not keep must not
stand in for one that it did; `service_tier`, because the answer names the tier that it came from; `stream` and
`stream_options`, because a stream is replayed byte for byte.
"""

_ECHOES = frozenset({"responses", "interactions"})
"""Endpoints whose answers repeat what they were asked, labels among it."""

_NO_LABELS = WITHOUT_EFFECT - {"metadata"}
_NAMES = frozenset({"model"})
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_TRUE = b"true"
_UNREADABLE = (ValueError, ArithmeticError, RecursionError)


def cache_key(tenant_id: str, model_id: str, endpoint: str, fields: Mapping[str, Raw], guards: Any) -> bytes:
    """32 bytes that are equal for requests that mean the same.

    fields: the body's members before anything is redacted from them; order, white space, escapes and the spelling
    of numbers do not matter, null is absence. guards: the checks that the answer has passed, with their versions,
    as what can be written as JSON.
    """
    told = dict(fields)
    for name in _without_effect(endpoint, fields).intersection(fields):
        del told[name]
    spelled: dict[str, str] = {}
    try:
        values = _given(_decode(_encode(told)))
        parts = _encode((tenant_id, model_id, endpoint, guards, values, spelled))
    except _UNREADABLE:
        values, spelled = _one_by_one(told)
        parts = _encode((tenant_id, model_id, endpoint, guards, values, spelled))
    return blake2b(parts, digest_size=KEY_BYTES).digest()


@lru_cache(maxsize=MOST_TAGS)
def tenant_tag(tenant_id: str) -> bytes:
    """16 bytes that stand for a tenant; names of entries begin with them."""
    return blake2b(tenant_id.encode(), digest_size=TENANT_BYTES).digest()


def _without_effect(endpoint: str, fields: Mapping[str, Raw]) -> frozenset[str]:
    if endpoint in _ECHOES:
        return _NAMES
    # The answer is the id of a stored completion then, and the labels are what it was stored with.
    return _NO_LABELS if "store" in fields and bytes(fields["store"]) == _TRUE else WITHOUT_EFFECT


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Null is absence."""
    if None not in values.values():
        return values
    return {name: value for name, value in values.items() if value is not None}


def _one_by_one(told: Mapping[str, Raw]) -> tuple[dict[str, Any], dict[str, str]]:
    """What can be read of it, and what cannot: a provider may still read that, so it counts as it is spelled."""
    values, spelled = {}, {}
    for name, raw in told.items():
        try:
            values[name] = _decode(raw)
            _encode(((values[name],),))  # as deep as it stands in the key
        except _UNREADABLE:
            values.pop(name, None)
            spelled[name] = bytes(raw).decode("latin-1")
    return _given(values), spelled


def _number(text: str) -> int | Decimal:
    """The one spelling of a number with a fraction or an exponent; whole ones are integers."""
    return _known_number(text) if len(text) <= SHORT_NUMBER else _exact_number(text)


def _exact_number(text: str) -> int | Decimal:
    value = _EXACT.normalize(Decimal(text))
    if value == value.to_integral_value() and value.adjusted() <= LARGEST_POWER:
        return int(value)
    return value


_known_number = lru_cache(maxsize=MOST_NUMBERS)(_exact_number)
_decode = msgspec.json.Decoder(float_hook=_number).decode
_encode = msgspec.json.Encoder(order="sorted", decimal_format="number").encode
