"""What routing asks of the guardrails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from hive_runtime.guarding import BLOCKED, Asker, Decision, Found, Origin, Text, Verdict

__all__ = ["BLOCKED", "Asker", "Decision", "Found", "Guards", "Origin", "Text", "Verdict"]


class Guards(Protocol):
    """Raises HiveError: `invalid` for a header that names no guard, `unavailable` where nobody decides."""

    async def on_input(self, asker: Asker, texts: Sequence[Text]) -> Decision: ...

    async def on_output(self, asker: Asker, texts: Sequence[Text], *, more: bool) -> Decision:
        """more: the output goes on."""
        ...
