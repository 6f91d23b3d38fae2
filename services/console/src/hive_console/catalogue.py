"""Providers that are known by name, as data: where they are, which variable holds their key, common models.

As of 2026-11, from the providers' own documentation. Their lists move faster than releases of this one: what
is missing here is added in the configuration file. A context window that is not certain is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

AS_OF = "2026-11"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """name: as the provider spells it. context_window: tokens; None where not known."""

    name: str
    context_window: int | None = None
    mode: str = "chat"


@dataclass(frozen=True, slots=True)
class KnownProvider:
    """variable: switches the provider on where it is set. bare: its models carry no prefix here."""

    name: str
    base_url: str
    variable: str
    models: tuple[KnownModel, ...]
    bare: bool = False
    output_bound_field: str | None = None


PROVIDERS = (
    KnownProvider(
        "openai",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
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
        "groq",
        "https://api.groq.com/openai/v1",
        "GROQ_API_KEY",
        (
            KnownModel("openai/gpt-oss-120b", 131_072),
            KnownModel("openai/gpt-oss-20b", 131_072),
            KnownModel("llama-3.3-70b-versatile", 131_072),
            KnownModel("llama-3.1-8b-instant", 131_072),
        ),
    ),
    KnownProvider(
        "together",
        "https://api.together.xyz/v1",
        "TOGETHER_API_KEY",
        (
            KnownModel("openai/gpt-oss-120b", 131_072),
            KnownModel("openai/gpt-oss-20b", 131_072),
            KnownModel("meta-llama/Llama-3.3-70B-Instruct-Turbo", 131_072),
        ),
    ),
    KnownProvider(
        "fireworks",
        "https://api.fireworks.ai/inference/v1",
        "FIREWORKS_API_KEY",
        (
            KnownModel("accounts/fireworks/models/gpt-oss-120b", 131_072),
            KnownModel("accounts/fireworks/models/deepseek-v4-flash"),
            KnownModel("accounts/fireworks/models/kimi-k3"),
        ),
    ),
    KnownProvider(
        "deepseek",
        "https://api.deepseek.com",
        "DEEPSEEK_API_KEY",
        (KnownModel("deepseek-v4-flash", 1_048_576), KnownModel("deepseek-v4-pro", 1_048_576)),
    ),
    KnownProvider(
        "xai",
        "https://api.x.ai/v1",
        "XAI_API_KEY",
        (KnownModel("grok-4.5"), KnownModel("grok-4.3"), KnownModel("grok-4", 256_000)),
    ),
    KnownProvider(
        "mistral",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
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
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "GEMINI_API_KEY",
        (KnownModel("gemini-2.5-pro", 1_048_576), KnownModel("gemini-2.5-flash", 1_048_576)),
    ),
    KnownProvider(
        "openrouter",
        "https://openrouter.ai/api/v1",
        "OPENROUTER_API_KEY",
        (
            KnownModel("openrouter/auto"),
            KnownModel("openai/gpt-5.4-nano", 400_000),
            KnownModel("x-ai/grok-4", 256_000),
            KnownModel("deepseek/deepseek-v4-flash"),
        ),
    ),
    KnownProvider(
        "perplexity",
        "https://api.perplexity.ai",
        "PERPLEXITY_API_KEY",
        (
            KnownModel("sonar", 128_000),
            KnownModel("sonar-pro", 200_000),
            KnownModel("sonar-reasoning-pro", 128_000),
        ),
    ),
    KnownProvider(
        "cerebras",
        "https://api.cerebras.ai/v1",
        "CEREBRAS_API_KEY",
        (KnownModel("gpt-oss-120b", 131_072),),
    ),
    KnownProvider(
        "nvidia",
        "https://integrate.api.nvidia.com/v1",
        "NVIDIA_API_KEY",
        (KnownModel("openai/gpt-oss-120b", 131_072), KnownModel("meta/llama-3.3-70b-instruct", 131_072)),
    ),
    KnownProvider(
        "deepinfra",
        "https://api.deepinfra.com/v1/openai",
        "DEEPINFRA_API_KEY",
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
