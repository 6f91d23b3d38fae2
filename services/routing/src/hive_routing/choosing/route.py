"""What the dispatcher may know of one request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from hive_routing.catalogue import Model
from hive_routing.choosing.terms import Region

T = TypeVar("T")


class Route(msgspec.Struct, Generic[T], frozen=True):
    """What the dispatcher may know of one request.

    key: the conversation that it belongs to. region: the caller's wish. is_streamed: its first content is the answer.
    prompt_tokens: about; 0: not known. longer: models for prompts that are too long for the first one.
    hedge_seconds: as in `Wishes`. attempts: bounds them further; 0: as for all. before: that were made already, so
    that numbers go on behind them.
    afford: makes sure of the money for a second call of the model beside the one under way; raises HiveError where
    there is none. discard: ends an answer that nobody needs, and notes what it cost. Without both nothing is hedged.
    """

    key: bytes = b""
    region: Region | None = None
    is_streamed: bool = False
    prompt_tokens: int = 0
    longer: Sequence[Model] = ()
    hedge_seconds: float | None = None
    attempts: int = 0
    before: int = 0
    afford: Callable[[Model], Awaitable[None]] | None = None
    discard: Callable[[T], Awaitable[None]] | None = None

    @property
    def may_go_anywhere(self) -> bool:
        """Neither where a deployment is nor how much its model can read matters."""
        return self.region is None and not self.prompt_tokens


ANY: Route[Any] = Route()
"""Of a request that nothing is known of."""
