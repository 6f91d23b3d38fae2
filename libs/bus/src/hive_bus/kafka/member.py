"""A member of a consumer group: it connects, takes records, follows the group's rebalances, and never ends by itself.

What is done with records is the intake's matter. Whatever goes wrong with the broker is `trouble` and tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from aiokafka import (
    AIOKafkaConsumer,
    ConsumerRebalanceListener,
    TopicPartition,
)
from aiokafka.errors import KafkaError

from hive_bus.kafka.assignor import KeepingAssignor
from hive_bus.kafka.client import Client
from hive_bus.kafka.library import ABSENCE, commit_once, dispose, is_absence, is_member, to_the_end

POLL_MS = 500
FETCH_WAIT_MS = 500
COMMIT_SECONDS = 5.0
ANSWER_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
# Of the session: a loop that stood still for so long must ask whether it is a member still.
OVERSLEPT = 0.8

Fetched = Mapping[Any, Sequence[Any]]


class Intake(Protocol):
    """What takes a member's records."""

    def busy_first(self) -> Iterable[int]:
        """The partitions that are worked on, those with most work first."""
        ...

    def room(self) -> int:
        """How many records may come now; 0: none."""
        ...

    async def wait_for_room(self) -> None: ...

    async def take(self, fetched: Fetched) -> None: ...

    async def leaving(self, lost: bool) -> None:
        """The group makes new shares. lost: others may have the partitions already."""
        ...

    def entered_share(self, positions: dict[Any, int], committed: dict[Any, int | None]) -> dict[Any, int]:
        """The new share: where each partition would start. Gives where it shall."""
        ...

    async def verified(self) -> bool:
        """Whether this process is a member still; asked after it stood still."""
        ...

    def awake(self) -> None:
        """It is: work may go on."""
        ...


