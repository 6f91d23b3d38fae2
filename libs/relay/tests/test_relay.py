"""The relay between a caller and services on the memory bus: who answers, and how; over rpc and within a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hive_bus import Options
from hive_bus.memory import MemoryBus
from hive_relay import Caller, Request, Responder, exchange_of, frames
from hive_relay.asgi import App, Receive, Scope, Send
from hive_relay.call import Call
from hive_relay.caller import Patience
from hive_relay.principal import Principal
from hive_relay.summary import Summary
from hive_rpc import Network, Server
from hive_rpc.local import LocalNetwork
from hive_runtime.blobs import ObjectBlobs
from hive_runtime.clock import SystemClock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import Tasks
from modelhive.relay.v1.relay_pb2 import BlobReference, ExecuteRequest, RequestEnvelope


class Instance:
    """One process of the service `work`: it can be frozen (takes nothing) and killed (its server is gone)."""

    def __init__(self, rig: Rig, name: str, app: App) -> None:
        self.name = name
        self.tasks = Tasks(lambda name, error: None)
        self.server: Server = rig.network.server("work", name)
        self.responder = Responder(
            app,
            service="work",
            instance=name,
            server=self.server,
            network=rig.network,
            blobs=rig.blobs,
            clock=rig.clock,
            tasks=self.tasks,
            beside=rig.beside,
        )
        self.server.add(Responder.attach, self.responder)

    async def start(self, bus: MemoryBus) -> None:
        await self.server.start()
        options = Options(fields={"service": "work"}, takes_stand_ins=WAY["beside"])
        await bus.subscribe_requests(RequestEnvelope, "work", self.responder.begin, options)

    async def kill(self) -> None:
        """Everything this process did stops at once, as far as others can see."""
        await self.tasks.close()
        await self.server.stop(0)
        for asker in self.responder._askers.values():
            asker.replies.close()


@dataclass
class Rig:
    network: Network
    bus: MemoryBus
    blobs: ObjectBlobs
    clock: SystemClock
    caller: Caller
    tasks: Tasks
    server: Server
    beside: dict[str, Caller]
    instances: list[Instance] = field(default_factory=list)

    async def instance(self, app: App, *, queue: bool = True) -> Instance:
        made = Instance(self, f"work-{len(self.instances)}", app)
        self.instances.append(made)
        if queue:
            await made.start(self.bus)
        else:
            await made.server.start()
        return made

    async def swallow(self) -> None:
        """Let a process take requests from the queue that never says a word about them."""

        async def take(envelope: RequestEnvelope) -> None:
            pass

        await self.bus.subscribe_requests(RequestEnvelope, "work", take, Options(fields={"service": "work"}))

    async def introduce(self, instance: Instance) -> None:
        """Make an instance known to the caller, by an envelope for which nobody waits."""
        deadline = int((self.clock.now() + 20) * 1000)
        stranger = RequestEnvelope(
            request_id="req_stranger", attempt=1, reply_to=self.server.address, deadline_unix_ms=deadline
        )
        await instance.responder.take(stranger)
        await until(lambda: instance.responder.in_flight == 0)


@pytest.fixture(autouse=True, params=["over rpc", "beside"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How services reach the caller."""
    monkeypatch.setitem(WAY, "beside", request.param == "beside")
    return str(request.param)


WAY = {"beside": False}


@asynccontextmanager
async def rig_of(folder: Path, patience: Patience = Patience()) -> AsyncIterator[Rig]:
    clock = SystemClock()
    lost: list[str] = []

    def note(name: str, error: BaseException) -> None:
        lost.append(f"{name}: {error!r}")

    tasks = Tasks(note)
    network = LocalNetwork(note)
    bus = MemoryBus(clock, note)
    server = network.server("edge", "edge-0")
    caller = Caller(server=server, bus=bus, network=network, clock=clock, tasks=tasks, patience=patience)
    server.add(Caller.attach, caller)
    await server.start()
    beside = {server.address: caller} if WAY["beside"] else {}
    rig = Rig(network, bus, ObjectBlobs.in_folder(folder, clock), clock, caller, tasks, server, beside)
    try:
        yield rig
    finally:
        for instance in rig.instances:
            await instance.kill()
        await bus.close()
        await network.close()
        await tasks.close()
    assert not lost


_numbers = iter(range(10**9))


def request(**changes: object) -> Request:
    values: dict[str, object] = {
        "request_id": f"req_{next(_numbers)}",
        "service": "work",
        "method": "POST",
        "path": "/v1/thing",
        "principal": Principal(tenant_id="t", key_id="k"),
        "seconds": 20.0,
    }
    return Request(**{**values, **changes})  # type: ignore[arg-type]


