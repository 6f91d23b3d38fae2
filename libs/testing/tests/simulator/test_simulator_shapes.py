"""What the SDKs' types are read as, and the signatures that the simulator makes."""

from __future__ import annotations

import subprocess
import sys
from enum import Enum
from typing import Any, Literal, Required

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import TypedDict

from hive_testing.simulator import signatures
from hive_testing.simulator.checking import sdk
from hive_testing.simulator.checking.shapes import STRING, Bounded, Misfit, Shape, bracketed, dotted, members


class Words(TypedDict, total=False):
    type: Required[Literal["words"]]
    text: Required[str]


class Picture(TypedDict, total=False):
    type: Required[Literal["picture"]]
    data: Required[bytes]
    sizes: list[int]


class Colour(Enum):
    RED = "RED"


class Model(pydantic.BaseModel):
    some_name: float | None = pydantic.Field(default=None, alias="someName")
    colour: Colour | None = None
    anything: Any | None = None


class Body(TypedDict, total=False):
    parts: Required[list[Words | Picture] | str]
    model: Model
    tags: dict[str, str]
    is_on: bool | None


BODY = sdk.shape(Body)


@pytest.mark.parametrize(
    "value",
    [
        {"parts": "x"},
        {"parts": []},
        {"parts": [{"type": "words", "text": ""}, {"type": "picture", "data": "aGk=", "sizes": [1]}]},
        {"parts": "x", "model": {"someName": 1, "colour": "red", "anything": {"x": [1]}}},
        {"parts": "x", "model": {"some_name": None}, "tags": {"a": "b"}, "is_on": None},
    ],
)
def test_what_fits(value: Any) -> None:
    BODY.check(value, ())


@pytest.mark.parametrize(
    ("value", "path", "kind"),
    [
        ([], "", "type"),
        ({}, "parts", "missing"),
        ({"parts": "x", "more": 1}, "more", "unknown"),
        ({"parts": None}, "parts", "type"),
        ({"parts": [{"type": "words"}]}, "parts.0.text", "missing"),
        ({"parts": [{"type": "sounds"}]}, "parts.0.type", "value"),
        ({"parts": [{"type": "words", "text": "", "data": ""}]}, "parts.0.data", "unknown"),
        ({"parts": [{"type": "picture", "data": "!"}]}, "parts.0.data", "value"),
        ({"parts": [{"type": "picture", "data": "", "sizes": [True]}]}, "parts.0.sizes.0", "type"),
        ({"parts": "x", "model": {"someName": "1"}}, "model.someName", "type"),
        ({"parts": "x", "model": {"colour": "blue"}}, "model.colour", "value"),
        ({"parts": "x", "tags": {"a": 1}}, "tags.a", "type"),
        ({"parts": "x", "is_on": 1}, "is_on", "type"),
    ],
)
def test_what_does_not(value: Any, path: str, kind: str) -> None:
    with pytest.raises(Misfit) as caught:
        BODY.check(value, ())

    assert (dotted(caught.value.path), caught.value.kind) == (path, kind)


def test_a_method_is_a_body() -> None:
    def method(
        self: Any, *, needed: str, free: Literal["a"] | Any = "a", request_options: Any = None
    ) -> None: ...

    shape = sdk.keywords(method)
    shape.check({"needed": "x"}, ())
    for wrong in ({}, {"needed": "x", "free": "b"}, {"needed": "x", "request_options": {}}):
        with pytest.raises(Misfit):
            shape.check(wrong, ())


@pytest.mark.parametrize(
    ("shape", "value"),
    [(Bounded(STRING, 1, 2), ""), (Bounded(STRING, 1, 2), "abc"), (Bounded(STRING, pattern="[a-z]+"), "A")],
)
def test_bounds(shape: Shape, value: Any) -> None:
    with pytest.raises(Misfit):
        members(at=shape).check({"at": value}, ())


def test_paths() -> None:
    assert bracketed(("messages", 0, "content", 1, "text")) == "messages[0].content[1].text"


@given(st.text(), st.text(), st.sampled_from(["signature", "redacted", "encrypted"]))
def test_signatures_fit_what_they_were_made_of(said: str, other: str, kind: str) -> None:
    made = signatures.made(kind, said)

    assert signatures.is_made(kind, made) and signatures.fits(kind, made, said)
    assert signatures.fits(kind, made, other) == (said == other)
    assert not signatures.is_made("other", made)


@given(st.binary(max_size=64) | st.text(max_size=64).map(str.encode))
def test_nothing_else_is_a_signature(value: bytes) -> None:
    assert not signatures.is_made("signature", value.decode("latin-1"))


def test_the_simulator_starts_without_the_sdks() -> None:
    heavy = ["anthropic", "openai", "google.genai", "cohere", "botocore", "pydantic"]
    code = f"import sys, hive_testing.simulator; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )

    assert done.stdout.strip() == "[]"
