"""What a large body is made of, without what is in it: JSON whose long strings are cut to their beginnings.

Words that mean something to us (names of members, types, marks of seals, the head of a data URL) stand in short strings
or at the beginning of a long one. An image in base64, or a book, need not be searched for them.
"""

from __future__ import annotations

LONG_BYTES = 4096
"""From here on a stretch without a quotation mark is cut."""
KEPT_BYTES = 1024


def outline(body: bytes) -> bytes:
    """The body as it is where nothing in it is long; else no JSON any more, but all of its quotation marks."""
    if len(body) <= LONG_BYTES:
        return body
    kept: list[bytes] = []
    # What is from `start` on is not in `kept` yet; behind `at` no quotation mark was looked for.
    start = at = 0
    while at + LONG_BYTES < len(body):
        quote = body.rfind(b'"', at, at + LONG_BYTES)
        if quote >= 0:
            at = quote + 1
            continue
        kept.append(body[start : at + KEPT_BYTES])
        start = at = body.find(b'"', at + LONG_BYTES)
        if at < 0:
            return b"".join(kept)
    if not kept:
        return body
    kept.append(body[start:])
    return b"".join(kept)
