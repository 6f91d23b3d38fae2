"""Every fault on every dialect's stream: the same words, the same bill, the same ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from botocore.eventstream import EventStreamBuffer  # type: ignore[import-untyped]

from hive_testing.simulator import Simulator, SimulatorThread

CONTENT = "hä? 日本語 — ça va, ok"
TOKENS = -(-len(CONTENT) // 4)
USER = {"role": "user", "content": "hello"}
TURN = {"role": "user", "content": [{"text": "hello"}]}
GOOGLE = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}


@dataclass(frozen=True)
class Spoken:
    """How a dialect's stream is asked for and read; text: of one decoded event. error: that of a 503, decoded."""

    path: str
    body: dict[str, Any]
    events: Callable[[bytes], Iterator[Any]]
    text: Callable[[Any], str]
    error: Callable[[Any], Any]
    keeps_alive: bytes

    def words(self, stream: bytes) -> str:
        return "".join(self.text(event) for event in self.events(stream))


def sse(stream: bytes) -> Iterator[Any]:
    for line in stream.splitlines():
        if line.startswith(b"data: ") and line != b"data: [DONE]":
            yield json.loads(line.removeprefix(b"data: "))


def array(stream: bytes) -> Iterator[Any]:
    yield from json.loads(stream)


def frames(stream: bytes) -> Iterator[Any]:
    buffer = EventStreamBuffer()
    buffer.add_data(stream)
    for event in buffer:
        yield {"type": next(iter(event.headers.values())), **json.loads(event.payload)}


def chat_text(event: Any) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in event.get("choices", ()))


def gemini_text(event: Any) -> str:
    candidates = event.get("candidates", ())
    return "".join(part.get("text", "") for each in candidates for part in each["content"]["parts"])


def chat(path: str) -> Spoken:
    body = {"model": "m", "messages": [USER], "stream": True}
    return Spoken(path, body, sse, chat_text, lambda event: event["error"]["type"], b": keep-alive")


def google(path: str, read: Callable[[bytes], Iterator[Any]] = sse) -> Spoken:
    return Spoken(path, GOOGLE, read, gemini_text, lambda event: event["error"]["status"], b"\r\n")


DIALECTS = {
    "chat": chat("/v1/chat/completions"),
    "azure": chat("/openai/deployments/m/chat/completions?api-version=2024-10-21"),
    "messages": Spoken(
        "/v1/messages",
        {"model": "m", "max_tokens": 100, "messages": [USER], "stream": True},
        sse,
        lambda event: event.get("delta", {}).get("text", ""),
        lambda event: event["error"]["type"],
        b"event: ping",
    ),
    "responses": Spoken(
        "/v1/responses",
        {"model": "m", "input": "hello", "stream": True},
        sse,
        lambda event: event.get("delta", ""),
        lambda event: event["code"],
        b": keep-alive",
    ),
    "gemini": google("/v1beta/models/m:streamGenerateContent?alt=sse"),
    "vertex": google("/v1/projects/p/locations/l/publishers/google/models/m:streamGenerateContent?alt=sse"),
    "array": google("/v1beta/models/m:streamGenerateContent", array),
    "converse": Spoken(
        "/model/m/converse-stream",
        {"messages": [TURN]},
        frames,
        lambda event: event.get("delta", {}).get("text", ""),
        lambda event: event["type"],
        b"",
    ),
}
ERRORS = {
    "chat": "server_error",
    "azure": "server_error",
    "messages": "api_error",
    "responses": "server_error",
    "gemini": "UNAVAILABLE",
    "vertex": "UNAVAILABLE",
    "array": "UNAVAILABLE",
    "converse": "serviceUnavailableException",
}


