"""How large a call can become: the most that its prompt and its output can be, and what they cost at most.

Prompts of families whose tokenizer is known are counted; for all others a token is a byte of UTF-8, which no
tokenizer exceeds. What is no text has bounds of its own.
"""

from __future__ import annotations

import msgspec

from hive_routing.endpoints import RERANK
from hive_routing.estimates import prompt_of
from hive_routing.request import Request
from hive_routing.reranking import searches
from hive_routing.tokens import Countable, TokenCounter, is_exact
from hive_runtime.money import Tariff, rounded

PER_MESSAGE_MOST = 8
"""Marks around a message; no known chat format has more."""
PER_TOOL_MOST = 16
IMAGE_MOST = 5_000
SMALL_MODEL_IMAGE_MOST = 50_000
"""`gpt-4o-mini` counts an image as about thirty times the tokens that its larger sibling does."""
CHARS_PER_FILE_TOKEN = 4
WINDOW_MOST = 200_000
"""What a model can read, where nobody knows: a file that only the provider fetches may fill it."""
_CACHED = frozenset({"cachedContent", "cached_content"})
"""Members that name a prompt which lies at the provider."""
_SPEAKING = frozenset({"messages", "modalities", "tools"})
"""Members of OpenAI's dialect that can name what costs more than text."""
_OFFERS = frozenset({"tools", "functions"})


class Bound(msgspec.Struct, frozen=True):
    """Tokens: of the prompt, and of all choices of the output together.

    added: what a provider has to be told as the bound of a choice, for the caller named none; None: nothing.
    """

    prompt: int
    output: int
    added: int | None


async def bound_of(
    request: Request, model: str, default_output: int, counter: TokenCounter, window: int | None = None
) -> Bound:
    """model: the provider's own name of it. default_output: tokens of a choice where the caller names no bound.

    window: tokens that the model can read, where it is known.
    """
    counted = prompt_of(request)
    if is_exact(model):
        said = await counter.count(counted, model)
    else:
        text = "".join(counted.texts)
        said = counted.extra + (len(text) if text.isascii() else len(text.encode()))
        said += PER_MESSAGE_MOST * _turns(request)
    prompt = said + _beside_texts(request, counted, model)
    if counted.unseen or not _CACHED.isdisjoint(request.fields):
        prompt = max(prompt, window or WINDOW_MOST)
    endpoint = request.endpoint
    if not endpoint.is_bounded:
        return Bound(prompt, 0, None)
    given = request.output_bound
    choices = max(request.choices, request.values.get("best_of") or 1)
    each = default_output if given is None else given
    return Bound(prompt, each * choices, default_output if given is None else None)


def worst_cost(tariff: Tariff, bound: Bound, request: Request) -> int:
    """Nano-dollars at the most: every token at the dearest price that it can have."""
    worst = tariff.worst(bound.prompt)
    prompt, output = worst.prompt, worst.output
    if worst.kept > prompt and _says(request, "cache_control"):
        prompt = worst.kept
    if (worst.spoken > output or worst.heard > prompt) and (
        _says(request, "audio") or (not request.endpoint.fields and _says(request, "video"))
    ):
        prompt, output = max(prompt, worst.heard), worst.spoken
    picos = bound.prompt * prompt + bound.output * output
    if request.endpoint is RERANK:
        picos += searches(len(request.values["documents"])) * worst.search
    return rounded(picos)


def _beside_texts(request: Request, counted: Countable, model: str) -> int:
    """Media, and tools: these reach a model in a form of the provider's; as JSON they are nearly always longer."""
    most = counted.media // CHARS_PER_FILE_TOKEN
    if counted.images:
        most += counted.images * (SMALL_MODEL_IMAGE_MOST if "4o-mini" in model else IMAGE_MOST)
    if not request.endpoint.fields:
        tools = len(request.prompt().tools)
        return most + PER_TOOL_MOST * (1 + tools) if tools else most
    if _OFFERS.isdisjoint(request.fields):
        return most
    tools = len(request.values.get("tools") or request.values.get("functions") or ())
    return most + PER_TOOL_MOST * (1 + tools)


def _turns(request: Request) -> int:
    if request.spoken is not None:
        return len(request.spoken)
    if not request.endpoint.fields:
        return sum(max(1, len(turn.parts)) for turn in request.prompt().turns)
    return request.outline("messages").count(b'"role"') if "messages" in request.fields else 0


def _says(request: Request, word: str) -> bool:
    """Whether the word is a member of the body, or anywhere in the messages and in what the answer should be."""
    fields = request.fields
    if word in fields:
        return True
    named = _SPEAKING.intersection(fields) if request.endpoint.fields else fields
    return any(word.encode() in request.outline(name).lower() for name in named)
