"""One request and the guards: what they make of its texts, and later of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import lru_cache

import msgspec
from msgspec import Raw

from hive_routing.dialects.places import Document, Slot
from hive_routing.endpoints import Endpoint
from hive_routing.guarding.gates import (
    OutputGate,
    RestoringGate,
    StreamGates,
    blocked,
    json_inside,
    mask,
    require_policy,
)
from hive_routing.guarding.holding import Texts, forget_logprobs
from hive_routing.guarding.port import BLOCKED, Asker, Decision, Guards, Verdict
from hive_routing.guarding.redaction import Redaction, Span
from hive_routing.guarding.texts import answer_texts, request_texts
from hive_routing.request import Request

NOTHING = b"none"
_UNTOUCHED = Redaction()
"""Of a request that nothing is taken out of."""


class Guarded(msgspec.Struct):
    """What was decided about a request. `redaction` has what was taken out of it.

    guards: all that ran so far. verdict: the heaviest so far.
    """

    guards: list[str]
    verdict: Verdict
    policy: str
    _port: Guards
    _asker: Asker
    _decision: Decision
    _endpoint: Endpoint
    redaction: Redaction = _UNTOUCHED
    _gate: OutputGate | None = None

    def refuse_blocked(self) -> None:
        """Raises HiveError `blocked` where a guard refused the request."""
        if self._decision.verdict is BLOCKED:
            raise blocked(self._decision, "request")

    @property
    def header(self) -> bytes:
        """The value of `x-hive-guard` in the answer."""
        decision = self._decision
        return _header(tuple(decision.locked), tuple(decision.ran), tuple(decision.output))

    @property
    def reads_answers(self) -> bool:
        """Whether a whole answer has to pass `check_answer`."""
        return bool(self._decision.output)

    def gates(self, keep: Callable[[bytes], None] | None) -> StreamGates | None:
        """What a stream passes; None where nothing has to be done. keep: gets what the cache keeps."""
        if self._decision.output:
            overlap = self._decision.overlap
            self._gate = OutputGate(self._port, self._asker, overlap, self.policy, self._event_texts)
        restore = None if self.redaction.is_empty else RestoringGate(self.redaction, self._event_texts)
        if self._gate is None and keep is None and restore is None:
            return None
        return StreamGates(self._gate, keep, restore)

    def replay_gates(self) -> StreamGates | None:
        """What a stream passes that has passed the guards before; None where nothing has to be put back."""
        if self.redaction.is_empty:
            return None
        return StreamGates(None, None, RestoringGate(self.redaction, self._event_texts))

    @property
    def _event_texts(self) -> Texts | None:
        endpoint = self._endpoint
        return endpoint.dialect.event_texts if endpoint.dialect and not endpoint.fields else None

    def note_output(self) -> None:
        """As far as there was output, its guards have read it."""
        if not self._decision.output:
            return
        self.guards = list(dict.fromkeys((*self.guards, *self._decision.output)))
        if self._gate is not None:
            self.verdict = max(self.verdict, self._gate.verdict)

    async def check_answer(self, body: bytes) -> bytes:
        """A whole answer that may go out, as far as the guards are concerned. Raises HiveError `blocked`."""
        if not self._decision.output:
            return body
        document = answer_texts(self._endpoint, body)
        decision = await self._port.on_output(self._asker, document.slots, more=False)
        require_policy(decision, self.policy)
        self.verdict = max(self.verdict, decision.verdict)
        if decision.verdict is BLOCKED:
            raise blocked(decision, "answer")
        if not decision.found:
            return body
        forget_logprobs(document.value)
        for number, slot in enumerate(document.slots):
            text = slot.text
            for found in reversed([each for each in decision.found if each.text == number]):
                text = text[: found.start] + mask(found.category) + text[found.end :]
            slot.put(text)
        return document.encoded()

    def restored(self, body: bytes) -> bytes:
        """A whole answer with what was taken out of the request put back."""
        if self.redaction.is_empty:
            return body
        document = answer_texts(self._endpoint, body)
        changed = False
        for slot in document.slots:
            text = slot.text
            for start, end, original in reversed(self.redaction.find(text)):
                put = json_inside(original) if slot.is_json else original
                text = text[:start] + put + text[end:]
                changed = True
            slot.put(text)
        return document.encoded() if changed else body


async def guard(port: Guards, request: Request, asker: Asker) -> Guarded:
    """Ask the guards about a request, and take out of it what has to be. Raises HiveError `invalid`, `unavailable`.

    What they blocked must go no further: `refuse_blocked`.
    """
    if request.is_large:
        documents = await asyncio.to_thread(_documents, request)
    else:
        documents = _documents(request)
    slots: list[Slot] = []
    for document in documents.values():
        slots += document.slots
    decision = await port.on_input(asker, slots)
    guarded = Guarded(
        list(decision.ran), decision.verdict, decision.policy, port, asker, decision, request.endpoint
    )
    if decision.found and decision.verdict is not BLOCKED:
        spans = [Span(each.text, each.start, each.end, each.category) for each in decision.found]
        sources = {number for number, slot in enumerate(slots) if slot.is_json}
        guarded.redaction = Redaction()
        texts = guarded.redaction.replace([slot.text for slot in slots], spans, sources)
        for slot, text in zip(slots, texts, strict=True):
            slot.put(text)
        request.replace(
            {name: Raw(msgspec.json.encode(document.value[name])) for name, document in documents.items()}
        )
    if request.endpoint.fields:  # other prompts are read in their own way
        for name, document in documents.items():
            if name != "messages":
                request.decoded[name] = document.value[name]
            elif document.is_plain:
                request.spoken = document.slots
    return guarded


def _documents(request: Request) -> Mapping[str, Document]:
    return request_texts(request.endpoint, request.fields, request.messages)


@lru_cache(maxsize=1024)
def _header(locked: tuple[str, ...], ran: tuple[str, ...], output: tuple[str, ...]) -> bytes:
    if locked:
        return f"locked:{','.join(locked)}".encode()
    return ",".join(dict.fromkeys((*ran, *output))).encode() or NOTHING
