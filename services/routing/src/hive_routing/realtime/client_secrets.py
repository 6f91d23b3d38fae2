"""Ephemeral secrets (`ek_…`): a key's right to open one kind of session for a while, in the hands of a browser.

Nothing is kept of them: a secret is all that it stands for, sealed with a key that only routing has. Who holds it
cannot read the session's settings out of it. It is worth as much as the API key that made it, and ends with that.
"""

from __future__ import annotations

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from typing import Any

import msgspec
from nacl.encoding import RawEncoder
from nacl.exceptions import CryptoError
from nacl.hash import blake2b
from nacl.secret import SecretBox

from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.realtime import SECRET_PREFIX

LEAST_SECONDS, MOST_SECONDS, USUAL_SECONDS = 10, 7_200, 600
MOST_CHARS = 6_000
"""Of a secret: clients send it in a header."""
MOST_SETTINGS_BYTES = 256 * 1024
_PURPOSE = b"realtime secrets"


class Grant(msgspec.Struct, array_like=True):
    """What a secret stands for. expires_at: Unix seconds. session: its settings, as JSON."""

    tenant_id: str
    key_id: str
    model: str
    expires_at: int
    session: bytes


class ClientSecrets:
    """Makes them and reads them."""

    def __init__(self, key: str, clock: Clock) -> None:
        """key: a secret text that all processes of this service share."""
        self._box = SecretBox(blake2b(_PURPOSE, key=key.encode()[:64], digest_size=32, encoder=RawEncoder))
        self._clock = clock

    def made(self, grant: Grant) -> str:
        """The secret; raises HiveError `invalid` where the settings are too long for one."""
        if len(grant.session) > MOST_SETTINGS_BYTES // 2:
            raise _too_long()
        sealed = self._box.encrypt(zlib.compress(msgspec.msgpack.encode(grant)))
        secret = SECRET_PREFIX + urlsafe_b64encode(bytes(sealed)).decode().rstrip("=")
        if len(secret) > MOST_CHARS:
            raise _too_long()
        return secret

    def read(self, secret: str) -> Grant:
        """What it stands for; raises HiveError `unauthenticated` where it is none of ours or its time is over."""
        text = secret.removeprefix(SECRET_PREFIX)
        try:
            sealed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
            opened = zlib.decompressobj().decompress(self._box.decrypt(sealed), MOST_SETTINGS_BYTES)
            grant = msgspec.msgpack.decode(opened, type=Grant)
        except (NotBase64, CryptoError, ValueError, TypeError, zlib.error, msgspec.DecodeError):
            raise HiveError(Kind.UNAUTHENTICATED, "This client secret is none of ours.") from None
        if grant.expires_at <= self._clock.now():
            raise HiveError(Kind.UNAUTHENTICATED, "This client secret has expired: have another one made.")
        return grant


class _ExpiresAfter(msgspec.Struct):
    anchor: str = "created_at"
    seconds: int = USUAL_SECONDS


class _Asked(msgspec.Struct):
    """The body of a request for one. model: beside the session, as some clients say it."""

    session: dict[str, Any] = {}
    expires_after: _ExpiresAfter | None = None
    model: str | None = None


def read_wish(body: bytes, *, flat: bool) -> tuple[str, int, dict[str, Any]]:
    """The model's name, the seconds, and the session's settings that a body asks for; raises HiveError `invalid`.

    flat: the body is the session itself, in the older form.
    """
    try:
        fields = msgspec.json.decode(body or b"{}", type=dict[str, Any])
        asked = msgspec.convert({"session": fields} if flat else fields, _Asked)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HiveError(Kind.INVALID, f"The body does not ask for a client secret: {error}.") from None
    session = dict(asked.session)
    after = asked.expires_after or _ExpiresAfter()
    if not LEAST_SECONDS <= after.seconds <= MOST_SECONDS:
        said = f"`expires_after.seconds` must be from {LEAST_SECONDS} to {MOST_SECONDS}; got {after.seconds}."
        raise HiveError(Kind.INVALID, said, "expires_after.seconds")
    if not flat:
        session.setdefault("type", "realtime")
    model = session.pop("model", None) or asked.model or _transcriber(session)
    if not isinstance(model, str) or not model:
        raise HiveError(
            Kind.INVALID, "`session.model` is missing: name the model of the session.", "session.model"
        )
    return model, after.seconds, session


def _too_long() -> HiveError:
    said = "`session` is too long for a client secret: shorten it, or send the rest by `session.update`."
    return HiveError(Kind.INVALID, said, "session")


def _transcriber(session: dict[str, Any]) -> Any:
    """The model of a session that only writes down."""
    older = session.get("input_audio_transcription")
    if isinstance(older, dict):
        return older.get("model")
    found: Any = session
    for name in ("audio", "input", "transcription", "model"):
        found = found.get(name) if isinstance(found, dict) else None
    return found
