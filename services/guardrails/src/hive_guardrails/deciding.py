"""From texts and the guards of a stage to one decision: what blocks, what has to be taken out, what is only told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from typing import NamedTuple

from hive_guardrails.checks.port import Finding
from hive_guardrails.policies import Action, Decided, Guard, Line
from hive_runtime.guarding import Found, Text, Verdict

VERDICTS = {
    Action.OBSERVE: Verdict.FLAGGED,
    Action.REDACT: Verdict.REDACTED,
    Action.BLOCK: Verdict.BLOCKED,
}
"""What a finding makes of the texts."""

Findings = Mapping[str, Sequence[Finding]]
"""In one text, by the names of the guards that have read it."""
CLEAN: Findings = {}
"""Whoever reads the text finds nothing in it."""


class Outcome(NamedTuple):
    """A decision, and what led to it, in the order of the line; where a guard blocked, no other ran after it.

    scanned: characters that each guard reads. microseconds: of CPU, about, of each that ran. categories: what was
    found, by the place of the guard that found something.
    """

    decision: Decided
    scanned: Sequence[int]
    microseconds: Sequence[int]
    categories: Mapping[int, tuple[str, ...]]


class Memory:
    """What was found in the texts that were asked about last: a conversation says most of it again and again.

    It keeps digests, never texts. Safe to be used by several threads.
    """

    def __init__(self, most: int = 10_000) -> None:
        """most: texts."""
        self._most = most
        self._known: dict[bytes, Findings] = {}

    def recall(self, digest: bytes) -> Findings | None:
        known = self._known.pop(digest, None)
        if known is not None:
            self._known[digest] = known  # at the end again: the first is the one not asked for longest
        return known

    def keep(self, digest: bytes, found: Findings) -> None:
        self._known[digest] = found
        if len(self._known) > self._most:
            with suppress(StopIteration, KeyError, RuntimeError):  # another thread was faster
                del self._known[next(iter(self._known))]


class _Unread(NamedTuple):
    """A text that somebody has to look at. found: what is known of it, and what becomes known."""

    number: int
    text: Text
    digest: bytes
    found: dict[str, Sequence[Finding]]


def decide(
    line: Line, texts: Sequence[Text], monotonic: Callable[[], float], memory: Memory, *, more: bool = False
) -> Outcome:
    """Ask each guard about the texts that it reads. May take long where texts are long. more: they go on."""
    began = monotonic()
    scanned = [0] * len(line.guards)
    unread = []
    for number, text in enumerate(texts):
        said = text.text
        readers = line.readers.get(text.origin)
        if readers is None or not said:
            continue
        for place in readers.places:
            scanned[place] += len(said)
        raw = said.encode("utf-8", "surrogatepass")
        digest = blake2b(raw, digest_size=16, person=readers.identity).digest()
        known = memory.recall(digest)
        if known is not CLEAN:
            unread.append(_Unread(number, text, digest, {} if known is None else dict(known)))
    outcome = _read(line, unread, scanned, monotonic, began)
    is_blocked = outcome.decision.verdict is Verdict.BLOCKED
    for _, _, digest, found in unread:
        memory.keep(digest, found if is_blocked or any(found.values()) else CLEAN)
    if more and not is_blocked:
        open = [_open(line.guards, text) for text in texts]
        return outcome._replace(decision=replace(outcome.decision, open=open))
    return outcome


def _read(
    line: Line,
    unread: Sequence[_Unread],
    scanned: Sequence[int],
    monotonic: Callable[[], float],
    began: float,
) -> Outcome:
    """What each guard makes of the texts that are left for it. began: of the first guard's work."""
    verdict = Verdict.ALLOWED
    microseconds: list[int] = []
    categories: dict[int, tuple[str, ...]] = {}
    cuts: list[Found] = []
    for place, guard in enumerate(line.guards):
        found = _new(guard, unread)
        ended = monotonic()
        microseconds.append(int((ended - began) * 1e6))
        began = ended
        if not found:
            continue
        categories[place] = tuple(dict.fromkeys([finding.category for _, finding in found]))
        verdict = max(verdict, VERDICTS[guard.action])
        if guard.action is Action.BLOCK:
            blocked = replace(
                line.allowed,
                verdict=verdict,
                blocked_by=guard.name,
                category=categories[place][0],
                ran=line.allowed.ran[: place + 1],
            )
            return Outcome(blocked, scanned, microseconds, categories)
        if guard.action is Action.REDACT:
            cuts += [Found(each.category, text, each.start, each.end, guard.name) for text, each in found]
    if not categories:
        return Outcome(line.allowed, scanned, microseconds, categories)
    decision = replace(line.allowed, verdict=verdict, found=_apart(cuts))
    return Outcome(decision, scanned, microseconds, categories)


def _new(guard: Guard, unread: Sequence[_Unread]) -> list[tuple[int, Finding]]:
    """What it finds that was not shown before, and in which text."""
    new = []
    check = guard.check
    for number, text, _, found in unread:
        if text.origin not in check.reads:
            continue
        findings = found.get(check.name)
        if findings is None:
            findings = found[check.name] = check.find(text.text, guard.threshold)
        if findings:
            new += [(number, finding) for finding in findings if finding.end > text.known]
    return new


def _open(guards: Sequence[Guard], text: Text) -> int:
    reading = (guard.check for guard in guards if text.origin in guard.check.reads)
    return max((check.open(text.text) for check in reading), default=0)


def _apart(cuts: list[Found]) -> list[Found]:
    """In the order of their places; where the findings of two guards overlap, the two become one."""
    merged: list[Found] = []
    for cut in sorted(cuts, key=lambda each: (each.text, each.start, -each.end)):
        last = merged[-1] if merged else None
        if last is not None and last.text == cut.text and cut.start < last.end:
            if cut.end > last.end:
                merged[-1] = last._replace(end=cut.end)
        else:
            merged.append(cut)
    return merged
