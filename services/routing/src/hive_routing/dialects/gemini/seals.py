"""Thought signatures: Google's own as they came, those of others in the base64 that Google's clients want there."""

from __future__ import annotations

import base64
import binascii

from hive_routing.dialects.form import Seal
from hive_routing.dialects.seals import own, packed, unpacked

NAME = "gemini"
KIND = "signature"

NOT_CHECKED = "skip_thought_signature_validator"
"""Google's word for a call that none of its models made, in the place of the signature that it would have."""

_PACKED = "aGl2ZTEu"
"""How base64 begins that holds a packed seal."""


def seal_of(signature: str) -> Seal | None:
    """The seal that a `thoughtSignature` stands for."""
    if signature in ("", NOT_CHECKED):
        return None
    if signature.startswith(_PACKED):
        try:
            foreign = base64.b64decode(standard_base64(signature), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            pass
        else:
            return unpacked(foreign, NAME, KIND)
    return Seal(NAME, KIND, signature)


def own_signature(seal: Seal | None) -> str | None:
    """For Google: other providers' seals mean nothing there."""
    return own(seal, NAME, KIND)


def signature_of(seal: Seal | None) -> str | None:
    """For a client, who brings it back."""
    if seal is None:
        return None
    value = own_signature(seal)
    return base64.b64encode(packed(seal, "").encode()).decode() if value is None else value


def standard_base64(data: str) -> str:
    """Base64 in the alphabet that everybody reads, with its padding; Google's SDKs write the URL-safe one."""
    if "-" in data or "_" in data:
        data = data.replace("-", "+").replace("_", "/")
    return data + "=" * (-len(data) % 4)
