"""Is the process alive, and may it get traffic: `/healthz` and `/readyz`."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

Check = Callable[[], str | None]
"""Says what is wrong, or None."""


class Health:
    """Named checks; the process is ready while none of them has a complaint."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        self._checks[name] = check

    def complaints(self) -> dict[str, str]:
        found = {name: check() for name, check in self._checks.items()}
        return {name: complaint for name, complaint in found.items() if complaint is not None}

    def answer(self, path: str) -> tuple[int, bytes] | None:
        """Status and JSON body for a health path, None for any other."""
        if path == "/healthz":
            return 200, b'{"status":"ok"}'
        if path != "/readyz":
            return None
        complaints = self.complaints()
        body = {"status": "not ready", "checks": complaints} if complaints else {"status": "ready"}
        return (503 if complaints else 200), msgspec.json.encode(body)
