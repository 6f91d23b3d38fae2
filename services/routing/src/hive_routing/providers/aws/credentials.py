"""The secret of an operator, read as a credential for Amazon's services."""

from __future__ import annotations

import re

import msgspec

_KEY_ID = re.compile(r"(?:AKIA|ASIA)[A-Z0-9]{8,124}")


class AccessKey(msgspec.Struct, frozen=True):
    """What requests are signed with. session_token: of temporary credentials. region: empty where it is not said."""

    access_key_id: str
    secret_access_key: str
    session_token: str = ""
    region: str = ""


class ApiKey(msgspec.Struct, frozen=True):
    """A key of Bedrock's own, sent as it is. region: empty where it is not said."""

    token: str
    region: str = ""


_decode_key = msgspec.json.Decoder(AccessKey).decode
_decode_token = msgspec.json.Decoder(ApiKey).decode


def read_credential(secret: str) -> AccessKey | ApiKey:
    """A JSON object of the members of `AccessKey` or `ApiKey`; `AKIA…:secret[:token]`; or else an API key.

    Raises ValueError, without the secret in its words, for what none of them can be.
    """
    secret = secret.strip()
    if not secret:
        raise ValueError("a credential is needed: an access key, or an API key of Bedrock")
    if not secret.isascii() or not secret.isprintable():
        raise ValueError("a credential must be printable ASCII")
    if secret.startswith("{"):
        return _read_object(secret)
    key_id, _, rest = secret.partition(":")
    if rest and _KEY_ID.fullmatch(key_id):
        secret_key, _, token = rest.partition(":")
        return AccessKey(key_id, secret_key, token)
    return ApiKey(secret)


def _read_object(secret: str) -> AccessKey | ApiKey:
    for decode in (_decode_key, _decode_token):
        try:
            return decode(secret)
        except msgspec.DecodeError:
            continue
    raise ValueError(
        "a credential as JSON has `access_key_id` and `secret_access_key`, and may have `session_token` and"
        " `region`; one of an API key has `token`, and may have `region`"
    )
