"""A question to the guardrails and what they decide, in the words of both sides: routing asks, guardrails answer."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import msgspec


class Stage(IntEnum):
    """Numbers as in the contract (`modelhive.events.v1.GuardStage`)."""

    INPUT = 1
    OUTPUT = 2


class Origin(IntEnum):
    """Whose words a text is; numbers as in the contract (`modelhive.guardrails.v1.Origin`)."""

    APPLICATION = 1
    """Instructions of the application: system and developer messages, descriptions of tools."""
    USER = 2
    TOOL = 3
    """What a tool answered: it may carry the words of a stranger."""
    MODEL = 4
    """What a model said, arguments of tool calls among it."""


class Verdict(IntEnum):
    """The heavier the higher; numbers as in the contract (`modelhive.events.v1.GuardVerdict`)."""

    NONE = 0
    ALLOWED = 1
    FLAGGED = 2
    REDACTED = 3
    BLOCKED = 4


# Asked of each request, and on Python 3.11 a member of an enum takes far longer to find than a name of a module.
BLOCKED = Verdict.BLOCKED
OUTPUT = Stage.OUTPUT


class Text(msgspec.Struct):
    """known: characters at its start that were shown before; what ends within them is not found again."""

    text: str
    origin: Origin
    known: int = 0


class Asker(msgspec.Struct, frozen=True):
    """For whom it is asked. wanted: the header `x-hive-guard` as it came; None: absent."""

    request_id: str
    tenant_id: str
    key_id: str
    model: str
    wanted: str | None


class Question(msgspec.Struct, frozen=True):
    """more: the output goes on: only what was found is told, and the whole once, at the end.

    traceparent: W3C trace context of who asks; empty where it is not traced.
    """

    asker: Asker
    stage: Stage
    texts: Sequence[Text]
    more: bool = False
    traceparent: str = ""


class Found(NamedTuple):
    """Characters [start, end) of a text, counted from 0, that have to be taken out."""

    category: str
    text: int
    start: int
    end: int
    guard: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """ran: guards of this stage. output: those that will run on the output; overlap: characters of context that they
    want to read again when a text goes on. open: of each text that goes on, characters at its end that may still become
    part of a finding. locked: those that ran although the header left them out.
    policy: another one wherever the same texts may be decided otherwise; empty where nothing runs.
    """

    verdict: Verdict
    blocked_by: str = ""
    category: str = ""
    found: Sequence[Found] = ()
    ran: Sequence[str] = ()
    output: Sequence[str] = ()
    overlap: int = 0
    open: Sequence[int] = ()
    locked: Sequence[str] = ()
    policy: str = ""


class Decider:
    """Who decides, to whoever asks within the same process."""

    def decide(self, question: Question) -> Decision | Coroutine[Any, Any, Decision]:
        """The decision where it needs no wait, or what gives it; a decision may be one for many questions.

        Raises HiveError for a question that cannot be decided, here or in the wait.
        """
        raise NotImplementedError
