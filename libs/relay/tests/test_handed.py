"""While few requests come, each is handed to an instance by its stream, and queued as well: it runs once, and one that
is lost with its process runs elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hive_bus import Options
from hive_relay.asgi import App, Scope
from hive_relay.caller import Patience
from hive_relay.exchange import exchange_of
from hive_relay.frames import HANDED_BODY_BYTES
from hive_relay.link import StreamLink
from hive_relay.mailbox import BATCH_BYTES
from hive_relay.request import Request
from libs.relay.tests.rig import Instance, Rig, answers, request, rig_of, until, whole
from modelhive.relay.v1.relay_pb2 import RequestEnvelope


async def queue_of(rig: Rig) -> list[RequestEnvelope]:
    """What is queued from now on; nobody takes it from there."""
    queued: list[RequestEnvelope] = []
    options = Options(fields={"service": "work"})
    await rig.bus.subscribe_requests(RequestEnvelope, "work", queued.append, options)
    return queued


async def known(rig: Rig, app: App) -> Instance:
    """An instance that the caller knows, and that takes nothing from the queue. The app is asked once for that."""
    instance = await rig.instance(app, queue=False)
    await rig.introduce(instance)
    return instance


def counting(begun: list[str], before: Callable[[], Awaitable[object]] | None = None) -> App:
    async def note(scope: Scope) -> None:
        if (request_id := exchange_of(scope).request_id) == "req_stranger":
            return
        begun.append(request_id)
        if before is not None:
            await before()

    return answers(b"x", before=note)


async def test_a_request_need_not_wait_for_the_queue(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        await known(rig, answers(b"x"))
        queued = await queue_of(rig)
        asked = request(body=b"12345", traceparent="00-1-2-01")
        assert await whole(rig, asked) == (200, b"x")
        await until(lambda: len(queued) == 1)
        assert (queued[0].request_id, queued[0].body, queued[0].handed) == (asked.request_id, b"12345", True)


async def test_what_is_taken_from_the_queue_too_runs_once(tmp_path: Path) -> None:
    begun: list[str] = []
    async with rig_of(tmp_path) as rig:
        instance = await known(rig, counting(begun))
        queued = await queue_of(rig)
        await whole(rig, request())
        await until(lambda: len(queued) == 1)
        instance.responder.begin(queued[0])
        assert instance.responder.in_flight == 0 and len(begun) == 1


@pytest.mark.parametrize("running", [True, False])
async def test_another_process_that_takes_it_from_the_queue_asks_first(tmp_path: Path, running: bool) -> None:
    begun: list[str] = []
    release = asyncio.Event()
    async with rig_of(tmp_path) as rig:
        await known(rig, counting(begun, release.wait))
        queued = await queue_of(rig)
        answering = asyncio.ensure_future(whole(rig, request()))
        await until(lambda: len(queued) == 1 and len(begun) == 1)
        other = await known(rig, counting(begun))
        if not running:
            release.set()
            await answering
        other.responder.begin(queued[0])
        await until(lambda: other.responder.in_flight == 0)
        release.set()
        assert await answering == (200, b"x") and len(begun) == 1


async def test_one_that_is_lost_before_anybody_accepted_it_runs_elsewhere_and_counts(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        lost = await known(rig, answers(b"lost"))
        await queue_of(rig)
        lost.responder._take_handed = lambda envelope: None  # type: ignore[method-assign]
        call = await rig.caller.call(request())
        assert call.handed is not None
        other = await known(rig, answers(b"other"))
        await lost.kill()
        assert (await call.head())[0] == 200
        assert (call.losses, call.attempt) == (1, 2)
        assert (await call.read())[0] == b"other"
        assert other.responder.in_flight == 0
        call.close()


async def test_who_has_no_place_for_it_lets_it_be(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        full = await known(rig, answers(b"full"))
        queued = await queue_of(rig)
        full.responder._places = 0
        call = await rig.caller.call(request())
        await until(lambda: len(queued) == 1)
        other = await rig.instance(answers(b"other"), queue=False)
        other.responder.begin(queued[0])
        assert (await call.head())[0] == 200 and (await call.read())[0] == b"other"
        assert not any(link.handed for link in rig.caller._links["work"].values())
        call.close()


@pytest.mark.parametrize(
    "asked",
    [request(queued=False), request(body=b"x" * (HANDED_BODY_BYTES + 1))],
    ids=["not for the queue", "large"],
)
async def test_what_is_not_handed(tmp_path: Path, asked: Request) -> None:
    async with rig_of(tmp_path) as rig:
        await rig.introduce(await rig.instance(answers(b"x")))
        call = await rig.caller.call(asked)
        assert call.handed is None
        assert (await call.head())[0] == 200
        call.close()


async def test_instances_with_as_little_to_do_get_one_in_turn(tmp_path: Path) -> None:
    async with rig_of(tmp_path, few=1000) as rig:
        for name in (b"0", b"1", b"2"):
            await known(rig, answers(name))
        assert sorted([(await whole(rig, request()))[1] for _ in range(6)]) == [
            b"0",
            b"0",
            b"1",
            b"1",
            b"2",
            b"2",
        ]


async def test_many_are_queued_alone(tmp_path: Path) -> None:
    async with rig_of(tmp_path, few=1.0) as rig:
        await rig.introduce(await rig.instance(answers(b"x")))
        handed = []
        for _ in range(20):
            call = await rig.caller.call(request())
            handed.append(call.handed is not None)
            await call.head()
            call.close()
        assert handed == [True] * 16 + [False] * 4


async def test_a_queue_that_refuses_it_is_not_needed(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        await known(rig, answers(b"x"))
        assert await whole(rig, request()) == (200, b"x"), "nobody listens at the queue"


async def test_nothing_more_is_handed_until_the_queue_takes_something_again(tmp_path: Path) -> None:
    """Meanwhile instances that are not known yet are found by the service's name."""
    async with rig_of(tmp_path) as rig:
        await known(rig, answers(b"x"))
        await whole(rig, request())
        await until(lambda: rig.caller._handing.is_refused)
        for is_handed in (False, False, True):
            call = await rig.caller.call(request())
            assert (call.handed is not None) == is_handed
            assert (await call.head())[0] == 200
            call.close()
            if not is_handed and not rig.instances[1:]:
                await rig.instance(answers(b"x"))


