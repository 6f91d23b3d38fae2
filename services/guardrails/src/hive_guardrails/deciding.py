"""From texts and the guards of a stage to one decision: what blocks, what has to be taken out, what is only told."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b

import msgspec

from hive_guardrails.checks.port import Finding
from hive_guardrails.policies import Action, Decided, Guard, Line
from hive_runtime.guarding import BLOCKED, Found, Origin, Text, Verdict

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
_ORIGINS = len(Origin) + 1


New = Sequence[tuple[int, Finding]]
"""What a guard found that was not shown before, and the numbers of the texts in which it did."""


class Outcome(msgspec.Struct):
    """A decision, and what led to it, in the order of the line; where a guard blocked, no other ran after it.

    said: characters of the texts, by their origins. seconds: of CPU, about, of each guard that ran. new: by the place
    of the guard that found it.
    """

    decision: Decided
    said: Sequence[int]
    seconds: Sequence[float]
    new: Mapping[int, New]


class Memory:
    """What was found in the texts that were asked about last: a conversation says most of it again and again.

    It keeps digests, never texts. Safe to be used by several threads.
    """

    def __init__(self, most: int = 10_000) -> None:
        """most: texts; beyond that the oldest goes, and is looked at anew where it is still said."""
        self._most = most
        # Of a plain dict, the first entry is the dearer to find the more have been taken out before it.
        self._known: OrderedDict[bytes, Findings] = OrderedDict()
        self.recall = self._known.get
        """What was found in the text of a digest; None where it is not known."""

    def keep(self, digest: bytes, found: Findings) -> None:
        self._known[digest] = found
        if len(self._known) > self._most:
            self._known.popitem(last=False)


class _Unread(msgspec.Struct):
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
    said = [0] * _ORIGINS
    unread = []
    for number, text in enumerate(texts):
        words, origin = text.text, text.origin
        said[origin] += len(words)
        readers = line.readers[origin]
        if not (readers and words):
            continue
        digest = blake2b(words.encode("utf-8", "surrogatepass"), digest_size=16, person=readers).digest()
        known = memory.recall(digest)
        if known is not CLEAN:
            unread.append(_Unread(number, text, digest, {} if known is None else dict(known)))
    if unread:
        outcome = _read(line, unread, said, monotonic, began)
    else:
        outcome = Outcome(line.allowed, said, [0.0] * len(line.guards), {})
    is_blocked = outcome.decision.verdict is BLOCKED
    for each in unread:
        memory.keep(each.digest, each.found if is_blocked or any(each.found.values()) else CLEAN)
    if more and not is_blocked:
        open = [_open(line.guards, text) for text in texts]
        outcome.decision = replace(outcome.decision, open=open)
    return outcome


def _read(
    line: Line, unread: Sequence[_Unread], said: Sequence[int], monotonic: Callable[[], float], began: float
) -> Outcome:
    """What each guard makes of the texts that are left for it. began: of the first guard's work."""
    seconds: list[float] = []
    new: dict[int, New] = {}
    for place, guard in enumerate(line.guards):
        check, found = guard.check, []
        for each in unread:
            text = each.text
            if text.origin not in check.reads:
                continue
            findings = each.found.get(check.name)
            if findings is None:
                findings = each.found[check.name] = check.find(text.text, guard.threshold)
            if findings:
                found += [(each.number, finding) for finding in findings if finding.end > text.known]
        ended = monotonic()
        seconds.append(ended - began)
        began = ended
        if found:
            new[place] = found
            if guard.action is Action.BLOCK:
                break
    return Outcome(_decided(line, new) if new else line.allowed, said, seconds, new)


def _decided(line: Line, new: Mapping[int, New]) -> Decided:
    place = max(new)
    if line.guards[place].action is Action.BLOCK:
        return replace(
            line.allowed,
            verdict=Verdict.BLOCKED,
            blocked_by=line.guards[place].name,
            category=categories(new[place])[0],
            ran=line.allowed.ran[: place + 1],
        )
    by_guard = [(line.guards[place], found) for place, found in new.items()]
    cuts = [
        Found(finding.category, text, finding.start, finding.end, guard.name)
        for guard, found in by_guard
        if guard.action is Action.REDACT
        for text, finding in found
    ]
    verdict = max([VERDICTS[guard.action] for guard, _ in by_guard])
    return replace(line.allowed, verdict=verdict, found=_apart(cuts))


def categories(new: New) -> tuple[str, ...]:
    """Each once, the first one first."""
    return tuple(dict.fromkeys([finding.category for _, finding in new]))


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
