"""Tags: words that callers put on a request (`x-hive-tags: team-a, nightly`), by which usage can be asked for."""

from __future__ import annotations

MAX_TAGS = 10
MAX_CHARS = 64


def tags_of(header: str) -> tuple[str, ...]:
    """The tags of a header's value: each once, at most `MAX_TAGS`, cut to `MAX_CHARS`."""
    if not header:
        return ()
    words = (word.strip()[:MAX_CHARS] for word in header.split(","))
    return tuple(dict.fromkeys(word for word in words if word))[:MAX_TAGS]
