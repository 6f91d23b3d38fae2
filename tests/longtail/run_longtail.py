"""Asks through the extra `longtail` what it is told: a line of JSON for each call, and one for each answer."""

from __future__ import annotations

import asyncio
import json
import sys
from time import process_time
from typing import Any

from hive_routing.providers.longtail.provider import AnyLlmProvider
from hive_routing.providers.over_http import Site
from hive_routing.providers.port import ProviderAnswer, ProviderCall, Timeouts
from hive_runtime.errors import HiveError


def stay_here() -> None:
    """Refuse every connection that would leave this machine."""

    def check(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", "localhost", None):
            raise PermissionError(f"{arguments[0]} is not this machine")

    sys.addaudithook(check)


async def told(answer: ProviderAnswer, most: int) -> dict[str, Any]:
    """The answer, its body closed after so many parts of it."""
    parts: list[str] = []
    try:
        async for data in answer.body:
            parts.append(data.decode())
            if len(parts) == most:
                break
    except HiveError as error:
        return {"status": answer.status, "parts": parts, **failed(error)}
    finally:
        await answer.body.aclose()
    return {"status": answer.status, "headers": answer.headers, "parts": parts}


def failed(error: HiveError) -> dict[str, Any]:
    return {"error": error.kind.label, "message": error.message, "param": error.param}


async def asked(
    site: dict[str, Any],
    body: dict[str, Any],
    timeouts: dict[str, float],
    operation: str = "chat",
    most: int = 0,
    give_up: bool = False,
) -> dict[str, Any]:
    """most: parts of the body, if not all. give_up: cancel the call once it has been sent."""
    try:
        provider = AnyLlmProvider(Site("acme", "any-llm", **site))
    except (ImportError, ValueError) as error:
        return {
            "raised": type(error).__name__,
            "message": str(error),
            "missing": getattr(error, "name", None),
        }
    raw = json.dumps(body).encode()
    call = ProviderCall(operation, "m-1", raw, bool(body.get("stream")), "req_1-1-1", Timeouts(**timeouts))
    try:
        if give_up:
            return await given_up(provider, call)
        return await told(await provider.send(call), most)
    except HiveError as error:
        return failed(error)
    finally:
        await provider.close()


async def given_up(provider: AnyLlmProvider, call: ProviderCall) -> dict[str, Any]:
    sending = asyncio.create_task(provider.send(call))
    await asyncio.to_thread(sys.stdin.readline)
    sending.cancel()
    (outcome,) = await asyncio.gather(sending, return_exceptions=True)
    return {"raised": type(outcome).__name__}


async def answer_all() -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        before = process_time()
        answer = await asked(**json.loads(line))
        print(json.dumps({**answer, "cpu": process_time() - before}), flush=True)


stay_here()
asyncio.run(answer_all())
