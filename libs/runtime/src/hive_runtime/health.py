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
        self._notes: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        self._checks[name] = check

    def note(self, name: str, check: Check) -> None:
        """What an operator should know of, and is no reason to send traffic elsewhere."""
        self._notes[name] = check

    def complaints(self) -> dict[str, str]:
        return _said(self._checks)

    def notes(self) -> dict[str, str]:
        return _said(self._notes)

    def answer(self, path: str) -> tuple[int, bytes] | None:
        """Status and JSON body for a health path, None for any other."""
        if path == "/healthz":
            return 200, b'{"status":"ok"}'
        if path != "/readyz":
            return None
        complaints, notes = self.complaints(), self.notes()
        body: dict[str, object] = (
            {"status": "not ready", "checks": complaints} if complaints else {"status": "ready"}
        )
        if notes:
            body["notes"] = notes
        return (503 if complaints else 200), msgspec.json.encode(body)


def _said(checks: dict[str, Check]) -> dict[str, str]:
    found = {name: check() for name, check in checks.items()}
    return {name: said for name, said in found.items() if said is not None}
