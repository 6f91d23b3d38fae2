"""Streams that are resumed after their connection was lost: the same bytes, and one bill for all of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Self

import httpx2
import openai
import pytest

from hive_testing.gateway import Launch, Served, eventually
from hive_testing.proofs import kept, posted, price_of
from hive_testing.simulator import SimulatorThread

pytestmark = pytest.mark.embedded

CHAT = "/v1/chat/completions"
ALONE = 'hive_routing_streams_alone{instance="routing-0"}'
NONE: Mapping[str, str] = {}
EVENT = re.compile(rb"(?:[^\n]+\n)+\n")
FORMS: dict[str, Any] = {
    CHAT: {"messages": [{"role": "user", "content": "hello"}], "stream": True},
    "/v1/messages": {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 3000, "stream": True},
    "/v1/responses": {"input": "hello", "stream": True, "store": False},
    "/v1beta/models/{model}:streamGenerateContent?alt=sse": {"contents": [{"parts": [{"text": "hello"}]}]},
}


class Client:
    """Asks in bytes, as a client that keeps count of the events it has seen."""

    def __init__(self, gateway: Served, key: str = "") -> None:
        headers = {"authorization": f"Bearer {key or gateway.key}"}
        self._http = httpx2.Client(base_url=gateway.url, headers=headers, timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    @contextmanager
    def begin(
        self, model: str, path: str = CHAT, seconds: int = 60, headers: Mapping[str, str] = NONE
    ) -> Iterator[httpx2.Response]:
        body = {"model": model, **FORMS[path]} if "{" not in path else FORMS[path]
        told = {"x-hive-resume": str(seconds), **headers}
        with self._http.stream("POST", path.format(model=model), json=body, headers=told) as answer:
            assert answer.status_code == 200, answer.read()
            yield answer

    def resume(self, stream_id: str, events: int, path: str = CHAT) -> httpx2.Response:
        return self._http.post(path, headers={"last-event-id": f"{stream_id}:{events}"})

    def error(self, stream_id: str, events: int, path: str = CHAT) -> tuple[int, str]:
        answer = self.resume(stream_id, events, path)
        return answer.status_code, answer.json()["error"]["reason"]


@pytest.fixture
def asking(gateway: Served) -> Iterator[Client]:
    with Client(gateway) as client:
        yield client


def events_of(data: bytes) -> list[bytes]:
    found = EVENT.findall(data)
    assert b"".join(found) == data
    return found


def with_data(events: list[bytes]) -> int:
    return sum(any(line.startswith(b"data:") for line in event.split(b"\n")) for event in events)


def only_posting(gateway: Served, stream_id: str) -> dict[str, Any]:
    request_id = stream_id.partition(".")[0]

    def found() -> list[dict[str, Any]]:
        return [each for each in posted(gateway) if each["request"] == request_id]

    eventually(found, what="a posting")
    eventually(lambda: kept(gateway))
    (posting,) = found()
    return posting


@pytest.mark.parametrize("path", FORMS, ids=["chat", "messages", "responses", "generateContent"])
def test_every_rest_of_a_stream(
    gateway: Served, asking: Client, simulator: SimulatorThread, model: str, path: str
) -> None:
    """Cut behind any of its events, what was heard and what is resumed are the stream, byte for byte."""
    simulator.script(model=model, chunks=20, chunk_bytes=6, keep_alives=True)
    with asking.begin(model, path) as answer:
        whole = answer.read()
    stream_id = answer.headers["x-hive-request-id"]
    assert answer.headers["x-hive-resume"] == "60" and b"\nid:" not in whole
    events = events_of(whole)
    for number in range(len(events) + 1):
        heard, seen = b"".join(events[:number]), with_data(events[:number])
        if number and with_data(events[number - 1 : number]) == 0:
            continue  # a comment is not counted: who was cut behind it hears it once more
        again = asking.resume(stream_id, seen, path.format(model=model))
        assert again.status_code == 200 and heard + again.content == whole
        assert again.headers["x-hive-resumed"] == str(seen)
        assert again.headers["x-hive-request-id"] == stream_id != again.headers["x-request-id"]
        assert again.headers["content-type"] == answer.headers["content-type"]
    assert len(simulator.calls) == 1
    assert Decimal(only_posting(gateway, stream_id)["spent_usd"]) == price_of(simulator.bill[0])


async def test_the_client_of_openai_is_cut_and_goes_on(
    gateway: Served,
    asking: Client,
    async_client: openai.AsyncOpenAI,
    simulator: SimulatorThread,
    model: str,
) -> None:
    simulator.script(model=model, chunks=60, chunk_bytes=6, chunk_delay=0.02)
    begun = await async_client.chat.completions.with_raw_response.create(
        model=model,
        messages=[{"role": "user", "content": "hello"}],
        stream=True,
        stream_options={"include_usage": True},
        extra_headers={"x-hive-resume": "60"},
    )
    stream_id, stream, chunks = begun.headers["x-hive-request-id"], begun.parse(), []
    async for chunk in stream:
        chunks.append(chunk.model_dump_json(exclude_unset=True))
        if len(chunks) == 10:
            break
    await stream.close()
    eventually(lambda: gateway.metrics()[ALONE] == 1)

    rest = events_of(asking.resume(stream_id, len(chunks)).content)
    whole = events_of(asking.resume(stream_id, 0).content)
    assert whole[10:] == rest and rest[-1] == b"data: [DONE]\n\n" and len(whole) > 60
    assert [openai.types.chat.ChatCompletionChunk.model_validate_json(each[6:]) for each in whole[:10]] == [
        openai.types.chat.ChatCompletionChunk.model_validate_json(each) for each in chunks
    ]
    (line,) = simulator.bill
    assert line.finished and not simulator.calls[0].disconnected
    assert Decimal(only_posting(gateway, stream_id)["spent_usd"]) == price_of(line)


def test_what_nobody_comes_for_is_stopped(
    gateway: Served, asking: Client, simulator: SimulatorThread, model: str
) -> None:
    simulator.script(model=model, chunks=10_000, chunk_bytes=6, chunk_delay=0.02)
    with asking.begin(model, seconds=1) as answer:
        next(answer.iter_bytes())
    (call,) = simulator.wait_for_calls(1)
    simulator.wait_closed(call)
    assert call.disconnected and not simulator.bill[0].finished
    stream_id = answer.headers["x-hive-request-id"]
    assert asking.error(stream_id, 1) == (404, "resume_unknown")
    posting = only_posting(gateway, stream_id)
    assert posting["estimated"] and Decimal(posting["spent_usd"]) > 0


def test_who_leaves_and_never_asks_pays_for_all_of_it(
    gateway: Served, asking: Client, simulator: SimulatorThread, model: str
) -> None:
    simulator.script(model=model, chunks=40, chunk_bytes=6, chunk_delay=0.02)
    with asking.begin(model) as answer:
        next(answer.iter_bytes())
    eventually(lambda: simulator.bill and simulator.bill[0].finished)
    posting = only_posting(gateway, answer.headers["x-hive-request-id"])
    assert Decimal(posting["spent_usd"]) == price_of(simulator.bill[0]) and not posting["estimated"]


def test_with_an_idempotency_key_the_answer_is_kept_whole(
    gateway: Served, asking: Client, simulator: SimulatorThread, model: str
) -> None:
    """The client left, the run went on: the key's answer is there, and it can be resumed itself."""
    simulator.script(model=model, chunks=40, chunk_bytes=6, chunk_delay=0.02)
    key = {"idempotency-key": f"resumed {model}"}
    with asking.begin(model, headers=key) as answer:
        next(answer.iter_bytes())
    first_id = answer.headers["x-hive-request-id"]
    whole = asking.resume(first_id, 0).content
    with asking.begin(model, headers=key) as again:
        assert again.read() == whole
    second_id = again.headers["x-hive-request-id"]
    assert again.headers["idempotent-replayed"] == "true" and second_id != first_id
    assert asking.resume(second_id, 5).content == b"".join(events_of(whole)[5:])
    assert len(simulator.calls) == 1


