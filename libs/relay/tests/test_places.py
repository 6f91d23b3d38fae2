"""So many requests as may run at once, and those that another process may have begun with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path

import pytest

from hive_bus import Options
from hive_relay import Request, exchange_of
from hive_relay.asgi import Scope
from libs.relay.tests.rig import (
    answers,
    request,
    rig_of,
    until,
    whole,
)
from modelhive.relay.v1.relay_pb2 import RequestEnvelope

pytestmark = pytest.mark.usefixtures("way")


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

    async with rig_of(tmp_path, few=0) as rig:
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