async def whole(rig: Rig, asked: Request) -> tuple[int, bytes]:
    call = await rig.caller.call(asked)
    status, _ = await call.head()
    return status, b"".join([part async for part in call.body()])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


async def until_refused(rig: Rig, instance: Instance) -> None:
    """Wait until the instance takes nothing more; what it is asked meanwhile is past its deadline."""
    late = ExecuteRequest(envelope=RequestEnvelope(reply_to=rig.server.address))
    async with asyncio.timeout(10):
        while True:
            try:
                await instance.responder.Execute(late, None)
            except HiveError as error:
                assert error.kind is Kind.UNAVAILABLE
                return
            await asyncio.sleep(0.005)


async def read_all(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message["body"])
        if not message["more_body"]:
            return body


def answers(
    *parts: bytes, status: int = 200, before: Callable[[Scope], Awaitable[None]] | None = None
) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if before is not None:
            await before(scope)
        await exchange_of(scope).go()
        await send({"type": "http.response.start", "status": status, "headers": [(b"x-a", b"b")]})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await read_all(receive)
    await exchange_of(scope).go()
    exchange_of(scope).usage = Summary(prompt_tokens=3)
    text = f"{scope['method']} {scope['path']} {scope['query_string'].decode()} {len(body)}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text})


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
    async with rig_of(tmp_path, Patience(accepted=0.02, anyone=10)) as rig:
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
    async with rig_of(tmp_path, Patience(accepted=0.05, anyone=5)) as rig:
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


class Reader:
    """Takes parts of an answer, and wants no more after each `most` of them until it is let go on."""

    def __init__(self, most: int = 1000) -> None:
        self.parts: list[bytes] = []
        self.is_full = False
        self.go_on = asyncio.Event()
        self._most = most

    def take(self, data: bytes) -> None:
        assert not self.is_full
        self.parts.append(data)
        self.is_full = len(self.parts) % self._most == 0

    async def room(self) -> None:
        await self.go_on.wait()
        self.go_on.clear()
        self.is_full = False


