"""What has to be true of each row of the matrix, beside what holds for all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from hive_routing.dialects.form import Stop
from services.routing.tests.matrix.asking import PNG, Figures, Heard
from services.routing.tests.matrix.provided import marks_in, members_of, said_by, seals_in, system_of
from services.routing.tests.matrix.scenes import SYSTEM, THOUGHT, Scene

TELLS_SEQUENCES = ("messages", "converse")
"""Providers who say that a stop sequence ended an answer; with others it just ended."""
HIDES_THOUGHTS = {("chat", "responses"), ("chat", "gemini")}
"""Client and provider: thoughts are shown to who asks for that, and the client's dialect has no word for it."""


def tokens(text: str | None) -> int:
    """As the simulator counts."""
    return -(-len(text or "") // 4)


def check_answer(heard: Heard, scene: Scene, stops: dict[Stop, str], provider: str) -> None:
    """Text, calls and why it ended."""
    if scene.says.refusal is None:
        stop = scene.stop
        if stop is Stop.SEQUENCE and provider not in TELLS_SEQUENCES:
            stop = Stop.END
        assert heard.stop == stops[stop]
    if scene.says.content is not None:
        assert heard.text == scene.says.content.partition("STOP")[0][: 4 * scene.ask.max_output]
    assert [(call.name, call.arguments) for call in heard.calls] == made(scene)
    assert len({call.id for call in heard.calls}) == len(heard.calls)


def made(scene: Scene) -> list[tuple[str, Any]]:
    """The calls that the model makes."""
    return [(each.name, msgspec.json.decode(each.arguments)) for each in scene.says.tool_calls or ()]


def stated(scene: Scene, client: str, provider: str, prompt: int, completion: int) -> Figures:
    """The usage in the client's counting, by what the provider billed and what both have words for."""
    says = scene.says
    written = 0 if "gemini" in (client, provider) else says.cache_write_tokens
    reasoning = 0 if provider == "converse" else tokens(says.thinking)
    return Figures(prompt, completion, says.cached_tokens, written, reasoning)


def units(figures: Figures) -> dict[str, int]:
    """What is settled."""
    parts = {
        "prompt": figures.prompt - figures.cached - figures.written,
        "cached_prompt": figures.cached,
        "cache_write_5m": figures.written,
        "completion": figures.completion - figures.reasoning,
        "reasoning": figures.reasoning,
    }
    return {name: count for name, count in parts.items() if count}


def check_history(sent: bytes, scene: Scene, provider: str) -> None:
    """In the second turn the provider has back what it said, and what its calls gave."""
    said = said_by(provider, msgspec.json.decode(sent))
    if scene.says.content is not None and scene.says.refusal is None:
        assert said.text == scene.says.content.partition("STOP")[0][: 4 * scene.ask.max_output]
    assert [(call.name, call.arguments) for call in said.calls] == made(scene)
    for each in scene.given:
        assert each.text.encode() in sent


def _system(heard: Heard, sent: Any, scene: Scene, provider: str, client: str) -> None:
    assert system_of(provider, sent) == SYSTEM


def _schema(heard: Heard, sent: Any, scene: Scene, provider: str, client: str) -> None:
    assert msgspec.json.decode(heard.text) == {"city": "", "degrees": 3}


def _image(heard: Heard, sent: Any, scene: Scene, provider: str, client: str) -> None:
    assert "[1 image: " in heard.text


def _document(heard: Heard, sent: Any, scene: Scene, provider: str, client: str) -> None:
    assert "[1 file: " in heard.text


def _thinking(heard: Heard, sent: Any, scene: Scene, provider: str, client: str) -> None:
    assert heard.thinking == ("" if (client, provider) in HIDES_THOUGHTS else THOUGHT)


def _marks(heard: Heard, sent: Any, scene: Scene, provider: str, client: str) -> None:
    assert marks_in(sent) == (provider in ("messages", "converse"))


def _refusal(heard: Heard, sent: Any, scene: Scene, provider: str, client: str) -> None:
    if (client, provider) != (
        "gemini",
        "gemini",
    ):  # Google's SDK does not read the words that come with the end
        assert (scene.says.refusal or "") in heard.refusal + heard.text


def _stop(heard: Heard, sent: Any, scene: Scene, provider: str, client: str) -> None:
    told = client == provider == "messages"
    assert heard.sequence == (scene.ask.stop[0] if told else None)


def _said(names: set[str], places: tuple[str, ...]) -> Callable[[Heard, Any, Scene, str, str], None]:
    """Whether a member of one of these names went out: to these providers, and to no other."""

    def check(heard: Heard, sent: Any, scene: Scene, provider: str, client: str) -> None:
        assert any(name in names for name, _ in members_of(sent)) == (provider in places)

    return check


def _answers(heard: Heard, sent: Any, scene: Scene, provider: str, client: str) -> None:
    assert heard.others == [f"{scene.says.content} #2"]


def _logprobs(heard: Heard, sent: Any, scene: Scene, provider: str, client: str) -> None:
    assert heard.logprobs == tokens(scene.says.content)


FIRST: dict[str, Callable[[Heard, Any, Scene, str, str], None]] = {
    "system": _system,
    "schema": _schema,
    "images": _image,
    "image_urls": _image,
    "documents": _document,
    "document_urls": _document,
    "thinking": _thinking,
    "thinking_text": _thinking,
    "cache_marks": _marks,
    "refusals": _refusal,
    "stop": _stop,
    "answers": _answers,
    "top_k": _said({"top_k", "topK"}, ("messages", "gemini", "converse")),
    "seed": _said({"seed"}, ("chat", "gemini")),
    "penalties": _said({"presence_penalty", "presencePenalty"}, ("chat", "gemini")),
    "logprobs": _logprobs,
}
"""Of the first answer and of what the provider was asked by it."""


def check_untouched(sent: Any, asked: Any) -> None:
    """The members of the body went out as they came, but for the name of the model.

    Of responses, what the model thought is asked for too: the gateway keeps it for the next turn.
    """
    included = sent.pop("include", [])
    assert set(included) - {"reasoning.encrypted_content"} <= set(asked.pop("include", []))
    assert sent | {"model": ""} == asked | {"model": ""}


def check_seals(sent: bytes, provider: str) -> None:
    """What the provider sealed is back, which it verifies itself; without seals, what it thought is."""
    body = msgspec.json.decode(sent)
    if provider == "chat":
        assert [each.get("reasoning_content") for each in body["messages"]].count(THOUGHT) == 1
    else:
        assert len(seals_in(provider, body)) == 1


def holds_image(sent: bytes) -> bool:
    return PNG.translate(str.maketrans("-_", "+/")).encode() in sent.translate(bytes.maketrans(b"-_", b"+/"))
