"""Log probabilities: Google's `logprobsResult`, and what the form says as chat completions do."""

from __future__ import annotations

from typing import Any

import msgspec

from hive_routing.dialects.gemini.fields import Object


class _Token(msgspec.Struct, rename="camel"):
    token: str = ""
    log_probability: float = 0.0


class _Top(msgspec.Struct):
    candidates: list[_Token] = []


class Logprobs(msgspec.Struct, rename="camel"):
    """`logprobsResult`: the tokens that were chosen, and those that might have been, in the same order."""

    chosen_candidates: list[_Token] = []
    top_candidates: list[_Top] = []


def read_logprobs(result: Logprobs) -> Object:
    content = []
    for place, chosen in enumerate(result.chosen_candidates):
        top = result.top_candidates[place].candidates if place < len(result.top_candidates) else []
        content.append(_read(chosen) | {"top_logprobs": [_read(each) for each in top]})
    return {"content": content, "refusal": None}


def write_logprobs(logprobs: Any) -> Object | None:
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not content:
        return None
    return {
        "chosenCandidates": [_write(each) for each in content],
        "topCandidates": [
            {"candidates": [_write(one) for one in each.get("top_logprobs") or ()]} for each in content
        ],
    }


def _read(token: _Token) -> Object:
    return {
        "token": token.token,
        "logprob": token.log_probability,
        "bytes": list(token.token.encode()),
    }


def _write(token: Object) -> Object:
    return {"token": token.get("token", ""), "logProbability": token.get("logprob", 0.0)}
