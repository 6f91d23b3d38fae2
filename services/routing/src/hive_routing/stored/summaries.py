"""Summaries that stand for what was said: sealed, so that clients carry them along and cannot change them."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64

import msgspec
from msgspec import Raw

from hive_routing.dialects.responses.ids import random_id
from hive_routing.endpoints import invalid
from hive_routing.stored.responses import decode_item
from hive_runtime.sealing import SealingError, SealingKey, seal

_MARK = "hivec1."
_PREFACE = "What was said before, in a summary:\n\n"


class _Summary(msgspec.Struct):
    tenant_id: str
    text: str


_decode = msgspec.json.Decoder(_Summary).decode
_encode = msgspec.json.encode


class Summaries:
    """They can be opened where they were sealed for the same tenant. key: all processes of routing have the same."""

    def __init__(self, key: SealingKey) -> None:
        self._key = key

    def sealed(self, text: str, tenant_id: str) -> dict[str, str]:
        """The item that stands for it."""
        shut = seal(self._key.public, _encode(_Summary(tenant_id, text)))
        content = _MARK + urlsafe_b64encode(shut).decode()
        return {"type": "compaction", "id": random_id("cmp"), "encrypted_content": content}

    def opened(self, item: Raw, tenant_id: str) -> Raw:
        """The item, or what it stands for: words of the application. Raises HiveError `invalid` where it is broken."""
        if _MARK.encode() not in bytes(item):
            return item
        try:
            found = decode_item(item)
        except msgspec.DecodeError:
            return item
        if found.kind != "compaction" or not (found.encrypted_content or "").startswith(_MARK):
            return item
        text = self._text(found.encrypted_content or "", tenant_id)
        return Raw(_encode({"type": "message", "role": "developer", "content": _PREFACE + text}))

    def _text(self, content: str, tenant_id: str) -> str:
        try:
            summary = _decode(self._key.open(urlsafe_b64decode(content.removeprefix(_MARK))))
            if summary.tenant_id == tenant_id:
                return summary.text
        except (SealingError, NotBase64, ValueError):
            pass
        message = (
            "A `compaction` item cannot be opened: it was changed, or it is not yours. Give it as you got it."
        )
        raise invalid("input", message)
