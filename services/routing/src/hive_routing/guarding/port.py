"""What routing asks of the guardrails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Protocol


class Origin(IntEnum):
    """Whose words a text is; numbers as in the contract (`modelhive.guardrails.v1.Origin`)."""

    APPLICATION = 1
    USER = 2
    TOOL = 3
    MODEL = 4


class Verdict(IntEnum):
    """The heavier the higher; numbers as in the contract (`modelhive.events.v1.GuardVerdict`)."""

    NONE = 0
    ALLOWED = 1
    FLAGGED = 2
    REDACTED = 3
    BLOCKED = 4


class Text(NamedTuple):
    """known: characters at its start that were shown before."""

    text: str
    origin: Origin
    known: int = 0


class Asker(NamedTuple):
    """For whom it is asked. wanted: the header `x-hive-guard` as it came; None: absent."""

    request_id: str
    tenant_id: str
    key_id: str
    model: str
    wanted: str | None


class Found(NamedTuple):
    """Characters [start, end) of a text that have to be taken out."""

    category: str
    text: int
    start: int
    end: int


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


class Guards(Protocol):
    """Raises HiveError: `invalid` for a header that names no guard, `unavailable` where nobody decides."""

    async def on_input(self, asker: Asker, texts: Sequence[Text]) -> Decision: ...

    async def on_output(self, asker: Asker, texts: Sequence[Text], *, more: bool) -> Decision:
        """more: the output goes on."""
        ...
