"""The mailbox: batches, and a bound on what waits for a link that takes nothing."""

from __future__ import annotations

import asyncio

from hive_relay.mailbox import BATCH_BYTES, Mailbox


async def test_all_that_is_ready_leaves_together() -> None:
    mailbox: Mailbox[int] = Mailbox()
    for number in range(5):
        mailbox.put(number)
    assert await mailbox.take() == [0, 1, 2, 3, 4]


async def test_a_batch_has_a_largest_size() -> None:
    mailbox: Mailbox[int] = Mailbox()
    for number in range(5):
        mailbox.put(number, BATCH_BYTES // 2)
    assert [await mailbox.take() for _ in range(3)] == [[0, 1], [2, 3], [4]]


async def test_writers_wait_for_a_link_that_takes_nothing_and_go_on_in_turn() -> None:
    mailbox: Mailbox[int] = Mailbox()
    size = BATCH_BYTES // 4
    written: list[int] = []

    async def write(number: int) -> None:
        await mailbox.room()
        mailbox.put(number, size)
        written.append(number)

    async with asyncio.TaskGroup() as writers:
        for number in range(10):
            writers.create_task(write(number))
        taken: list[int] = []
        while len(taken) < 10:
            taken += await mailbox.take()
            assert len(written) - len(taken) <= 4
    assert taken == list(range(10))


async def test_closing_lets_the_reader_and_the_writers_go() -> None:
    mailbox: Mailbox[int] = Mailbox()
    mailbox.put(1, BATCH_BYTES)
    writer = asyncio.ensure_future(mailbox.room())
    await asyncio.sleep(0)
    assert not writer.done()
    mailbox.close()
    await writer
    mailbox.put(2)
    assert [await mailbox.take(), await mailbox.take()] == [[1], []]
