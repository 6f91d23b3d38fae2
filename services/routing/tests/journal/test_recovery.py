"""What a killed process has left is settled once, with the same amounts however often recovery is cut off."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hive_routing.attempts import Attempt, Outcome
from hive_routing.journal import Journal
from hive_routing.prices import PriceTag
from hive_routing.recovery import settle
from modelhive.events.v1.usage_pb2 import UsageRecorded

Make = Callable[..., Attempt]
Answer = Callable[[Attempt], Attempt]


def leave(folder: Path, make_attempt: Make, holder: str = "old", segment_bytes: int = 16_000_000) -> None:
    """Two ends that were not told, one attempt that had begun to answer, and one that had not."""
    journal = Journal.create(folder, holder, segment_bytes)
    attempts = [make_attempt(number) for number in range(1, 5)]
    for attempt in attempts:
        journal.open(attempt)
    journal.progress(attempts[2].number, 6, attempts[2].started_ms + 2000, 400_000)
    for sequence, attempt in enumerate(attempts[:2], 1):
        event = UsageRecorded(
            request_id=attempt.request_id, holder=holder, sequence=sequence, cost_nanos=sequence
        )
        journal.close(attempt.number, event.SerializeToString())
    journal.shut()


def told(world: Any) -> list[tuple[str, int, int, int]]:
    """Request, sequence, what the tenant pays, what the provider charges."""
    return [(e.request_id, e.sequence, e.cost_nanos, e.provider_cost_nanos) for e in world.bus.published]


ALL = [("req_1", 1, 1, 0), ("req_2", 2, 2, 0), ("req_3", 3, 22_000, 14_000), ("req_4", 4, 0, 5_000)]
"""10 prompt tokens at $1 and $0.5 a million, 6 of completion at $2 and $1.5."""


async def test_open_attempts_are_settled_by_what_was_delivered(world: Any, make_attempt: Make) -> None:
    leave(world.folder, make_attempt)
    assert await world.recover()
    assert told(world) == ALL
    begun, unbegun = world.bus.published[2:]
    assert begun.outcome == unbegun.outcome == Outcome.RECOVERED
    assert begun.estimated
    assert unbegun.estimated
    assert dict(begun.units) == {"prompt": 10, "completion": 6}
    assert dict(unbegun.units) == {"prompt": 10}
    assert (begun.duration_us, begun.first_content_us, begun.carried_nanos) == (2_000_000, 400_000, 22_000)
    assert (begun.held_nanos, begun.scopes, begun.holder) == (50_000, ["wallet:default"], "old")
    assert (begun.price_version, begun.provider_price_version) == (7, 8)
    assert world.billing.returned == ["old"]
    await world.clock.until(lambda: not list(world.folder.iterdir()))


def test_what_is_carried_is_never_more_than_was_held(make_attempt: Make) -> None:
    attempt = make_attempt(held=100, delivered=1000)
    settle(attempt)
    assert (attempt.cost, attempt.carried) == (2_010_000, 100)


def test_without_a_price_the_provider_costs_nothing_that_is_known(make_attempt: Make) -> None:
    attempt = make_attempt(provider_price=PriceTag("deployment/sim/small", 0, None), delivered=1)
    settle(attempt)
    assert (attempt.cost, attempt.provider_cost) == (12_000, 0)


async def test_without_old_journals_there_is_nothing_to_do(world: Any) -> None:
    assert await world.recover()
    Journal.create(world.folder, "me").shut()
    assert await world.recover()
    assert (world.bus.published, world.billing.returned) == ([], ["me"])
    await world.clock.until(lambda: not list(world.folder.iterdir()))


async def test_the_living_are_left_alone(world: Any, make_attempt: Make) -> None:
    journal = Journal.create(world.folder, "me")
    journal.open(make_attempt())
    assert await world.recover()
    assert (world.bus.published, world.billing.returned) == ([], [])
    journal.shut()


async def test_recovery_that_is_cut_off_comes_to_the_same_again(world: Any, make_attempt: Make) -> None:
    leave(world.folder, make_attempt)
    world.billing.deaf = world.analytics.deaf = True
    assert not await world.recover(seconds=0.3)
    await world.clock.until(lambda: len(world.bus.published) >= 4)
    first = [event.SerializeToString() for event in world.bus.published[:4]]
    await world.tasks.close()

    again = type(world)(world.folder)
    assert await again.recover()
    assert [event.SerializeToString() for event in again.bus.published] == first
    assert told(again) == ALL
    await again.tasks.close()


async def test_cut_off_while_it_writes_it_comes_to_the_same(
    world: Any, make_attempt: Make, tmp_path: Path
) -> None:
    leave(world.folder, make_attempt)
    whole = tmp_path / "whole"
    shutil.copytree(world.folder, whole)
    world.billing.deaf = True
    assert not await world.recover(seconds=0.3)
    await world.tasks.close()
    written = (world.folder / "old" / "00000002.log").read_bytes()

    for cut in range(0, len(written), 23):
        folder = tmp_path / str(cut)
        shutil.copytree(whole, folder)
        (folder / "old" / "00000002.log").write_bytes(written[:cut])
        again = type(world)(folder)
        assert await again.recover()
        assert told(again) == ALL, cut
        await again.tasks.close()


async def test_a_journal_cut_at_any_byte_is_settled(world: Any, make_attempt: Make, tmp_path: Path) -> None:
    leave(world.folder, make_attempt)
    whole = (world.folder / "old" / "00000001.log").read_bytes()
    (world.folder / "old" / "00000001.log").unlink()
    for cut in range(0, len(whole) + 1, 7):
        folder = tmp_path / str(cut)
        (folder / "old").mkdir(parents=True)
        (folder / "old" / "00000001.log").write_bytes(whole[:cut])
        again = type(world)(folder)
        assert await again.recover()
        # Cut before an attempt was written down, it was not sent; every other one is told once, in one way.
        assert [sequence for _, sequence, _, _ in told(again)] == list(range(1, len(told(again)) + 1))
        requests = [request for request, _, _, _ in told(again)]
        assert sorted(requests) == [f"req_{number}" for number in range(1, len(requests) + 1)]
        await again.tasks.close()
        assert again.failures == []


async def test_what_is_kept_already_is_not_told_again(world: Any, make_attempt: Make) -> None:
    leave(world.folder, make_attempt)
    for receiver in (world.billing, world.analytics):
        receiver.take(UsageRecorded(holder="old", sequence=1))
    assert await world.recover()
    assert [sequence for _, sequence, _, _ in told(world)] == [2, 3, 4]


async def test_what_is_settled_now_is_told_whatever_the_receipts_say(world: Any, make_attempt: Make) -> None:
    leave(world.folder, make_attempt)
    for receiver in (world.billing, world.analytics):
        for sequence in range(1, 5):  # told from the memory of a process whose disk was full
            receiver.take(UsageRecorded(holder="old", sequence=sequence))
    assert await world.recover()
    assert told(world) == ALL[2:]


async def test_recovery_waits_for_billing_only_so_long(world: Any, make_attempt: Make) -> None:
    leave(world.folder, make_attempt)
    world.billing.away = True
    assert not await world.recover(seconds=0.2)
    assert world.billing.returned == []
    world.billing.away = False
    await world.clock.until(lambda: world.billing.returned == ["old"])
    await world.clock.until(lambda: not list(world.folder.iterdir()))


async def test_the_folder_stays_until_analytics_keeps_it_too(world: Any, make_attempt: Make) -> None:
    leave(world.folder, make_attempt)
    world.analytics.away = True
    assert await world.recover()
    assert world.billing.returned == ["old"]
    assert [path.name for path in world.folder.iterdir()] == ["old"]
    world.analytics.away = False
    await world.clock.until(lambda: not list(world.folder.iterdir()))


async def test_without_a_bus_billing_is_told_by_a_call(world: Any, make_attempt: Make) -> None:
    leave(world.folder, make_attempt)
    world.bus.away = True
    assert await world.recover()
    assert world.billing.settled == [1, 2, 3, 4]
    world.bus.away = False
    await world.clock.until(lambda: not list(world.folder.iterdir()))


async def test_several_holders_and_segments(world: Any, make_attempt: Make) -> None:
    for holder in ("one", "two", "three"):
        leave(world.folder, make_attempt, holder, segment_bytes=300)
    assert await world.recover()
    assert sorted(world.billing.returned) == ["one", "three", "two"]
    for holder in ("one", "two", "three"):
        assert world.billing.through(holder) == 4
    await world.clock.until(lambda: not list(world.folder.iterdir()))


async def test_a_hole_in_the_journal_keeps_nobody_waiting(world: Any, make_attempt: Make) -> None:
    journal = Journal.create(world.folder, "old", segment_bytes=1000)
    for number in range(20):
        attempt = make_attempt(number)
        journal.open(attempt)
        event = UsageRecorded(request_id=attempt.request_id, holder="old", sequence=journal.sequence + 1)
        journal.close(attempt.number, event.SerializeToString())
    journal.shut()
    damaged = world.folder / "old" / "00000002.log"
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    assert await world.recover()
    assert world.billing.returned == ["old"]
    await world.clock.until(lambda: not (world.folder / "old").exists())
    assert [path.name for path in world.folder.iterdir()] == [".damaged-old"]


@pytest.mark.parametrize("content", [b"", b"hive", b"something else altogether", b"hivejrn1" + b"\xff" * 100])
async def test_files_that_are_no_journal_stop_nobody(world: Any, content: bytes) -> None:
    (world.folder / "old").mkdir(parents=True)
    (world.folder / "old" / "00000001.log").write_bytes(content)
    (world.folder / "old" / "notes.txt").write_text("not ours")
    (world.folder / "file").write_text("not a folder")
    assert await world.recover()
    assert world.billing.returned == ["old"]
    await world.clock.until(lambda: not (world.folder / "old").exists())
