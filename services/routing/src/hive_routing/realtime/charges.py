"""The money of a session: each response is a request of its own, held before it begins and settled when it is done.

What the client asks for is held before the event goes on; what the provider begins on its own (it heard that somebody
stopped talking) is held when it says so. A response that is open when the session ends is settled by what came of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hive_routing.attempts import Attempt, Handling, Outcome
from hive_routing.catalogue import Deployment, Model
from hive_routing.dialects.usages import usage_of
from hive_routing.endpoints import Endpoint
from hive_routing.realtime.conversation import CHARS_PER_TOKEN, MOST_OUTPUT, Conversation
from hive_routing.realtime.events import object_in
from hive_routing.realtime.port import OPERATION
from hive_routing.request import Request
from hive_routing.spending import Bill, Meter, Payer, Spending
from hive_routing.usage import Usage
from hive_runtime.errors import HiveError, Kind
from hive_runtime.money import price_of

MOST_AT_ONCE = 32
"""Responses that one session may have under way."""
ENDPOINT = Endpoint(OPERATION, OPERATION, {}, lambda values, fields: 1, "embedding", "/v1/embeddings")


@dataclass(slots=True)
class Charge:
    """One response. event_id: of the event that asked for it. prompt: tokens that it reads, by our own count, and of
    those the ones that are sound. text, sound: characters and base64 that came of it.
    aside: it is no part of the conversation.
    """

    bill: Bill
    attempt: Attempt
    meter: Meter
    event_id: str | None
    prompt: int
    heard: int
    aside: bool = False
    text: int = 0
    sound: int = 0


@dataclass(slots=True)
class Total:
    """What the responses of a session used together. cost: nano-dollars."""

    prompt: int = 0
    completion: int = 0
    cost: int = 0
    responses: int = 0
    estimated: bool = False

    def add(self, usage: Usage, cost: int) -> None:
        self.prompt += usage.prompt_tokens
        self.completion += usage.completion_tokens
        self.cost += cost
        self.responses += 1
        self.estimated = self.estimated or usage.estimated


@dataclass(slots=True)
class Charges:
    """Of one session. handling: what the guards did."""

    spending: Spending
    payer: Payer
    request_id: str
    model: Model
    deployment: Deployment
    handling: Handling
    conversation: Conversation
    total: Total = field(default_factory=Total)
    _asked: deque[Charge] = field(default_factory=deque)
    _open: dict[str, Charge] = field(default_factory=dict)
    _count: int = 0

    async def ask(self, event_id: str | None, wish: Mapping[str, Any]) -> None:
        """The client asks for a response. Raises HiveError `budget_exceeded`, `rate_limited`, `unavailable`."""
        self._asked.append(await self._begin(event_id, wish))

    def withdraw(self) -> None:
        """What was asked last did not go out after all."""
        if self._asked:
            self._end_unsent(self._asked.pop())

    async def began(self, response: Mapping[str, Any]) -> None:
        """The provider begins a response, asked or not. Raises as `ask` does."""
        charge = self._asked.popleft() if self._asked else await self._begin(None, response)
        charge.aside = response.get("conversation_id", "") is None
        self._open[str(response.get("id"))] = charge

    def refused(self, event_id: str | None) -> None:
        """The provider answered with an error: what was asked by that event comes to nothing.

        An error that names no event is taken for one about the oldest; if the response begins all the same, it is
        held then.
        """
        for charge in self._asked:
            if event_id is None or charge.event_id == event_id:
                self._asked.remove(charge)
                charge.bill.fail(charge.attempt, Outcome.REFUSED, Kind.INVALID.label)
                charge.bill.close()
                return

    def came(self, response_id: Any, *, text: int = 0, sound: int = 0) -> None:
        """So much came of a response: characters, and base64 of sound."""
        charge = self._open.get(str(response_id))
        if charge is not None:
            charge.text += text
            charge.sound += sound
            charge.meter.note(-(-charge.text // CHARS_PER_TOKEN) + self.conversation.spoken(charge.sound))

    def done(self, response: Mapping[str, Any]) -> None:
        """A response has ended: what it cost is final."""
        charge = self._open.pop(str(response.get("id")), None)
        if charge is None:
            return
        usage = stated_usage(response.get("usage"))
        status = str(response.get("status"))
        if usage is None and status == "failed":
            charge.bill.fail(charge.attempt, Outcome.BROKEN, Kind.UPSTREAM_FAILED.label)
            charge.bill.close()
            return
        cut = status in ("cancelled", "failed")
        self._settle(charge, usage, Outcome.ABANDONED if cut else Outcome.ANSWERED)

    async def heard(self, usage: Usage) -> None:
        """Something was written down that the client had said: it costs what the provider states, now.

        Raises HiveError `budget_exceeded` where there is no money for it; it is settled all the same.
        """
        charge = await self._charge(None, dict(usage.units), usage.prompt_tokens, 0)
        self._settle(charge, usage, Outcome.ANSWERED)

    def close(self, outcome: Outcome) -> None:
        """The session has ended. Whoever was asked and said nothing costs nothing."""
        for charge in self._asked:
            charge.bill.fail(charge.attempt, Outcome.UNANSWERED, "")
            charge.bill.close()
        self._asked.clear()
        for charge in self._open.values():
            self._settle(charge, None, outcome)
        self._open.clear()

    @property
    def under_way(self) -> list[str]:
        """The responses that have begun."""
        return list(self._open)

    async def _begin(self, event_id: str | None, wish: Mapping[str, Any]) -> Charge:
        if len(self._asked) + len(self._open) >= MOST_AT_ONCE:
            raise HiveError(Kind.RATE_LIMITED, f"A session has at most {MOST_AT_ONCE} responses under way.")
        talk = self.conversation
        extra = len(msgspec.json.encode(wish["input"])) if wish.get("input") else 0
        instructions = wish.get("instructions")
        extra += len(instructions.encode()) if isinstance(instructions, str) else 0
        units = await self._worst(talk.most + extra, wish)
        return await self._charge(event_id, units, talk.likely + -(-extra // CHARS_PER_TOKEN), talk.sound)

    async def _charge(
        self, event_id: str | None, units: Mapping[str, int], prompt: int, heard: int
    ) -> Charge:
        self._count += 1
        price = await self.spending.price_of(self.model)
        request = Request(ENDPOINT, self.model.id, {}, prompt * CHARS_PER_TOKEN)
        name = f"{self.request_id}-{self._count}"
        amount = price.cost(units)
        bill = await self.spending.reserve_again(
            request, self.payer, name, 1, self.model, amount, self.handling
        )
        try:
            attempt = bill.open(self.model, self.deployment, 1, streamed=True)
        except BaseException:
            bill.close()
            raise
        return Charge(bill, attempt, bill.meter(attempt), event_id, prompt, heard)

    async def _worst(self, prompt: int, wish: Mapping[str, Any]) -> dict[str, int]:
        """All of it at the dearest price that it can have."""
        price = await self.spending.price_of(self.model)
        if price.tariff is None:
            return {}
        prices = price.tariff.prices(prompt)
        talk = self.conversation
        inputs = ["prompt", "audio_in"] if talk.hears or talk.speaks else ["prompt"]
        modalities = wish.get("output_modalities") or wish.get("modalities")
        speaks = "audio" in modalities if isinstance(modalities, list) else talk.speaks
        outputs = ["completion", "audio_out"] if speaks else ["completion"]
        most = wish.get("max_output_tokens", wish.get("max_response_output_tokens"))
        bound = most if type(most) is int and 0 < most <= MOST_OUTPUT else talk.bound
        dearest = max(inputs, key=lambda unit: price_of(unit, prices))
        return {dearest: prompt, max(outputs, key=lambda unit: price_of(unit, prices)): bound}

    def _settle(self, charge: Charge, usage: Usage | None, outcome: Outcome) -> None:
        """usage: as stated; None: what came is counted, and where nothing came, nothing was given."""
        if usage is None:
            if not charge.text and not charge.sound:
                charge.bill.fail(charge.attempt, outcome, "")
                charge.bill.close()
                return
            usage = self._counted(charge)
        elif not charge.aside and usage.prompt_tokens:
            self.conversation.settle(usage.prompt_tokens + usage.completion_tokens)
        charge.bill.settle(charge.attempt, outcome, usage)
        charge.bill.close()
        self.total.add(usage, charge.bill.cost or 0)

    def _counted(self, charge: Charge) -> Usage:
        text = -(-charge.text // CHARS_PER_TOKEN)
        sound = self.conversation.spoken(charge.sound)
        heard = min(charge.heard, charge.prompt)
        units = {"prompt": charge.prompt - heard, "audio_in": heard, "completion": text, "audio_out": sound}
        return Usage(charge.prompt, text + sound, units, estimated=True)

    def _end_unsent(self, charge: Charge) -> None:
        charge.bill.fail(charge.attempt, Outcome.UNSENT, "")
        charge.bill.close()


def stated_usage(value: Any) -> Usage | None:
    """The figures of a response, or of something that was written down; None where there are none that can be."""
    if not isinstance(value, dict):
        return None
    if value.get("type") == "duration":
        seconds = value.get("seconds")
        if not isinstance(seconds, int | float) or not 0 <= seconds < 1e9:
            return None
        return Usage(0, 0, {"second": int(seconds) + (seconds > int(seconds))})
    prompt, completion = _count(value, "input_tokens"), _count(value, "output_tokens")
    given = object_in(value, "input_token_details")
    told = object_in(value, "output_token_details")
    cached, text, sound = (_count(given, name) for name in ("cached_tokens", "text_tokens", "audio_tokens"))
    kept = _count(object_in(given, "cached_tokens_details"), "audio_tokens")
    if kept is None:  # it is not said of what: text comes first in a prompt
        kept = min(sound or 0, max(0, (cached or 0) - (text or 0)))
    heard = None if sound is None else max(0, sound - kept)
    return usage_of(
        prompt,
        completion,
        {"cached_prompt": cached, "audio_in": heard},
        {"audio_out": _count(told, "audio_tokens")},
    )


def _count(value: Mapping[str, Any], name: str) -> int | None:
    found = value.get(name)
    return found if type(found) is int else None
