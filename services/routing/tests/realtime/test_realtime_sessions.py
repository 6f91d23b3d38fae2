"""One session between two lines that a test holds: its money, its guards, its ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from hive_routing.attempts import Outcome
from hive_routing.catalogue import Deployment, Model
from hive_routing.prices import PriceTag
from hive_routing.providers.port import Timeouts
from hive_routing.realtime.opening import Opener, Wish
from hive_routing.realtime.port import Closed, Message, SessionCall
from hive_routing.realtime.session import Ending, Session
from hive_routing.spending import Payer
from hive_runtime.errors import HiveError, Kind
from hive_runtime.money import Tariff

PRICES = {"prompt": 4_000_000, "completion": 16_000_000, "cached_prompt": 400_000, "audio_in": 32_000_000,
          "audio_out": 64_000_000}  # fmt: skip
USAGE = {
    "input_tokens": 100,
    "output_tokens": 20,
    "input_token_details": {"text_tokens": 100, "audio_tokens": 0, "cached_tokens": 0},
    "output_token_details": {"text_tokens": 20, "audio_tokens": 0},
}
COST = (100 * 4_000_000 + 20 * 16_000_000) // 1000
SECONDS = 10.0


class FakeLine:
    """A side of a session: what a test says there, and what it hears."""

    def __init__(self) -> None:
        self._said: asyncio.Queue[Message | Closed] = asyncio.Queue()
        self.heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.closed: int | None = None

    def say(self, type: str, **fields: Any) -> None:
        self._said.put_nowait(Message(msgspec.json.encode({"type": type, **fields})))

    def leave(self, code: int = 1000) -> None:
        self._said.put_nowait(Closed(code))

    async def hears(self, type: str) -> dict[str, Any]:
        """The next event, which has to be of this type."""
        event = await asyncio.wait_for(self.heard.get(), SECONDS)
        assert event["type"] == type, event
        return event

    async def receive(self) -> Message:
        said = await self._said.get()
        if isinstance(said, Closed):
            raise said
        return said

    async def send(self, message: Message) -> None:
        self.heard.put_nowait(msgspec.json.decode(message.data))

    async def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or code


@dataclass
class FakeProvider:
    """Opens one line, or refuses to. asked: what sessions were asked for."""

    line: FakeLine = field(default_factory=FakeLine)
    refusal: HiveError | None = None
    asked: list[SessionCall] = field(default_factory=list)
    speaks = ("chat", "realtime")

    async def open_session(self, call: SessionCall) -> FakeLine:
        self.asked.append(call)
        if self.refusal is not None:
            raise self.refusal
        return self.line

    async def send(self, call: Any) -> Any:
        raise NotImplementedError

    async def close(self) -> None: ...


class Stage:
    """A session that runs, and everything around it."""

    def __init__(self, gateway: Any) -> None:
        self.gateway = gateway
        self.provider = FakeProvider()
        self.client = FakeLine()
        self.opener = Opener(gateway.catalogue, gateway.guards, gateway.spending, gateway.tasks)
        self.session: Session
        self._run: asyncio.Task[Ending]
        tariff = Tariff(((0, PRICES),))
        for subject in ("model/voice", "deployment/live/gpt-realtime", "deployment/other/gpt-realtime"):
            gateway.prices.put(PriceTag(subject, 1, tariff))
        self.serve(self.provider)

    def serve(self, *providers: FakeProvider) -> None:
        names = ("live", "other")
        deployments = tuple(
            Deployment(name, each, "gpt-realtime", 1, Timeouts(), "", order=place)
            for place, (name, each) in enumerate(zip(names, providers, strict=False))
        )
        self.gateway.catalogue.put(Model("voice", 0, "", "", None, deployments, ()))

    def give(self, nanos: int) -> None:
        self.gateway.bank.scopes = ("budget:key_1",)
        self.gateway.bank.free["budget:key_1"] = nanos

    async def open(self, query: str = "model=voice", seconds: float = 600.0) -> None:
        wish = Wish("req_1", Payer("default", "key_1"), None, query)
        opened = await self.opener.open(wish, self.client)
        self.charges = opened.charges
        self.session = opened.session
        self._run = self.gateway.tasks.spawn(self.session.run(seconds, opened.opening), "session")
        session = {"output_modalities": ["text"], "instructions": ""}
        self.provider.line.say("session.created", session=session)
        await self.client.hears("session.created")

    async def ask(self, **response: Any) -> None:
        self.client.say("response.create", response=response)
        await self.provider.line.hears("response.create")

    async def begin(self, id: str = "resp_1") -> None:
        self.provider.line.say("response.created", response={"id": id, "conversation_id": "conv_1"})
        await self.client.hears("response.created")

    async def finish(self, id: str = "resp_1", status: str = "completed", usage: Any = USAGE) -> None:
        response = {"id": id, "status": status, "output": [], "usage": usage}
        self.provider.line.say("response.done", response=response)
        await self.client.hears("response.done")

    async def ended(self) -> Ending:
        return await asyncio.wait_for(self._run, SECONDS)

    @property
    def attempts(self) -> list[tuple[Outcome, int, bool]]:
        """Of each attempt that was closed: its outcome, what it cost, whether that is estimated."""
        return [(each.outcome, each.cost, each.estimated) for each in self.gateway.log.closed]


@pytest.fixture
async def stage(gateway: Any) -> AsyncIterator[Stage]:
    yield Stage(gateway)


async def test_a_response_is_written_down_before_it_goes_out_and_settled_before_its_end_is_heard(
    stage: Stage,
) -> None:
    stage.give(10**9)
    await stage.open()
    await stage.ask()
    assert stage.gateway.log.steps == ["open"]
    assert stage.gateway.purse.held > 0
    await stage.begin()
    await stage.finish()
    assert stage.attempts == [(Outcome.ANSWERED, COST, False)]
    assert stage.gateway.purse.held == 0
    (attempt,) = stage.gateway.log.closed
    assert (attempt.request_id, attempt.endpoint, attempt.deployment) == (
        "req_1-1", "realtime", "live/gpt-realtime",
    )  # fmt: skip
    assert attempt.units == {
        "prompt": 100,
        "cached_prompt": 0,
        "audio_in": 0,
        "completion": 20,
        "audio_out": 0,
    }


async def test_what_is_held_is_the_most_that_it_can_cost(stage: Stage) -> None:
    stage.give(10**9)
    await stage.open()
    await stage.ask(max_output_tokens=1000)
    floor = 1000 * 16_000
    assert floor < stage.gateway.purse.held < floor + 16 * 4_000  # the marks of an empty conversation
    await stage.ask(max_output_tokens=1000, output_modalities=["audio"])
    assert stage.gateway.purse.held > floor + 1000 * 64_000


async def test_what_was_said_before_is_held_for_as_well(stage: Stage) -> None:
    stage.give(10**10)
    await stage.open()
    await stage.ask(max_output_tokens=10)
    await stage.begin()
    await stage.finish(usage=USAGE | {"input_tokens": 9_000, "output_tokens": 1_000})
    await stage.ask(max_output_tokens=10)
    assert stage.gateway.purse.held >= 10_000 * 4_000


async def test_without_money_the_event_stays_here(stage: Stage) -> None:
    stage.give(1_000_000)
    await stage.open()
    stage.client.say("response.create", event_id="event_1")
    error = (await stage.client.hears("error"))["error"]
    assert (error["type"], error["event_id"]) == ("budget_exceeded", "event_1")
    stage.client.say("input_audio_buffer.clear")
    await stage.provider.line.hears("input_audio_buffer.clear")
    assert stage.gateway.log.opened == []


async def test_a_full_journal_stops_responses(stage: Stage) -> None:
    await stage.open()
    stage.gateway.log.full = True
    stage.client.say("response.create")
    assert (await stage.client.hears("error"))["error"]["type"] == "server_error"
    assert stage.gateway.purse.held == 0


async def test_what_the_provider_refuses_costs_nothing(stage: Stage) -> None:
    stage.give(10**9)
    await stage.open()
    await stage.ask()
    stage.provider.line.say(
        "error", error={"code": "conversation_already_has_active_response", "event_id": None}
    )
    await stage.client.hears("error")
    assert stage.attempts == [(Outcome.REFUSED, 0, False)]
    assert stage.gateway.purse.held == 0


async def test_an_error_about_something_else_leaves_a_response_that_was_asked(stage: Stage) -> None:
    await stage.open()
    stage.client.say("response.create", event_id="event_mine")
    await stage.provider.line.hears("response.create")
    stage.provider.line.say("error", error={"code": "x", "event_id": "event_of_an_item"})
    await stage.client.hears("error")
    assert stage.attempts == []
    await stage.begin()
    await stage.finish()
    assert stage.attempts == [(Outcome.ANSWERED, COST, False)]


async def test_a_response_that_the_provider_begins_is_held_and_paid(stage: Stage) -> None:
    stage.give(10**9)
    await stage.open()
    await stage.begin()
    assert stage.gateway.purse.held > 0
    await stage.finish()
    assert stage.attempts == [(Outcome.ANSWERED, COST, False)]


async def test_a_response_that_the_provider_begins_without_money_ends_the_session(stage: Stage) -> None:
    stage.give(1_000_000)
    await stage.open()
    stage.provider.line.say("response.created", response={"id": "resp_1"})
    ending = await stage.ended()
    assert (await stage.provider.line.hears("response.cancel"))["response_id"] == "resp_1"
    assert (await stage.client.hears("error"))["error"]["type"] == "budget_exceeded"
    assert (ending.code, stage.provider.line.closed) == (1008, 1008)


@pytest.mark.parametrize(
    ("side", "code", "outcome", "told"),
    [
        ("client", 1000, Outcome.ABANDONED, 1000),
        ("client", 1006, Outcome.ABANDONED, 1011),
        ("provider", 1006, Outcome.BROKEN, 1011),
        ("provider", 4000, Outcome.BROKEN, 4000),
    ],
)
async def test_what_is_open_at_the_end_is_paid_by_what_came(
    stage: Stage, side: str, code: int, outcome: Outcome, told: int
) -> None:
    stage.give(10**9)
    await stage.open()
    await stage.ask()
    await stage.begin()
    delta = {"response_id": "resp_1", "delta": "x" * 40}
    stage.provider.line.say("response.output_text.delta", **delta)
    await stage.client.hears("response.output_text.delta")
    await stage.ask()  # one that nothing came of
    (stage.client if side == "client" else stage.provider.line).leave(code)
    await stage.ended()
    assert stage.attempts == [(Outcome.UNANSWERED, 0, True), (outcome, 10 * 16_000, True)]
    assert stage.gateway.purse.held == 0
    assert stage.provider.line.closed == told


async def test_sound_that_came_is_counted(stage: Stage) -> None:
    await stage.open()
    await stage.ask()
    await stage.begin()
    sound = "A" * 64_000  # 48,000 bytes: a second, 20 tokens
    stage.provider.line.say("response.output_audio.delta", response_id="resp_1", delta=sound)
    await stage.client.hears("response.output_audio.delta")
    stage.client.leave()
    await stage.ended()
    (attempt,) = stage.gateway.log.closed
    assert (attempt.units["audio_out"], attempt.cost) == (20, 20 * 64_000)


async def test_a_response_aside_does_not_shorten_the_conversation(stage: Stage) -> None:
    await stage.open()
    await stage.ask()
    await stage.begin()
    await stage.finish()
    assert stage.charges.conversation.known == 120
    await stage.ask(conversation="none")
    stage.provider.line.say("response.created", response={"id": "resp_2", "conversation_id": None})
    await stage.client.hears("response.created")
    await stage.finish("resp_2", usage=USAGE | {"input_tokens": 1, "output_tokens": 1})
    assert stage.charges.conversation.known == 120


async def test_a_session_has_an_end(stage: Stage) -> None:
    await stage.open(seconds=0.05)
    ending = await stage.ended()
    assert (await stage.client.hears("error"))["error"]["code"] == "session_expired"
    assert ending.code == 1000


async def test_a_session_is_stopped_from_outside(stage: Stage) -> None:
    await stage.open()
    stage.session.stop(1012, "This server is going down.")
    assert (await stage.ended()).code == 1012
    assert stage.provider.line.closed == 1012


async def test_what_the_guards_refuse_goes_no_further(stage: Stage) -> None:
    stage.gateway.guards.bad.add("poison")
    await stage.open()
    content = [{"type": "input_text", "text": "poison"}]
    stage.client.say("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    assert (await stage.client.hears("error"))["error"]["type"] == "guardrail_blocked"
    stage.client.say("response.create", response={"instructions": "poison"})
    assert (await stage.client.hears("error"))["error"]["type"] == "guardrail_blocked"
    assert stage.gateway.log.opened == []


async def test_guards_that_are_away_let_nothing_pass(stage: Stage) -> None:
    await stage.open()
    stage.gateway.guards.away = True
    stage.client.say("session.update", session={"instructions": "hello"})
    assert (await stage.client.hears("error"))["error"]["type"] == "server_error"


@pytest.mark.parametrize("name", ["item", "session"])
async def test_what_has_to_be_is_taken_out(stage: Stage, name: str) -> None:
    stage.gateway.guards.words["secret"] = "word"
    await stage.open()
    if name == "item":
        content = [{"type": "input_text", "text": "a secret, a secret!"}]
        stage.client.say("conversation.item.create", item={"role": "user", "content": content}, own=1)
        event = await stage.provider.line.hears("conversation.item.create")
        assert (event["item"]["content"][0]["text"], event["own"]) == ("a [WORD], a [WORD]!", 1)
    else:
        stage.client.say("session.update", session={"instructions": "a secret", "voice": "alloy"})
        event = await stage.provider.line.hears("session.update")
        assert event["session"] == {"instructions": "a [WORD]", "voice": "alloy"}


async def test_what_the_model_says_is_held_until_it_is_decided(stage: Stage) -> None:
    stage.gateway.guards.output = ("words",)
    stage.gateway.guards.bad.add("poison")
    await stage.open()
    await stage.ask()
    await stage.begin()
    place = {"response_id": "resp_1", "item_id": "item_1", "content_index": 0}
    for _ in range(20):
        stage.provider.line.say("response.output_text.delta", delta="0123456789", **place)
    for _ in range(14):  # 160 characters were decided, less what may still become a finding
        await stage.client.hears("response.output_text.delta")
    stage.provider.line.say("response.output_text.delta", delta=" poi", **place)
    stage.provider.line.say("response.output_text.delta", delta="son", **place)
    stage.provider.line.say("response.output_text.done", text="0123456789" * 20 + " poison", **place)
    assert (await stage.client.hears("error"))["error"]["type"] == "guardrail_blocked"
    assert (await stage.provider.line.hears("response.cancel"))["response_id"] == "resp_1"
    stage.provider.line.say("conversation.item.done", item={"id": "item_1", "content": ["poison"]})
    await stage.finish()
    assert stage.attempts == [(Outcome.ANSWERED, COST, False)]


async def test_another_deployment_opens_what_one_does_not(stage: Stage) -> None:
    broken = FakeProvider(refusal=HiveError(Kind.UPSTREAM_FAILED, "no"))
    stage.serve(broken, stage.provider)
    await stage.open()
    assert (len(broken.asked), len(stage.provider.asked)) == (1, 1)


async def test_what_the_request_is_to_blame_for_is_not_asked_twice(stage: Stage) -> None:
    broken = FakeProvider(refusal=HiveError(Kind.INVALID, "no"))
    stage.serve(broken, stage.provider)
    with pytest.raises(HiveError, match="no"):
        await stage.open()
    assert stage.provider.asked == []


async def test_the_rest_of_the_query_goes_along(stage: Stage) -> None:
    await stage.open("intent=transcription&model=voice")
    (call,) = stage.provider.asked
    assert (call.model, list(call.query)) == ("gpt-realtime", [("intent", "transcription")])
