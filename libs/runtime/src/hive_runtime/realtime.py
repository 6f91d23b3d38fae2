"""What the two ends of a realtime session have in common: codes of its close, and the event that tells an error."""

from __future__ import annotations

import secrets
from typing import Any, Final

import msgspec

from hive_runtime.errors import HiveError

NORMAL: Final = 1000
REFUSED: Final = 1008
"""The key, the money or a guard ends it."""
BROKEN: Final = 1011
RESTARTING: Final = 1012
"""The same can be asked again at once: another process goes on."""
SESSION_SECONDS: Final = 3600.0
"""The longest session."""
PIECE_BYTES: Final = 64 * 1024
SECRET_PREFIX: Final = "ek_"


def error_event(error: HiveError, event_id: str | None = None) -> bytes:
    """The event that tells a client of an error. event_id: of the client's event that it is about."""
    inner: dict[str, Any] = {
        "type": error.kind.type,
        "code": error.reason or error.kind.label,
        "message": error.message,
        "param": error.param,
        "event_id": event_id,
    }
    event = {"type": "error", "event_id": "event_" + secrets.token_hex(12), "error": inner}
    return msgspec.json.encode(event)


def sendable(code: int) -> int:
    """A code that may stand in a close: those that say that there was none become others."""
    if code in (1005, NORMAL):
        return NORMAL
    if code in (1004, 1006, 1015) or not 1000 <= code < 5000:
        return BROKEN
    return code