@pytest.fixture(params=DIALECTS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def spoken(name: str) -> Spoken:
    return DIALECTS[name]


def streamed(raw: httpx2.Client, spoken: Spoken) -> bytes:
    """The whole stream; whatever has come of it where it breaks."""
    got = []
    with raw.stream(
        "POST", spoken.path, json=spoken.body, headers={"x-client-request-id": "try-1"}
    ) as answer:
        assert answer.status_code == 200, answer.read()
        try:
            got += list(answer.iter_raw())
        except httpx2.RemoteProtocolError:
            got.append(b"BROKEN")
    return b"".join(got)


@pytest.mark.parametrize(
    "fault",
    [{}, {"rechunk": 1}, {"split_utf8": True}, {"crlf": True}, {"chunks": 3}, {"chunk_delay": 0.001}],
)
def test_the_words_arrive_whole(
    raw: httpx2.Client, provider: SimulatorThread, spoken: Spoken, fault: dict[str, Any]
) -> None:
    provider.script(content=CONTENT, **fault)

    assert spoken.words(streamed(raw, spoken)) == CONTENT
    (line,) = provider.bill
    assert (line.attempt_id, line.model, line.prompt_tokens) == ("try-1", "m", 5)
    assert (line.completion_tokens, line.finished) == (TOKENS, True)


def test_what_keeps_a_connection_open(raw: httpx2.Client, provider: SimulatorThread, spoken: Spoken) -> None:
    provider.script(keep_alives=True, content="ok")
    stream = streamed(raw, spoken)

    assert spoken.words(stream) == "ok"
    assert spoken.keeps_alive in stream


def test_a_cut(raw: httpx2.Client, provider: SimulatorThread, spoken: Spoken) -> None:
    provider.script(content=CONTENT, cut_after=4)

    assert streamed(raw, spoken).endswith(b"BROKEN")
    (line,) = provider.bill
    assert not line.finished and line.completion_tokens < TOKENS


def test_an_error_within_the_stream(
    raw: httpx2.Client, provider: SimulatorThread, spoken: Spoken, name: str
) -> None:
    provider.script(content=CONTENT, error_event_after=3, error_event_status=503)
    *events, last = spoken.events(streamed(raw, spoken))

    assert len(events) == 3 and spoken.error(last) == ERRORS[name]


def test_a_malformed_event(raw: httpx2.Client, provider: SimulatorThread, spoken: Spoken) -> None:
    provider.script(content=CONTENT, malformed_chunk=3)

    with pytest.raises(json.JSONDecodeError):
        list(spoken.events(streamed(raw, spoken)))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503, 529])
def test_a_status_instead(raw: httpx2.Client, provider: SimulatorThread, spoken: Spoken, status: int) -> None:
    provider.script(status=status, retry_after=7)
    answer = raw.post(spoken.path, json=spoken.body)

    assert answer.status_code == status and answer.headers["retry-after"] == "7"
    assert str(status) in answer.text
    assert provider.bill == []


def test_another_content_type(raw: httpx2.Client, provider: SimulatorThread, spoken: Spoken) -> None:
    provider.script(content_type="text/html", body="<html>")
    answer = raw.post(spoken.path, json=spoken.body)

    assert (answer.headers["content-type"], answer.text) == ("text/html", "<html>")


@pytest.mark.parametrize("fault", [{"hang_up": True}, {"hang_up": True, "reset": True}])
def test_no_answer(
    raw: httpx2.Client, provider: SimulatorThread, spoken: Spoken, fault: dict[str, Any]
) -> None:
    provider.script(**fault)

    with pytest.raises(httpx2.TransportError):
        raw.post(spoken.path, json=spoken.body)


async def test_a_stall(sim: Simulator, http: httpx2.AsyncClient, spoken: Spoken) -> None:
    sim.script(content=CONTENT, stall_after=3)
    headers = {"anthropic-version": "2023-06-01"}
    async with http.stream("POST", spoken.path, json=spoken.body, headers=headers) as answer:
        async for _ in answer.aiter_raw():
            break
        (call,) = sim.calls
        assert call.started and not call.closed.is_set()
    await call.wait_closed()
    assert call.disconnected


def test_a_stream_without_an_end(
    raw: httpx2.Client, provider: SimulatorThread, spoken: Spoken, name: str
) -> None:
    provider.script(content="ok")
    complete = streamed(raw, spoken)
    provider.script(content="ok", no_finish=True, no_usage=True)

    assert len(streamed(raw, spoken)) < len(complete)


@pytest.mark.parametrize("spec", ["content=fine", "thinking=hm"])
def test_the_name_of_the_model_scripts(raw: httpx2.Client, spec: str) -> None:
    quoted = f"sim%2F{spec.replace('=', '%3D')}"
    answers = [
        raw.post("/v1/messages", json={"model": f"sim/{spec}", "max_tokens": 9, "messages": [USER]}),
        raw.post(f"/v1beta/models/sim/{spec}:generateContent", json=GOOGLE),
        raw.post(f"/model/{quoted}/converse", json={"messages": [TURN]}),
        raw.post("/v1/responses", json={"model": f"sim/{spec}", "input": "hello"}),
    ]

    assert all(answer.status_code == 200 for answer in answers)
    said = ["fine" in answer.text for answer in answers]
    assert said == [spec == "content=fine"] * 4
