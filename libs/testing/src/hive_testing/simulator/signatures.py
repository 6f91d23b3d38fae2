"""What the simulator signs, and knows again: the stand-in for what providers encrypt for themselves.

A signature says of which kind it is and over which text it was made; nothing is remembered. It is as long as the
real ones are, and of the characters of base64 that travel badly.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

KEY = b"the simulator's own"
DIGEST = 16
PADDING = 160


def made(kind: str, text: str) -> str:
    """The signature of this kind over a text, in base64."""
    digest = _digest(text)
    padding = hashlib.shake_256(digest).digest(PADDING)
    return base64.b64encode(digest + _mac(kind, digest + padding) + padding).decode()


def is_made(kind: str, signature: str) -> bool:
    """Whether the simulator made it, over whatever text."""
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        return False
    digest, mac, padding = raw[:DIGEST], raw[DIGEST : 2 * DIGEST], raw[2 * DIGEST :]
    return hmac.compare_digest(mac, _mac(kind, digest + padding))


def fits(kind: str, signature: str, text: str) -> bool:
    """Whether the simulator made it over this very text."""
    return is_made(kind, signature) and base64.b64decode(signature)[:DIGEST] == _digest(text)


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=DIGEST).digest()


def _mac(kind: str, content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST, key=KEY, person=kind.encode()).digest()
