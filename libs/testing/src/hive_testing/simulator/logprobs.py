"""Log probabilities of made-up certainty, in the shapes of OpenAI's text endpoints and of Google's answers."""

from __future__ import annotations

from typing import Any

CERTAIN = -0.25


def of_chat(said: list[str], top: int) -> dict[str, Any]:
    """`choices[].logprobs` of a chat answer: each token, and the `top` likeliest in its place."""
    return {
        "content": [{**_token(each, 0), "top_logprobs": _top(each, top)} for each in said],
        "refusal": None,
    }


def of_text(said: list[str], top: int, offset: int = 0, starts_prompt: bool = False) -> dict[str, Any]:
    """`choices[].logprobs` of a text completion; the first token of an echoed prompt has none."""
    offsets = []
    for each in said:
        offsets.append(offset)
        offset += len(each)
    certainties: list[float | None] = [CERTAIN] * len(said)
    rivals: list[dict[str, float] | None] = [
        {rival["token"]: rival["logprob"] for rival in _top(each, top)} for each in said
    ]
    if starts_prompt and said:
        certainties[0] = rivals[0] = None
    return {"tokens": said, "token_logprobs": certainties, "top_logprobs": rivals, "text_offset": offsets}


def of_gemini(said: list[str], top: int) -> dict[str, Any]:
    """`logprobsResult` of a candidate."""
    return {
        "chosenCandidates": [_google(_token(each, 0)) for each in said],
        "topCandidates": [{"candidates": [_google(rival) for rival in _top(each, top)]} for each in said],
    }


def _google(token: dict[str, Any]) -> dict[str, Any]:
    return {"token": token["token"], "tokenId": 7, "logProbability": token["logprob"]}


def _top(token: str, top: int) -> list[dict[str, Any]]:
    return [_token(token + "~" * rank, rank) for rank in range(top)]


def _token(token: str, rank: int) -> dict[str, Any]:
    return {"token": token, "logprob": CERTAIN - rank, "bytes": list(token.encode())}
