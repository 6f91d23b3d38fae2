"""Who answers a channel's calls in this very process: what the two have to say needs no messages there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import grpc.aio

T = TypeVar("T")


def beside(channel: grpc.aio.Channel, kind: type[T]) -> Callable[[], T | None]:
    """Finds the servicer that the next call would reach, where it is a `kind`, to be called as that.

    None while nobody serves there, and wherever calls leave the process: then the call itself says more.
    """
    find = getattr(channel, "servicer", None)
    return _nobody if find is None else partial(find, kind)


def _nobody() -> None:
    return None