async def test_what_neither_its_process_nor_the_queue_takes_is_given_to_another(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        full = await known(rig, answers(b"full"))
        full.responder._places = 0
        other = await known(rig, answers(b"other"))
        rig.caller._handing._turn = 1  # the next one in turn is the one that is full
        call = await rig.caller.call(request())
        assert call.handed is not None and call.handed.peer.instance == full.name
        assert (await call.head())[0] == 200 and (await call.read())[0] == b"other"
        assert call.attempt == 1
        call.close()
        assert other.responder.in_flight == 0


async def test_who_hangs_is_not_asked_again(tmp_path: Path) -> None:
    async with rig_of(tmp_path, Patience(accepted=0.05, anyone=5)) as rig:
        deaf = await known(rig, answers(b"deaf"))
        await queue_of(rig)
        deaf.responder._take_handed = lambda envelope: None  # type: ignore[method-assign]
        await known(rig, answers(b"other"))
        rig.caller._handing._turn = 1  # the next one in turn is the one that is deaf
        call = await rig.caller.call(request())
        assert call.handed is not None and call.handed.peer.instance == deaf.name
        assert (await call.head())[0] == 200 and (await call.read())[0] == b"other"
        assert (call.attempt, call.losses) == (2, 0)
        call.close()


async def test_a_stream_that_is_closed_or_not_read_gets_nothing(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        await known(rig, answers(b"x"))
        await queue_of(rig)
        (link,) = rig.caller._links["work"].values()
        assert isinstance(link, StreamLink)
        link.mailbox._bytes = BATCH_BYTES
        call = await rig.caller.call(request())
        assert call.handed is None
        call.close()
        link.mailbox._bytes = 0
        link.mailbox.close()
        call = await rig.caller.call(request())
        assert call.handed is None
        call.close()


async def test_a_process_that_goes_down_meanwhile_complains_of_nothing(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        await known(rig, answers(b"x"))
        await whole(rig, request())
        await rig.bus.close()
        await until(lambda: not rig.caller.in_flight)
        await asyncio.sleep(0.05)
