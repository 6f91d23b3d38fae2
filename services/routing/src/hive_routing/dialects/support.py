"""What becomes of each thing that a client can ask, at each dialect of providers: the table of docs/translation.md.

The tests of the matrix take their cells from here, and fail where something else happens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple


class How(Enum):
    """What becomes of it; `MEANINGS` says it in words."""

    NATIVE = "native"
    TRANSLATED = "translated"
    LEFT_OUT = "left out"
    REFUSED = "refused"
    UNSAID = "–"


MEANINGS: Mapping[How, str] = {
    How.NATIVE: "the provider speaks the dialect of the client: it goes out, and comes back, as it came;",
    How.TRANSLATED: "it is said in the words of the provider, and its answer in those of the client;",
    How.LEFT_OUT: "the provider has no word for it, and it changes no answer;",
    How.REFUSED: "the provider has no word for it: a 400 names it, unless another deployment can be asked;",
    How.UNSAID: "the dialect of the client has no such thing.",
}


class Cell(NamedTuple):
    how: How
    why: str = ""


CLIENTS: Mapping[str, str] = {
    "chat": "OpenAI's chat completions",
    "messages": "Anthropic's messages",
    "responses": "OpenAI's responses",
    "gemini": "Google's generateContent",
}
"""By dialect."""

PROVIDERS: Mapping[str, str] = {
    "chat": "OpenAI chat",
    "responses": "OpenAI responses",
    "messages": "Anthropic",
    "gemini": "Gemini",
    "converse": "Bedrock",
}

FEATURES: Mapping[str, str] = {
    "text": "text",
    "system": "system prompts",
    "tools": "tools",
    "parallel_tools": "parallel calls of tools",
    "tool_images": "images in results of tools",
    "schema": "answers by a JSON schema",
    "thinking": "thinking, and its signatures, before calls",
    "thinking_text": "thinking, and its signatures, before text",
    "images": "images",
    "image_urls": "images by URL",
    "documents": "PDFs",
    "document_urls": "PDFs by URL",
    "length": "stop reasons: the bound of the output",
    "stop": "stop reasons: stop sequences",
    "cache_marks": "cache marks",
    "usage": "usage: cached, written to the cache, reasoning",
    "refusals": "refusals",
    "answers": "several answers",
    "top_k": "`top_k`",
    "seed": "seeds",
    "penalties": "penalties",
    "logprobs": "logprobs",
}

_UNSAID: Mapping[str, tuple[str, ...]] = {
    "chat": ("tool_images", "document_urls", "top_k"),
    "messages": ("answers", "seed", "penalties", "logprobs"),
    "responses": ("stop", "cache_marks", "answers", "top_k", "seed", "penalties"),
    "gemini": ("cache_marks",),
}
"""What a dialect of clients has no word for."""

_ONLY_TRANSLATED = frozenset({("cache_marks", "chat", "chat")})
"""What clients of a dialect say to have it translated: its own providers have no word for it."""

_EXCEPTIONS: Mapping[tuple[str, str], Cell] = {
    ("stop", "responses"): Cell(How.REFUSED, "it has no stop sequences"),
    ("answers", "responses"): Cell(How.REFUSED, "it gives one answer"),
    ("answers", "messages"): Cell(How.REFUSED, "it gives one answer"),
    ("answers", "converse"): Cell(How.REFUSED, "it gives one answer"),
    ("top_k", "chat"): Cell(How.REFUSED),
    ("top_k", "responses"): Cell(How.REFUSED),
    ("seed", "responses"): Cell(How.LEFT_OUT),
    ("seed", "messages"): Cell(How.LEFT_OUT),
    ("seed", "converse"): Cell(How.LEFT_OUT),
    ("penalties", "responses"): Cell(How.REFUSED),
    ("penalties", "messages"): Cell(How.REFUSED),
    ("penalties", "converse"): Cell(How.REFUSED),
    ("logprobs", "messages"): Cell(How.REFUSED),
    ("logprobs", "converse"): Cell(How.REFUSED),
    ("image_urls", "converse"): Cell(How.REFUSED, "it takes the data only"),
    ("document_urls", "converse"): Cell(How.REFUSED, "it takes the data only"),
    ("document_urls", "chat"): Cell(How.REFUSED, "it takes the data only"),
    ("cache_marks", "chat"): Cell(How.LEFT_OUT),
    ("cache_marks", "responses"): Cell(How.LEFT_OUT),
    ("cache_marks", "gemini"): Cell(How.LEFT_OUT),
}
"""By what is asked and the dialect of the provider: all else is passed on."""


def cell(feature: str, client: str, provider: str) -> Cell:
    """What becomes of it."""
    if feature in _UNSAID[client] or (feature, client, provider) in _ONLY_TRANSLATED:
        return Cell(How.UNSAID)
    if client == provider:
        return Cell(How.NATIVE)
    return _EXCEPTIONS.get((feature, provider), Cell(How.TRANSLATED))


NOTES: Sequence[str] = (
    "Thinking goes back to the provider that signed it alone: any other one could not verify it. Its text is no part "
    "of the answer, and is left out there.",
    "What a provider signed travels through a client of another dialect in the place that this has for such a thing, "
    "with the name of who made it (`hive1.…`); for a call of a tool, also behind its id (`call_1~hive1.…`). Chat "
    "completions have it in `reasoning_details` of the message, and Google's in `extra_content` of the call.",
    "Thinking is shown to those who ask to see it: chat completions have no word for that, so what OpenAI's responses "
    "and Gemini show only when asked stays hidden there. A budget for thinking at Anthropic's messages asks for it.",
    "Effort and budgets of tokens for thinking are said by whichever of the two a model takes, the nearest one.",
    "Images that a tool gave stand in a message of the user behind the results, at providers of chat completions. "
    "That a tool failed is said before what it gave (`Error: …`) where there is no member for it.",
    "Which stop sequence ended an answer is told by Anthropic alone; OpenAI and Gemini do not even tell that one did.",
    "Words that come with a refusal are told to clients of Gemini as text.",
    "Tokens written to a cache are not told by Gemini, nor to its clients; those of thinking are not told by Bedrock.",
    "Hints that change no answer are left out where a provider has none: cache marks, seeds (which promise nothing), "
    "`user`, `metadata`, `store`, tiers of service, `safety_identifier`, `prompt_cache_key`, `prediction`.",
    "That tools be called one at a time (`parallel_tool_calls: false`) is a wish at Gemini, and at Bedrock's models "
    "other than Claude: there is no word for it, and an answer may hold several calls.",
    "What the application says in the middle of a conversation is moved to its beginning where a provider has only "
    "that place for it: Anthropic, Gemini, Bedrock.",
    "Members and parts that only one dialect has (web search, computer use, files of a provider, stored prompts) are "
    "passed to its providers as they are, and refused at all others.",
)
"""What a table cannot say."""
