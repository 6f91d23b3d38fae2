"""Models as clients see them: OpenAI's objects, with what Anthropic's clients read beside it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from hive_routing.catalogue import Model


def model_object(model: Model) -> dict[str, Any]:
    """One model; `mode` and `context_window` only where they are known."""
    shown: dict[str, Any] = {
        "id": model.id,
        "object": "model",
        "created": model.created,
        "owned_by": model.owned_by,
        "type": "model",
        "display_name": model.id,
        "created_at": datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if model.mode:
        shown["mode"] = model.mode
    if model.context_window is not None:
        shown["context_window"] = model.context_window
    return shown


def google_model(model: Model) -> dict[str, Any]:
    """One model as Google's clients read it."""
    verbs = ["embedContent"] if model.mode == "embedding" else ["generateContent", "countTokens"]
    shown: dict[str, Any] = {
        "name": f"models/{model.id}",
        "displayName": model.id,
        "version": "1",
        "supportedGenerationMethods": verbs,
    }
    if model.context_window is not None:
        shown["inputTokenLimit"] = model.context_window
    return shown


def model_list(models: Iterable[Model]) -> dict[str, Any]:
    """All of them on one page."""
    data = [model_object(model) for model in models]
    return {
        "object": "list",
        "data": data,
        "has_more": False,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }
