"""The one tree of errors that callers see, and what each kind means to them.

    HiveError(kind, message, param)
    ├── invalid             400  invalid_request_error   the request is wrong; `param` names the field
    ├── unauthenticated     401  authentication_error    no key, or a key that is unknown, expired or revoked
    ├── budget_exceeded     402  budget_exceeded         the key or wallet cannot carry the estimate
    ├── blocked             403  guardrail_blocked       a guardrail refused the content
    ├── forbidden           403  permission_error        the key may not do this
    ├── not_found           404  not_found_error         unknown, or not enabled for this tenant: same words
    ├── method_not_allowed  405  invalid_request_error
    ├── conflict            409  conflict_error          the resource is in another state
    ├── too_large           413  invalid_request_error
    ├── unsupported_media   415  invalid_request_error
    ├── rate_limited        429  rate_limit_exceeded     retry after `retry_after` seconds
    ├── internal            500  server_error            our fault; the message tells nothing of the inside
    ├── upstream_failed     502  upstream_error          the provider, or the process that ran the request
    ├── unavailable         503  server_error            try again after `retry_after` seconds
    └── timeout             504  timeout_error           the deadline passed

Whether trying again can help is a property of the kind. How a kind looks in a client's dialect is in
`dialects.py`, how it crosses a gRPC hop is in `hive_rpc.errors`.
"""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """What went wrong, as (name, HTTP status, `type` in the error body, may a retry help)."""

    INVALID = ("invalid", 400, "invalid_request_error", False)
    UNAUTHENTICATED = ("unauthenticated", 401, "authentication_error", False)
    BUDGET_EXCEEDED = ("budget_exceeded", 402, "budget_exceeded", False)
    BLOCKED = ("blocked", 403, "guardrail_blocked", False)
    FORBIDDEN = ("forbidden", 403, "permission_error", False)
    NOT_FOUND = ("not_found", 404, "not_found_error", False)
    METHOD_NOT_ALLOWED = ("method_not_allowed", 405, "invalid_request_error", False)
    CONFLICT = ("conflict", 409, "conflict_error", False)
    TOO_LARGE = ("too_large", 413, "invalid_request_error", False)
    UNSUPPORTED_MEDIA = ("unsupported_media", 415, "invalid_request_error", False)
    RATE_LIMITED = ("rate_limited", 429, "rate_limit_exceeded", True)
    INTERNAL = ("internal", 500, "server_error", True)
    UPSTREAM_FAILED = ("upstream_failed", 502, "upstream_error", True)
    UNAVAILABLE = ("unavailable", 503, "server_error", True)
    TIMEOUT = ("timeout", 504, "timeout_error", True)

    label: str
    status: int
    type: str
    retryable: bool

    def __init__(self, label: str, status: int, type: str, retryable: bool) -> None:
        self.label = label
        self.status = status
        self.type = type
        self.retryable = retryable

    @classmethod
    def of_label(cls, label: str) -> Kind:
        """The kind with this label; `INTERNAL` for a label of a newer release."""
        return _BY_LABEL.get(label, cls.INTERNAL)

    @classmethod
    def of_status(cls, status: int) -> Kind:
        """The kind that an HTTP status stands for (403 is `forbidden`, not `blocked`)."""
        return _BY_STATUS.get(status, cls.INVALID if 400 <= status < 500 else cls.INTERNAL)


_BY_LABEL = {kind.label: kind for kind in Kind}
_BY_STATUS = {kind.status: kind for kind in Kind if kind is not Kind.BLOCKED}


class HiveError(Exception):
    """An error with words for the caller.

    message: what was wrong, with which value, and what to do.
    param: the request field that is to blame, as a path (`messages[0].role`).
    reason: a machine-readable word beside the kind (`context_length_exceeded`).
    retry_after: seconds after which a retry may succeed.
    should_retry: overrides what SDKs decide by status, as the header `x-should-retry`.
    status: the HTTP status, which is the kind's but for the few that no kind has.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        param: str | None = None,
        *,
        reason: str | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = kind.status
        self.message = message
        self.param = param
        self.reason = reason
        self.retry_after = retry_after
        self.should_retry = should_retry

    def __repr__(self) -> str:
        return f"HiveError({self.kind.label}, {self.message!r}, param={self.param!r})"
