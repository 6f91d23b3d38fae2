"""Whole answers, both ways."""

from __future__ import annotations

import secrets

import msgspec

from hive_routing.dialects.form import Answer, Choice, Part, Prompt, Stop
from hive_routing.dialects.gemini.calls import CallIds, random_id
from hive_routing.dialects.gemini.fields import Object
from hive_routing.dialects.gemini.logprobs import read_logprobs, write_logprobs
from hive_routing.dialects.gemini.parts import answered_part, read_part
from hive_routing.dialects.gemini.responses import Candidate, decode
from hive_routing.dialects.gemini.stops import reason_of, stop_of
from hive_routing.dialects.gemini.usages import read_usage, write_usage


def read_answer(body: bytes) -> Answer:
    """Raises msgspec.DecodeError where it is none."""
    response = decode(body)
    if not response.candidates and not response.is_blocked:
        raise msgspec.ValidationError("it holds neither candidates nor a reason why there are none")
    choices = [_choice(each, place) for place, each in enumerate(response.candidates or ())]
    return Answer(
        id=response.response_id or "",
        model=response.model_version or "",
        choices=choices or [Choice(stop=Stop.FILTERED)],
        usage=read_usage(response.usage_metadata) if response.usage_metadata is not None else None,
    )


def _choice(candidate: Candidate, place: int) -> Choice:
    ids = CallIds(random_id)
    path = f"candidates[{place}].content.parts"
    read = [read_part(each, f"{path}[{n}]", ids) for n, each in enumerate(candidate.parts)]
    parts = [part for part in read if part is not None]
    logprobs = candidate.logprobs_result
    stop = stop_of(candidate.finish_reason or "STOP", parts) or Stop.END
    return Choice(
        parts=[*parts, *candidate.refusal(stop)],
        stop=stop,
        logprobs=read_logprobs(logprobs) if logprobs is not None and logprobs.chosen_candidates else None,
    )


def write_answer(answer: Answer, prompt: Prompt) -> bytes:
    response: Object = {
        "candidates": [_candidate(choice, index) for index, choice in enumerate(answer.choices)],
        **identity(answer.id, answer.model or prompt.model),
    }
    if answer.usage is not None:
        response["usageMetadata"] = write_usage(answer.usage)
    return msgspec.json.encode(response)


def identity(id: str, model: str) -> Object:
    """What all responses of one answer say of it."""
    return {"modelVersion": model, "responseId": id or secrets.token_urlsafe(16)}


def candidate_of(
    index: int, parts: list[Object], stop: Stop | None = None, logprobs: object = None
) -> Object:
    """One candidate of a response; stop: None while it goes on."""
    candidate: Object = {"content": {"role": "model", "parts": parts}, "index": index}
    if stop is not None:
        candidate["finishReason"] = reason_of(stop)
    if (result := write_logprobs(logprobs)) is not None:
        candidate["logprobsResult"] = result
    return candidate


def _candidate(choice: Choice, index: int) -> Object:
    return candidate_of(index, written_parts(choice.parts), choice.stop, choice.logprobs)


def written_parts(parts: list[Part]) -> list[Object]:
    written = [answered_part(part) for part in parts]
    return [part for part in written if part is not None]
