"""What requests of the admin API carry: bodies and pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from fastapi import Depends, Query, Request
from pydantic import ValidationError

from hive_console.declarations import Form
from hive_console.pages import Page
from hive_console.problems import did_you_mean, problems_of
from hive_runtime.errors import HiveError, Kind

MOST_BYTES = 1024 * 1024
F = TypeVar("F", bound=Form)


def body_of(form: type[F]) -> Callable[[Request], Awaitable[F]]:
    """A dependency: the request's body as a `form`; raises HiveError `invalid` with all that is wrong."""

    async def read(request: Request) -> F:
        written = _json(await _bytes(request))
        try:
            return form.model_validate(written)
        except ValidationError as error:
            problems = problems_of(error, form, written)
            message = "; ".join(map(str, problems))
            raise HiveError(Kind.INVALID, message, problems[0].path or None) from None

    return read


def parameters(*known: str) -> Callable[[Request], Awaitable[None]]:
    """A dependency: raises HiveError `invalid` where the query has another parameter than these."""

    async def check(request: Request) -> None:
        for name in request.query_params:
            if name not in known:
                message = f"{name}: unknown parameter{did_you_mean(name, known)}"
                raise HiveError(Kind.INVALID, message, name)

    return check


def page_of(
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: str | None = None,
    order: Literal["asc", "desc"] = "desc",
) -> Page:
    return Page(limit, after, newest_first=order == "desc")


AskedPage = Annotated[Page, Depends(page_of)]


async def _bytes(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise HiveError(Kind.TOO_LARGE, f"The body is longer than {MOST_BYTES} bytes.")
    return bytes(body)


def _json(body: bytes) -> Any:
    try:
        written = msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise HiveError(Kind.INVALID, f"The body is not JSON: {error}.") from None
    if not isinstance(written, dict):
        raise HiveError(Kind.INVALID, "The body must be a JSON object.")
    return written
