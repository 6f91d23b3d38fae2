"""Providers that are known by name, as data: those whose variable switches them on, and their common models.

As of 2026-11, from the providers' own documentation. Their lists move faster than releases of this one: what
is missing here is added in the configuration file. A context window that is not certain is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from hive_runtime.provider_kinds import KINDS

AS_OF = "2026-11"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """name: as the provider spells it. context_window: tokens; None where not known."""

    name: str
    context_window: int | None = None
    mode: str = "chat"


@dataclass(frozen=True, slots=True)
class KnownProvider:
    """name: its own and its kind's. bare: its models carry no prefix here."""

    name: str
    models: tuple[KnownModel, ...]
    bare: bool = False
    output_bound_field: str | None = None

    @property
    def variable(self) -> str:
        """Switches it on where it is set."""
        return KINDS[self.name].variable

    @property
    def base_url(self) -> str:
        return KINDS[self.name].base_url


PROVIDERS = (
    KnownProvider(
        "openai",
        (
            KnownModel("gpt-5.5"),
            KnownModel("gpt-5.4", 1_050_000),
            KnownModel("gpt-5.4-mini", 400_000),
            KnownModel("gpt-5.4-nano", 400_000),
            KnownModel("gpt-5", 400_000),
            KnownModel("gpt-5-mini", 400_000),
            KnownModel("gpt-5-nano", 400_000),
            KnownModel("gpt-4.1", 1_047_576),
            KnownModel("gpt-4.1-mini", 1_047_576),
            KnownModel("gpt-4.1-nano", 1_047_576),
            KnownModel("gpt-4o", 128_000),
            KnownModel("gpt-4o-mini", 128_000),
            KnownModel("text-embedding-3-small", 8_192, "embedding"),
            KnownModel("text-embedding-3-large", 8_192, "embedding"),
        ),
        bare=True,
        output_bound_field="max_completion_tokens",
    ),
    KnownProvider(
        "anthropic",
        (
            KnownModel("claude-opus-5-5"),
            KnownModel("claude-opus-5"),
            KnownModel("claude-opus-4-8"),
            KnownModel("claude-sonnet-5-5"),
            KnownModel("claude-sonnet-5"),
            KnownModel("claude-sonnet-4-5", 200_000),
            KnownModel("claude-haiku-5-5"),
            KnownModel("claude-haiku-4-5", 200_000),
        ),
        bare=True,
    ),
    KnownProvider(
        "groq",
        (
            KnownModel("openai/gpt-oss-120b", 131_072),
            KnownModel("openai/gpt-oss-20b", 131_072),
            KnownModel("llama-3.3-70b-versatile", 131_072),
            KnownModel("llama-3.1-8b-instant", 131_072),
        ),
    ),
    KnownProvider(
        "together",
        (
            KnownModel("openai/gpt-oss-120b", 131_072),
            KnownModel("openai/gpt-oss-20b", 131_072),
            KnownModel("meta-llama/Llama-3.3-70B-Instruct-Turbo", 131_072),
        ),
    ),
    KnownProvider(
        "fireworks",
        (
            KnownModel("accounts/fireworks/models/gpt-oss-120b", 131_072),
            KnownModel("accounts/fireworks/models/deepseek-v4-flash"),
            KnownModel("accounts/fireworks/models/kimi-k3"),
        ),
    ),
    KnownProvider(
        "deepseek",
        (KnownModel("deepseek-v4-flash", 1_048_576), KnownModel("deepseek-v4-pro", 1_048_576)),
    ),
    KnownProvider(
        "xai",
        (KnownModel("grok-4.5"), KnownModel("grok-4.3"), KnownModel("grok-4", 256_000)),
    ),
    KnownProvider(
        "mistral",
        (
            KnownModel("mistral-large-latest"),
            KnownModel("mistral-medium-latest"),
            KnownModel("mistral-small-latest"),
            KnownModel("codestral-latest", 256_000),
            KnownModel("mistral-embed", 8_192, "embedding"),
        ),
    ),
    KnownProvider(
        "gemini",
        (
            KnownModel("gemini-3.8-flash"),
            KnownModel("gemini-3.5-flash"),
            KnownModel("gemini-3.1-pro-preview"),
            KnownModel("gemini-2.5-pro", 1_048_576),
            KnownModel("gemini-2.5-flash", 1_048_576),
            KnownModel("gemini-2.5-flash-lite", 1_048_576),
            KnownModel("gemini-embedding-001", 2_048, "embedding"),
        ),
    ),
    KnownProvider(
        "cohere",
        (
            KnownModel("command-a-03-2025", 256_000),
            KnownModel("command-r7b-12-2024", 128_000),
            KnownModel("embed-v4.0", 128_000, "embedding"),
            KnownModel("rerank-v4.0-pro", mode="rerank"),
            KnownModel("rerank-v4.0-fast", mode="rerank"),
            KnownModel("rerank-v3.5", 4_096, "rerank"),
        ),
    ),
    KnownProvider("moonshot", (KnownModel("kimi-k3"), KnownModel("kimi-k2.6"))),
    KnownProvider("zai", (KnownModel("glm-5.3"), KnownModel("glm-5.3-flash"))),
    KnownProvider("minimax", (KnownModel("MiniMax-M3"), KnownModel("MiniMax-M2.7"))),
    KnownProvider(
        "voyage", (KnownModel("voyage-4-large", mode="embedding"), KnownModel("voyage-4", mode="embedding"))
    ),
    KnownProvider(
        "openrouter",
        (
            KnownModel("openrouter/auto"),
            KnownModel("openai/gpt-5.4-nano", 400_000),
            KnownModel("x-ai/grok-4", 256_000),
            KnownModel("deepseek/deepseek-v4-flash"),
        ),
    ),
    KnownProvider(
        "perplexity",
        (
            KnownModel("sonar", 128_000),
            KnownModel("sonar-pro", 200_000),
            KnownModel("sonar-reasoning-pro", 128_000),
        ),
    ),
    KnownProvider(
        "cerebras",
        (KnownModel("gpt-oss-120b", 131_072),),
    ),
    KnownProvider(
        "nvidia",
        (KnownModel("openai/gpt-oss-120b", 131_072), KnownModel("meta/llama-3.3-70b-instruct", 131_072)),
    ),
    KnownProvider(
        "deepinfra",
        (
            KnownModel("meta-llama/Llama-3.3-70B-Instruct", 131_072),
            KnownModel("openai/gpt-oss-120b", 131_072),
        ),
    ),
)

LOCAL_PROVIDER = "local"
LOCAL_MODELS = (
    KnownModel("smollm2-135m", 4_096),
    KnownModel("minilm-l6-v2", 512, "embedding"),
)

OLLAMA_PROVIDER = "ollama"
# Ollama does not tell what a model is for: what embeds has one of these in its name.
EMBEDDING_NAMES = ("embed", "minilm", "bge-", "e5-")
