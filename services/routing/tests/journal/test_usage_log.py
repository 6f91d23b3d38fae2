"""Every end of an attempt gets to all who keep usage, whoever is away in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from hive_routing.attempts import Attempt, Outcome
from hive_routing.journal import Journal
from hive_routing.telling import Pace
from hive_routing.usage_log import JournaledLog
from modelhive.events.v1.usage_pb2 import OUTCOME_ANSWERED, UsageRecorded

Make = Callable[..., Attempt]
Answer = Callable[[Attempt], Attempt]


@pytest.fixture
def use(make_attempt: Make, answered: Answer) -> Callable[[JournaledLog, int], None]:
    def use(log: JournaledLog, count: int) -> None:
        for number in range(1, count + 1):
            attempt = make_attempt(number)
            log.open(attempt)
            log.close(answered(attempt))

    return use


def start(world: Any, log: JournaledLog) -> None:
    world.tasks.spawn(log.run(), "usage log")


async def test_an_end_is_told_with_all_that_is_known(
    world: Any, make_attempt: Make, answered: Answer
) -> None:
    log = world.log(Journal.create(world.folder, "me"))
    start(world, log)
    attempt = make_attempt(error="", first_content_us=77, upstream_request_id="up_1")
    log.open(attempt)
    log.close(answered(attempt))
    await world.clock.until(lambda: world.bus.published)
    assert world.bus.published == [
        UsageRecorded(
            request_id="req_1",
            attempt=1,
            call=1,
            tenant_id="default",
            key_id="key_a",
            endpoint="chat/completions",
            model="small",
            provider="sim",
            deployment="sim/small",
            started_unix_ms=attempt.started_ms,
            duration_us=1234,
            first_content_us=77,
            outcome=OUTCOME_ANSWERED,
            streamed=True,
            last=True,
            units={"prompt": 10, "completion": 5},
            cost_nanos=20_000,
            provider_cost_nanos=12_500,
            price_version=7,
            provider_price_version=8,
            holder="me",
            sequence=1,
            scopes=["wallet:default"],
            held_nanos=50_000,
            carried_nanos=20_000,
            upstream_request_id="up_1",
            tags=["blue"],
        )
    ]


async def test_what_all_keep_is_forgotten(world: Any, use: Any) -> None:
    log = world.log(Journal.create(world.folder, "me", segment_bytes=3000))
    start(world, log)
    use(log, 100)
    assert log.unkept == log.waiting == 100
    world.analytics.deaf = True
    await world.clock.until(lambda: world.billing.through("me") == 100 and world.billing.asked > 3)
    assert len(list((world.folder / "me").glob("*.log"))) > 5
    assert (log.waiting, log.unkept) == (0, 100)
    world.analytics.deaf = False
    for event in world.bus.published:
        world.analytics.take(event)
    await world.clock.until(lambda: log.unkept == 0)
    await world.clock.until(lambda: len(list((world.folder / "me").glob("*.log"))) == 1)


async def test_what_was_not_opened_or_closed_before_is_not_told(
    world: Any, make_attempt: Make, answered: Answer
) -> None:
    log = world.log(Journal.create(world.folder, "me"))
    start(world, log)
    attempt = make_attempt()
    log.close(attempt)
    log.progress(attempt)
    log.open(attempt)
    log.close(answered(attempt))
    log.close(attempt)
    await world.clock.until(lambda: log.unkept == 0)
    assert world.bus.sequences == [1]


async def test_texts_and_numbers_that_no_event_can_carry_do_not_stop_it(
    world: Any, make_attempt: Make
) -> None:
    log = world.log(Journal.create(world.folder, "me"))
    start(world, log)
    attempt = make_attempt(tags=("half \ud83d",))
    log.open(attempt)
    attempt.upstream_request_id = "\ude00"
    attempt.units = {"prompt": 2**70}
    attempt.outcome = Outcome.BROKEN
    log.close(attempt)
    await world.clock.until(lambda: world.bus.published)
    event = world.bus.published[0]
    assert (event.tags, event.upstream_request_id, event.outcome) == (["half ?"], "?", Outcome.BROKEN)
    assert event.units["prompt"] == 2**63 - 1


async def test_nothing_is_told_before_it_is_durable(world: Any, use: Any) -> None:
    log = world.log(Journal.create(world.folder, "me"))
    start(world, log)
    await world.clock.until(lambda: world.billing.asked)
    use(log, 3)
    for _ in range(50):
        await asyncio.sleep(0)
    assert world.bus.published == []
    await world.clock.until(lambda: world.bus.sequences == [1, 2, 3])


async def test_a_full_bus_is_waited_for(world: Any, use: Any) -> None:
    log = world.log(Journal.create(world.folder, "me"))
    start(world, log)
    world.bus.full = True
    use(log, 20)
    await world.clock.until(lambda: world.bus.refused > 3)
    assert world.billing.settled == []
    world.bus.full = False
    await world.clock.until(lambda: log.unkept == 0)
    assert world.bus.sequences == list(range(1, 21))


async def test_without_a_bus_billing_is_told_by_a_call_and_the_bus_later(world: Any, use: Any) -> None:
    log = world.log(Journal.create(world.folder, "me"))
    start(world, log)
    world.bus.away = True
    use(log, 20)
    await world.clock.until(lambda: world.billing.through("me") == 20)
    use(log, 10)
    await world.clock.until(lambda: world.billing.through("me") == 30)
    assert world.billing.settled == list(range(1, 31))  # each once
    assert "bus" in log.trouble
    assert log.unkept == 30
    world.bus.away = False
    await world.clock.until(lambda: log.unkept == 0)
    assert world.bus.sequences == list(range(1, 31))
    assert log.trouble == ""


async def test_without_a_bus_and_billing_the_journal_keeps_all(world: Any, use: Any) -> None:
    log = world.log(Journal.create(world.folder, "me"))
    start(world, log)
    world.bus.away = world.billing.away = True
    use(log, 20)
    await world.clock.until(lambda: world.bus.refused > 3)
    world.billing.away = False
    await world.clock.until(lambda: world.billing.settled == list(range(1, 21)))
    world.bus.away = False
    await world.clock.until(lambda: log.unkept == 0)


async def test_more_than_fits_into_memory_is_told_from_the_journal(world: Any, use: Any) -> None:
    log = world.log(Journal.create(world.folder, "me", segment_bytes=1_000_000))
    start(world, log)
    world.bus.away = True
    use(log, 25_000)
    await world.clock.until(lambda: world.billing.through("me") == 25_000)
    assert log.in_memory == 20_000
    world.bus.away = False
    await world.clock.until(lambda: log.unkept == 0)
    assert world.bus.sequences == list(range(1, 25_001))
    assert log.in_memory == 0


async def test_room_that_is_free_again_leaves_no_gap(world: Any, use: Any) -> None:
    log = world.log(Journal.create(world.folder, "me"), Pace(waiting=10, chunk=4))
    start(world, log)
    for _ in range(5):
        world.bus.full = True
        use(log, 17)
        refused = world.bus.refused
        await world.clock.until(lambda before=refused: world.bus.refused > before)
        world.bus.full = False
        use(log, 3)
        await world.clock.until(lambda: world.bus.published)
    await world.clock.until(lambda: log.unkept == 0)
    assert world.bus.sequences == list(range(1, 101))


async def test_what_a_receiver_has_missed_is_told_again(world: Any, use: Any) -> None:
    log = world.log(Journal.create(world.folder, "me"))
    start(world, log)
    use(log, 5)
    await world.clock.until(lambda: log.unkept == 0)
    world.clock.move(1000)  # a quiet night counts against nobody
    world.analytics.deaf = True
    use(log, 5)
    await world.clock.until(lambda: world.billing.through("me") == 10)
    world.analytics.deaf = False
    before = world.clock.time
    await world.clock.until(lambda: log.unkept == 0)
    assert world.clock.time - before >= 28
    assert world.bus.sequences == [*range(1, 11), *range(6, 11)]


async def test_a_receiver_that_stays_deaf_is_told_less_and_less_often(world: Any, use: Any) -> None:
    log = world.log(Journal.create(world.folder, "me"))
    start(world, log)
    world.analytics.deaf = True
    use(log, 1)
    told_at: list[float] = []

    def told_four_times() -> bool:
        if len(world.bus.published) > len(told_at):
            told_at.append(world.clock.time)
        return len(told_at) == 4

    await world.clock.until(told_four_times)
    pauses = [later - earlier for earlier, later in pairwise(told_at)]
    assert all(later > 1.7 * earlier for earlier, later in pairwise(pauses)), pauses


async def test_a_receiver_that_is_away_is_not_told_again(world: Any, use: Any) -> None:
    log = world.log(Journal.create(world.folder, "me"))
    start(world, log)
    world.analytics.away = True
    use(log, 3)
    await world.clock.until(lambda: world.analytics.asked > 40)
    assert world.bus.sequences == [1, 2, 3]
    assert log.unkept == 3
    world.analytics.away = False
    await world.clock.until(lambda: log.unkept == 0)


async def test_at_the_end_all_is_told_and_the_folder_goes(world: Any, use: Any) -> None:
    log = world.log(Journal.create(world.folder, "me"))
    start(world, log)
    use(log, 50)
    drained = world.tasks.spawn(log.drain(5.0), "drain")
    await world.clock.until(drained.done)
    assert drained.result()
    await log.leave()
    assert list(world.folder.iterdir()) == []
    assert len(world.tasks) == 0


@pytest.mark.parametrize("left", ["an open attempt", "an untold end"])
async def test_at_the_end_what_is_left_stays(
    world: Any, use: Any, make_attempt: Make, answered: Answer, left: str
) -> None:
    log = world.log(Journal.create(world.folder, "me"))
    start(world, log)
    use(log, 2)
    if left == "an open attempt":
        log.open(make_attempt(9))
    else:
        world.bus.away = world.billing.away = True
    drained = world.tasks.spawn(log.drain(0.3), "drain")
    await world.clock.until(drained.done)
    assert drained.result() == (left == "an open attempt")
    await log.leave()
    reopened = Journal.reopen(world.folder, "me")
    assert reopened is not None
    journal, open_attempts = reopened
    journal.shut()
    assert (journal.sequence, len(open_attempts)) == (2, 1 if left == "an open attempt" else 0)
