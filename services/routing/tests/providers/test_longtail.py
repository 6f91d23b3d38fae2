"""The extra `longtail`, in an environment of its own: it wants an older SDK than the locked tree has.

`make test` makes that environment. `tests/longtail` has the program that runs there; it asks the simulator, once
in OpenAI's dialect and once in Anthropic's, which the library translates.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hive_routing.providers.failures import CREDENTIAL_REFUSED, failure
from hive_runtime.errors import Kind
from hive_testing.simulator.thread import SimulatorThread

ROOT = Path(__file__).parents[4]
PYTHON = ROOT / ".venv" / "longtail" / "bin" / "python"
PROGRAM = ROOT / "tests" / "longtail" / "run_longtail.py"
SOURCES = [ROOT / "services" / "routing" / "src", ROOT / "libs" / "runtime" / "src"]

QUESTION = [{"role": "user", "content": "Hi there"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"enum": ["Rome"]}}, "required": ["city"]},
    },
}
PATIENT = {"connect": 5.0, "first_byte": 20.0, "idle": 20.0, "total": 60.0}
HASTY = {"connect": 0.1, "first_byte": 0.2, "idle": 0.2, "total": 20.0}
PROVIDERS = ["openai", "anthropic"]

Answer = dict[str, Any]


class Longtail:
    """The program, and the simulator that it asks."""

    def __init__(self, process: subprocess.Popen[str], simulator: SimulatorThread) -> None:
        self._process = process
        self.simulator = simulator

    def ask(self, provider: str, body: Mapping[str, Any] | None = None, **more: Any) -> Answer:
        """What became of one call. more: of the program's `asked`, and `base_url`, instead of the simulator's."""
        self.begin(provider, body, **more)
        return self.told()

    def begin(
        self, provider: str, body: Mapping[str, Any] | None = None, *, base_url: str = "", **more: Any
    ) -> None:
        url = self.simulator.url if provider == "openai" else self.simulator.url.removesuffix("/v1")
        site = {
            "base_url": base_url or url,
            "credential": "sk-secret",
            "options": {"provider": provider},
            "is_traced": True,
        }
        asked = {"model": "m-1", "messages": QUESTION, **(body or {})}
        self.say(json.dumps({"site": site, "body": asked, "timeouts": PATIENT, **more}))

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def told(self) -> Answer:
        assert self._process.stdout is not None
        answer: Answer = json.loads(self._process.stdout.readline())
        return answer

    @property
    def asked(self) -> Any:
        """The body that the provider got last."""
        return json.loads(self.simulator.calls[-1].body)


@pytest.fixture(scope="module")
def program() -> Iterator[Longtail]:
    environment = {"PYTHONPATH": ":".join(map(str, SOURCES))}
    with (
        SimulatorThread() as simulator,
        subprocess.Popen(
            [PYTHON, PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        ) as process,
    ):
        yield Longtail(process, simulator)
        assert process.stdin is not None
        process.stdin.close()  # which ends it


@pytest.fixture
def longtail(program: Longtail) -> Longtail:
    program.simulator.reset()
    return program


def chunks(answer: Answer) -> list[Any]:
    """The events of a stream, whose last is `[DONE]`."""
    assert answer["headers"]["content-type"].startswith("text/event-stream")
    frames = [part.removeprefix("data: ").removesuffix("\n\n") for part in answer["parts"]]
    assert frames.pop() == "[DONE]"
    return [json.loads(frame) for frame in frames]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_chat_is_answered(longtail: Longtail, provider: str) -> None:
    answer = longtail.ask(provider)
    assert answer["status"] == 200
    (body,) = map(json.loads, answer["parts"])
    assert body["object"] == "chat.completion" and body["created"] > 0
    (choice,) = body["choices"]
    assert choice["message"]["content"] == "Echo: Hi there"
    assert choice["finish_reason"] == "stop"
    assert body["usage"]["total_tokens"] == 9


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_stream_comes_event_by_event_with_its_usage(longtail: Longtail, provider: str) -> None:
    told = chunks(longtail.ask(provider, {"stream": True, "stream_options": {"include_usage": True}}))
    assert len({(each["id"], each["created"]) for each in told}) == 1
    deltas = [choice["delta"] for each in told for choice in each["choices"]]
    assert [delta["role"] for delta in deltas if "role" in delta] == ["assistant"]
    pieces = [delta["content"] for delta in deltas if delta.get("content")]
    assert "".join(pieces) == "Echo: Hi there" and len(pieces) > 1
    finishes = [choice["finish_reason"] for each in told for choice in each["choices"]]
    assert [each for each in finishes if each] == ["stop"]
    assert [each["usage"]["total_tokens"] for each in told if "usage" in each][-1] == 9


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_tools_are_called(longtail: Longtail, provider: str, stream: bool) -> None:
    answer = longtail.ask(provider, {"tools": [TOOL], "tool_choice": "required", "stream": stream})
    if stream:
        told = [choice for each in chunks(answer) for choice in each["choices"]]
        calls = [call for choice in told for call in choice["delta"].get("tool_calls", ())]
        finish = told[-1]["finish_reason"]
    else:
        (choice,) = json.loads(answer["parts"][0])["choices"]
        assert "content" in choice["message"] and not choice["message"]["content"]
        calls, finish = choice["message"]["tool_calls"], choice["finish_reason"]
    assert calls[0]["function"]["name"] == "get_weather" and calls[0]["id"]
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {"city": "Rome"}
    assert finish == "tool_calls"


def test_members_go_out_as_they_are_and_hints_do_not(longtail: Longtail) -> None:
    given = {"temperature": 0.5, "stop": ["x"], "seed": 7, "n": 2, "top_p": 0.5}
    silent = {
        "presence_penalty": 0,
        "logprobs": False,
        "tools": [],
        "tool_choice": None,
        "verbosity": "medium",
    }
    hints = {"user": "u", "metadata": {"a": "b"}, "store": False, "service_tier": "auto"}
    assert longtail.ask("openai", {**given, **silent, **hints, "max_tokens": 9})["status"] == 200
    assert longtail.asked == {
        "model": "m-1",
        "messages": QUESTION,
        "max_completion_tokens": 9,
        **given,
    }


@pytest.mark.parametrize("bound", [{"max_completion_tokens": 3}, {"max_tokens": 3}])
def test_the_bound_goes_out_by_the_name_that_the_provider_has(
    longtail: Longtail, bound: dict[str, int]
) -> None:
    longtail.ask("anthropic", bound)
    assert longtail.asked["max_tokens"] == 3


def test_the_attempt_is_told(longtail: Longtail) -> None:
    longtail.ask("openai")
    headers = longtail.simulator.calls[-1].headers
    assert headers["x-client-request-id"] == "req_1-1-1"
    assert headers["authorization"] == "Bearer sk-secret"


@pytest.mark.parametrize(
    ("provider", "body", "param"),
    [
        ("openai", {"extra_headers": {"authorization": "Bearer other"}}, "extra_headers"),
        ("openai", {"timeout": 1}, "timeout"),
        ("openai", {"messages": []}, "messages"),
        ("anthropic", {"n": 2}, "n"),
        ("anthropic", {"response_format": {"type": "json_object"}}, "response_format"),
        ("anthropic", {"tool_choice": {"type": "any-other"}}, None),
    ],
)
def test_what_cannot_be_said_is_refused_before_anything_is_sent(
    longtail: Longtail, provider: str, body: dict[str, Any], param: str | None
) -> None:
    answer = longtail.ask(provider, body)
    assert (answer["error"], answer["param"]) == ("invalid", param)
    assert answer["message"] and longtail.simulator.calls == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Kind.INVALID),
        (401, Kind.UPSTREAM_FAILED),
        (403, Kind.UPSTREAM_FAILED),
        (404, Kind.NOT_FOUND),
        (422, Kind.INVALID),
        (429, Kind.RATE_LIMITED),
        (500, Kind.UPSTREAM_FAILED),
        (504, Kind.TIMEOUT),
    ],
)
def test_a_refusal_keeps_its_status_and_its_words_and_is_not_tried_again(
    longtail: Longtail, status: int, kind: Kind, provider: str, stream: bool
) -> None:
    longtail.simulator.script(status=status, retry_after=7)
    answer = longtail.ask(provider, {"stream": stream})
    assert answer["status"] == status
    error = failure(status, answer["headers"], "".join(answer["parts"]).encode(), "acme")
    assert error.kind is kind
    if status in (401, 403):
        assert error.reason == CREDENTIAL_REFUSED
    else:
        assert f"told to answer {status}." in error.message
    assert kind is not Kind.RATE_LIMITED or error.retry_after == 7
    assert len(longtail.simulator.calls) == 1


def test_a_refusal_does_not_repeat_the_credential(longtail: Longtail) -> None:
    error = {"message": "no such key: sk-secret", "type": "t", "param": "p", "code": "c"}
    longtail.simulator.script(status=400, error=error)
    (said,) = longtail.ask("openai")["parts"]
    assert json.loads(said) == {"error": {**error, "message": "no such key: ***"}}


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("script", "stream", "kind"),
    [
        ({"hang_up": True}, False, "upstream_failed"),
        ({"hang_up": True}, True, "upstream_failed"),
        ({"silent": True}, False, "timeout"),
        ({"silent": True}, True, "timeout"),
        ({"stall_after": 0}, True, "timeout"),
        ({"cut_after": 0}, True, "upstream_failed"),
        ({"cut_after": 1}, False, "upstream_failed"),
        ({"error_event_after": 0}, True, "upstream_failed"),
        ({"body": "<html>"}, False, "upstream_failed"),
        ({"body": "<html>"}, True, "upstream_failed"),
        ({"body": "{}"}, False, "upstream_failed"),
    ],
)
def test_an_answer_that_does_not_begin_is_an_error(
    longtail: Longtail, script: dict[str, Any], stream: bool, kind: str, provider: str
) -> None:
    longtail.simulator.script(**script)
    answer = longtail.ask(provider, {"stream": stream}, timeouts=HASTY if kind == "timeout" else PATIENT)
    assert answer["error"] == kind, answer
    assert "status" not in answer and "`acme`" in answer["message"]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        ({"cut_after": 2}, "upstream_failed", "closed the connection"),
        ({"stall_after": 2}, "timeout", "sent nothing more within 0.2 s"),
        ({"error_event_after": 2}, "upstream_failed", "told to answer 500"),
    ],
)
def test_a_stream_that_breaks_says_so_after_what_has_come(
    longtail: Longtail, script: dict[str, Any], kind: str, words: str, provider: str
) -> None:
    longtail.simulator.script(**script)
    answer = longtail.ask(provider, {"stream": True}, timeouts=HASTY if kind == "timeout" else PATIENT)
    assert answer["status"] == 200 and len(answer["parts"]) == 2
    assert answer["error"] == kind and words in answer["message"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_stream_that_is_closed_ends_the_providers_work(longtail: Longtail, provider: str) -> None:
    longtail.simulator.script(content="word", chunks=1000, chunk_delay=0.05)
    assert longtail.ask(provider, {"stream": True}, most=1)["status"] == 200
    (call,) = longtail.simulator.calls
    longtail.simulator.wait_closed(call)


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_is_cancelled_ends_the_providers_work(longtail: Longtail, stream: bool) -> None:
    longtail.simulator.script(silent=True)
    longtail.begin("openai", {"stream": stream}, give_up=True)
    (call,) = longtail.simulator.wait_for_calls(1)
    longtail.say("")
    assert longtail.told()["raised"] == "CancelledError"
    longtail.simulator.wait_closed(call)


def test_where_nobody_listens_the_provider_is_unavailable(longtail: Longtail) -> None:
    assert longtail.ask("openai", base_url="http://127.0.0.1:1/v1")["error"] == "unavailable"


@pytest.mark.parametrize(
    ("provider", "raised", "missing"),
    [
        ("unheard-of", "ValueError", None),
        ("voyage", "ValueError", None),  # it has embeddings only
        ("mistral", "ImportError", "any-llm-sdk[mistral]"),
        ("gemini", "ImportError", "any-llm-sdk[gemini]"),
    ],
)
def test_a_provider_that_the_library_cannot_ask_is_refused(
    longtail: Longtail, provider: str, raised: str, missing: str | None
) -> None:
    answer = longtail.ask(provider)
    assert (answer["raised"], answer["missing"]) == (raised, missing)


def test_it_is_asked_for_chats_only(longtail: Longtail) -> None:
    assert longtail.ask("openai", operation="embeddings")["error"] == "invalid"
