"""Every fault of a provider, plain and streamed: the answer ends in exactly one way, and asking is bounded.

A raw client looks at the bytes. A stream ends with its finish reasons and one [DONE], last; or with one error
event and nothing behind it. Before its first content it is no stream yet, and the error has a status. Each trial
has a model of its own; all of them are made at once, since most of their time is spent waiting.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest

from hive_testing.gateway import PRICE, Door, Gateway, RawAnswer
from hive_testing.simulator import SimulatorThread

CHAT = "/v1/chat/completions"
TRIALS_SECONDS = 240.0
pytestmark = pytest.mark.timeout(TRIALS_SECONDS + 60)
SAID = "Echo: hello hello hello"
DONE = "done"
BROKEN = "error event"
PACED: dict[str, Any] = {"chunk_delay": 0.05}
"""The first content is on its way to the client before the fault comes."""


@dataclass(frozen=True)
class Fault:
    """What the provider does, and how a plain and a streamed answer end: DONE, BROKEN, or with a status.

    patient: false where the provider's time limits are to be half a second. asked: how often it is called;
    resent: or up to twice as often, since a kept connection that closes unheard is replaced by a fresh one.
    """

    behaviour: dict[str, Any]
    plain: str | int
    stream: str | int
    patient: bool = True
    asked: dict[bool, int] = field(default_factory=lambda: {False: 1, True: 1})
    resent: bool = False
    said: str = SAID


def event(index: int, finish: str | None, **delta: str) -> str:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({'id': 'c', 'choices': [choice]})}\n\n"


HALF_FINISHED = (
    event(0, None, content="a") + event(1, None, content="b") + event(0, "stop") + "data: [DONE]\n\n"
)


def retried(plain: bool = True, stream: bool = True) -> dict[bool, int]:
    return {False: 3 if plain else 1, True: 3 if stream else 1}


FAULTS = {
    # The connection fails.
    "cut in the middle": Fault({"cut_after": 6, **PACED}, 502, BROKEN, asked=retried(stream=False)),
    "reset in the middle": Fault(
        {"cut_after": 6, "reset": True, **PACED}, 502, BROKEN, asked=retried(stream=False)
    ),
    "cut before the first event": Fault({"cut_after": 0}, 502, 502, asked=retried()),
    "cut after the role": Fault({"cut_after": 1}, 502, 502, asked=retried()),
    "cut after the finish": Fault({"cut_after": 8, **PACED}, 502, DONE, asked=retried(stream=False)),
    "hung up": Fault({"hang_up": True}, 502, 502, asked=retried(), resent=True),
    "reset": Fault({"hang_up": True, "reset": True}, 502, 502, asked=retried(), resent=True),
    # It takes too long.
    "stalled in the middle": Fault({"stall_after": 6}, 504, BROKEN, patient=False),
    "stalled after the role": Fault({"stall_after": 1}, 504, 504, patient=False),
    "stalled after the head": Fault({"first_chunk_delay": 60}, 504, 504, patient=False),
    "silent": Fault({"silent": True}, 504, 504, patient=False),
    "late": Fault({"latency": 60}, 504, 504, patient=False),
    # It answers with an error.
    "a refused credential": Fault({"status": 401}, 502, 502),
    "429": Fault({"status": 429}, 429, 429, asked=retried()),
    "429 for a minute": Fault({"status": 429, "retry_after": 60}, 429, 429),
    "500": Fault({"status": 500}, 502, 502, asked=retried()),
    "503": Fault({"status": 503}, 502, 502, asked=retried()),
    "an error without JSON": Fault(
        {"status": 500, "body": "<h1>Oops</h1>", "content_type": "text/html"}, 502, 502, asked=retried()
    ),
    # It answers with something else.
    "another content type": Fault(
        {"content_type": "text/html", "body": "<h1>Hi</h1>"}, 502, 502, asked=retried()
    ),
    "nothing": Fault({"body": ""}, 502, 502, asked=retried()),
    "no JSON": Fault({"body": "data: hello\n\n"}, 502, 502, asked=retried()),
    "half a JSON": Fault({"body": '{"choices": ['}, 502, 502, asked=retried()),
    "an error as an answer": Fault({"body": '{"error": {"message": "no"}}'}, 502, 502, asked=retried()),
    # The stream is malformed.
    "a malformed first event": Fault({"malformed_chunk": 0}, DONE, 502, asked=retried(plain=False)),
    "a malformed event": Fault({"malformed_chunk": 6, **PACED}, DONE, BROKEN),
    "an error event": Fault({"error_event_after": 6, **PACED}, DONE, BROKEN),
    "an error event at first": Fault({"error_event_after": 1}, DONE, 502, asked=retried(plain=False)),
    "no finish": Fault({"no_finish": True, **PACED}, DONE, BROKEN),
    "no finish, no [DONE]": Fault({"no_finish": True, "no_done": True, **PACED}, DONE, BROKEN),
    "one of two choices does not finish": Fault({"body": HALF_FINISHED}, 502, 502, asked=retried()),
    # The stream is unusual, and right.
    "no [DONE]": Fault({"no_done": True}, DONE, DONE),
    "byte by byte": Fault({"rechunk": 1}, DONE, DONE),
    "three bytes at a time": Fault({"rechunk": 3, "crlf": True, "keep_alives": True}, DONE, DONE),
    "split characters": Fault(
        {"split_utf8": True, "content": "é🐝é ü ☃ und so"}, DONE, DONE, said="é🐝é ü ☃ und so"
    ),
    "CRLF": Fault({"crlf": True}, DONE, DONE),
    "keep-alives": Fault({"keep_alives": True}, DONE, DONE),
    "slow, but not too slow": Fault({"chunk_delay": 0.1}, DONE, DONE, patient=False),
}


def asks(model: str, stream: bool, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "hello hello hello"}]
    return {"model": model, "messages": messages, "stream": stream, **fields}


def check_ending(answer: RawAnswer, expected: str | int, said: str) -> None:
    """Exactly one terminal state, and the right one."""
    assert answer.complete, "the framing of HTTP broke off"
    if isinstance(expected, int):
        assert answer.status == expected, answer
        assert answer.error["code"] == expected
        return
    assert answer.status == 200, answer
    if not answer.headers["content-type"].startswith("text/event-stream"):
        assert expected == DONE and answer.json["choices"][0]["message"]["content"] == said
        return
    check_stream(answer, expected, said)


def check_stream(answer: RawAnswer, expected: str, said: str) -> None:
    events, chunks = answer.events, answer.chunks
    finished = [chunk for chunk in chunks for choice in chunk.get("choices", ()) if choice["finish_reason"]]
    errors = [chunk for chunk in chunks if chunk.get("error")]
    if expected == DONE:
        assert events.count("[DONE]") == 1 and events[-1] == "[DONE]"
        assert answer.text == said and len(finished) == 1 and not errors
        return
    assert "[DONE]" not in answer.body.decode()
    assert errors == [chunks[-1]] and answer.body.endswith(b"\n\n")
    inner = errors[0]["error"]
    assert inner["code"] in (502, 504) and inner["type"] in ("upstream_error", "timeout_error")
    assert said.startswith(answer.text) and answer.text


# The trials

BEFORE_CONTENT = (
    "500",
    "429 for a minute",
    "hung up",
    "another content type",
    "cut after the role",
    "stalled after the role",
    "silent",
    "a refused credential",
)
AFTER_CONTENT = ("cut in the middle", "stalled in the middle", "an error event", "no finish")


@dataclass(frozen=True)
class Trial:
    """One request to a model with a fault, which may have a fallback that is well."""

    fault: str
    stream: bool
    has_fallback: bool = False


@dataclass(frozen=True)
class Outcome:
    """asked: the models that the provider was asked for, `own` or `backup`, in their order."""

    answer: RawAnswer
    asked: list[str]


def attempt(gateway: Gateway, provider: SimulatorThread, trial: Trial) -> Outcome:
    fault = FAULTS[trial.fault]
    backup = gateway.add_model() if trial.has_fallback else ""
    own = gateway.add_model(
        provider="sim" if fault.patient else "impatient", fallbacks=[backup] if backup else []
    )
    provider.script(model=own, **fault.behaviour)
    answer = gateway.public.ask("POST", CHAT, asks(own, trial.stream))
    names = {own: "own", backup: "backup"}
    called = [call.json["model"] for call in provider.calls]
    return Outcome(answer, [names[model] for model in called if model in names])


@pytest.fixture(scope="module")
def outcomes(gateway: Gateway, provider: SimulatorThread) -> Iterator[dict[Trial, Future[Outcome]]]:
    trials = [Trial(name, stream) for name in FAULTS for stream in (False, True)]
    trials += [Trial(name, stream, True) for name in BEFORE_CONTENT for stream in (False, True)]
    trials += [Trial(name, True, True) for name in AFTER_CONTENT]
    provider.reset()
    with ThreadPoolExecutor(12) as pool:
        made = {trial: pool.submit(attempt, gateway, provider, trial) for trial in trials}
        wait(made.values(), TRIALS_SECONDS)
        yield made


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("name", FAULTS)
def test_one_ending(outcomes: dict[Trial, Future[Outcome]], name: str, stream: bool) -> None:
    fault, outcome = FAULTS[name], outcomes[Trial(name, stream)].result(0)

    check_ending(outcome.answer, fault.stream if stream else fault.plain, fault.said)
    fewest = fault.asked[stream]
    assert fewest <= len(outcome.asked) <= fewest * (2 if fault.resent else 1)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("name", BEFORE_CONTENT)
def test_the_fallback_answers_before_the_first_content(
    outcomes: dict[Trial, Future[Outcome]], name: str, stream: bool
) -> None:
    outcome = outcomes[Trial(name, stream, True)].result(0)

    check_ending(outcome.answer, DONE, SAID)
    assert outcome.asked[-1] == "backup" and outcome.asked.count("backup") == 1
    assert 2 <= len(outcome.asked) <= 7


@pytest.mark.parametrize("name", AFTER_CONTENT)
def test_no_fallback_after_the_first_content(outcomes: dict[Trial, Future[Outcome]], name: str) -> None:
    outcome = outcomes[Trial(name, True, True)].result(0)

    check_ending(outcome.answer, BROKEN, SAID)
    assert outcome.asked == ["own"]


@pytest.mark.parametrize(
    "behaviour",
    [{"cut_after": 4}, {"no_finish": True}, {"error_event_after": 4}, {"malformed_chunk": 4}],
    ids=str,
)
def test_the_sdk_raises_where_a_stream_breaks(
    client: openai.OpenAI, simulator: SimulatorThread, model: str, behaviour: dict[str, Any]
) -> None:
    simulator.script(model=model, **behaviour, **PACED)
    stream = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "hello hello"}], stream=True
    )
    said = ""
    with pytest.raises(openai.APIError) as caught:
        for chunk in stream:
            said += chunk.choices[0].delta.content or ""

    assert said and caught.value.message and caught.value.type == "upstream_error"


@pytest.mark.parametrize(
    ("behaviour", "ending"),
    [({"cut_after": 4}, BROKEN), ({"no_finish": True}, BROKEN), ({"no_done": True}, DONE)],
    ids=str,
)
def test_text_completions_end_in_one_way_too(
    gateway: Gateway, simulator: SimulatorThread, model: str, behaviour: dict[str, Any], ending: str
) -> None:
    simulator.script(model=model, **behaviour, **PACED)
    wanted = {"model": model, "prompt": "hello hello hello", "stream": True}
    answer = gateway.public.ask("POST", "/v1/completions", wanted)

    last = answer.events[-1]
    assert (last == "[DONE]") is (ending == DONE) is not ('"error"' in last)
    assert answer.body.count(b"[DONE]") == (ending == DONE)


# Asking again


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_that_passes_is_not_seen(
    gateway: Gateway, simulator: SimulatorThread, model: str, stream: bool
) -> None:
    simulator.script(model=model, status=503, fail_times=2)

    check_ending(gateway.public.ask("POST", CHAT, asks(model, stream)), DONE, SAID)
    assert len(simulator.calls) == 3


def test_every_attempt_has_an_id_of_its_own(gateway: Gateway, simulator: SimulatorThread, model: str) -> None:
    simulator.script(model=model, status=503)
    gateway.public.ask("POST", CHAT, asks(model, False))

    assert len({call.headers["x-client-request-id"] for call in simulator.calls}) == 3


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_no_fallback_for_the_callers_own_mistake(
    gateway: Gateway, simulator: SimulatorThread, status: int
) -> None:
    model = gateway.add_model(fallbacks=["backup"])
    simulator.script(model=model, status=status)
    answer = gateway.public.ask("POST", CHAT, asks(model, False))

    assert 400 <= answer.status < 500
    assert [call.json["model"] for call in simulator.calls] == [model]


def test_no_fallback_to_a_model_that_the_key_may_not_use(
    gateway: Gateway, simulator: SimulatorThread
) -> None:
    model = gateway.add_model(fallbacks=["backup"])
    door = Door(gateway.url, gateway.add_key(models=[model])["key"])
    simulator.script(model=model, status=500)

    assert door.ask("POST", CHAT, asks(model, False)).status == 502
    assert {call.json["model"] for call in simulator.calls} == {model}


def test_asking_is_bounded_where_everything_fails(gateway: Gateway, simulator: SimulatorThread) -> None:
    last = gateway.add_model()
    first = gateway.add_model(fallbacks=[gateway.add_model(), last])
    simulator.script(status=500)
    answer = gateway.public.ask("POST", CHAT, asks(first, False))

    asked = [call.json["model"] for call in simulator.calls]
    assert answer.status == 502 and asked[0] == first and asked[-1] == last
    assert 3 <= len(asked) <= 6


def test_a_model_with_two_deployments(gateway: Gateway, simulator: SimulatorThread) -> None:
    """One of the two fails; no caller sees it, and soon no process asks it any more."""
    places = [{"provider": "sim", "model": f"place-{each}"} for each in "ab"]
    gateway.admin("POST", "/models", {"id": "in-two-places", "deployments": places, "price": PRICE})
    gateway.wait_for_model("in-two-places")
    simulator.script(model="place-a", status=500)
    for _ in range(30):
        check_ending(gateway.public.ask("POST", CHAT, asks("in-two-places", False)), DONE, SAID)

    asked = [call.json["model"] for call in simulator.calls]
    assert asked.count("place-b") == 30
    assert 1 <= asked.count("place-a") <= 5 * gateway.processes("routing")
