"""LiteLLM's names of providers, which stand before a model's name, and the kinds of provider that they are here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Vendor:
    """key, address: the variables from which LiteLLM takes them where the configuration does not say them.

    base_url: where it is, if its kind does not know.
    """

    kind: str
    key: str = ""
    address: str = ""
    base_url: str = ""


VENDORS: Final[Mapping[str, Vendor]] = {
    "openai": Vendor("openai", "OPENAI_API_KEY"),
    "text-completion-openai": Vendor("openai", "OPENAI_API_KEY"),
    "custom_openai": Vendor("compatible", "OPENAI_API_KEY"),
    "openai_like": Vendor("compatible", "OPENAI_LIKE_API_KEY"),
    "azure": Vendor("azure", "AZURE_API_KEY", "AZURE_API_BASE"),
    "azure_text": Vendor("azure", "AZURE_API_KEY", "AZURE_API_BASE"),
    "azure_ai": Vendor("azure", "AZURE_AI_API_KEY", "AZURE_AI_API_BASE"),
    "anthropic": Vendor("anthropic", "ANTHROPIC_API_KEY"),
    "anthropic_text": Vendor("anthropic", "ANTHROPIC_API_KEY"),
    "gemini": Vendor("gemini", "GEMINI_API_KEY"),
    "vertex_ai": Vendor("vertex"),
    "vertex_ai_beta": Vendor("vertex"),
    "bedrock": Vendor("bedrock"),
    "bedrock_converse": Vendor("bedrock"),
    "cohere": Vendor("cohere", "COHERE_API_KEY"),
    "cohere_chat": Vendor("cohere", "COHERE_API_KEY"),
    "mistral": Vendor("mistral", "MISTRAL_API_KEY"),
    "ai21": Vendor("ai21", "AI21_API_KEY"),
    "ai21_chat": Vendor("ai21", "AI21_API_KEY"),
    "baseten": Vendor("baseten", "BASETEN_API_KEY"),
    "cerebras": Vendor("cerebras", "CEREBRAS_API_KEY"),
    "dashscope": Vendor("dashscope", "DASHSCOPE_API_KEY"),
    "databricks": Vendor("databricks", "DATABRICKS_API_KEY", "DATABRICKS_API_BASE"),
    "deepinfra": Vendor("deepinfra", "DEEPINFRA_API_KEY"),
    "deepseek": Vendor("deepseek", "DEEPSEEK_API_KEY"),
    "featherless_ai": Vendor(
        "compatible", "FEATHERLESS_AI_API_KEY", base_url="https://api.featherless.ai/v1"
    ),
    "fireworks_ai": Vendor("fireworks", "FIREWORKS_AI_API_KEY"),
    "friendliai": Vendor("friendli", "FRIENDLI_TOKEN"),
    "github": Vendor("github", "GITHUB_API_KEY"),
    "groq": Vendor("groq", "GROQ_API_KEY"),
    "hosted_vllm": Vendor("vllm", "HOSTED_VLLM_API_KEY", "HOSTED_VLLM_API_BASE"),
    "huggingface": Vendor("huggingface", "HF_TOKEN"),
    "hyperbolic": Vendor("hyperbolic", "HYPERBOLIC_API_KEY"),
    "inception": Vendor("inception", "INCEPTION_API_KEY"),
    "jina_ai": Vendor("jina", "JINA_AI_API_KEY"),
    "lambda_ai": Vendor("compatible", "LAMBDA_API_KEY", base_url="https://api.lambda.ai/v1"),
    "litellm_proxy": Vendor("compatible", "LITELLM_PROXY_API_KEY", "LITELLM_PROXY_API_BASE"),
    "llamafile": Vendor("llamacpp", "LLAMAFILE_API_KEY"),
    "lm_studio": Vendor("lmstudio", "LM_STUDIO_API_KEY"),
    "meta_llama": Vendor("meta", "LLAMA_API_KEY"),
    "minimax": Vendor("minimax", "MINIMAX_API_KEY"),
    "moonshot": Vendor("moonshot", "MOONSHOT_API_KEY"),
    "nebius": Vendor("nebius", "NEBIUS_API_KEY"),
    "novita": Vendor("novita", "NOVITA_API_KEY"),
    "nvidia_nim": Vendor("nvidia", "NVIDIA_NIM_API_KEY"),
    "ollama": Vendor("ollama"),
    "ollama_chat": Vendor("ollama"),
    "openrouter": Vendor("openrouter", "OPENROUTER_API_KEY"),
    "ovhcloud": Vendor("ovhcloud", "OVHCLOUD_API_KEY"),
    "perplexity": Vendor("perplexity", "PERPLEXITYAI_API_KEY"),
    "sambanova": Vendor("sambanova", "SAMBANOVA_API_KEY"),
    "scaleway": Vendor("scaleway", "SCALEWAY_API_KEY"),
    "siliconflow": Vendor("siliconflow", "SILICONFLOW_API_KEY"),
    "together_ai": Vendor("together", "TOGETHERAI_API_KEY"),
    "vercel_ai_gateway": Vendor("vercel", "VERCEL_AI_GATEWAY_API_KEY"),
    "volcengine": Vendor(
        "compatible", "VOLCENGINE_API_KEY", base_url="https://ark.cn-beijing.volces.com/api/v3"
    ),
    "voyage": Vendor("voyage", "VOYAGE_API_KEY"),
    "xai": Vendor("xai", "XAI_API_KEY"),
    "xinference": Vendor("compatible", "XINFERENCE_API_KEY"),
    "zai": Vendor("zai", "ZAI_API_KEY"),
}

KEYLESS: Final = frozenset({"ollama", "llamacpp", "lmstudio", "vllm", "compatible"})
"""Kinds whose servers often want no key: a variable is named for one only where the configuration names it."""

ELSEWHERE: Final = frozenset(
    {
        "aiml", "aleph_alpha", "assemblyai", "azure_sora", "bytez", "clarifai", "cloudflare", "codestral", "cometapi",
        "custom", "dataforseo", "datarobot", "deepgram", "elevenlabs", "fal_ai", "galadriel", "gigachat",
        "github_copilot", "heroku", "infinity", "lemonade", "maritalk", "nlp_cloud", "oci", "oobabooga", "palm",
        "petals", "predibase", "recraft", "replicate", "runwayml", "sagemaker", "sagemaker_chat", "sap", "snowflake",
        "stability", "topaz", "triton", "v0", "vllm", "wandb", "watsonx", "watsonx_text",
    }
)  # fmt: skip
"""Names of LiteLLM's for which there is no kind: what stands behind them is no model of somebody else."""