def test_what_broke_off_says_so_to_who_resumes(
    gateway: Served, asking: Client, simulator: SimulatorThread, model: str
) -> None:
    simulator.script(model=model, chunks=40, chunk_bytes=6, chunk_delay=0.02, cut_after=20)
    with asking.begin(model) as answer:
        next(answer.iter_bytes())
    again = asking.resume(answer.headers["x-hive-request-id"], 1)
    last = again.content.rstrip().rpartition(b"\n")[2]
    assert again.status_code == 200 and last.startswith(b'data: {"error"') and b'"code":502' in last


def test_what_is_refused(gateway: Served, asking: Client, simulator: SimulatorThread, model: str) -> None:
    with asking.begin(model) as answer:
        answer.read()
    stream_id = answer.headers["x-hive-request-id"]
    request_id, _, process = stream_id.partition(".")
    with Client(gateway, gateway.add_key()["key"]) as other:
        assert other.error(stream_id, 0) == (404, "resume_unknown")
    assert asking.error(f"{request_id[:-1]}.{process}", 0) == (404, "resume_unknown")
    assert asking.error(f"{request_id}.{process[:8]}00000000", 0) == (502, "stream_lost")
    lost = asking.resume(f"{request_id}.00000000{process[8:]}", 0)
    assert lost.status_code == 502 and lost.headers["x-should-retry"] == "false"
    assert asking.resume(stream_id, 0, "/v1/messages").status_code == 400
    assert asking.resume(request_id, 0).status_code == 400
    with pytest.raises(AssertionError, match="x-hive-resume"), asking.begin(model, seconds=601):
        pass


def test_a_plain_answer_has_nothing_to_resume(gateway: Served, simulator: SimulatorThread) -> None:
    with gateway.client() as client:
        answer = client.chat.completions.with_raw_response.create(
            model="gpt-4o",
            messages=[{"role": "user", "content": "hello"}],
            extra_headers={"x-hive-resume": "5"},
        )
    assert "x-hive-resume" not in answer.headers and answer.parse().choices
    assert answer.headers["x-hive-request-id"] == answer.headers["x-request-id"]


def test_a_process_that_goes_down_settles_what_runs_alone(
    launch: Launch, catalogue: dict[str, Any], simulator: SimulatorThread
) -> None:
    simulator.script(model="gpt-4o", chunks=10_000, chunk_bytes=6, chunk_delay=0.02)
    gateway = launch("going-down", catalogue)
    with gateway as running, Client(running) as asking:
        with asking.begin("gpt-4o") as answer:
            next(answer.iter_bytes())
        eventually(lambda: running.metrics()[ALONE] == 1)
    (call,) = simulator.calls
    simulator.wait_closed(call)
    assert call.disconnected, "it was stopped, and the gateway ended without a complaint"
    with gateway as running:
        posting = only_posting(running, answer.headers["x-hive-request-id"])
        assert posting["estimated"] and Decimal(posting["spent_usd"]) > 0
