"""Errors keep their kind and fields across a hop, and foreign ones find the nearest kind."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from grpc import StatusCode
from grpc.aio import AioRpcError, Metadata
from hypothesis import given
from hypothesis import strategies as st

from hive_rpc import error_of, failure_of
from hive_rpc.errors import CODES, FAILURE_KEY, NEAREST, error_of_rpc, status_of
from hive_runtime.errors import HiveError, Kind
from modelhive.common.v1.common_pb2 import Failure

short_texts = st.text(max_size=100)
errors = st.builds(
    HiveError,
    st.sampled_from(Kind),
    short_texts,
    st.none() | short_texts,
    reason=st.none() | short_texts,
    retry_after=st.none() | st.floats(0, 1e9),
    should_retry=st.none() | st.booleans(),
)


def fields(error: HiveError) -> tuple[object, ...]:
    return error.kind, error.message, error.param, error.reason, error.retry_after, error.should_retry


def rpc_error(code: StatusCode, details: str | None = None, *metadata: tuple[str, Any]) -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(*metadata), details)


def over_the_wire(error: BaseException) -> HiveError:
    """The error after one hop, as gRPC would carry it."""
    status = status_of(error)
    return error_of_rpc(rpc_error(status.code, status.details, *status.trailing_metadata))


@given(errors)
def test_every_field_survives_a_failure_message(error: HiveError) -> None:
    sent = failure_of(error).SerializeToString()
    assert fields(error_of(Failure.FromString(sent))) == fields(error)


@given(errors)
def test_every_field_survives_a_hop(error: HiveError) -> None:
    assert fields(over_the_wire(error)) == fields(error)


@given(errors)
def test_a_second_hop_changes_nothing(error: HiveError) -> None:
    assert fields(over_the_wire(over_the_wire(error))) == fields(error)


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_has_a_code_and_comes_back(kind: Kind) -> None:
    assert CODES[kind] is not StatusCode.OK
    assert over_the_wire(HiveError(kind, "words")).kind is kind


@pytest.mark.parametrize("code", [code for code in StatusCode if code is not StatusCode.OK])
def test_each_plain_status_has_a_nearest_kind(code: StatusCode) -> None:
    error = error_of_rpc(rpc_error(code, "10.0.0.7:4711: connection reset"))
    assert error.kind is NEAREST[code]
    assert error.message


@pytest.mark.parametrize(
    "code",
    [StatusCode.UNAVAILABLE, StatusCode.INTERNAL, StatusCode.UNKNOWN, StatusCode.RESOURCE_EXHAUSTED],
)
def test_the_words_of_the_transport_stay_inside(code: StatusCode) -> None:
    assert "10.0.0.7" not in error_of_rpc(rpc_error(code, "10.0.0.7:4711: connection reset")).message


def test_a_plain_refusal_keeps_its_words() -> None:
    error = error_of_rpc(rpc_error(StatusCode.NOT_FOUND, "no such lease"))
    assert (error.kind, error.message) == (Kind.NOT_FOUND, "no such lease")


def test_a_plain_refusal_without_words_gets_some() -> None:
    assert error_of_rpc(rpc_error(StatusCode.NOT_FOUND)).message == "The call was refused: not_found."


def test_an_error_without_metadata_is_understood() -> None:
    assert error_of_rpc(AioRpcError(StatusCode.ABORTED)).kind is Kind.CONFLICT


def test_a_broken_failure_counts_as_none() -> None:
    error = error_of_rpc(rpc_error(StatusCode.NOT_FOUND, "gone", (FAILURE_KEY, b"\xff\xff")))
    assert (error.kind, error.message) == (Kind.NOT_FOUND, "gone")


def test_a_kind_of_a_newer_release_is_internal() -> None:
    assert error_of(Failure(kind="embarrassed", message="oh")).kind is Kind.INTERNAL


@pytest.mark.parametrize("error", [RuntimeError("password"), KeyError("password"), grpc.RpcError("password")])
def test_an_unknown_exception_reveals_nothing(error: Exception) -> None:
    status = status_of(error)
    assert failure_of(error).kind == "internal"
    assert b"password" not in failure_of(error).SerializeToString()
    assert status.code is StatusCode.INTERNAL and "password" not in str(status)


@given(st.text(min_size=1, max_size=20), st.integers(1, 4))
def test_what_travels_as_metadata_is_bounded(text: str, bytes_each: int) -> None:
    long = (text + "aß漢🐝"[bytes_each - 1]) * 5000
    status = status_of(HiveError(Kind.INVALID, long, long, reason=long, retry_after=1.5))
    there = error_of_rpc(rpc_error(status.code, status.details, *status.trailing_metadata))
    assert len(status.trailing_metadata[0][1]) < 6000
    assert len(status.details.encode()) <= 256
    assert there.message[:1000] == long[:1000] and there.message.endswith("…")
    assert (there.kind, there.retry_after) == (Kind.INVALID, 1.5)


def test_half_a_surrogate_pair_does_not_break_the_hop() -> None:
    assert over_the_wire(HiveError(Kind.INVALID, "bad \ud83d role", "a\udc00")).message == "bad ? role"
