"""Answers that are made in the background: queued, made, listened to, cancelled, and taken over from the dead."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import ProgrammingError

from hive_routing.attempts import Outcome
from hive_routing.stored import conversations, log, runner
from hive_routing.stored import queue as queue_module
from hive_routing.stored.kept import Run
from hive_routing.stored.queue import End, Queue
from hive_runtime.errors import HiveError, Kind


@pytest.fixture
def queue(database: Any) -> Queue:
    return Queue(database)


def said(response: Any) -> str:
    return "".join(part["text"] for item in response["output"] for part in item["content"])


async def test_it_is_queued_and_then_made(client: Any, gateway: Any, running: None) -> None:
    queued = await client.respond("hello there", background=True)

    assert (queued["status"], queued["background"], queued["output"]) == ("queued", True, [])
    made = await client.ended(queued["id"])
    assert (made["id"], made["status"], said(made)) == (queued["id"], "completed", "Echo: hello there")
    assert made["background"] is True and made["usage"]["total_tokens"] > 0
    assert [attempt.outcome for attempt in gateway.log.closed] == [Outcome.ANSWERED]
    next = await client.respond("more", previous_response_id=made["id"])
    assert next["status"] == "completed" and len(client.sent["input"]) == 3


async def test_its_events_can_be_had_again_from_anywhere(client: Any, running: None) -> None:
    answer = await client.post("responses", model="gpt-4o", input="hi", stream=True, background=True)

    told = answer.chunks
    assert told[0]["type"] == "response.created" and told[-1]["type"] == "response.completed"
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    id = told[0]["response"]["id"]
    assert all(event["response"]["id"] == id for event in told if "response" in event)
    assert (await client.get(f"responses/{id}")).json == told[-1]["response"]
    again = await client.get(f"responses/{id}", "stream=true")
    assert again.chunks == told
    rest = await client.get(f"responses/{id}", "stream=true&starting_after=3")
    assert rest.chunks == told[4:]
    assert (await client.get(f"responses/{id}", "stream=true&starting_after=x")).error.status == 400


async def test_who_leaves_a_stream_finds_it_again(client: Any, gateway: Any, running: None) -> None:
    await gateway.add_model("slow", at=("sim:sim/chunks=30,chunk_delay=0.01",))
    body = {"model": "slow", "input": "hi", "stream": True, "background": True}
    call = gateway.start("POST", "/v1/responses", body)
    await call.until_sent(b"output_text.delta")
    seen = call.answer.chunks
    call.task.cancel()

    rest = await client.get(
        f"responses/{seen[0]['response']['id']}", f"stream=true&starting_after={seen[-1]['sequence_number']}"
    )

    whole = seen + rest.chunks
    assert [event["sequence_number"] for event in whole] == list(range(len(whole)))
    assert whole[-1]["type"] == "response.completed"
    assert len(gateway.log.closed) == 1


async def test_only_streams_in_the_background_can_be_had_again(client: Any, running: None) -> None:
    plain = await client.respond()
    quiet = await client.respond(background=True)

    for response in (plain, quiet):
        answer = await client.get(f"responses/{response['id']}", "stream=true")
        assert (answer.error.status, answer.error.param) == (400, "stream")


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_cancelled_is_stopped_and_paid(
    client: Any, gateway: Any, running: None, stream: bool
) -> None:
    await gateway.add_model("stalled", at=("sim:sim/chunks=9,stall_after=5",))
    await gateway.add_model("silent", at=("sim:sim/silent=true",))
    model = "stalled" if stream else "silent"
    body = {"model": model, "input": "hi", "background": True, "stream": stream}
    call = gateway.start("POST", "/v1/responses", body)
    await client.until(lambda: gateway.sim.calls and gateway.log.opened)
    if stream:
        await call.until_sent(b"output_text.delta")
        id = call.answer.chunks[0]["response"]["id"]
    else:
        await call.task
        id = call.answer.json["id"]

    assert (await client.get(f"responses/{id}")).json["status"] == "in_progress"
    cancelled = await client.post(f"responses/{id}/cancel")

    assert cancelled.json["status"] == "cancelled" and cancelled.json["id"] == id
    await client.until(lambda: gateway.log.closed)
    assert [attempt.outcome for attempt in gateway.log.closed] == [Outcome.ABANDONED]
    await call.task  # a stream ends
    assert (await client.post(f"responses/{id}/cancel")).json == cancelled.json
    assert (await client.get(f"responses/{id}")).json == cancelled.json


async def test_what_waits_can_be_cancelled(client: Any, gateway: Any) -> None:
    queued = await client.respond(background=True)

    assert (await client.post(f"responses/{queued['id']}/cancel")).json["status"] == "cancelled"
    async with gateway.stored.runner.running(gateway.tasks, 5):
        done = await client.ended((await client.respond(background=True))["id"])
    assert done["status"] == "completed" and len(gateway.sim.calls) == 1


async def test_what_ended_stays_and_what_was_waited_for_cannot_be_cancelled(
    client: Any, running: None
) -> None:
    made = await client.ended((await client.respond(background=True))["id"])
    waited = await client.respond()

    assert (await client.post(f"responses/{made['id']}/cancel")).json == made
    assert (await client.post(f"responses/{waited['id']}/cancel")).error.status == 400
    assert (await client.post("responses/resp_none/cancel")).error.status == 404


async def test_what_is_deleted_is_not_made(client: Any, gateway: Any, running: None) -> None:
    await gateway.add_model("silent", at=("sim:sim/silent=true",))
    queued = (await client.post("responses", model="silent", input="x", background=True)).json
    await client.until(lambda: gateway.log.opened)

    assert (await client.delete(f"responses/{queued['id']}")).json["deleted"]

    await client.until(lambda: gateway.log.closed)
    assert (await client.get(f"responses/{queued['id']}")).error.status == 404


@pytest.mark.parametrize("stream", [False, True])
async def test_what_fails_says_why(client: Any, gateway: Any, running: None, stream: bool) -> None:
    await gateway.add_model("bad", at=("sim:sim/status=400",))
    answer = await client.post("responses", model="bad", input="x", background=True, stream=stream)

    if stream:
        (event,) = answer.chunks
        assert (event["type"], event["sequence_number"]) == ("response.failed", 0)
        failed = event["response"]
        assert (await client.get(f"responses/{failed['id']}")).json == failed
    else:
        failed = await client.ended(answer.json["id"])
    assert failed["status"] == "failed" and failed["error"]["code"] == "invalid_prompt"
    assert failed["error"]["message"]


async def test_who_cannot_pay_is_told_so(client: Any, gateway: Any, running: None) -> None:
    gateway.bank.scopes = ("wallet",)

    failed = await client.ended((await client.respond(background=True))["id"])

    assert failed["error"]["code"] == "budget_exceeded" and "budget" in failed["error"]["message"].lower()


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"model": "none"}, 404), ({"temperature": 9}, 400), ({"input": 3}, 400), ({"store": False}, 400)],
)
async def test_what_cannot_be_made_is_refused_at_once(
    client: Any, fields: dict[str, Any], status: int
) -> None:
    answer = await client.post("responses", **{"model": "gpt-4o", "input": "x", "background": True} | fields)

    assert answer.error.status == status


async def test_it_goes_on_in_its_conversation(client: Any, running: None) -> None:
    conversation = (await client.post("conversations")).json["id"]
    queued = await client.respond("one", background=True, conversation=conversation)
    await client.ended(queued["id"])

    listed = (await client.get(f"conversations/{conversation}/items", "order=asc")).json
    assert [item["content"][0]["text"] for item in listed["data"]] == ["one", "Echo: one"]


async def test_what_no_provider_has_heard_of_is_made_by_another_process(
    client: Any, gateway: Any, queue: Queue
) -> None:
    queued = await client.respond(background=True)
    run = await queue.take("router-0")  # which is not alive
    assert run is not None

    async with gateway.stored.runner.running(gateway.tasks, 5):
        made = await client.ended(queued["id"])

    assert made["status"] == "completed" and len(gateway.sim.calls) == 1
    assert gateway.log.closed[0].attempt == 2
    assert not await queue.dispatched(run)


async def test_what_a_provider_has_heard_of_is_never_asked_again(
    client: Any, gateway: Any, queue: Queue
) -> None:
    body = {"model": "gpt-4o", "input": "hi", "background": True, "stream": True}
    call = gateway.start("POST", "/v1/responses", body)
    await client.until(lambda: call.answer.status)
    run = await queue.take("router-0")
    assert run is not None and await queue.dispatched(run)
    assert await queue.note_events(run, 0, [b'data: {"type":"response.created"}\n\n'])

    async with gateway.stored.runner.running(gateway.tasks, 5):
        failed = await client.ended(run.id)
        await call.task

    assert failed["status"] == "failed" and failed["error"]["code"] == "server_error"
    assert gateway.sim.calls == []
    assert [event["type"] for event in call.answer.chunks] == ["response.created", "response.failed"]
    assert call.answer.chunks[1]["sequence_number"] == 1


async def test_what_lets_process_after_process_die_ends(client: Any, gateway: Any, queue: Queue) -> None:
    queued = await client.respond(background=True)
    for number in range(runner.MOST_TRIES):
        run = await queue.take(f"router-{number + 2}")
        assert run is not None and await queue.give_back(run)

    async with gateway.stored.runner.running(gateway.tasks, 5):
        failed = await client.ended(queued["id"])

    assert failed["status"] == "failed" and gateway.sim.calls == []


async def test_the_living_keep_what_they_have_taken(client: Any, gateway: Any, queue: Queue) -> None:
    gateway.alive.add("router-0")
    await client.respond(background=True)
    run = await queue.take("router-0")
    assert run is not None

    async with gateway.stored.runner.running(gateway.tasks, 5):
        await client.ended((await client.respond(background=True))["id"])

    assert await queue.dispatched(run)


async def test_a_process_that_stops_leaves_nothing_open(client: Any, gateway: Any, queue: Queue) -> None:
    await gateway.add_model("silent", at=("sim:sim/silent=true",))
    queued = (await client.post("responses", model="silent", input="x", background=True)).json
    async with gateway.stored.runner.running(gateway.tasks, 0):
        await client.until(lambda: gateway.log.opened)

    found = (await client.get(f"responses/{queued['id']}")).json
    assert found["status"] == "failed" and "stopped" in found["error"]["message"]
    assert await queue.owners() == []


async def test_another_process_hears_of_a_cancellation(
    client: Any, gateway: Any, database: Any, running: None
) -> None:
    await gateway.add_model("silent", at=("sim:sim/silent=true",))
    queued = (await client.post("responses", model="silent", input="x", background=True)).json
    await client.until(lambda: gateway.log.opened)

    assert await Queue(database).cancel(queued["id"], b'{"status":"cancelled"}')

    await client.until(lambda: gateway.log.closed)


async def test_the_same_key_queues_once(client: Any, gateway: Any, queue: Queue) -> None:
    body = {"model": "gpt-4o", "input": "hello", "background": True}
    headers = {"idempotency-key": "k1"}

    first, again = [await gateway.request("POST", "/v1/responses", body, headers=headers) for _ in range(2)]

    assert first.json == again.json and again.headers["idempotent-replayed"] == "true"
    assert await queue.take("a") is not None and await queue.take("a") is None


async def test_an_end_that_cannot_be_written_is_written_later(
    client: Any, gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, tries = Queue.end, []

    async def end(self: Queue, run: Run, end: End) -> bool:
        tries.append(run.id)
        if len(tries) == 1:
            raise HiveError(Kind.UNAVAILABLE, "The database is away.")
        return await ended(self, run, end)

    monkeypatch.setattr(Queue, "end", end)
    queued = await client.respond(background=True)
    async with gateway.stored.runner.running(gateway.tasks, 5):
        made = await client.ended(queued["id"])

    assert made["status"] == "completed" and len(gateway.sim.calls) == 1
    assert tries == [queued["id"]] * 2


async def test_of_a_long_stream_the_beginning_and_the_end_are_kept(
    client: Any, gateway: Any, running: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MAX_LOG_BYTES", 4000)
    await gateway.add_model("long", at=("sim:sim/chunks=60",))

    answer = await client.post("responses", model="long", input="hi", stream=True, background=True)

    told = answer.chunks
    assert told[0]["type"] == "response.created" and told[-1]["type"] == "response.completed"
    assert 5 < len(told) < 40
    id = told[0]["response"]["id"]
    assert (await client.get(f"responses/{id}", "stream=true&starting_after=2")).chunks == told[3:]
    assert (await client.get(f"responses/{id}")).json == told[-1]["response"]


async def test_one_tenant_cannot_queue_without_bound(
    client: Any, gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "MOST_QUEUED", 2)
    for _ in range(2):
        await client.respond(background=True)

    refused = await client.post("responses", model="gpt-4o", input="x", background=True)
    gateway.tenant_id = "other"
    other = await client.post("responses", model="gpt-4o", input="x", background=True)

    assert refused.error.status == 429 and other.json["status"] == "queued"


async def test_an_end_that_can_never_be_written_is_an_error_and_others_are_made(
    client: Any, gateway: Any, running: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = (await client.post("conversations")).json["id"]
    queued = await client.respond("one", background=True, conversation=conversation)
    monkeypatch.setattr(conversations, "MOST_ITEMS", 1)

    failed = await client.ended(queued["id"])

    assert failed["status"] == "failed" and "at most 1 items" in failed["error"]["message"]
    assert (await client.get(f"conversations/{conversation}/items")).json["data"] == []
    assert (await client.ended((await client.respond(background=True))["id"]))["status"] == "completed"


@pytest.mark.parametrize("stream", [False, True])
async def test_an_end_that_the_database_never_takes_keeps_no_other_from_being_made(
    client: Any, gateway: Any, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    ended, tries = Queue.end, []

    async def end(self: Queue, run: Run, end: End) -> bool:
        if b"first" in end.answer:
            tries.append(run.id)
            raise ProgrammingError("INSERT", {}, Exception("an index row is too large"))
        return await ended(self, run, end)

    monkeypatch.setattr(Queue, "end", end)
    body = {"model": "gpt-4o", "input": "first", "background": True, "stream": stream}
    call = gateway.start("POST", "/v1/responses", body)
    async with gateway.stored.runner.running(gateway.tasks, 5):
        await client.until(lambda: tries)
        second = await client.respond("second", background=True)
        assert (await client.ended(second["id"]))["status"] == "completed"
        id = (call.answer.chunks[0]["response"] if stream else call.answer.json)["id"]
        failed = await client.ended(id)
        await call.task

    assert failed["status"] == "failed" and failed["error"]["code"] == "server_error"
    if stream:
        assert call.answer.chunks[-1]["type"] == "response.failed"


async def test_what_no_end_can_be_written_for_keeps_no_other_from_being_made(
    client: Any, gateway: Any, running: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = Queue.end
    tries: list[str] = []

    async def end(self: Queue, run: Run, end: End) -> bool:
        if run.id == first:
            tries.append(run.id)
            raise RuntimeError("Nobody knows why.") if len(tries) > 1 else HiveError(Kind.INTERNAL, "?")
        return await ended(self, run, end)

    first = (await client.respond("first", background=True))["id"]
    monkeypatch.setattr(Queue, "end", end)
    await client.until(lambda: len(tries) > 1)

    for _ in range(2):
        second = await client.respond("second", background=True)
        assert (await client.ended(second["id"]))["status"] == "completed"


@pytest.mark.parametrize("background", [False, True])
async def test_more_than_a_conversation_holds_is_refused_at_once(
    client: Any, gateway: Any, monkeypatch: pytest.MonkeyPatch, background: bool
) -> None:
    said = [{"role": "user", "content": "x"}] * 3
    conversation = (await client.post("conversations", items=said[:2])).json["id"]
    monkeypatch.setattr(conversations, "MOST_ITEMS", 4)

    body = {"model": "gpt-4o", "conversation": conversation, "background": background}
    refused = await client.post("responses", input=said[:2], **body)

    assert (refused.error.status, refused.error.param) == (400, "conversation")
    assert gateway.sim.calls == []
    assert (await client.post("responses", input="x", **body)).error is None
