"""What the local models can and cannot do, as data: requests are refused by it, docs are made from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CHAT_MODEL: Final = "smollm2-135m"
EMBEDDING_MODEL: Final = "minilm-l6-v2"

# SmolLM2 was tuned for 8,192 tokens. Half of it keeps the cache of keys and values at 94 MB instead of 189,
# and bounds the evaluation of a full prompt to about 35 seconds of one core instead of 120.
CONTEXT_TOKENS: Final = 4096
CHAT_VOCABULARY: Final = 49_152
MAX_CHOICES: Final = 16  # n * prompts: they are generated one after another
MAX_STOPS: Final = 4
MAX_TOOLS: Final = 128

# Where the caller sets none: as the model's authors recommend. At 1.0 a model of this size loses the thread.
DEFAULT_TEMPERATURE: Final = 0.2
DEFAULT_TOP_P: Final = 0.9

# A model of this size may ramble until its context is full, which takes minutes on a busy machine.
DEFAULT_OUTPUT_TOKENS: Final = 512

EMBEDDING_TOKENS: Final = 512  # the positions that MiniLM has, its two marks included; best below 256
EMBEDDING_SIZE: Final = 384
MAX_INPUTS: Final = 2048

WAITING_CALLS: Final = 32  # per model, beside the one that runs


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request field that is refused, unless its value is one of `harmless` (which ask for nothing)."""

    param: str
    reason: str
    harmless: tuple[object, ...] = (None,)


_LOGPROBS = "token probabilities are not reported"
_GUARDRAILS = "the model does not moderate; configure guardrails on the gateway"

REFUSED: Final[dict[str, tuple[Refusal, ...]]] = {
    "chat": (
        Refusal("logprobs", _LOGPROBS, (None, False)),
        Refusal("top_logprobs", _LOGPROBS, (None, 0)),
        Refusal("modalities", "the model writes text only", (None, [], ["text"])),
        Refusal("audio", "the model cannot speak"),
        Refusal("prediction", "predicted outputs do not speed up this model"),
        Refusal("web_search_options", "the model has no access to the web"),
        Refusal("functions", "the legacy form of tools; send `tools`", (None, [])),
        Refusal("function_call", "the legacy form of tools; send `tool_choice`", (None, "none", "auto")),
        Refusal("moderation", _GUARDRAILS),
    ),
    "completions": (
        Refusal("logprobs", _LOGPROBS),
        Refusal("suffix", "the model was not trained to fill a gap", (None, "")),
        Refusal("best_of", "there are no probabilities to choose the best by; use `n`", (None, 0, 1)),
        Refusal("moderation", _GUARDRAILS),
    ),
    "embeddings": (),
    "rerank": (),
}

#: Content parts of a chat message beside `text` and `refusal`.
REFUSED_PARTS: Final[dict[str, str]] = {
    "image_url": "the model cannot see images or documents",
    "input_audio": "the model cannot hear",
    "file": "the model cannot read files; send their text",
}

#: Refused by what they mean, not by their name alone.
REFUSED_COMBINATIONS: Final[dict[str, str]] = {
    "tools[].type": "only tools of type `function` can be called",
    "stop": "a stop text would cut the JSON that `response_format` promises",
    "echo": "a prompt of token ids cannot be echoed; send its text",
    "logit_bias": f"token ids are those of the model's own tokenizer, 0 to {CHAT_VOCABULARY - 1}",
}

#: What a reader of the documentation should know beside the tables.
NOTES: Final[dict[str, tuple[str, ...]]] = {
    "chat": (
        "`tool_choice: auto` is decided by the similarity of the last message to the tools' names and "
        "descriptions, not by the chat model; the answer to a tool's result is always text.",
        "An answer holds one tool call at most. Its arguments follow the tool's schema.",
        "`response_format` constrains what the model can write: the answer parses and follows the schema, "
        "unless `finish_reason` is `length`. A schema that cannot be enforced is refused.",
        f"Without `max_tokens` or `max_completion_tokens`, an answer ends after {DEFAULT_OUTPUT_TOKENS} tokens.",
        f"Without `temperature` and `top_p`, {DEFAULT_TEMPERATURE} and {DEFAULT_TOP_P} are used.",
    ),
    "completions": (
        "The prompt is continued as it stands, without a chat template.",
        "A prompt of token ids uses the model's own tokenizer.",
    ),
    "embeddings": (
        "Inputs of token ids are read as cl100k_base.",
        "`usage` counts the tokens of the model's own tokenizer, with the two marks around each text.",
        "Vectors are of the model's int8 form: do not mix them with those of the original.",
    ),
    "rerank": (
        "Documents are ranked by how near their vectors are to the query's (cosine, 0 to 1): the embedding model "
        "does it, no cross-encoder.",
        f"Of a document, the first {EMBEDDING_TOKENS} tokens count.",
    ),
}

_EVERYWHERE = ("user", "safety_identifier", "metadata", "store", "service_tier", "prompt_cache_key")

#: Accepted, without effect.
IGNORED: Final[dict[str, tuple[str, ...]]] = {
    "chat": (
        *_EVERYWHERE,
        "parallel_tool_calls",  # an answer holds one call at most
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "verbosity",
        "messages[].name",
        "messages[].content[].cache_control",
        "messages[].content[].prompt_cache_breakpoint",
        "response_format.json_schema.strict",  # always strict
        "stream_options.include_obfuscation",
        "tools[].function.strict",  # always strict
    ),
    "completions": (*_EVERYWHERE, "stream_options.include_obfuscation"),
    "embeddings": (*_EVERYWHERE, "input_type", "task_type", "truncate"),
    "rerank": (*_EVERYWHERE, "max_tokens_per_doc", "instruction", "truncate_prompt_tokens", "priority"),
}
