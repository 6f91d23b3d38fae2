"""What a process may add to every call that it makes or answers: trace context, figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

Pairs = Sequence[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class Hooks:
    """Each is left out where it is None, and then costs nothing.

    outgoing: the metadata that goes with a call, asked for in the context in which the call is made.
    incoming: given a call's metadata, the context manager in which its handler runs.
    answered: service and method by their proto names, the status code's name, seconds that it took; told
        once for each call that was answered, a long stream at its end.
    """

    outgoing: Callable[[], Pairs] | None = None
    incoming: Callable[[Iterable[Any]], AbstractContextManager[object]] | None = None
    answered: Callable[[str, str, str, float], None] | None = None
