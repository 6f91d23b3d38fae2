"""What a client of Google's APIs can tell a model, guards see, however it is written."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hive_routing.dialects.gemini import dialect as gemini
from hive_routing.dialects.interactions import dialect as interactions
from services.routing.tests.dialects.google_words import ENCODED, OBJECTS, WORDS, one_or_more, seen, told

few = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
maybe_signed = st.sampled_from([{}, {"thoughtSignature": "AAAA"}, {"thought_signature": "AAAA"}])


def member(names: tuple[str, ...], value: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with one or more of the names for the same thing."""
    return st.lists(st.sampled_from(names), min_size=1, unique=True).flatmap(
        lambda chosen: st.fixed_dictionaries(dict.fromkeys(chosen, value))
    )


def joined(*objects: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*objects).map(lambda each: {name: value for one in each for name, value in one.items()})


BLOBS = joined(
    member(("mimeType", "mime_type"), st.just("text/plain")),
    st.fixed_dictionaries({"data": ENCODED}),
    st.just({}) | member(("displayName", "display_name"), WORDS),
)
INLINE = member(("inlineData", "inline_data"), BLOBS)
CALLS = st.fixed_dictionaries({"name": st.just("f"), "args": OBJECTS}, optional={"id": st.just("x")})
RESPONSES = st.fixed_dictionaries(
    {"name": st.just("f"), "response": OBJECTS | WORDS | st.fixed_dictionaries({"result": WORDS})},
    optional={"parts": st.lists(INLINE, max_size=2)},
)
ONE_KIND = st.one_of(
    joined(
        st.fixed_dictionaries({"text": WORDS}, optional={"thought": st.booleans()}),
        maybe_signed,
    ),
    joined(member(("functionCall", "function_call"), CALLS), maybe_signed),
    member(("functionResponse", "function_response"), RESPONSES),
    member(("toolCall", "tool_call"), st.fixed_dictionaries({"toolType": st.just("X"), "args": OBJECTS})),
    member(("toolResponse", "tool_response"), st.fixed_dictionaries({"response": OBJECTS})),
    member(("executableCode", "executable_code"), st.fixed_dictionaries({"code": WORDS})),
    member(("codeExecutionResult",), st.fixed_dictionaries({"output": WORDS})),
    member(
        ("fileData", "file_data"), st.fixed_dictionaries({"fileUri": st.just("gs://a"), "displayName": WORDS})
    ),
    member(("newKind",), OBJECTS | WORDS),
    INLINE,
)
PARTS = ONE_KIND | joined(ONE_KIND, ONE_KIND)
CONTENTS = st.one_of(
    WORDS,
    PARTS,
    joined(PARTS, st.just({"parts": None})),
    st.fixed_dictionaries(
        {"parts": one_or_more(WORDS | PARTS)},
        optional={"role": st.sampled_from(["user", "model", "function", "system"])},
    ),
)
FUNCTIONS = st.fixed_dictionaries(
    {"name": st.just("f"), "description": WORDS}, optional={"behavior": st.just("BLOCKING")}
)
GEMINI = joined(
    st.fixed_dictionaries({"contents": one_or_more(CONTENTS)}),
    st.just({}) | member(("systemInstruction", "system_instruction"), CONTENTS),
    st.fixed_dictionaries(
        {},
        optional={
            "tools": one_or_more(
                member(("functionDeclarations", "function_declarations"), st.lists(FUNCTIONS, max_size=2))
            )
        },
    ),
)


@few
@given(GEMINI)
@example({"contents": "w0w", "systemInstruction": {"newKind": {"id": "w1w"}}})
def test_words_for_generate_content(body: dict[str, Any]) -> None:
    assert told(gemini, body) <= seen(gemini, body)


TEXTS = st.fixed_dictionaries(
    {"type": st.just("text"), "text": WORDS}, optional={"signature": st.just("AAAA")}
)
DOCUMENTS = st.fixed_dictionaries(
    {"type": st.just("document"), "data": ENCODED, "mime_type": st.sampled_from(["text/plain", "text/csv"])},
    optional={"name": WORDS, "more": WORDS},
)
CONTENT = TEXTS | DOCUMENTS


def of_type(kind: str, optional: dict[str, Any] | None = None, **more: Any) -> st.SearchStrategy[Any]:
    members: dict[str, Any] = {"type": st.just(kind), **more}
    return st.fixed_dictionaries(members, optional=optional or {})


STEPS = st.one_of(
    of_type("user_input", content=one_or_more(WORDS | CONTENT)),
    of_type("model_output", content=one_or_more(WORDS | CONTENT)),
    of_type("thought", summary=st.lists(CONTENT, max_size=2), optional={"signature": st.just("AAAA")}),
    of_type("function_call", name=st.just("f"), arguments=OBJECTS),
    of_type(
        "function_result",
        optional={"call_id": st.just("x"), "name": st.just("f")},
        result=st.one_of(WORDS, OBJECTS, st.lists(CONTENT, max_size=2)),
    ),
    of_type("google_search_call", arguments=OBJECTS),
    of_type("google_search_result", result=OBJECTS | st.lists(WORDS | CONTENT, max_size=2)),
    of_type("new_kind", more=OBJECTS, other=WORDS),
)
TURNS = st.recursive(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "model"]), "content": one_or_more(WORDS | CONTENT | STEPS)},
        optional={"type": st.none()},
    ),
    lambda inner: st.fixed_dictionaries({"role": st.just("user"), "content": one_or_more(inner)}),
    max_leaves=2,
)
TOOLS = of_type("function", name=st.just("f"), description=WORDS)
INTERACTIONS = st.fixed_dictionaries(
    {"input": WORDS | one_or_more(CONTENT | STEPS | TURNS)},
    optional={"system_instruction": WORDS, "tools": one_or_more(TOOLS)},
)


@few
@given(INTERACTIONS)
def test_words_for_interactions(body: dict[str, Any]) -> None:
    assert told(interactions, body) <= seen(interactions, body)