class Member(ConsumerRebalanceListener):  # type: ignore[misc]
    """One consumer at a time, for one topic in one group.

    from_end: a new group starts at the end, else with the oldest record.
    """

    def __init__(
        self,
        client: Client,
        topic: str,
        group: str,
        intake: Intake,
        *,
        from_end: bool,
    ) -> None:
        self.trouble: str | None = "it has not met its broker yet"
        self.entered = asyncio.Event()
        """Set while the member has its share."""
        self.overslept = False
        self.entered_at: dict[Any, int] = {}
        """Where each partition's end was when the share was made, of a member that starts there: what comes after it
        is nobody else's."""
        self._topic = topic
        self._group = group
        self._intake = intake
        self._address = client.address
        self._client = client
        self._reach = client.reach
        self._clock = client.clock
        self._from_end = from_end
        self._consumer: Any = None
        self._seen = client.clock.monotonic()
        self._broken: Exception | None = None

    async def run(self) -> None:
        """Until cancelled."""
        pause = FIRST_PAUSE
        while True:
            began = self._clock.monotonic()
            try:
                await self._session()
            except Exception as error:
                if not is_absence(error):
                    self._client.on_failure(f"{self._topic} in group {self._group}: consumer", error)
                self.trouble = str(error) or type(error).__name__
                self._reach.doubt()
            if self._clock.monotonic() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            await self._clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def is_awake(self) -> bool:
        """Whether the group can know of this process: one that stood still, or was cut off, may have lost its share."""
        since = self._seen if self._reach.since is None else min(self._seen, self._reach.since)
        if self._clock.monotonic() - since > OVERSLEPT * self._address.session_ms / 1000:
            self.overslept = True
        return not self.overslept

    async def commit(self, offsets: Mapping[Any, int]) -> bool:
        """True where the broker has noted them for this member; false where it has not, or nobody knows."""
        consumer = self._consumer
        if consumer is None or not is_member(consumer):
            return False
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await commit_once(consumer, offsets)
        except ABSENCE as error:
            self.trouble = f"offsets could not be noted: {error!r}"
            self._reach.doubt()
            return False
        self.trouble = None
        return True

    async def ends(self, partitions: Sequence[Any]) -> dict[Any, int]:
        """The offsets after the newest records. Raises KafkaError, TimeoutError."""
        if self._consumer is None or not partitions:
            return {}
        async with asyncio.timeout(ANSWER_SECONDS):
            found: dict[Any, int] = await self._consumer.end_offsets(list(partitions))
        return found

    def assigned(self) -> set[Any]:
        return set() if self._consumer is None else set(self._consumer.assignment())

    def newest(self, partition: Any) -> int | None:
        """The offset after the newest record, as the last fetch has told."""
        if partition not in self.assigned():
            return None
        found: int | None = self._consumer.highwater(partition)
        return found

    def go_back(self, positions: Mapping[Any, int]) -> None:
        """Fetch from there again."""
        for partition, offset in positions.items():
            if partition in self.assigned():
                self._consumer.seek(partition, offset)

    def pause(self, partition: Any) -> None:
        if partition in self.assigned():
            self._consumer.pause(partition)

    def resume(self, partition: Any) -> None:
        if partition in self.assigned():
            self._consumer.resume(partition)

    async def _session(self) -> None:
        await self._reach.there.wait()
        consumer = AIOKafkaConsumer(
            **self._address.connection(self._client.instance),
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="latest" if self._from_end else "earliest",
            partition_assignment_strategy=(KeepingAssignor(self._intake.busy_first),),
            session_timeout_ms=self._address.session_ms,
            heartbeat_interval_ms=max(100, self._address.session_ms // 10),
            max_poll_interval_ms=self._address.max_poll_ms,
            # Longer than the broker may hold back the answer to one who joins.
            request_timeout_ms=self._address.session_ms + 4_000,
            retry_backoff_ms=200,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            check_crcs=False,
        )
        self._broken = None
        try:
            await consumer.start()
            await self._client.partitions_of(consumer, self._topic)
            self._consumer = consumer
            consumer.subscribe([self._topic], listener=self)
            while True:
                await self._poll(consumer)
        finally:
            self.entered.clear()
            await to_the_end(self._depart(consumer))

    async def _depart(self, consumer: Any) -> None:
        if self._consumer is not None:
            await self._intake.leaving(lost=not is_member(consumer))
        await dispose(consumer)
        self._consumer = None
        await self._intake.leaving(lost=True)

    async def _poll(self, consumer: Any) -> None:
        self.is_awake()
        self._seen = self._clock.monotonic()
        if self._broken is not None:
            raise self._broken
        if self.overslept and self.entered.is_set():
            self.overslept = not await self._intake.verified()
            if not self.overslept:
                self._intake.awake()
        room = self._intake.room()
        if not room:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_MS / 1000):
                    await self._intake.wait_for_room()
            # Asks for the records of no partition, which says all the same that this consumer is at work.
            await consumer.getmany(TopicPartition(self._topic, -1), timeout_ms=0)
            return
        fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=room)
        # What comes while the share is being made is fetched again from where the share begins.
        if fetched and self.entered.is_set():
            await self._intake.take(fetched)

    # The group's rebalances; the library calls these one after the other

    async def on_partitions_revoked(self, revoked: Any) -> None:
        self.entered.clear()
        await self._intake.leaving(lost=not is_member(self._consumer))

    async def on_partitions_assigned(self, assigned: Any) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._enter(list(assigned))
        except ABSENCE as error:
            self._broken = KafkaError(f"the share of {self._group} could not be read: {error!r}")

    async def _enter(self, assigned: list[Any]) -> None:
        consumer = self._consumer
        answers = await asyncio.gather(*(consumer.committed(partition) for partition in assigned))
        committed: dict[Any, int | None] = dict(zip(assigned, answers, strict=True))
        unknown = [partition for partition, offset in committed.items() if offset is None]
        if self._from_end:
            starts = self.entered_at = await consumer.end_offsets(assigned)
        else:
            starts = await consumer.beginning_offsets(unknown)
        if unknown and self._from_end:
            # Noted at once: whoever gets the partition next must not start at a later end.
            await commit_once(consumer, {partition: starts[partition] for partition in unknown})
        positions = {
            partition: starts[partition] if offset is None else offset
            for partition, offset in committed.items()
        }
        for partition, offset in self._intake.entered_share(positions, committed).items():
            consumer.seek(partition, offset)
        self._seen = self._clock.monotonic()
        self.overslept = False
        self.trouble = None
        self.entered.set()