_BY_NAME: Final = (
    (re.compile(r"(gpt-|o[134](-|$)|chatgpt-|text-embedding-|dall-e|whisper-|tts-|omni-moderation|ft:)"), "openai"),
    (re.compile(r"claude-"), "anthropic"),
    (re.compile(r"gemini-"), "vertex_ai"),
    (re.compile(r"(command-|embed-|rerank-)"), "cohere"),
    (re.compile(r"(mistral-|ministral-|open-mi[sx]tral-|codestral-|pixtral-)"), "mistral"),
    (re.compile(r"deepseek-(chat|reasoner)$"), "deepseek"),
    (re.compile(r"(amazon|anthropic|meta|cohere|ai21)\."), "bedrock"),
)  # fmt: skip


def split_model(text: str, named: str, *, has_address: bool) -> tuple[str, str] | None:
    """The provider's name in LiteLLM's words, and the model's name there; None where nobody can tell whose it is.

    named: what `custom_llm_provider` says. has_address: a server of one's own is meant.
    """
    before, slash, behind = text.partition("/")
    if named:
        return named, behind if slash and before == named else text
    if slash and (before in VENDORS or before in ELSEWHERE):
        return before, behind
    known = next((vendor for pattern, vendor in _BY_NAME if pattern.match(text)), "")
    if known:
        return known, text
    return ("openai", text) if has_address else None