def paced(*parts: bytes, error: HiveError | None = None) -> App:
    """Each part in turns of the event loop of its own, but the last one, which the end follows at once."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await exchange_of(scope).go()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number, part in enumerate(parts, 1):
            await asyncio.sleep(0.002)
            more = number < len(parts) or error is not None
            await send({"type": "http.response.body", "body": part, "more_body": more})
        if error is not None:
            raise error

    return app


async def test_an_answer_is_passed_on_as_it_comes_but_for_what_ends_it(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        await rig.instance(paced(b"1", b"2", b"3", b"4"))
        call, reader = await rig.caller.call(request()), Reader()
        await call.head()
        assert await call.pass_on(reader) == b"4"
        assert reader.parts == [b"1", b"2", b"3"] and call.delivered == 4


async def test_a_part_is_with_the_client_when_its_neighbour_has_sent_it_but_for_the_last(
    tmp_path: Path, way: str
) -> None:
    reader, ended, seen = Reader(), asyncio.Event(), list[list[bytes]]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number, part in enumerate((b"1", b"2", b"3", b"4")):
            await send({"type": "http.response.body", "body": part, "more_body": number < 3})
            seen.append([*reader.parts])
            if number == 0:
                await until(lambda: reader.parts == [b"1"])
                await asyncio.sleep(0.01)  # until somebody waits in `pass_on`
        await ended.wait()

    async with rig_of(tmp_path) as rig:
        await rig.instance(app)
        call = await rig.caller.call(request())
        await call.head()
        reader.take((await call.read())[0])
        passing = asyncio.create_task(call.pass_on(reader))
        await until(lambda: len(reader.parts) > (3 if way == "beside" else 1))
        if way == "beside":
            assert seen == [[], [b"1", b"2"], [b"1", b"2", b"3"], [b"1", b"2", b"3"]]
        ended.set()
        assert await passing == b""
        assert b"".join(reader.parts) == b"1234"


async def test_an_answer_that_breaks_off_is_passed_on_until_there(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        await rig.instance(paced(b"1", b"2", error=HiveError(Kind.UPSTREAM_FAILED, "cut")))
        call, reader = await rig.caller.call(request()), Reader()
        with pytest.raises(HiveError, match="cut"):
            await call.pass_on(reader)
        assert b"".join(reader.parts) == b"12"


async def test_a_reader_that_wants_no_more_is_given_none_until_it_does(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        await rig.instance(paced(*(b"%d" % number for number in range(9))))
        call, reader = await rig.caller.call(request()), Reader(most=2)
        passing = asyncio.create_task(call.pass_on(reader))
        await until(lambda: reader.is_full)
        await asyncio.sleep(0.02)
        assert reader.parts == [b"0", b"1"]
        while not passing.done():
            reader.go_on.set()
            await asyncio.sleep(0.001)
        assert b"".join(reader.parts) + await passing == b"012345678"


async def test_a_service_is_never_further_ahead_of_a_reader_than_its_credit(tmp_path: Path) -> None:
    sent, size = 0, 32_768

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(64):
            await send({"type": "http.response.body", "body": b"x" * size, "more_body": True})
            sent += size
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})

    async with rig_of(tmp_path) as rig:
        await rig.instance(app)
        call, reader = await rig.caller.call(request()), Reader(most=5)
        await call.head()
        passing = asyncio.create_task(call.pass_on(reader))
        while not passing.done():
            await asyncio.sleep(0.005)
            assert sent <= sum(map(len, reader.parts)) + frames.CREDIT_BYTES
            reader.go_on.set()
        assert sum(map(len, reader.parts)) + len(await passing) == 64 * size == call.delivered


async def test_what_a_reader_raises_ends_the_passing(tmp_path: Path) -> None:
    class Broken(Reader):
        def take(self, data: bytes) -> None:
            raise RuntimeError("broken")

    async with rig_of(tmp_path) as rig:
        await rig.instance(paced(b"1", b"2"))
        call = await rig.caller.call(request())
        with pytest.raises(RuntimeError, match="broken"):
            await call.pass_on(Broken())
        call.close()


async def test_a_place_that_is_given_back_before_somebody_waits_for_it_is_taken(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        instance = await rig.instance(answers(b"x"), queue=False)
        begun: list[Awaitable[None] | None] = []

        async def begin_at_the_last_moment(envelope: RequestEnvelope) -> None:
            instance.responder._places = 0
            begun.append(instance.responder.begin(envelope))
            instance.responder._free_place()
            if begun[0] is not None:
                await begun[0]

        await rig.bus.subscribe_requests(
            RequestEnvelope, "work", begin_at_the_last_moment, Options(fields={"service": "work"})
        )
        async with asyncio.timeout(10):
            assert await whole(rig, request()) == (200, b"x")
        assert begun[0] is not None


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


async def test_requests_beyond_the_bound_wait_for_their_turn(tmp_path: Path) -> None:
    running = most = 0

    async def before(scope: Scope) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.002)
        running -= 1

    async with rig_of(tmp_path) as rig:
        instance = await rig.instance(answers(b"x", before=before), queue=False)
        instance.responder._places = 2
        await rig.bus.subscribe_requests(
            RequestEnvelope, "work", instance.responder.begin, Options(fields={"service": "work"})
        )
        answered = await asyncio.gather(*(whole(rig, request()) for _ in range(9)))
        assert {body for _, body in answered} == {b"x"} and most == 2
        await until(lambda: instance.responder.in_flight == 0)
        assert instance.responder._places == 2


async def test_what_another_process_may_have_begun_with_runs_only_where_its_caller_wants_it(
    tmp_path: Path,
) -> None:
    begun: list[str] = []
    release = asyncio.Event()

    async def before(scope: Scope) -> None:
        begun.append(exchange_of(scope).request_id)
        await release.wait()

    async with rig_of(tmp_path) as rig:
        first, second = [await rig.instance(answers(b"x", before=before), queue=False) for _ in range(2)]
        taken: list[RequestEnvelope] = []

        def take(envelope: RequestEnvelope) -> None:
            taken.append(envelope)
            first.responder.begin(envelope)

        await rig.bus.subscribe_requests(RequestEnvelope, "work", take, Options(fields={"service": "work"}))
        asked = request()
        answering = asyncio.ensure_future(whole(rig, asked))
        await until(lambda: begun == [asked.request_id])
        second.responder.begin_again(taken[0])
        await until(lambda: second.responder.in_flight == 0)
        assert begun == [asked.request_id]
        release.set()
        assert await answering == (200, b"x")

        wanted = request()
        second.responder._places = 0  # as many run as may: it waits for its turn, and for its caller then
        waiting: list[Awaitable[None] | None] = []

        def again(asked: RequestEnvelope | Request) -> None:
            assert isinstance(asked, RequestEnvelope)
            waiting.append(second.responder.begin_again(asked))

        async with asyncio.timeout(10):
            envelopes = len(taken)
            calling = asyncio.ensure_future(rig.caller.call(wanted))
            first.responder.begin = again  # type: ignore[method-assign]
            call = await calling
            assert len(taken) == envelopes + 1 and waiting[0] is not None
            later = asyncio.ensure_future(waiting[0])
            await asyncio.sleep(0)
            second.responder._free_place()
            await later
            assert (await call.head())[0] == 200
            call.close()
        assert begun == [asked.request_id, wanted.request_id]
