"""The kinds of providers that operators can name: where each is, what it wants to know, and how it is spoken to.

The one list of them. The kinds with a `compatible` part need no code of their own: they speak OpenAI's dialect, and
their rows say where they differ. As of 2026-11, from the providers' own documentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Final

_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?")
_PLAIN: Final = re.compile(r"[!-~]{1,255}")

OPERATIONS: Final = (
    "chat",
    "responses",
    "messages",
    "completions",
    "embeddings",
    "rerank",
    "moderations",
    "realtime",
)
"""What the option `speaks` may list: all that has the same path wherever it is offered."""


@dataclass(frozen=True, slots=True)
class Option:
    """Something that a kind wants to know beside the address. words: what it is, for operators.

    default: what holds where it is left out. choices: what it can be; empty: any text.
    """

    name: str
    words: str
    required: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Compatible:
    """How a provider differs from OpenAI. speaks: operations, the best first.

    drops: members of a chat's body that it refuses and that change nothing in an answer; message_drops: of a message.
    renames: members, from OpenAI's name to its own. rerank: the form of its reranker, `jina` (Cohere's with a
    `usage`) or `voyage`.
    """

    speaks: tuple[str, ...] = ("chat",)
    drops: tuple[str, ...] = ()
    message_drops: tuple[str, ...] = ()
    renames: tuple[tuple[str, str], ...] = ()
    rerank: str = "jina"


@dataclass(frozen=True, slots=True)
class Kind:
    """base_url: where it is; `{option}` stands for an option's value; empty: operators have to say it.

    global_url: where it is for the location `global`. variable: of the environment, that holds its key by convention.
    bound_field: what it calls the output bound, where it takes one name only. note: for operators.
    has_address: it is asked at a base URL that has to be known here.
    """

    name: str
    title: str
    base_url: str = ""
    variable: str = ""
    bound_field: str = ""
    options: tuple[Option, ...] = ()
    compatible: Compatible | None = None
    global_url: str = ""
    note: str = ""
    has_address: bool = True

    def address(self, base_url: str, options: Mapping[str, str]) -> str:
        """The base URL: the operator's, else this kind's own; empty where it cannot be told."""
        if base_url or not self.base_url:
            return base_url
        values = {each.name: options.get(each.name) or each.default for each in self.options}
        if self.global_url and values.get("location") == "global":
            return self.global_url
        if not all(values[name] for name in self._placeholders()):
            return ""
        return self.base_url.format_map(values)

    def problems(self, base_url: str, options: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """What is wrong with what an operator wrote: the path of the field, and words for it."""
        known = {each.name: each for each in self.options}
        for name, value in options.items():
            if name not in known:
                names = ", ".join(known) or "it has none"
                yield f"options.{name}", f"is no option of a provider of kind {self.name!r} ({names})"
            elif problem := self._problem_of(known[name], value):
                yield f"options.{name}", problem
        for each in self.options:
            if each.required and not options.get(each.name):
                message = f"is missing: a provider of kind {self.name!r} needs it ({each.words})"
                yield f"options.{each.name}", message
        if self.has_address and not self.address(base_url, options):
            placeholders = [f"options.{name}" for name in self._placeholders()]
            instead = f", or {' and '.join(placeholders)}" if placeholders else ""
            yield "base_url", f"is missing: a provider of kind {self.name!r} needs one{instead}"

    def _problem_of(self, option: Option, value: str) -> str:
        if option.choices and value not in option.choices:
            return f"must be one of {', '.join(option.choices)} (got {value!r})"
        if option.name == SPEAKS.name:
            unknown = [each for each in operations(value) if each not in OPERATIONS]
            if unknown or not operations(value):
                return f"must list some of {', '.join(OPERATIONS)}, with commas between them (got {value!r})"
            return ""
        form = _HOST if option.name in self._placeholders() else _PLAIN
        return "" if form.fullmatch(value) else f"cannot be {value!r}: it is {option.words}"

    def _placeholders(self) -> list[str]:
        return [name for _, name, _, _ in Formatter().parse(self.base_url) if name]


def operations(text: str) -> tuple[str, ...]:
    """What a value of the option `speaks` lists."""
    return tuple(part for each in text.split(",") if (part := each.strip()))


SPEAKS: Final = Option("speaks", "its endpoints, the best first, such as `chat,responses,embeddings`")
_BEARER: Final = Option("auth", "`bearer`: the key goes out as `authorization: Bearer`", choices=("bearer",))
_TEXT: Final = ("chat", "completions")
_USUAL: Final = ("chat", "completions", "embeddings")
_MAX_TOKENS: Final = "max_tokens"
_MAX_COMPLETION_TOKENS: Final = "max_completion_tokens"

NATIVE: Final = (
    Kind(
        "openai",
        "OpenAI",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
        options=(
            Option("organization", "the organization that pays"),
            Option("project", "the project that pays"),
            SPEAKS,
        ),
        note="Or any server that speaks as it does, by its `base_url`.",
    ),
    Kind(
        "azure",
        "Azure OpenAI",
        "https://{resource}.openai.azure.com",
        "AZURE_OPENAI_API_KEY",
        options=(
            Option("resource", "the name of the resource, where `base_url` does not say it"),
            Option(
                "api_version",
                "such as `2024-10-21`: asks the older API, by deployments; left out: `/openai/v1`",
            ),
            _BEARER,
            Option("tenant_id", "of Microsoft Entra ID; with `client_id`, the key is that client's secret"),
            Option("client_id", "the application that asks"),
            Option("authority", "where tokens come from", default="https://login.microsoftonline.com"),
        ),
        note="The model of a deployment is the name of Azure's deployment.",
    ),
    Kind(
        "anthropic",
        "Anthropic",
        "https://api.anthropic.com",
        "ANTHROPIC_API_KEY",
        options=(_BEARER,),
    ),
    Kind("gemini", "Google Gemini", "https://generativelanguage.googleapis.com", "GEMINI_API_KEY"),
    Kind(
        "vertex",
        "Google Vertex AI",
        "https://{location}-aiplatform.googleapis.com",
        global_url="https://aiplatform.googleapis.com",
        options=(
            Option("project", "the project that pays", required=True),
            Option("location", "such as `europe-west4`", default="global"),
        ),
        note="The key is the JSON of a service account or of a user; without one, the machine's own identity is used.",
    ),
    Kind(
        "vertex-anthropic",
        "Claude on Vertex AI",
        "https://{location}-aiplatform.googleapis.com",
        global_url="https://aiplatform.googleapis.com",
        options=(
            Option("project", "the project that pays", required=True),
            Option("location", "such as `europe-west1`", default="global"),
        ),
        note="The key is as for `vertex`.",
    ),
    Kind(
        "bedrock",
        "Amazon Bedrock",
        "https://bedrock-runtime.{region}.amazonaws.com",
        "AWS_BEARER_TOKEN_BEDROCK",
        options=(Option("region", "such as `eu-central-1`"),),
        note="The key is one of Bedrock's own, or an access key of AWS.",
    ),
    Kind("cohere", "Cohere", "https://api.cohere.com", "COHERE_API_KEY"),
    Kind(
        "mistral",
        "Mistral AI",
        "https://api.mistral.ai/v1",
        "MISTRAL_API_KEY",
        _MAX_TOKENS,
        note="What it refuses of a chat and changes nothing is not sent; seeds and call ids are put as it wants them.",
    ),
    Kind("local", "The models inside the gateway", has_address=False),
    Kind(
        "any-llm",
        "The long tail",
        bound_field=_MAX_TOKENS,
        options=(Option("provider", "any-llm's name of the provider, such as `watsonx`", required=True),),
        note="Wants an extra, as told below. Left out: `base_url`, any-llm's own; the key, what it finds by itself.",
        has_address=False,
    ),
)


def _row(
    name: str,
    title: str,
    base_url: str,
    variable: str,
    speaks: tuple[str, ...] = _TEXT,
    bound_field: str = "",
    *,
    drops: tuple[str, ...] = (),
    message_drops: tuple[str, ...] = (),
    renames: tuple[tuple[str, str], ...] = (),
    rerank: str = "jina",
    options: tuple[Option, ...] = (),
    note: str = "",
) -> Kind:
    compatible = Compatible(speaks, drops, message_drops, renames, rerank)
    return Kind(
        name, title, base_url, variable, bound_field, (*options, SPEAKS), compatible=compatible, note=note
    )


# Hints of OpenAI's that strict servers refuse, and what other providers thought aloud earlier in a conversation.
_HINTS: Final = ("store", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention")
_THOUGHTS: Final = ("reasoning_content", "reasoning_details")

COMPATIBLE: Final = (
    _row("compatible", "Any server that speaks OpenAI's dialect", "", "", _USUAL),
    _row("ai21", "AI21 Labs", "https://api.ai21.com/studio/v1", "AI21_API_KEY", ("chat",), _MAX_TOKENS),
    _row("baseten", "Baseten", "https://inference.baseten.co/v1", "BASETEN_API_KEY", ("chat",)),
    _row("cerebras", "Cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY", _TEXT, _MAX_COMPLETION_TOKENS,
         drops=("store", "metadata", "safety_identifier", "prompt_cache_retention"), message_drops=_THOUGHTS),
    _row("dashscope", "Alibaba Model Studio (Qwen)", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
         "DASHSCOPE_API_KEY", ("chat", "responses", "completions", "embeddings"), _MAX_TOKENS,
         note="In China: `https://dashscope.aliyuncs.com/compatible-mode/v1`."),
    _row("databricks", "Databricks", "https://{workspace}/serving-endpoints", "DATABRICKS_TOKEN", _USUAL, _MAX_TOKENS,
         drops=("stream_options", *_HINTS),
         options=(Option("workspace", "the host of the workspace, such as `dbc-a1b2.cloud.databricks.com`"),)),
    _row("deepinfra", "DeepInfra", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY", _USUAL, _MAX_TOKENS),
    _row("deepseek", "DeepSeek", "https://api.deepseek.com", "DEEPSEEK_API_KEY", ("chat",), _MAX_TOKENS),
    _row("fireworks", "Fireworks AI", "https://api.fireworks.ai/inference/v1", "FIREWORKS_API_KEY",
         ("chat", "responses", "completions", "embeddings", "rerank")),
    _row("friendli", "Friendli", "https://api.friendli.ai/serverless/v1", "FRIENDLI_TOKEN"),
    _row("github", "GitHub Models", "https://models.github.ai/inference", "GITHUB_TOKEN", ("chat", "embeddings")),
    _row("groq", "Groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", ("chat", "responses"), drops=_HINTS,
         message_drops=_THOUGHTS),
    _row("huggingface", "Hugging Face router", "https://router.huggingface.co/v1", "HF_TOKEN", ("chat", "responses"),
         _MAX_TOKENS),
    _row("hyperbolic", "Hyperbolic", "https://api.hyperbolic.xyz/v1", "HYPERBOLIC_API_KEY", _TEXT, _MAX_TOKENS),
    _row("inception", "Inception", "https://api.inceptionlabs.ai/v1", "INCEPTION_API_KEY", _TEXT, _MAX_TOKENS),
    _row("jina", "Jina AI", "https://api.jina.ai/v1", "JINA_API_KEY", ("embeddings", "rerank")),
    _row("llamacpp", "llama.cpp", "http://127.0.0.1:8080/v1", "LLAMACPP_API_KEY",
         ("chat", "completions", "embeddings", "rerank"), _MAX_TOKENS),
    _row("lmstudio", "LM Studio", "http://127.0.0.1:1234/v1", "LM_STUDIO_API_KEY", _USUAL, _MAX_TOKENS),
    _row("meta", "Meta Llama", "https://api.llama.com/compat/v1", "LLAMA_API_KEY", ("chat",), _MAX_COMPLETION_TOKENS),
    _row("minimax", "MiniMax", "https://api.minimax.io/v1", "MINIMAX_API_KEY", ("chat",)),
    _row("moonshot", "Moonshot AI (Kimi)", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY", ("chat",), _MAX_TOKENS,
         note="In China: `https://api.moonshot.cn/v1`."),
    _row("nebius", "Nebius Token Factory", "https://api.tokenfactory.nebius.com/v1", "NEBIUS_API_KEY", _USUAL),
    _row("novita", "Novita AI", "https://api.novita.ai/openai/v1", "NOVITA_API_KEY",
         ("chat", "completions", "embeddings", "rerank"), _MAX_TOKENS),
    _row("nvidia", "NVIDIA", "https://integrate.api.nvidia.com/v1", "NVIDIA_API_KEY", _USUAL, _MAX_TOKENS),
    _row("ollama", "Ollama", "http://127.0.0.1:11434/v1", "", _USUAL, _MAX_TOKENS),
    _row("openrouter", "OpenRouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", _USUAL),
    _row("ovhcloud", "OVHcloud AI Endpoints", "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1", "OVHCLOUD_API_KEY",
         _USUAL),
    _row("perplexity", "Perplexity", "https://api.perplexity.ai", "PERPLEXITY_API_KEY", ("chat",), _MAX_TOKENS),
    _row("sambanova", "SambaNova", "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY", ("chat", "embeddings"),
         _MAX_TOKENS),
    _row("scaleway", "Scaleway", "https://api.scaleway.ai/v1", "SCALEWAY_API_KEY", ("chat", "embeddings")),
    _row("siliconflow", "SiliconFlow", "https://api.siliconflow.com/v1", "SILICONFLOW_API_KEY",
         ("chat", "completions", "embeddings", "rerank"), _MAX_TOKENS,
         note="In China: `https://api.siliconflow.cn/v1`."),
    _row("together", "Together AI", "https://api.together.xyz/v1", "TOGETHER_API_KEY",
         ("chat", "completions", "embeddings", "rerank"), _MAX_TOKENS),
    _row("vercel", "Vercel AI Gateway", "https://ai-gateway.vercel.sh/v1", "AI_GATEWAY_API_KEY",
         ("chat", "responses", "embeddings")),
    _row("vllm", "vLLM", "", "VLLM_API_KEY", ("chat", "responses", "completions", "embeddings", "rerank")),
    _row("voyage", "Voyage AI", "https://api.voyageai.com/v1", "VOYAGE_API_KEY", ("embeddings", "rerank"),
         renames=(("dimensions", "output_dimension"),), rerank="voyage"),
    _row("xai", "xAI", "https://api.x.ai/v1", "XAI_API_KEY", ("chat", "responses", "completions")),
    _row("zai", "Z.ai (GLM)", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY", ("chat", "embeddings"), _MAX_TOKENS,
         note="In China: `https://open.bigmodel.cn/api/paas/v4`."),
)  # fmt: skip

KINDS: Final[Mapping[str, Kind]] = {kind.name: kind for kind in (*NATIVE, *COMPATIBLE)}
