"""From texts and a plan to one decision: what blocks, what has to be taken out, what is only told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from hashlib import blake2b

from hive_guardrails.checks.port import Finding, Origin
from hive_guardrails.policies import Action, Guard


class Stage(IntEnum):
    """Numbers as in the contract (`modelhive.events.v1.GuardStage`)."""

    INPUT = 1
    OUTPUT = 2


class Verdict(IntEnum):
    """The heavier the higher; numbers as in the contract (`modelhive.events.v1.GuardVerdict`)."""

    ALLOWED = 1
    FLAGGED = 2
    REDACTED = 3
    BLOCKED = 4


_VERDICTS = {
    Action.OBSERVE: Verdict.FLAGGED,
    Action.REDACT: Verdict.REDACTED,
    Action.BLOCK: Verdict.BLOCKED,
}


@dataclass(frozen=True, slots=True)
class Text:
    """known: characters at its start that were shown before; what ends within them is not found again."""

    text: str
    origin: Origin
    known: int = 0


@dataclass(frozen=True, slots=True)
class Cut:
    """Characters [start, end) of a text, counted from 0, that have to be taken out."""

    guard: str
    category: str
    text: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What one guard made of the texts. microseconds: of CPU, about."""

    guard: Guard
    verdict: Verdict
    categories: tuple[str, ...]
    scanned: int
    microseconds: int


@dataclass(slots=True)
class Decision:
    """verdict: the heaviest. blocked_by, category: of the guard that blocked; then no other ran after it.

    open: of each text, where it goes on, how many characters at its end are not final.
    """

    verdict: Verdict = Verdict.ALLOWED
    blocked_by: str = ""
    category: str = ""
    cuts: list[Cut] = field(default_factory=list)
    ran: list[Verdicts] = field(default_factory=list)
    open: list[int] = field(default_factory=list)


class Memory:
    """What checks found in the texts that were asked about last: a conversation says most of it again and again.

    It keeps digests, never texts. Safe to be used by several threads.
    """

    def __init__(self, most: int = 20_000) -> None:
        self._most = most
        self._found: dict[tuple[str, str, float, bytes], list[Finding]] = {}

    def find(self, guard: Guard, text: str, digest: bytes) -> list[Finding]:
        key = (guard.name, guard.check.version, guard.threshold, digest)
        found = self._found.pop(key, None)
        if found is None:
            found = guard.check.find(text, guard.threshold)
        self._found[key] = found  # at the end again: the first is the one not asked for longest
        if len(self._found) > self._most:
            with suppress(StopIteration, KeyError, RuntimeError):  # another thread was faster
                del self._found[next(iter(self._found))]
        return found


def decide(
    guards: Sequence[Guard],
    texts: Sequence[Text],
    monotonic: Callable[[], float],
    memory: Memory,
    *,
    more: bool = False,
) -> Decision:
    """Ask each guard about the texts that it reads. May take long where texts are long. more: they go on."""
    digests: dict[int, bytes] = {}
    decision = Decision()
    cuts: list[Cut] = []
    began = monotonic()
    for guard in guards:
        read = [number for number, text in enumerate(texts) if text.text and text.origin in guard.check.reads]
        scanned = sum([len(texts[number].text) for number in read])
        found = _found(guard, texts, read, memory, digests)
        verdict = _VERDICTS[guard.action] if found else Verdict.ALLOWED
        categories = tuple(dict.fromkeys([finding.category for _, finding in found]))
        ended = monotonic()
        decision.ran.append(Verdicts(guard, verdict, categories, scanned, int((ended - began) * 1e6)))
        began = ended
        if not found:
            continue
        decision.verdict = max(decision.verdict, verdict)
        if verdict is Verdict.BLOCKED:
            decision.blocked_by, decision.category = guard.name, categories[0]
            return decision
        if verdict is Verdict.REDACTED:
            cuts += [Cut(guard.name, each.category, text, each.start, each.end) for text, each in found]
    decision.cuts = _apart(cuts)
    if more:
        decision.open = [_open(guards, text) for text in texts]
    return decision


def _open(guards: Sequence[Guard], text: Text) -> int:
    reading = (guard.check for guard in guards if text.origin in guard.check.reads)
    return max((check.open(text.text) for check in reading), default=0)


def _found(
    guard: Guard, texts: Sequence[Text], read: Sequence[int], memory: Memory, digests: dict[int, bytes]
) -> list[tuple[int, Finding]]:
    """What is new in the texts that are read, by their numbers."""
    found = []
    for number in read:
        text = texts[number]
        digest = digests.get(number)
        if digest is None:
            said = text.text.encode("utf-8", "surrogatepass")
            digest = digests[number] = blake2b(said, digest_size=16).digest()
        for finding in memory.find(guard, text.text, digest):
            if finding.end > text.known:
                found.append((number, finding))
    return found


def _apart(cuts: list[Cut]) -> list[Cut]:
    """In the order of their places; where the findings of two guards overlap, the two become one."""
    merged: list[Cut] = []
    for cut in sorted(cuts, key=lambda each: (each.text, each.start, -each.end)):
        last = merged[-1] if merged else None
        if last is not None and last.text == cut.text and cut.start < last.end:
            if cut.end > last.end:
                merged[-1] = Cut(last.guard, last.category, last.text, last.start, cut.end)
        else:
            merged.append(cut)
    return merged
