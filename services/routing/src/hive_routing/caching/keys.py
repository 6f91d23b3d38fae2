"""What makes two requests the same: a digest of everything that can change the answer, and of nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from hashlib import blake2b

import msgspec
from msgspec import Raw

KEY_BYTES = 32
TENANT_BYTES = 16
LARGEST_POWER = 400
"""Of ten, up to which a whole number is written out: beyond every number that a double can hold."""

WITHOUT_EFFECT = frozenset(
    {
        "model",  # the model's id stands for it: aliases of one model share its answers
        "user",  # whom the provider holds responsible for abuse; tenants are told apart anyway
        "safety_identifier",  # the same, by its newer name
        "metadata",  # labels for a stored completion, which the model never sees; see `_has_effect`
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

_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_TRUE, _NULL = b"true", b"null"


def cache_key(tenant_id: str, model_id: str, endpoint: str, fields: Mapping[str, Raw], guards: str) -> bytes:
    """32 bytes that are equal for requests that mean the same.

    fields: the body's members before anything is redacted from them; order, white space, escapes and the spelling
    of numbers do not matter, null is absence. guards: the checks that the answer has passed, with their versions.
    """
    parts = [tenant_id.encode(), model_id.encode(), endpoint.encode(), guards.encode()]
    for name in sorted(fields):
        if _has_effect(name, fields, endpoint) and (value := _canonical(fields[name])) != _NULL:
            parts += (name.encode(), value)
    return _digest(parts)


def tenant_tag(tenant_id: str) -> bytes:
    """16 bytes that stand for a tenant; names of entries begin with them."""
    return blake2b(tenant_id.encode(), digest_size=TENANT_BYTES).digest()


def _has_effect(name: str, fields: Mapping[str, Raw], endpoint: str) -> bool:
    if name not in WITHOUT_EFFECT or (endpoint in _ECHOES and name != "model"):
        return True
    # The answer is the id of a stored completion then, and this is what it was stored with.
    return name == "metadata" and bytes(fields.get("store", b"")) == _TRUE


def _canonical(raw: Raw) -> bytes:
    try:
        return _encode(_decode(raw))
    except (ValueError, ArithmeticError, RecursionError):
        return bytes(raw)  # a provider may still read it: it counts as it is spelled


def _number(text: str) -> int | Decimal:
    """The one spelling of a number with a fraction or an exponent; whole ones are integers."""
    value = _EXACT.normalize(Decimal(text))
    if value == value.to_integral_value() and value.adjusted() <= LARGEST_POWER:
        return int(value)
    return value


def _digest(parts: list[bytes]) -> bytes:
    """Every part goes in behind its length, so that no two lists of parts are the same bytes."""
    framed = [each for part in parts for each in (len(part).to_bytes(8, "big"), part)]
    return blake2b(b"".join(framed), digest_size=KEY_BYTES).digest()


_decode = msgspec.json.Decoder(float_hook=_number).decode
_encode = msgspec.json.Encoder(order="sorted", decimal_format="number").encode
