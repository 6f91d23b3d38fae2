"""One page of a list: what was asked for, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """after: the id that the page begins behind. newest_first: by time of creation."""

    limit: int = 20
    after: str | None = None
    newest_first: bool = True


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """has_more: another page follows this one."""

    items: Sequence[T]
    has_more: bool
