"""The Interaction object, both ways: a whole answer, or one that is stored and may still be on its way."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from hive_routing.dialects.form import Answer, Call, Choice, Prompt, Stop
from hive_routing.dialects.gemini.calls import CallIds, random_id
from hive_routing.dialects.gemini.fields import Object
from hive_routing.dialects.interactions.steps import StepReading
from hive_routing.dialects.interactions.steps_written import answered_steps
from hive_routing.dialects.interactions.usages import Figures, read_usage, write_usage


class Body(msgspec.Struct):
    """An Interaction, or what an event says of one."""

    id: str | None = None
    model: str | None = None
    status: str | None = None
    created: str | None = None
    steps: list[Any] | None = None
    usage: Figures | None = None
    errors: Any = None


_decode = msgspec.json.Decoder(Body).decode


def read_answer(body: bytes) -> Answer:
    """Raises msgspec.DecodeError where it is none."""
    interaction = _decode(body)
    if interaction.steps is None or interaction.status in (None, "failed"):
        raise msgspec.ValidationError("it holds no steps, or has failed")
    reading = StepReading(CallIds(random_id))
    for place, step in enumerate(interaction.steps):
        if isinstance(step, dict) and step.get("type") == "user_input":
            continue  # what was asked, which may stand before what was answered
        reading.read(step, f"steps[{place}]")
    parts = [part for turn in reading.finish() if turn.role == "assistant" for part in turn.parts]
    has_calls = any(isinstance(part, Call) for part in parts)
    return Answer(
        id=interaction.id or "",
        model=interaction.model or "",
        created=unix_seconds(interaction.created),
        choices=[Choice(parts=parts, stop=stop_of(interaction.status or "", has_calls))],
        usage=read_usage(interaction.usage) if interaction.usage is not None else None,
    )


def write_answer(answer: Answer, prompt: Prompt) -> bytes:
    status = status_of(answer.choices[0].stop) if answer.choices else "completed"
    created = answer.created or None
    return msgspec.json.encode(
        interaction_of(prompt, answer, id=answer.id, status=status, created=created, updated=created)
    )


def interaction_of(
    prompt: Prompt,
    answer: Answer | None = None,
    *,
    id: str = "",
    status: str | None = None,
    created: float | None = None,
    updated: float | None = None,
    previous: str | None = None,
    input: Any = None,
) -> Object:
    """The Interaction that a client gets to see.

    answer: None while there is none. id: empty for a random one. status: `queued`, `in_progress`, `cancelled`,
    `failed`, …; by default how the answer ended. created, updated: Unix seconds; None: not told. previous: the
    interaction that it goes on from. input: as the client sent it, where it is to be told again.

    Beside `steps` it has `outputs`, which clients of the schema before read.
    """
    choice = answer.choices[0] if answer is not None and answer.choices else None
    steps = [step for part in choice.parts for step in answered_steps(part)] if choice is not None else []
    if status is None:
        status = status_of(choice.stop) if choice is not None else "in_progress"
    said = {
        **identity(id, (answer.model if answer is not None else "") or prompt.model, status),
        "created": rfc3339(created),
        "updated": rfc3339(updated),
        "previous_interaction_id": previous,
        "input": input,
        "steps": steps,
        "outputs": list(_outputs(steps)),
        "usage": write_usage(answer.usage) if answer is not None and answer.usage is not None else None,
    }
    return {name: each for name, each in said.items() if each is not None}


def identity(id: str, model: str, status: str) -> Object:
    """What is said of it always, in events too."""
    return {"id": id or new_id(), "object": "interaction", "model": model, "status": status}


def new_id() -> str:
    return f"v1_{secrets.token_urlsafe(24)}"


def _outputs(steps: Iterable[Object]) -> Iterator[Object]:
    for step in steps:
        if step["type"] == "model_output":
            yield from step["content"]
        else:
            yield step


def status_of(stop: Stop) -> str:
    match stop:
        case Stop.END | Stop.SEQUENCE:
            return "completed"
        case Stop.TOOLS:
            return "requires_action"
        case Stop.LENGTH | Stop.CONTEXT | Stop.FILTERED | Stop.PAUSED:
            return "incomplete"


def stop_of(status: str, has_calls: bool) -> Stop:
    if status == "requires_continuation":
        return Stop.PAUSED
    if status == "incomplete":
        return Stop.LENGTH
    return Stop.TOOLS if has_calls or status == "requires_action" else Stop.END


def rfc3339(seconds: float | None) -> str | None:
    """`2026-01-02T03:04:05Z`."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unix_seconds(text: str | None) -> int:
    """0 where there is none, or none that can be read."""
    try:
        return int(datetime.fromisoformat(text).timestamp()) if text else 0
    except ValueError:
        return 0
