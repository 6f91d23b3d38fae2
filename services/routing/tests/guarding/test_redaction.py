"""What was taken out comes back, whole and in pieces, and nothing else is touched."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from hive_routing.guarding.redaction import Redaction, Span

CATEGORIES = ("email", "openai-key", "e")

fragments = st.sampled_from(
    (
        "[",
        "]",
        "[EMAIL_1]",
        "[EMAIL_2]",
        "[OPENAI_KEY_1]",
        "[E_1]",
        "[E_",
        "EMAIL_1",
        "_1",
        "1",
        "a@b.de",
        "\\",
        '"',
        "é",
    )
)
pieces = st.lists(fragments | st.text(max_size=3), max_size=8)


@st.composite
def requests(draw: st.DrawFn) -> tuple[list[str], list[Span]]:
    """Texts that are made of tempting pieces, and spans anywhere in them."""
    texts = ["".join(draw(pieces)) for _ in range(draw(st.integers(1, 3)))]
    spans = []
    for _ in range(draw(st.integers(0, 5))):
        text = draw(st.integers(0, len(texts) - 1))
        start = draw(st.integers(0, len(texts[text])))
        spans.append(
            Span(text, start, draw(st.integers(start, len(texts[text]))), draw(st.sampled_from(CATEGORIES)))
        )
    return texts, spans


def streamed(redaction: Redaction, deltas: Sequence[str]) -> str:
    """What a client of a stream sees, where no more than `possible` says is held back."""
    seen, held = "", ""
    for delta in deltas:
        held += delta
        keep = redaction.possible(held)
        seen += redaction.restore(held[: len(held) - keep])
        held = held[len(held) - keep :]
    return seen + redaction.restore(held)


@given(requests())
@example((["[EMAIL_1] a@b.de"], [Span(0, 10, 16, "email")]))
@example((["[E_[E_1]"], [Span(0, 3, 8, "e")]))
def test_replaced_and_restored_a_text_is_what_it_was(request: tuple[list[str], list[Span]]) -> None:
    texts, spans = request
    redaction = Redaction()
    assert [redaction.restore(text) for text in redaction.replace(texts, spans)] == texts


@given(requests())
def test_nothing_that_was_found_is_left_and_the_rest_stays(request: tuple[list[str], list[Span]]) -> None:
    texts, spans = request
    redaction = Redaction()
    replaced = redaction.replace(texts, spans)
    for number, text in enumerate(texts):
        gone = {at for span in spans if span.text == number for at in range(span.start, span.end)}
        rest = "".join(char for at, char in enumerate(text) if at not in gone)
        without, at = "", 0
        for start, end, _ in redaction.find(replaced[number]):
            without, at = without + replaced[number][at:start], end
        assert without + replaced[number][at:] == rest


@given(requests(), st.data())
def test_a_stream_cut_anywhere_shows_the_same(
    request: tuple[list[str], list[Span]], data: st.DataObject
) -> None:
    texts, spans = request
    redaction = Redaction()
    for text in redaction.replace(texts, spans):
        cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
        deltas = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        assert streamed(redaction, deltas) == streamed(redaction, [*text]) == redaction.restore(text)


@given(requests())
def test_no_placeholder_occurs_in_the_texts_and_each_stands_for_one_value(
    request: tuple[list[str], list[Span]],
) -> None:
    texts, spans = request
    redaction, again = Redaction(), Redaction()
    assert redaction.replace(texts, spans) == again.replace(texts, list(reversed(spans)))
    assert not any(placeholder in text for placeholder in redaction.placeholders for text in texts)
    assert len({*redaction.placeholders.values()}) == len(redaction.placeholders)
    assert redaction.is_empty == (not any(span.end > span.start for span in spans))


@given(st.text(max_size=20).filter(bool))
def test_an_original_is_escaped_where_it_comes_back_into_json(original: str) -> None:
    redaction = Redaction()
    redaction.replace([original], [Span(0, 0, len(original), "secret")])
    source = '{"to":"[SECRET_1], [SECRET_2]"}'
    assert json.loads(redaction.restore_json(source)) == {"to": f"{original}, [SECRET_2]"}


def test_placeholders_are_numbered_as_they_appear() -> None:
    redaction = Redaction()
    texts = ["b@x.de, a@x.de", "a@x.de uses sk-1"]
    spans = [
        Span(1, 12, 16, "openai-key"),
        Span(1, 0, 6, "email"),
        Span(0, 8, 14, "email"),
        Span(0, 0, 6, "email"),
    ]
    assert redaction.replace(texts, spans) == ["[EMAIL_1], [EMAIL_2]", "[EMAIL_2] uses [OPENAI_KEY_1]"]
    assert dict(redaction.placeholders) == {
        "[EMAIL_1]": "b@x.de",
        "[EMAIL_2]": "a@x.de",
        "[OPENAI_KEY_1]": "sk-1",
    }
    assert redaction.find("to [EMAIL_2]!") == [(3, 12, "a@x.de")]


def test_numbers_that_the_texts_use_are_left_out() -> None:
    redaction = Redaction()
    texts = ["[EMAIL_1] and [EMAIL_3] are mine", "a@x.de b@x.de"]
    replaced = redaction.replace(texts, [Span(1, 0, 6, "email"), Span(1, 7, 13, "email")])
    assert replaced == [texts[0], "[EMAIL_2] [EMAIL_4]"]
    assert redaction.restore(replaced[0]) == texts[0]


def test_spans_that_overlap_become_one_of_the_longest_ones_category() -> None:
    redaction = Redaction()
    spans = [Span(0, 0, 4, "phone"), Span(0, 2, 12, "card"), Span(0, 12, 14, "phone")]
    assert redaction.replace(["0123456789abcd"], spans) == ["[CARD_1][PHONE_1]"]


def test_a_stream_holds_back_no_more_than_what_may_become_a_placeholder() -> None:
    redaction = Redaction()
    assert redaction.possible("[EMAIL_") == 0
    redaction.replace(["a@x.de"], [Span(0, 0, 6, "email")])
    held = {
        "": 0,
        "a": 0,
        "[": 1,
        "see [": 1,
        "[EMAIL_1": 8,
        "[EMAIL_1]": 0,
        "[EMAIL_2": 0,
        "[[EM": 3,
        "[x": 0,
    }
    assert {text: redaction.possible(text) for text in held} == held
