"""Lists that are given page by page, in the form that OpenAI's SDKs go through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from hive_routing.endpoints import invalid
from hive_runtime.errors import HiveError

MOST = 100
USUAL = 20


class Page(NamedTuple):
    """Which part of a list is asked for: at most `limit` behind the item `after`."""

    limit: int = USUAL
    after: str | None = None
    ascending: bool = False

    @classmethod
    def read(cls, query: bytes) -> Page:
        """Raises HiveError `invalid`."""
        given = read_query(query)
        limit, order = given.get("limit", str(USUAL)), given.get("order", "desc")
        if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:4]) <= MOST:
            raise invalid("limit", f"`limit` must be a number from 1 to {MOST}; got {limit[:20]!r}.")
        if order not in ("asc", "desc"):
            raise invalid("order", f"`order` must be `asc` or `desc`; got {order[:20]!r}.")
        return cls(int(limit), given.get("after") or None, order == "asc")

    def unknown(self) -> HiveError:
        return invalid(
            "after", f"`after` must be the id of an item of this list; got `{(self.after or '')[:80]}`."
        )

    def of(self, items: Sequence[tuple[str, Any]]) -> tuple[list[tuple[str, Any]], bool]:
        """The part of a list, and whether more follows. items: the oldest first, each with its id."""
        ordered = list(items) if self.ascending else list(reversed(items))
        start = 0
        if self.after is not None:
            place = next((place for place, (id, _) in enumerate(ordered) if id == self.after), None)
            if place is None:
                raise self.unknown()
            start = place + 1
        return ordered[start : start + self.limit], len(ordered) > start + self.limit


def envelope(items: Sequence[tuple[str, Any]], has_more: bool) -> dict[str, Any]:
    return {
        "object": "list",
        "data": [item for _, item in items],
        "first_id": items[0][0] if items else None,
        "last_id": items[-1][0] if items else None,
        "has_more": has_more,
    }


def read_query(query: bytes) -> dict[str, str]:
    """The last value of each name."""
    return {name: values[-1] for name, values in parse_qs(query.decode("latin-1")).items()}
