"""What a stream passes on its way to the caller: the guards, the cache, the putting back of what was taken out.

The guards hold back until they have decided: what is released was scanned, with everything around it that could
have made a finding of it. What the cache keeps has passed the guards, and still has its placeholders.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from hive_routing.guarding.holding import Channel, HeldEvents, Texts
from hive_routing.guarding.port import BLOCKED, Asker, Decision, Guards, Origin, Text, Verdict
from hive_routing.guarding.redaction import Redaction
from hive_runtime.errors import HiveError, Kind

STEP = 160
"""New characters of a text after which the guards are asked again."""


class OutputGate:
    """Asks the guards about a stream, window by window. verdict: the heaviest so far."""

    def __init__(
        self, guards: Guards, asker: Asker, overlap: int, policy: str = "", texts: Texts | None = None
    ) -> None:
        """policy: the one that the request was decided by. texts: finds those of an event, in its dialect."""
        self.verdict = Verdict.ALLOWED
        self._policy = policy
        self._guards = guards
        self._asker = asker
        self._overlap = overlap
        self._held = HeldEvents(texts)
        self._scanned: dict[Channel, int] = {}

    @property
    def channels(self) -> list[Channel]:
        """The texts of the stream so far."""
        return list(self._held.channels.values())

    def scanned(self, channel: Channel) -> int:
        """Characters of it that the guards have read."""
        return self._scanned.get(channel, 0)

    async def feed(self, data: bytes) -> bytes:
        """What may go now. Raises HiveError `blocked`."""
        self._held.push(data)
        if any(channel.size - self.scanned(channel) >= STEP for channel in self._held.channels.values()):
            await self._scan(more=True)
        return self._held.take()

    async def end(self) -> bytes:
        """The rest: nothing follows it. Raises HiveError `blocked`."""
        await self._scan(more=False)
        return self._held.take()

    async def _scan(self, *, more: bool) -> None:
        channels = [
            each for each in self._held.channels.values() if not more or each.size > self.scanned(each)
        ]
        starts = [max(each.base, self.scanned(each) - self._overlap) for each in channels]
        texts = [
            Text(each.since(start), Origin.MODEL, self.scanned(each) - start)
            for each, start in zip(channels, starts, strict=True)
        ]
        sizes = [each.size for each in channels]
        decision = await self._guards.on_output(self._asker, texts, more=more)
        require_policy(decision, self._policy)
        self.verdict = max(self.verdict, decision.verdict)
        if decision.verdict is BLOCKED:
            raise blocked(decision, "answer")
        for found in decision.found:
            start = starts[found.text]
            channels[found.text].edit(start + found.start, start + found.end, mask(found.category))
        open = decision.open if more else [0] * len(channels)
        for channel, size, unsure in zip(channels, sizes, open, strict=True):
            self._scanned[channel] = size
            channel.final = max(channel.final, size - unsure)
            channel.forget(min(channel.final, size - self._overlap))


class RestoringGate:
    """Puts back what was taken out of the request, wherever the answer repeats its placeholder."""

    def __init__(self, redaction: Redaction, texts: Texts | None = None) -> None:
        self._redaction = redaction
        self._held = HeldEvents(texts)

    def feed(self, data: bytes) -> bytes:
        self._held.push(data)
        for channel in self._held.channels.values():
            self._restore(channel, channel.size - self._redaction.possible(channel.text))
        return self._held.take()

    def end(self) -> bytes:
        for channel in self._held.channels.values():
            self._restore(channel, channel.size)
        return self._held.take()

    def _restore(self, channel: Channel, final: int) -> None:
        for start, end, original in self._redaction.find(channel.text):
            text = json_inside(original) if channel.is_json else original
            channel.edit(channel.base + start, channel.base + end, text)
        channel.final = final
        channel.forget(final)


class StreamGates:
    """All that a stream passes, one after the other. keep: gets what the cache keeps.

    waits: guards are asked on the way, so that it takes `feed` to pass; else `let_through` does. alters: what comes
    is held back or changed.
    """

    def __init__(
        self,
        guard: OutputGate | None,
        keep: Callable[[bytes], None] | None,
        restore: RestoringGate | None,
    ) -> None:
        self.waits = guard is not None
        self.alters = guard is not None or restore is not None
        self.keep = keep
        self._guard = guard
        self._restore = restore

    async def feed(self, data: bytes) -> bytes:
        return self.let_through(await self._guard.feed(data) if self._guard else data)

    async def end(self) -> bytes:
        last = self.let_through(await self._guard.end()) if self._guard else b""
        return last + self._restore.end() if self._restore else last

    def let_through(self, data: bytes) -> bytes:
        if data and self.keep is not None:
            self.keep(data)
        return self._restore.feed(data) if data and self._restore else data


def require_policy(decision: Decision, policy: str) -> None:
    """Raises HiveError `unavailable` where an answer was decided by another policy than its request."""
    if decision.policy != policy:
        message = "The policy of the guardrails changed while the answer was on its way. Try again."
        raise HiveError(Kind.UNAVAILABLE, message, retry_after=1)


def blocked(decision: Decision, what: str) -> HiveError:
    """The 403 for what a guard refused. what: `request` or `answer`."""
    message = (
        f"Request blocked by security guardrails: `{decision.blocked_by}` refused the {what}"
        f" ({decision.category})."
    )
    return HiveError(Kind.BLOCKED, message, reason=decision.blocked_by)


def mask(category: str) -> str:
    """What stands in an answer for what was taken out of it."""
    return f"[{category.upper().replace('-', '_')}]"


def json_inside(text: str) -> str:
    """The text as it stands inside a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]
