"""The relay between a caller and services on the memory bus: who answers, and how; over rpc and within a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hive_bus import Options
from hive_relay import Request, exchange_of, frames
from hive_relay.asgi import Receive, Scope, Send
from hive_relay.call import Call
from hive_relay.caller import Patience
from hive_relay.principal import Principal
from hive_runtime.errors import HiveError, Kind
from libs.relay.tests.rig import (
    answers,
    echo,
    request,
    rig_of,
    until,
    until_refused,
    whole,
)
from modelhive.relay.v1.relay_pb2 import BlobReference, RequestEnvelope

pytestmark = pytest.mark.usefixtures("way")


@pytest.mark.parametrize("queued", [True, False])
async def test_a_request_reaches_the_app_and_its_answer_comes_back(tmp_path: Path, queued: bool) -> None:
    async with rig_of(tmp_path) as rig:
        await rig.instance(echo)
        call = await rig.caller.call(request(path="/v1/a%2Fb", query="x=1", body=b"12345", queued=queued))
        assert (await call.head())[0] == 200
        data, complete = await call.read()
        while not complete:
            more, complete = await call.read()
            data += more
        call.close()
        assert data == b"POST /v1/a/b x=1 5"
        assert call.usage is not None and call.usage.prompt_tokens == 3
        assert rig.caller.in_flight == 0


async def test_a_call_carries_the_principal_and_the_headers_of_its_caller(tmp_path: Path) -> None:
    seen: list[tuple[Principal, object]] = []

    async def note(scope: Scope) -> None:
        seen.append((exchange_of(scope).principal, scope["headers"]))

    principal = Principal(tenant_id="t", key_id="k", models=frozenset({"a", "b"}))
    async with rig_of(tmp_path) as rig:
        await rig.instance(answers(b"{}", before=note))
        assert await whole(rig, request(principal=principal, headers=[(b"x-a", b"b")])) == (200, b"{}")
    assert seen == [(principal, [(b"x-a", b"b")])]


async def test_a_neighbour_gets_the_request_as_it_is_and_others_a_copy_of_it(
    tmp_path: Path, way: str
) -> None:
    asked, seen = request(body=b"12345", headers=[(b"x-a", b"b")]), []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        seen.append((exchange.principal, (await receive())["body"], scope["headers"], exchange.deadline))
        await answers(b"{}")(scope, receive, send)

    async with rig_of(tmp_path) as rig:
        await rig.instance(app)
        assert await whole(rig, asked) == (200, b"{}")
    principal, body, headers, deadline = seen[0]
    assert (principal, body, headers) == (asked.principal, b"12345", [(b"x-a", b"b")])
    assert (principal is asked.principal and body is asked.body) == (way == "beside")
    assert deadline == pytest.approx(asked.deadline, abs=0.5)


async def test_a_body_in_blob_storage_is_streamed_to_the_app(tmp_path: Path) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 100_000

    async with rig_of(tmp_path) as rig:
        await rig.instance(echo)
        size = await rig.blobs.write("requests/1", parts())
        asked = request(body=BlobReference(path="requests/1", size_bytes=size))
        assert await whole(rig, asked) == (200, b"POST /v1/thing  4000000")


async def test_an_error_before_the_answer_keeps_its_kind_and_words(tmp_path: Path) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise HiveError(Kind.INVALID, "`n` is wrong", "n")

    async with rig_of(tmp_path) as rig:
        await rig.instance(app)
        call = await rig.caller.call(request())
        with pytest.raises(HiveError) as caught:
            await call.head()
        assert (caught.value.kind, caught.value.message, caught.value.param) == (
            Kind.INVALID,
            "`n` is wrong",
            "n",
        )


async def test_a_crash_of_the_app_reveals_nothing(tmp_path: Path) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("secret")

    async with rig_of(tmp_path) as rig:
        await rig.instance(app)
        call = await rig.caller.call(request())
        with pytest.raises(HiveError) as caught:
            await call.head()
        assert caught.value.kind is Kind.INTERNAL and "secret" not in caught.value.message


async def test_an_error_in_the_middle_comes_after_what_was_sent(tmp_path: Path) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise HiveError(Kind.UPSTREAM_FAILED, "cut")

    async with rig_of(tmp_path) as rig:
        await rig.instance(app)
        call = await rig.caller.call(request())
        assert (await call.head())[0] == 200
        assert await call.read() == (b"half", False)
        with pytest.raises(HiveError, match="cut"):
            await call.read()


async def test_head_and_preamble_are_held_until_content(tmp_path: Path) -> None:
    begun, content = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/v1/other":
            await answers(b"other")(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send(
            {"type": "http.response.body", "body": b": ping\n\n", "more_body": True, "hive.content": False}
        )
        begun.set()
        await content.wait()
        await send({"type": "http.response.body", "body": b"data: 1\n\n"})

    async with rig_of(tmp_path) as rig:
        await rig.instance(app)
        call = await rig.caller.call(request())
        waiting = asyncio.create_task(call.head())
        await until(begun.is_set)
        # Frames of one stream stay in order: with this answer, the preamble of the first has come as well.
        assert await whole(rig, request(path="/v1/other")) == (200, b"other")
        assert not waiting.done() and not call.shown
        content.set()
        assert (await waiting)[0] == 200
        assert (await call.read())[0] == b": ping\n\ndata: 1\n\n"


async def test_closing_a_call_cancels_the_app(tmp_path: Path) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await exchange_of(scope).go()
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with rig_of(tmp_path) as rig:
        instance = await rig.instance(app)
        call = await rig.caller.call(request())
        await until(begun.is_set)
        call.close()
        async with asyncio.timeout(5):
            await cancelled.wait()
        await until(lambda: instance.responder.in_flight == 0)


async def test_a_reader_that_stalls_is_held_at_its_credit_and_slows_nobody(tmp_path: Path) -> None:
    sent: dict[str, int] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        number = exchange_of(scope).request_id
        for _ in range(64):
            await send({"type": "http.response.body", "body": b"x" * 32_768, "more_body": True})
            sent[number] = sent.get(number, 0) + 32_768
        await send({"type": "http.response.body", "body": b""})

    async with rig_of(tmp_path) as rig:
        await rig.instance(app)
        stalled = await rig.caller.call(request())
        await stalled.head()
        others = await asyncio.gather(*(whole(rig, request()) for _ in range(99)))
        assert {len(body) for _, body in others} == {64 * 32_768}
        assert sent[stalled.request_id] <= frames.CREDIT_BYTES
        assert sum([len(part) async for part in stalled.body()]) == 64 * 32_768


async def test_the_deadline_ends_a_request_and_stops_the_app(tmp_path: Path) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await exchange_of(scope).go()
        await asyncio.Event().wait()

    async with rig_of(tmp_path) as rig:
        instance = await rig.instance(app)
        call = await rig.caller.call(request(seconds=0.2))
        with pytest.raises(HiveError) as caught:
            await call.head()
        assert caught.value.kind is Kind.TIMEOUT
        await until(lambda: instance.responder.in_flight == 0)


async def test_a_record_delivered_twice_runs_once(tmp_path: Path) -> None:
    runs: list[str] = []

    async def note(scope: Scope) -> None:
        await exchange_of(scope).go()
        runs.append(exchange_of(scope).request_id)

    async with rig_of(tmp_path) as rig:
        first = await rig.instance(answers(b"a", before=note))
        second = await rig.instance(answers(b"b", before=note))
        call = await rig.caller.call(request())
        asked = call.request
        assert asked is not None
        await asyncio.gather(*(one.responder.take(asked) for one in (first, second, first)))
        await call.head()
        call.close()
        await until(lambda: first.responder.in_flight == second.responder.in_flight == 0)
        assert runs == [call.request_id]
        await second.responder.take(asked)  # late: nobody waits for it any more
        await until(lambda: second.responder.in_flight == 0)
        assert len(runs) == 1


async def test_nobody_accepts_and_nobody_else_is_there(tmp_path: Path) -> None:
    async with rig_of(tmp_path, Patience(accepted=0.02, anyone=0.1)) as rig:
        await rig.swallow()
        call = await rig.caller.call(request())
        with pytest.raises(HiveError) as caught:
            await call.head()
        assert caught.value.kind is Kind.UNAVAILABLE and caught.value.retry_after == 1


async def test_a_slow_accept_of_the_only_instance_is_waited_for(tmp_path: Path) -> None:
    async with rig_of(tmp_path, Patience(accepted=0.02, anyone=10), few=0) as rig:
        instance = await rig.instance(answers(b"late"), queue=False)
        await rig.introduce(instance)
        held: list[RequestEnvelope] = []

        async def hold(envelope: RequestEnvelope) -> None:
            held.append(envelope)

        await rig.bus.subscribe_requests(RequestEnvelope, "work", hold, Options(fields={"service": "work"}))
        call = await rig.caller.call(request())
        looks = [call.due]

        def patience_ended_twice() -> bool:
            if call.due != looks[-1]:
                looks.append(call.due)
            return len(looks) > 2

        await until(lambda: patience_ended_twice() and bool(held))
        await instance.responder.take(held[0])
        assert (await call.head())[0] == 200 and call.attempt == 1


async def test_a_slow_accept_sends_the_next_attempt_to_another_instance(tmp_path: Path) -> None:
    async with rig_of(tmp_path, Patience(accepted=0.05, anyone=5), few=0) as rig:
        await rig.swallow()
        for _ in range(2):
            await rig.introduce(await rig.instance(answers(b"other"), queue=False))
        call = await rig.caller.call(request())  # queued, and nobody takes from the queue
        assert (await call.head())[0] == 200
        assert call.attempt == 2 and call.losses == 0


@dataclass
class Lossy:
    """An app that hangs after `go`, on every instance; what it was asked is the provider calls made."""

    provider_calls: list[tuple[str, int]] = field(default_factory=list)
    shows: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        await exchange.go()
        self.provider_calls.append((exchange.request_id, exchange.attempt))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if self.shows:
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await asyncio.Event().wait()


async def test_a_lost_process_is_answered_for_by_another(tmp_path: Path) -> None:
    hanging = Lossy()
    async with rig_of(tmp_path) as rig:
        broken = await rig.instance(hanging)
        calls = [await rig.caller.call(request()) for _ in range(20)]
        await until(lambda: len(hanging.provider_calls) == 20)
        await rig.introduce(await rig.instance(answers(b"fine"), queue=False))
        await broken.kill()
        for call in calls:
            assert (await call.head())[0] == 200
            assert call.attempt == 2
            call.close()
        assert len(hanging.provider_calls) == 20


async def test_a_lost_process_with_no_other_is_a_502_at_once(tmp_path: Path) -> None:
    hanging = Lossy()
    async with rig_of(tmp_path) as rig:
        broken = await rig.instance(hanging)
        call = await rig.caller.call(request())
        await until(lambda: len(hanging.provider_calls) == 1)
        await broken.kill()
        with pytest.raises(HiveError) as caught:
            await call.head()
        assert caught.value.kind is Kind.UPSTREAM_FAILED and caught.value.should_retry is None


async def test_a_request_may_lose_two_processes_and_no_more(tmp_path: Path) -> None:
    hanging = Lossy()
    async with rig_of(tmp_path) as rig:
        for _ in range(3):
            await rig.introduce(await rig.instance(hanging))
        call = await rig.caller.call(request())
        by_name = {instance.name: instance for instance in rig.instances}
        for attempt in (1, 2):
            expected = (call.request_id, attempt)
            await until(lambda expected=expected: expected in hanging.provider_calls)  # type: ignore[misc]
            assert call.link is not None
            await by_name[call.link.peer.instance].kill()
        with pytest.raises(HiveError) as caught:
            await call.head()
        assert caught.value.kind is Kind.UPSTREAM_FAILED and caught.value.should_retry is False
        mine = [each for each in hanging.provider_calls if each[0] == call.request_id]
        assert mine == [(call.request_id, 1), (call.request_id, 2)]


async def test_a_process_lost_after_content_ends_the_answer_with_an_error(tmp_path: Path) -> None:
    hanging = Lossy(shows=True)
    async with rig_of(tmp_path) as rig:
        broken = await rig.instance(hanging)
        call = await rig.caller.call(request())
        assert (await call.head())[0] == 200
        assert (await call.read())[0] == b"data: 1\n\n"
        await broken.kill()
        with pytest.raises(HiveError) as caught:
            await call.read()
        assert caught.value.kind is Kind.UPSTREAM_FAILED and "after 9 bytes" in caught.value.message


async def test_a_caller_that_goes_away_stops_what_runs_for_it(tmp_path: Path, way: str) -> None:
    if way == "beside":
        pytest.skip("it goes down together with what runs for it")
    hanging = Lossy()
    async with rig_of(tmp_path) as rig:
        instance = await rig.instance(hanging)
        await rig.caller.call(request())
        await until(lambda: len(hanging.provider_calls) == 1)
        await rig.network.close()
        await until(lambda: instance.responder.in_flight == 0)


async def test_draining_lets_running_requests_end(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def wait(scope: Scope) -> None:
        await release.wait()

    async with rig_of(tmp_path) as rig:
        instance = await rig.instance(answers(b"done", before=wait))
        call = await rig.caller.call(request())
        await until(lambda: instance.responder.in_flight == 1)
        drained = asyncio.create_task(instance.responder.drain(10))
        await until_refused(rig, instance)
        release.set()
        assert (await call.head())[0] == 200
        assert await drained


async def test_draining_ends_late_requests_with_unavailable(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        instance = await rig.instance(Lossy())
        call = await rig.caller.call(request())
        await until(lambda: instance.responder.in_flight == 1)
        assert not await instance.responder.drain(0.05)
        with pytest.raises(HiveError) as caught:
            await call.head()
        assert caught.value.kind is Kind.UNAVAILABLE


async def test_a_caller_that_cannot_be_reached_costs_no_place_and_no_bytes(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        instance = await rig.instance(echo, queue=False)
        deadline = int((rig.clock.now() + 20) * 1000)
        for number in range(40):
            envelope = RequestEnvelope(
                request_id=f"req_lost_{number}", attempt=1, reply_to="nobody", deadline_unix_ms=deadline
            )
            envelope.blob.size_bytes = 10_000_000
            await instance.responder.take(envelope)
        await until(lambda: instance.responder.in_flight == 0)

        async def parts() -> AsyncIterator[bytes]:
            yield b"x" * 1000

        size = await rig.blobs.write("requests/1", parts())
        asked = request(body=BlobReference(path="requests/1", size_bytes=size), queued=False)
        asked.body = BlobReference(path="requests/1", size_bytes=size)
        assert (await whole(rig, asked))[0] == 200
        await until(lambda: instance.responder.in_flight == 0)
        big = RequestEnvelope(
            request_id="req_big", attempt=1, reply_to=rig.server.address, deadline_unix_ms=deadline
        )
        big.blob.size_bytes = 200_000_000  # fits only where the forty above gave theirs back
        await instance.responder.take(big)
        assert instance.responder.in_flight == 1


async def test_a_direct_request_passes_an_instance_that_drains(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        draining, healthy = [await rig.instance(answers(b"fine"), queue=False) for _ in range(2)]
        for instance in (draining, healthy):
            await rig.introduce(instance)
        await draining.responder.drain(0)
        for _ in range(4):
            assert await whole(rig, request(queued=False)) == (200, b"fine")


async def test_whoever_accepted_answers_even_if_the_hand_over_failed(tmp_path: Path) -> None:
    go_given: list[tuple[str, int]] = []

    async def note(scope: Scope) -> None:
        await exchange_of(scope).go()
        go_given.append((exchange_of(scope).request_id, exchange_of(scope).attempt))

    async with rig_of(tmp_path) as rig:
        for _ in range(3):
            instance = await rig.instance(answers(b"fine", before=note), queue=False)
            await rig.introduce(instance)
            take = instance.responder.take

            async def takes_and_fails(asked: RequestEnvelope | Request, take: Any = take) -> None:
                await take(asked)
                await until(lambda: bool(go_given))
                raise HiveError(Kind.UNAVAILABLE, "the answer to this call was lost")

            instance.responder.take = takes_and_fails  # type: ignore[method-assign]
        asked = request(queued=False)
        assert await whole(rig, asked) == (200, b"fine")
        assert go_given == [(asked.request_id, 1)]


async def test_giving_all_up_tells_every_caller(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        instance = await rig.instance(Lossy(shows=True))
        calls = [await rig.caller.call(request()) for _ in range(3)]
        for call in calls:
            await call.head()
            await call.read()
        rig.caller.give_all_up()
        for call in calls:
            with pytest.raises(HiveError) as caught:
                await call.read()
            assert caught.value.kind is Kind.UNAVAILABLE
        await until(lambda: instance.responder.in_flight == 0)


async def test_one_call_whose_deadline_cannot_be_looked_at_costs_the_others_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig_of(tmp_path) as rig:
        await rig.swallow()
        told: list[BaseException] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        expired, broken = rig.caller._expired, request(seconds=0.1)

        def fail_for_one(call: Call) -> None:
            if call.request_id == broken.request_id:
                raise RuntimeError("broken")
            expired(call)

        monkeypatch.setattr(rig.caller, "_expired", fail_for_one)
        calls = [await rig.caller.call(each) for each in (broken, request(seconds=0.1))]
        for call, kind in zip(calls, (Kind.INTERNAL, Kind.TIMEOUT), strict=True):
            with pytest.raises(HiveError) as caught:
                async with asyncio.timeout(10):
                    await call.head()
            assert caught.value.kind is kind
            call.close()
        assert [str(each) for each in told] == ["broken"]
