"""Which requests are the same, and which are not."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import Raw

from hive_routing.caching.keys import KEY_BYTES, WITHOUT_EFFECT, cache_key
from hive_routing.endpoints import ACTED_ON

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_numbers = st.integers(-(10**25), 10**25) | st.floats(allow_nan=False, allow_infinity=False)
_values = st.recursive(
    st.none() | st.booleans() | _numbers | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)
_bodies = st.dictionaries(_texts.filter(lambda name: name not in WITHOUT_EFFECT), _values, max_size=6)


def key(body: str, **changes: str) -> bytes:
    given = {"tenant_id": "t", "model_id": "m", "endpoint": "chat/completions", "guards": "none", **changes}
    return cache_key(fields=msgspec.json.decode(body, type=dict[str, Raw]), **given)


def respelled(value: Any, draw: Any) -> str:
    """The same JSON in other words."""
    blank: str = draw(st.sampled_from(["", " ", "\n\t", "\r\n  "]))
    if isinstance(value, dict):
        members = draw(st.permutations(list(value.items())))
        inner = ",".join(
            f"{blank}{respelled(name, draw)}{blank}:{respelled(each, draw)}" for name, each in members
        )
        return f"{{{inner}{blank}}}{blank}"
    if isinstance(value, list):
        return f"[{blank}{','.join(respelled(each, draw) for each in value)}{blank}]{blank}"
    if isinstance(value, str):
        escaped = draw(st.booleans())
        slash: str = draw(st.sampled_from(["/", "\\/"]))
        text: str = json.dumps(value, ensure_ascii=escaped)
        return text.replace("/", slash)
    if isinstance(value, bool) or value is None:
        return f"{blank}{json.dumps(value)}{blank}"
    spelled: str = draw(st.sampled_from(_spellings(value)))
    return blank + spelled + blank


def _spellings(value: float) -> list[str]:
    text = repr(value)
    spelled = [text]
    if isinstance(value, int):
        spelled += [f"{text}.0", f"{text}.00", f"{text}e0", f"{text}E+0", f"{text}0e-1"]
    elif "e" not in text:
        spelled += [f"{text}0", f"{text}e0", f"{text}E-00"]
    return spelled


@given(_bodies, st.data())
def test_spelling_does_not_matter(body: dict[str, Any], data: st.DataObject) -> None:
    assert key(respelled(body, data.draw)) == key(json.dumps(body))


@given(_bodies, _bodies)
def test_other_values_make_another_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    meant = [
        msgspec.json.encode({name: each for name, each in body.items() if each is not None}, order="sorted")
        for body in (_whole(one), _whole(other))
    ]
    assert (key(json.dumps(one)) == key(json.dumps(other))) == (meant[0] == meant[1])


@given(_bodies, st.data())
def test_a_change_anywhere_makes_another_key(body: dict[str, Any], data: st.DataObject) -> None:
    assume(body)
    name = data.draw(st.sampled_from(sorted(body)))
    changed = {**body, name: [body[name]]}
    assert key(json.dumps(changed)) != key(json.dumps(body))
    if isinstance(body[name], str):
        assert key(json.dumps({**body, name: body[name] + " "})) != key(json.dumps(body))
    if isinstance(body[name], list):
        assert key(json.dumps({**body, name: [*body[name], None]})) != key(json.dumps(body))


def _whole(value: Any) -> Any:
    """Floats without a fraction as the integers that they are."""
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@pytest.mark.parametrize("spelled", ["1", "1.0", "1e0", "10E-1", "0.1e1", " 1.000 "])
def test_a_number_has_one_key(spelled: str) -> None:
    assert key(f'{{"temperature":{spelled}}}') == key('{"temperature":1}')


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "true"),
        ("1", '"1"'),
        ("0", "false"),
        ("0", "[]"),
        ("1e400", "1e401"),
        ("1e400", '"1E+400"'),
        ("1e999999999999999", "2e999999999999999"),
        ("1e99999999999999999999", "2e99999999999999999999"),
        ("0.1", "0.10000000000000000001"),
        ("9007199254740993", "9007199254740992"),
        ("9" * 5000, "8" * 5000),
        ("[1,[2]]", "[[1],2]"),
        ('"\\ud800"', '"\\ud801"'),
        ('{"a":null}', "{}"),
        ("[" * 3000 + "]" * 3000, "[" * 2999 + "]" * 2999),
    ],
)
def test_values_that_are_nearly_the_same(one: str, other: str) -> None:
    keys = [
        cache_key("t", "m", "chat/completions", {"x": Raw(text.encode())}, "") for text in (one, other, one)
    ]
    assert keys[0] == keys[2] != keys[1]


def test_null_is_absence_at_the_top() -> None:
    assert key('{"seed":null,"n":1}') == key('{"n":1}')


@pytest.mark.parametrize("name", sorted(WITHOUT_EFFECT))
def test_members_without_effect(name: str) -> None:
    assert key(f'{{"n":1,"{name}":"a"}}') == key('{"n":1}')


@pytest.mark.parametrize("name", sorted(ACTED_ON - WITHOUT_EFFECT))
def test_all_other_members_have_one(name: str) -> None:
    assert key(f'{{"{name}":1}}') != key("{}")


def test_metadata_counts_where_it_is_stored() -> None:
    assert key('{"store":true,"metadata":{"a":"1"}}') != key('{"store":true,"metadata":{"a":"2"}}')
    assert key('{"store":false,"metadata":{"a":"1"}}') == key('{"store":false,"metadata":{"a":"2"}}')


@given(st.lists(st.text("ab|", max_size=3), min_size=8, max_size=8))
def test_parts_do_not_run_into_each_other(texts: list[str]) -> None:
    names = ("tenant_id", "model_id", "endpoint", "guards")
    one, other = dict(zip(names, texts[:4], strict=True)), dict(zip(names, texts[4:], strict=True))
    assert (key("{}", **one) == key("{}", **other)) == (one == other)


def test_it_has_32_bytes() -> None:
    assert len(key("{}")) == KEY_BYTES


@pytest.mark.parametrize("name", ["metadata", "user", "safety_identifier", "prompt_cache_key"])
@pytest.mark.parametrize("endpoint", ["responses", "interactions"])
def test_what_an_answer_repeats_makes_it_another_one(endpoint: str, name: str) -> None:
    mine, yours = (f'{{"input": "hi", "{name}": "{whose}"}}' for whose in ("mine", "yours"))
    assert key(mine, endpoint=endpoint) != key(yours, endpoint=endpoint)
    assert key(mine) == key(yours)


UNREADABLE = "1e99999999999999999999"


def test_one_member_that_nobody_can_read_leaves_the_others_their_meaning() -> None:
    assert key(f'{{"x":{UNREADABLE},"n":1}}') == key(f'{{"n": 1.0, "seed": null, "x":{UNREADABLE}}}')
    assert key(f'{{"x":{UNREADABLE},"n":1}}') != key(f'{{"x":{UNREADABLE},"n":2}}')
    assert key(f'{{"x":{UNREADABLE}}}') != key(f'{{"x":"{UNREADABLE}"}}')


def test_a_member_without_effect_may_be_what_nobody_can_read() -> None:
    assert key(f'{{"n":1,"metadata":{{"a":{UNREADABLE}}}}}') == key('{"n":1}')


def test_values_of_any_depth_have_a_key() -> None:
    """One that can just be written alone may be too deep where it stands in the key."""
    deep = [{"x": Raw(b"[" * depth + b"]" * depth)} for depth in range(1, 1_100)]
    keys = {cache_key("t", "m", "chat/completions", each, None) for each in deep}
    assert len(keys) == 1_099
