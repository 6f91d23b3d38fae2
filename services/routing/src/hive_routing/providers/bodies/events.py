"""A provider's stream whose events are changed one by one on their way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import msgspec

from hive_routing.providers.failures import broken_answer
from hive_routing.providers.port import Body
from hive_routing.providers.sse import EventSplitter, EventTooLarge


class EditedEvents:
    """Whole events, each as `edit` gives it. Raises HiveError `upstream_failed` for one that cannot be read."""

    def __init__(self, body: Body, edit: Callable[[bytes], bytes], provider: str) -> None:
        self._body = body
        self._edit = edit
        self._provider = provider
        self._splitter = EventSplitter()
        self._over = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._over:
            try:
                events = self._splitter.feed(await self._body.__anext__())
            except StopAsyncIteration:
                self._over = True
                rest = self._splitter.rest()
                if not rest.strip():
                    break
                return rest
            except EventTooLarge:
                raise broken_answer(self._provider, "sent an event that is too large") from None
            if events:
                return self._edited(events)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        await self._body.aclose()

    def _edited(self, events: list[bytes]) -> bytes:
        try:
            return b"".join([self._edit(event) for event in events])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise broken_answer(self._provider, "sent a malformed chunk") from None
