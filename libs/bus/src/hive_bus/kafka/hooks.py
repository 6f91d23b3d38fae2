"""How a trace travels with a record: what is written into its headers, and what its handler runs within."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

Headers = Sequence[tuple[str, bytes]]


def _no_headers() -> list[tuple[str, bytes]]:
    return []


def _no_context(headers: Headers) -> AbstractContextManager[object]:
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Hooks:
    """Both are called for each record, so they must be quick.

    headers: what the publisher's context adds to a record (`traceparent`, `tracestate`).
    context_of: entered around the handler of a record that has headers; batches have no single one.
    """

    headers: Callable[[], list[tuple[str, bytes]]] = _no_headers
    context_of: Callable[[Headers], AbstractContextManager[object]] = _no_context
