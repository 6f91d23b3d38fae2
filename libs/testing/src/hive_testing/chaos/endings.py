"""How a call ended for the one who made it: always in one of these ways."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import httpx2
import openai


class How(StrEnum):
    """The first four are ends that a caller can work with; a lost connection is one where its edge was lost."""

    ANSWERED = "answered"
    LEFT = "left"
    ERROR = "error"
    ERROR_EVENT = "error event"
    CONNECTION_LOST = "connection lost"
    SILENT = "silent end of a stream"
    WRONG = "wrong answer"
    NO_END = "no end"


PLEASANT = (How.ANSWERED, How.LEFT)
FIGURES = re.compile(r"\S*\d\S*")
AWAY = (502, 503, 504)
"""What a cluster may say while a part of it is away; the official client has asked again before."""


@dataclass(frozen=True, slots=True)
class Ending:
    """detail: status, type, reason and words of an error."""

    how: How
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.how}: {self.detail}" if self.detail else self.how


ANSWERED, LEFT, SILENT = Ending(How.ANSWERED), Ending(How.LEFT), Ending(How.SILENT)


def of_error(error: Exception, further: tuple[int, ...], reasons: tuple[str, ...] = ()) -> Ending:
    """How a call ended that raised. further: statuses that this kind of call may also get; reasons: the same of 500."""
    match error:
        case openai.APITimeoutError() | httpx2.TimeoutException() | TimeoutError():
            return Ending(How.NO_END, type(error).__name__)
        case openai.APIConnectionError() | httpx2.TransportError():
            cause = error.__cause__ or error
            return Ending(How.CONNECTION_LOST, type(cause).__name__)
        case openai.APIStatusError():
            body = error.body if isinstance(error.body, Mapping) else {}
            said = f"{error.status_code} {_said(body)}"
            is_allowed = error.status_code in (*AWAY, *further) or body.get("reason") in reasons
            return Ending(How.ERROR, said) if is_allowed else Ending(How.WRONG, f"{said}: {error.message}")
        case openai.APIError():
            body = error.body if isinstance(error.body, Mapping) else {}
            return Ending(How.ERROR_EVENT, _said(body))
    return Ending(How.WRONG, repr(error))


def _said(body: Mapping[str, Any]) -> str:
    """Type, reason, and the first sentence without its figures."""
    sentence = str(body.get("message", "")).partition(". ")[0]
    words = [body.get("type"), body.get("reason"), FIGURES.sub("…", sentence)]
    return " ".join(str(word) for word in words if word)
