"""POST /v1/moderations: a text is flagged for the words of a short list."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.calls import Call
from hive_testing.simulator.checking import sdk
from hive_testing.simulator.checking.shapes import Members
from hive_testing.simulator.dialect import decoded
from hive_testing.simulator.reply import InvalidRequest, Reply, encode
from hive_testing.simulator.strict.words import check_types, refuse

DEFAULT_MODEL = "omni-moderation-latest"
CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
SEEN = ("self-harm", "sexual", "violence")  # what images are looked at for, but for children
WORDS = {
    "idiot": "harassment",
    "vermin": "hate",
    "heroin": "illicit",
    "suicide": "self-harm",
    "porn": "sexual",
    "kill": "violence",
}
FLAGGED, CLEAN = 0.95, 0.01


class Texts(NamedTuple):
    """inputs: the texts of each thing to look at, and whether it has images."""

    model: str
    inputs: list[tuple[str, bool]]


def read(call: Call, names: Mapping[str, str]) -> Texts:
    """Raises `InvalidRequest` for what OpenAI refuses."""
    fields = decoded(call)
    check_types(_request(), fields)
    model, given = fields.get("model") or DEFAULT_MODEL, fields["input"]
    if not given:
        refuse("Invalid 'input': it must not be empty.", "input")
    if isinstance(given, str):
        return Texts(model, [(given, False)])
    if all(isinstance(each, str) for each in given):
        return Texts(model, [(each, False) for each in given])
    has_image = any(each["type"] == "image_url" for each in given)
    if has_image and model.startswith("text-"):
        raise InvalidRequest(f"The model '{model}' does not take images.", "input")
    return Texts(model, [(" ".join(each.get("text", "") for each in given), has_image)])


def answer(request: Texts, behaviour: Behaviour, number: int) -> Reply:
    """A result for each input."""
    results = [_result(said, has_image) for said, has_image in request.inputs]
    body = {"id": f"modr-sim{number}", "model": request.model, "results": results}
    return Reply(0, 0, None, encode(body, behaviour.extra))


@cache
def _request() -> Members:
    from openai.types.moderation_create_params import ModerationCreateParams

    return sdk.typed_dict(ModerationCreateParams)


def _result(said: str, has_image: bool) -> dict[str, Any]:
    found = {category for word, category in WORDS.items() if word in said.lower()}
    looked = (
        [name for name in CATEGORIES if name.startswith(SEEN) and name != "sexual/minors"]
        if has_image
        else []
    )
    texts = ["text"] if said else []
    return {
        "flagged": bool(found),
        "categories": {name: name in found for name in CATEGORIES},
        "category_scores": {name: FLAGGED if name in found else CLEAN for name in CATEGORIES},
        "category_applied_input_types": {
            name: [*texts, *(["image"] if name in looked else [])] for name in CATEGORIES
        },
    }
