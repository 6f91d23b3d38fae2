"""The outline of a body: every short string and the beginning of every long one, whatever stands between them."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from hive_routing.outline import KEPT_BYTES, LONG_BYTES, outline

LENGTHS = st.sampled_from(
    [0, 1, KEPT_BYTES, LONG_BYTES - 2, LONG_BYTES - 1, LONG_BYTES, LONG_BYTES + 1, 10_000]
)


@given(st.lists(LENGTHS))
def test_short_strings_stay_and_long_ones_keep_their_beginning(lengths: list[int]) -> None:
    strings = [f"<{number}>".ljust(length, "x") for number, length in enumerate(lengths)]
    body = json.dumps(strings).encode()
    found = outline(body)
    pieces = re.findall(rb'"([^"]*)"', found)
    assert found.count(b'"') == body.count(b'"')
    for text, piece in zip(strings, pieces, strict=True):
        said = text.encode()
        assert piece == said if len(said) < LONG_BYTES else said.startswith(piece)
        assert len(piece) >= min(len(said), KEPT_BYTES)
        assert len(piece) < 2 * LONG_BYTES


@given(st.binary(max_size=3 * LONG_BYTES))
def test_any_bytes_have_one(body: bytes) -> None:
    found = outline(body)
    assert found.count(b'"') == body.count(b'"')
    assert found == body or len(found) < len(body)


def test_what_holds_nothing_long_is_itself() -> None:
    body = json.dumps(["a" * 4000] * 100).encode()
    assert outline(body) is body


def test_an_image_is_hardly_seen() -> None:
    image = "data:image/png;base64," + "A" * 1_000_000
    body = json.dumps({"messages": [{"role": "user", "content": [{"image_url": {"url": image}}]}]}).encode()
    found = outline(body)
    assert len(found) < KEPT_BYTES + 100 and b'"role"' in found and b'"data:image/png;base64,AAAA' in found
    assert found.endswith(b'"}}]}]}')
