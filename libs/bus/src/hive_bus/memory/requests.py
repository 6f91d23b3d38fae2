"""REQUEST in memory: a record goes straight to a free handler, else into its group's queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.message import Message

from hive_bus.handling.room import Bounds, Room
from hive_bus.handling.subscription import RunningSubscription
from hive_bus.port import Handler, Options
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from hive_runtime.tasks import OnFailure


class RequestTopic:
    """The groups that listen now: a group ends, with what waits for it, when its last subscription does."""

    def __init__(self, name: str, bounds: Bounds, progress: Callable[[], None]) -> None:
        self.name = name
        self.progress = progress
        self._bounds = bounds
        self._groups: dict[str, RequestGroup] = {}

    @property
    def outstanding(self) -> int:
        return sum(group.outstanding for group in self._groups.values())

    def group(self, name: str) -> RequestGroup:
        return self._groups.setdefault(name, RequestGroup(self, name, Room(self._bounds)))

    def forget(self, group: RequestGroup) -> None:
        self._groups.pop(group.name, None)

    def publish(self, message: Message) -> None:
        if not self._groups:
            raise HiveError(Kind.UNAVAILABLE, f"Nobody listens to {self.name} at the moment.")
        for group in self._groups.values():
            group.require_room(message)
        for group in self._groups.values():
            group.put(message)

    def hand(self, stand_in: object) -> bool:
        """Have it handled in place of a message, without waiting; false where that cannot be."""
        if len(self._groups) != 1:
            return False
        (group,) = self._groups.values()
        return group.hand(stand_in)


class RequestGroup:
    """Subscriptions that share the records. Something waits only while no handler is free."""

    def __init__(self, topic: RequestTopic, name: str, room: Room) -> None:
        self.name = name
        self.topic = topic
        self._room = room
        self._waiting: deque[tuple[Message, int]] = deque()
        self._members: deque[RequestSubscription] = deque()

    @property
    def outstanding(self) -> int:
        return len(self._waiting) + sum(member.running for member in self._members)

    def require_room(self, message: Message) -> None:
        # The size is asked for only where the record has to wait: measuring costs as much as encoding.
        if self._next_free() is None and not self._room.fits(message.ByteSize()):
            raise self._room.full(self.topic.name, f"group {self.name!r}")

    def put(self, message: Message) -> None:
        member = self._next_free()
        if member is not None:
            self._members.rotate(-1)
            member.start(message)
            return
        size = message.ByteSize()
        self._room.add(size)
        self._waiting.append((message, size))

    def hand(self, stand_in: object) -> bool:
        member = self._members[0]
        if not (member.free and member.takes_stand_ins):
            return False
        self._members.rotate(-1)
        member.start(stand_in)
        return True

    def refill(self, member: RequestSubscription) -> None:
        """Give a member as much as waits and it can take."""
        while self._waiting and member.free:
            message, size = self._waiting.popleft()
            self._room.remove(size)
            member.start(message)

    def join(self, member: RequestSubscription) -> None:
        self._members.append(member)
        self.refill(member)

    def leave(self, member: RequestSubscription) -> None:
        self._members.remove(member)
        if not self._members:
            self.topic.forget(self)

    def _next_free(self) -> RequestSubscription | None:
        for _ in range(len(self._members)):
            member = self._members[0]
            if member.free:
                return member
            self._members.rotate(-1)
        return None


class RequestSubscription(RunningSubscription):
    """A task for each record whose handler waits for something, as many at once as the options allow."""

    def __init__(
        self,
        group: RequestGroup,
        handler: Handler[Any],
        options: Options,
        clock: Clock,
        on_failure: OnFailure,
    ) -> None:
        super().__init__(f"{group.topic.name} in group {group.name}", options, clock, on_failure)
        self.free = options.concurrency
        self.takes_stand_ins = options.takes_stand_ins
        self._group = group
        self._handler = handler
        group.join(self)

    @property
    def running(self) -> int:
        return self._options.concurrency - self.free

    def start(self, message: object) -> None:
        try:
            rest = self._context.copy().run(self._handler, message)
        except Exception as error:
            self._report(self.name, error)
            return
        if rest is not None:
            self.free -= 1
            self._spawn(self._run(rest))

    async def _run(self, rest: Awaitable[None]) -> None:
        try:
            await rest
        finally:
            self.free += 1
            if not self.stopped:
                self._group.refill(self)
            self._group.topic.progress()

    def _leave(self) -> None:
        self._group.leave(self)
