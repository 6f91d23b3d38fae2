"""The header, and what stands for a request in the table."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hive_routing.idempotency.records import (
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    Answered,
    Refused,
    Scope,
    TooLarge,
    answered,
    hash_body,
    read_key,
    refused,
)
from hive_runtime.errors import HiveError, Kind


@pytest.mark.parametrize("value", [b"a", b"a b", b"~" * 255, b'4f6c-!"#'])
def test_a_key(value: bytes) -> None:
    assert read_key(value) == value.decode()


@pytest.mark.parametrize("value", [b"", b"a" * 256, b"a\n", b"\x7f", "é".encode(), b"\x00"])
def test_what_is_no_key(value: bytes) -> None:
    with pytest.raises(HiveError) as raised:
        read_key(value)
    assert (raised.value.kind, raised.value.param) == (Kind.INVALID, "Idempotency-Key")


_parts = st.text("ab/", max_size=3)
_scopes = st.builds(Scope, _parts, _parts, _parts, _parts)


@given(_scopes, _scopes)
def test_scopes_do_not_run_into_each_other(one: Scope, other: Scope) -> None:
    assert len(one.hash) == 32
    assert (one.hash == other.hash) == (one == other)


def test_bodies_are_told_apart_byte_by_byte() -> None:
    assert hash_body(b'{"a":1}') == hash_body(b'{"a":1}') != hash_body(b'{"a": 1}')


@pytest.mark.parametrize("pieces", [1, 4, 1024])
def test_an_answer_of_a_megabyte_is_kept(pieces: int) -> None:
    chunks = [b"x" * (MAX_BODY_BYTES // pieces)] * pieces
    kept = answered(200, [(b"a", b"b")], chunks, True)
    assert kept == Answered(200, ((b"a", b"b"),), b"x" * MAX_BODY_BYTES, True)
    assert answered(200, [], [*chunks, b"x"], True) == TooLarge()


def test_headers_are_bounded() -> None:
    assert answered(200, [(b"a", b"b" * MAX_HEADER_BYTES)], [], False) == TooLarge()


def test_errors_are_bounded() -> None:
    long: Any = "x" * 100_000
    kept = refused(HiveError(Kind.INVALID, long, long, reason=long))
    assert isinstance(kept, Refused)
    assert max(len(kept.message), len(kept.param or ""), len(kept.reason or "")) == 4096
