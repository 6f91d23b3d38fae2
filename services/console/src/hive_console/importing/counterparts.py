"""What LiteLLM's settings mean, and what there is here in their place: a row for each that an import leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hive_console.importing.fields import Fields
from hive_console.importing.report import Level, Report


@dataclass(frozen=True, slots=True)
class Counterpart:
    """In place of a setting. A setting that is `false` is off, and nothing is said of it.

    variable: that says the same here, for a value that is a whole number, with `plus` added.
    """

    level: Level
    meaning: str
    instead: str
    variable: str = ""
    plus: int = 0


def _lost(meaning: str, instead: str) -> Counterpart:
    return Counterpart(Level.LOST, meaning, instead)


def _to_do(meaning: str, instead: str, variable: str = "", plus: int = 0) -> Counterpart:
    return Counterpart(Level.TO_DO, meaning, instead, variable, plus)


def _differs(meaning: str, instead: str) -> Counterpart:
    return Counterpart(Level.DIFFERS, meaning, instead)


_NOTHING: Final = "There is nothing like it here."
_BY_CLIENTS: Final = _lost(
    "a default that LiteLLM adds to requests",
    "Here requests go out with what clients send: let them send it.",
)
_SAMPLING: Final = (
    "temperature", "top_p", "top_k", "max_tokens", "max_completion_tokens", "n", "stop", "seed", "presence_penalty",
    "frequency_penalty", "logit_bias", "user", "response_format", "tools", "tool_choice", "reasoning_effort",
    "thinking", "extra_body", "stream", "stream_options", "service_tier", "dimensions", "encoding_format", "metadata",
    "store", "modalities", "audio", "verbosity", "safety_settings", "input_type", "voice", "quality", "size",
)  # fmt: skip
_RETRIES: Final = _to_do(
    "how often a failed call is made again",
    "Set HIVE_ROUTING_ROUNDS (calls to one deployment, 3).",
    "HIVE_ROUTING_ROUNDS",
    1,
)
_AWS: Final = _lost(
    "another way to credentials of AWS",
    "Here the key of a `bedrock` provider is an access key, or a key of Bedrock's own: give it one.",
)
_DROPS: Final = _differs(
    "LiteLLM leaves out what a provider does not take",
    "Here hints that change nothing in an answer are left out, and what a provider cannot do is refused with 400.",
)
_TAGS: Final = _lost(
    "routing by tags", "Give the deployments a model id of their own, and let keys use that."
)

PARAMS: Final[Mapping[str, Counterpart]] = {
    **dict.fromkeys(_SAMPLING, _BY_CLIENTS),
    **dict.fromkeys(("num_retries", "max_retries"), _RETRIES),
    **dict.fromkeys(("drop_params", "additional_drop_params", "allowed_openai_params"), _DROPS),
    **dict.fromkeys(("tags",), _TAGS),
    **dict.fromkeys(
        (
            "aws_role_name", "aws_session_name", "aws_profile_name", "aws_web_identity_token", "aws_sts_endpoint",
            "aws_external_id",
        ),
        _AWS,
    ),
    **dict.fromkeys(
        ("extra_headers", "headers"),
        _lost("headers that LiteLLM sends to the provider", "Providers here get no headers of your own."),
    ),
    **dict.fromkeys(
        ("max_budget", "budget_duration"),
        _lost("a budget of this deployment", "Budgets and caps are of keys and tenants here: `modelhive keys set`."),
    ),
    "max_parallel_requests": _lost(
        "how many calls this deployment gets at a time", "Use rpm and tpm, and the policy `least_busy`."
    ),
    "mock_response": _lost("an answer that no provider gave", "Take the model out, or serve it from a test server."),
    "cache_control_injection_points": _lost(
        "marks for the provider's prompt cache that LiteLLM adds",
        "Let clients send them; `policy: sticky` keeps conversations at the deployment that has them cached.",
    ),
    "guardrails": _lost("guards for this model", "Guards are of tenants and keys here: `modelhive guard set`."),
    "azure_ad_token_provider": _lost(
        "a function that gets tokens", "Use options tenant_id and client_id, with the client's secret as api_key."
    ),
    "ssl_verify": _lost("how certificates are checked", "They are always checked, by the system's authorities."),
    "use_in_pass_through": _lost("passing a provider's own API on", _NOTHING),
}  # fmt: skip

SILENT_INFO: Final = frozenset(
    {
        "id", "mode", "max_tokens", "max_output_tokens", "description", "litellm_provider", "created_at",
        "updated_at", "created_by", "updated_by", "db_model", "version", "key",
    }
)  # fmt: skip
"""What only describes a model, and changes no request."""

INFO: Final[Mapping[str, Counterpart]] = {
    **dict.fromkeys(
        ("team_id", "team_public_model_name"),
        _lost(
            "a model of one team only",
            "List the models that a tenant may use: `modelhive tenants set --models`.",
        ),
    ),
    "health_check_model": _differs(
        "what health checks ask", "Deployments are judged by the calls that they get."
    ),
    "tags": _TAGS,
}

_STRATEGY_ARGS: Final = _lost("details of the routing strategy", "The policies here have none.")
_REDIS: Final = _to_do(
    "a Redis that LiteLLM's processes share", "One process needs none; several take it as HIVE_CACHE_URL."
)
_CONTENT: Final = _lost(
    "fallbacks for prompts that a provider refuses by its policy",
    "Such an answer goes to the client as it is.",
)
_BREAKER: Final = _to_do(
    "after how many failures a deployment is left alone",
    "Set HIVE_ROUTING_BREAKER_FAILURES (failures in a row, 5).",
    "HIVE_ROUTING_BREAKER_FAILURES",
    1,
)
_REST: Final = _to_do(
    "for how long a failing deployment is left alone",
    "Set HIVE_ROUTING_BREAKER_SECONDS (30).",
    "HIVE_ROUTING_BREAKER_SECONDS",
)

ROUTER: Final[Mapping[str, Counterpart]] = {
    **dict.fromkeys(("num_retries", "max_retries", "retry_policy", "model_group_retry_policy"), _RETRIES),
    **dict.fromkeys(("allowed_fails", "allowed_fails_policy", "disable_cooldowns"), _BREAKER),
    **dict.fromkeys(
        ("redis_host", "redis_port", "redis_password", "redis_url", "redis_db", "cache_kwargs", "redis_ssl"),
        _REDIS,
    ),
    **dict.fromkeys(("enable_tag_filtering", "tag_filtering_match_any", "tag_routing_prefix"), _TAGS),
    "cooldown_time": _REST,
    "routing_strategy_args": _STRATEGY_ARGS,
    "content_policy_fallbacks": _CONTENT,
    "enable_pre_call_checks": _differs(
        "prompts are measured before the call",
        "That is so here for every model with a `context_window`.",
    ),
    "optional_pre_call_checks": _differs(
        "checks before the call",
        "rpm and tpm are limits here in any case, and `policy: sticky` is for prompt caches.",
    ),
    "default_litellm_params": _BY_CLIENTS,
    "retry_after": _differs("the pause before a retry", "It grows from try to try, and heeds Retry-After."),
    "provider_budget_config": _lost(
        "budgets of providers",
        "Budgets and caps are of keys and tenants here; `modelhive usage --by provider` tells.",
    ),
    "max_fallbacks": _to_do(
        "how many fallbacks are tried", "Set HIVE_ROUTING_ATTEMPTS (calls per request, 6)."
    ),
    "default_max_parallel_requests": PARAMS["max_parallel_requests"],
    "cache_responses": _differs("answers are cached", "They are here: see HIVE_CACHE_SECONDS."),
    "set_verbose": _differs("a talkative log", "Set HIVE_LOG_LEVEL=debug for that."),
    "debug_level": _differs("a talkative log", "Set HIVE_LOG_LEVEL=debug for that."),
}

SENDS_TO: Final[Mapping[str, Counterpart]] = {
    "prometheus": _differs("metrics", "They are at /metrics of the internal listener, under other names."),
    "prometheus_system": _differs("metrics", "They are at /metrics of the internal listener, under other names."),
    **dict.fromkeys(
        (
            "otel", "langfuse", "langfuse_otel", "arize", "arize_phoenix", "langtrace", "traceloop", "logfire",
            "datadog", "datadog_llm_observability", "honeycomb", "levo", "langsmith", "opik", "braintrust",
            "weave_otel",
        ),
        _to_do(
            "traces of calls for an observability tool",
            "Set OTEL_EXPORTER_OTLP_ENDPOINT to where it takes OTLP over HTTP (docs/observability.md)."
            " Spans have no prompts in them.",
        ),
    ),
}  # fmt: skip
CALLBACK: Final = _lost(
    "a callback for each call",
    "Usage can be asked for (`modelhive usage --json`), and where there is a broker it has a topic (docs/topics.md).",
)
CALLBACKS: Final = ("success_callback", "failure_callback", "callbacks", "service_callback")

_KEY_RULES: Final = _lost(
    "rules for keys that are made", "Say a key's limits when it is made: `modelhive keys create`."
)
_SSO: Final = _lost(
    "single sign-on and the UI's users", "Operators here have the admin token; there are no users."
)
_SPEND_LOGS: Final = _differs("how spend is logged", "Each call is posted to the ledger, without its texts.")

LITELLM: Final[Mapping[str, Counterpart]] = {
    **dict.fromkeys(("num_retries", "retry_policy"), _RETRIES),
    "allowed_fails": _BREAKER,
    "cooldown_time": _REST,
    **dict.fromkeys(
        ("default_key_generate_params", "upperbound_key_generate_params", "key_generation_settings"),
        _KEY_RULES,
    ),
    **dict.fromkeys(
        ("default_internal_user_params", "max_internal_user_budget", "internal_user_budget_duration"), _SSO
    ),
    **dict.fromkeys(
        ("default_team_params", "default_team_settings"),
        _lost("defaults of new teams", "Say a tenant's terms when it is made: `modelhive tenants create`."),
    ),
    "drop_params": _DROPS,
    "modify_params": _DROPS,
    "content_policy_fallbacks": _CONTENT,
    "enable_redis_auth_cache": _differs("keys are cached", "Each process has all keys in memory."),
    "turn_off_message_logging": _differs("texts stay out of logs", "They are in none here."),
    "redact_messages_in_exceptions": _differs("texts stay out of logs", "They are in none here."),
    "json_logs": _to_do("logs in JSON", "Set HIVE_LOG_FORMAT=json."),
    "set_verbose": _differs("a talkative log", "Set HIVE_LOG_LEVEL=debug for that."),
    "max_budget": _to_do(
        "a budget for all calls together",
        "Give the tenants caps: `modelhive tenants set TENANT --cap-month 100`.",
    ),
    "budget_duration": _to_do(
        "when the budget of all calls begins anew", "Caps are per day, week or month, in UTC."
    ),
    "timezone": _differs("where days begin", "Days, weeks and months are in UTC."),
    "ssl_verify": PARAMS["ssl_verify"],
    "cost_discount_config": _lost(
        "discounts on prices", "Write the price that you want to charge into the model."
    ),
    "cost_margin_config": _lost(
        "margins on prices", "Write the price that you want to charge into the model."
    ),
    "guardrails": PARAMS["guardrails"],
    "telemetry": _differs("what LiteLLM tells its makers", "Nothing is told to anybody here."),
    "mcp_aliases": _lost("servers of the Model Context Protocol", _NOTHING),
    "store_audit_logs": _differs("a log of changes", "Changes of money are in the ledger."),
    "langfuse_default_tags": CALLBACK,
}

GENERAL: Final[Mapping[str, Counterpart]] = {
    **dict.fromkeys(
        (
            "database_connection_pool_limit", "database_connection_timeout", "disable_spend_logs",
            "disable_spend_updates", "store_prompts_in_spend_logs", "maximum_spend_logs_retention_period",
            "maximum_spend_logs_retention_interval", "proxy_batch_write_at", "disable_reset_budget",
        ),
        _SPEND_LOGS,
    ),
    **dict.fromkeys(
        ("enable_jwt_auth", "litellm_jwtauth", "enable_oauth2_auth", "custom_auth"),
        _lost("callers who have no key, but another proof", "Callers need a key here: `modelhive keys create`."),
    ),
    **dict.fromkeys(("ui_access_mode", "custom_sso", "proxy_admin_email"), _SSO),
    **dict.fromkeys(("custom_key_generate", "custom_key_update"), _KEY_RULES),
    **dict.fromkeys(
        ("alerting", "alerting_threshold", "alert_types", "alerting_args", "alert_to_webhook_url"),
        _lost("messages when something is wrong", "Let Prometheus alert on the metrics (docs/observability.md)."),
    ),
    **dict.fromkeys(
        ("background_health_checks", "health_check_interval", "health_check_details"),
        _differs("calls that only ask whether a provider is up", "Deployments are judged by the calls that they get."),
    ),
    "master_key": _to_do(
        "the administrator's key, which is also a caller's key",
        "If clients call with it, set HIVE_BOOTSTRAP_KEY to it; HIVE_ADMIN_TOKEN is the operator's, and another.",
    ),
    "database_url": _differs(
        "where LiteLLM keeps keys and spend",
        "One process keeps its own in HIVE_DATA_DIR, several in HIVE_SQL_URL. Past spend stays where it is.",
    ),
    "store_model_in_db": _lost(
        "models that were added in the UI",
        "Copy what `GET /model/info` of LiteLLM says into `model_list`, and import again.",
    ),
    "pass_through_endpoints": _lost("paths that go to other servers as they are", _NOTHING),
    "use_client_credentials_pass_through_routes": _lost("paths that go to other servers as they are", _NOTHING),
    "global_max_parallel_requests": _lost(
        "how many requests run at a time", "Limit keys: `modelhive keys set --concurrency`."
    ),
    "max_parallel_requests": PARAMS["max_parallel_requests"],
    "completion_model": _lost(
        "one model for all requests, whatever they name", "Give the model those names as `aliases`."
    ),
    "litellm_key_header_name": _lost(
        "another header for the key", "Send it as `Authorization: Bearer`, `x-api-key` or `x-goog-api-key`."
    ),
    "forward_client_headers_to_llm_api": _lost("clients' headers go to providers", "They do not here."),
    "allowed_routes": _lost("which paths may be called", _NOTHING),
    "public_routes": _lost("which paths may be called", _NOTHING),
    "key_management_system": _to_do(
        "a vault that keeps secrets", "Fill the environment from it; the configuration names variables."
    ),
    "key_management_settings": _to_do(
        "a vault that keeps secrets", "Fill the environment from it; the configuration names variables."
    ),
}  # fmt: skip

TOP: Final[Mapping[str, Counterpart]] = {
    "guardrails": _lost(
        "guards, and servers that judge texts",
        "The guards that are built in are set with `modelhive guard set`.",
    ),
    "mcp_servers": LITELLM["mcp_aliases"],
    "vector_store_registry": _lost("vector stores", _NOTHING),
    "callback_settings": CALLBACK,
    "finetune_settings": _lost("providers that tune models", _NOTHING),
    "files_settings": _lost("providers that keep files", _NOTHING),
    "prompts": _lost("prompts that LiteLLM keeps", "Let clients send them."),
    "search_tools": _lost("tools for searching the web", _NOTHING),
    "assistant_settings": _lost("assistants", _NOTHING),
}

UNKNOWN_PARAM: Final = _lost(
    "something that LiteLLM adds to the call, or does with it",
    "Members of requests that a provider knows are passed on: let clients send it.",
)
UNKNOWN_INFO: Final = _lost("a note on the model", "Models here have no notes.")
UNKNOWN: Final = _lost("a setting of LiteLLM's own", _NOTHING)


def report_rest(
    fields: Fields, known: Mapping[str, Counterpart], unknown: Counterpart, report: Report
) -> None:
    """A line for each member that was not read and is not off."""
    for name, value in fields.rest():
        if value is not False:
            add(report, fields.at(name), known.get(name, unknown), value)


def add(report: Report, path: str, row: Counterpart, value: object = None) -> None:
    say: dict[Level, Any] = {
        Level.LOST: report.lost,
        Level.TO_DO: report.to_do,
        Level.DIFFERS: report.differs,
    }
    instead = row.instead
    if row.variable and isinstance(value, int) and not isinstance(value, bool):
        instead = f"Set {row.variable}={value + row.plus}."
    say[row.level](path, row.meaning, instead)
