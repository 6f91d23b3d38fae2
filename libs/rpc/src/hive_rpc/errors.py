"""How an error crosses a gRPC hop: its kind as a status code, all of it as trailing metadata."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import grpc
from google.protobuf.message import DecodeError
from grpc import StatusCode

from hive_runtime.errors import HiveError, Kind
from modelhive.common.v1.common_pb2 import Failure

FAILURE_KEY = "hive-failure-bin"
"""Trailing metadata that carries a serialized `Failure`."""

UNEXPECTED = "Something went wrong on our side. Try again, and report it with the request id if it stays."

CODES = {
    Kind.INVALID: StatusCode.INVALID_ARGUMENT,
    Kind.UNAUTHENTICATED: StatusCode.UNAUTHENTICATED,
    Kind.BUDGET_EXCEEDED: StatusCode.FAILED_PRECONDITION,
    Kind.BLOCKED: StatusCode.PERMISSION_DENIED,
    Kind.FORBIDDEN: StatusCode.PERMISSION_DENIED,
    Kind.NOT_FOUND: StatusCode.NOT_FOUND,
    Kind.METHOD_NOT_ALLOWED: StatusCode.UNIMPLEMENTED,
    Kind.CONFLICT: StatusCode.ABORTED,
    Kind.TOO_LARGE: StatusCode.OUT_OF_RANGE,
    Kind.UNSUPPORTED_MEDIA: StatusCode.INVALID_ARGUMENT,
    Kind.RATE_LIMITED: StatusCode.RESOURCE_EXHAUSTED,
    Kind.INTERNAL: StatusCode.INTERNAL,
    Kind.UPSTREAM_FAILED: StatusCode.UNAVAILABLE,
    Kind.UNAVAILABLE: StatusCode.UNAVAILABLE,
    Kind.TIMEOUT: StatusCode.DEADLINE_EXCEEDED,
}
"""What gRPC itself is told of a kind."""

# The way back for a status that brings no Failure. UNIMPLEMENTED is not the client's wrong method but two
# releases of ours that do not fit; CANCELLED was not asked for by the caller, who would not see it; what is
# exhausted without a Failure is a bound of the transport, such as that of a message, and no limit of the caller's.
NEAREST = {
    StatusCode.CANCELLED: Kind.UNAVAILABLE,
    StatusCode.UNKNOWN: Kind.INTERNAL,
    StatusCode.INVALID_ARGUMENT: Kind.INVALID,
    StatusCode.DEADLINE_EXCEEDED: Kind.TIMEOUT,
    StatusCode.NOT_FOUND: Kind.NOT_FOUND,
    StatusCode.ALREADY_EXISTS: Kind.CONFLICT,
    StatusCode.PERMISSION_DENIED: Kind.FORBIDDEN,
    StatusCode.RESOURCE_EXHAUSTED: Kind.INTERNAL,
    StatusCode.FAILED_PRECONDITION: Kind.CONFLICT,
    StatusCode.ABORTED: Kind.CONFLICT,
    StatusCode.OUT_OF_RANGE: Kind.INVALID,
    StatusCode.UNIMPLEMENTED: Kind.INTERNAL,
    StatusCode.INTERNAL: Kind.INTERNAL,
    StatusCode.UNAVAILABLE: Kind.UNAVAILABLE,
    StatusCode.DATA_LOSS: Kind.INTERNAL,
    StatusCode.UNAUTHENTICATED: Kind.UNAUTHENTICATED,
}

# The details of these are made by the transport and name addresses: they stay in `__cause__`.
_PLAIN_WORDS = {
    Kind.INTERNAL: UNEXPECTED,
    Kind.UNAVAILABLE: "A part of this service cannot be reached just now. Try again.",
    Kind.TIMEOUT: "The answer did not come before the deadline. Try again or allow more time.",
}

# gRPC refuses trailing metadata above 8 KiB, so what travels there is cut, in bytes of UTF-8.
_LONGEST_MESSAGE = 4096
_LONGEST_WORD = 512
_LONGEST_DETAILS = 256


class Status(NamedTuple):
    """How a failed call ends; `ServicerContext.abort(*status)` takes it."""

    code: StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, bytes], ...]


def failure_of(error: BaseException) -> Failure:
    """The error as a message. Whatever is not a HiveError becomes `internal`, without its text."""
    if not isinstance(error, HiveError):
        error = HiveError(Kind.INTERNAL, UNEXPECTED)
    return Failure(
        kind=error.kind.label,
        message=_encodable(error.message),
        param=None if error.param is None else _encodable(error.param),
        reason=None if error.reason is None else _encodable(error.reason),
        retry_after_seconds=error.retry_after,
        should_retry=error.should_retry,
    )


def error_of(failure: Failure) -> HiveError:
    """The error that `failure_of` was given; a kind of a newer release becomes `internal`."""
    return HiveError(
        Kind.of_label(failure.kind),
        failure.message,
        failure.param if failure.HasField("param") else None,
        reason=failure.reason if failure.HasField("reason") else None,
        retry_after=failure.retry_after_seconds if failure.HasField("retry_after_seconds") else None,
        should_retry=failure.should_retry if failure.HasField("should_retry") else None,
    )


def status_of(error: BaseException) -> Status:
    """What a servicer's end of a call sends for an error; texts of more than 4 KiB arrive cut."""
    failure = failure_of(error)
    details = _cut(failure.message, _LONGEST_DETAILS)
    failure.message = _cut(failure.message, _LONGEST_MESSAGE)
    if failure.HasField("param"):
        failure.param = _cut(failure.param, _LONGEST_WORD)
    if failure.HasField("reason"):
        failure.reason = _cut(failure.reason, _LONGEST_WORD)
    code = CODES[Kind.of_label(failure.kind)]
    return Status(code, details, ((FAILURE_KEY, failure.SerializeToString()),))


def error_of_rpc(error: grpc.RpcError) -> HiveError:
    """What the caller is told of a failed call: the servicer's HiveError, or the nearest to the status."""
    failure = _carried(error.trailing_metadata() or ())
    if failure is not None:
        return error_of(failure)
    kind = NEAREST.get(error.code(), Kind.INTERNAL)
    words = _PLAIN_WORDS.get(kind) or error.details() or f"The call was refused: {kind.label}."
    return HiveError(kind, words)


def _carried(metadata: Iterable[Any]) -> Failure | None:
    for key, value in metadata:
        if key == FAILURE_KEY and isinstance(value, bytes):
            try:
                return Failure.FromString(value)
            except DecodeError:
                return None
    return None


def _encodable(text: str) -> str:
    """The text without lone surrogates, which a client can send in JSON and protobuf refuses."""
    return text.encode("utf-8", "replace").decode()


def _cut(text: str, longest: int) -> str:
    raw = text.encode()
    return text if len(raw) <= longest else raw[: longest - 3].decode(errors="ignore") + "…"
