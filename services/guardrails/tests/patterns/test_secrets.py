"""Keys by their shapes in any surroundings, and nothing in ordinary text."""

from __future__ import annotations

import base64
import string
from collections.abc import Callable, Iterable
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive_guardrails.checks.claims import settle
from hive_guardrails.checks.port import Check, Finding
from hive_guardrails.checks.secrets import LONGEST_BLOCK, secrets

Cuts = Callable[[Check, str, Iterable[int]], None]

CHECK = secrets()
ALNUM = string.ascii_letters + string.digits
WORD = ALNUM + "-_"
HEX = "0123456789abcdef"
UPPER32 = string.ascii_uppercase + "234567"
BASE64 = ALNUM + "+/"
LINE_ENDS = ("\n", "\r\n", "\\n")


def drawn(random: Random, length: int, alphabet: str = ALNUM) -> str:
    return "".join(random.choices(alphabet, k=length))


def block(random: Random, name: str, size: int) -> str:
    ends = random.choice(LINE_ENDS)
    material = drawn(random, size, BASE64)
    lines = [material[at : at + 64] for at in range(0, size, 64)]
    return ends.join((f"-----BEGIN {name}-----", *lines, f"-----END {name}-----"))


SHAPES: dict[str, tuple[str, Callable[[Random], str]]] = {
    "openai": ("openai-key", lambda r: f"sk-{drawn(r, 20)}T3BlbkFJ{drawn(r, 20)}"),
    "openai project": ("openai-key", lambda r: f"sk-proj-{drawn(r, 156, WORD)}A"),
    "deepseek": ("openai-key", lambda r: "sk-" + drawn(r, 32, HEX)),
    "openrouter": ("openrouter-key", lambda r: "sk-or-v1-" + drawn(r, 64, HEX)),
    "anthropic": ("anthropic-key", lambda r: f"sk-ant-api03-{drawn(r, 93, WORD)}AA"),
    "modelhive": ("modelhive-key", lambda r: f"sk-hive-{drawn(r, 42, WORD)}A"),
    "google": ("google-key", lambda r: "AIza" + drawn(r, 34, WORD) + "A"),
    "aws": ("aws-key", lambda r: r.choice(("AKIA", "ASIA")) + drawn(r, 16, UPPER32)),
    "github": ("github-token", lambda r: r.choice(("ghp_", "gho_", "ghs_")) + drawn(r, 36)),
    "github fine": ("github-token", lambda r: f"github_pat_{drawn(r, 22)}_{drawn(r, 59)}"),
    "gitlab": ("gitlab-token", lambda r: "glpat-" + drawn(r, 19, WORD) + "a"),
    "slack": (
        "slack-token",
        lambda r: f"xoxb-{drawn(r, 12, '123456789')}-{drawn(r, 12, '123456789')}-{drawn(r, 24)}",
    ),
    "stripe": ("stripe-key", lambda r: r.choice(("sk_live_", "rk_live_")) + drawn(r, 24)),
    "twilio": ("twilio-key", lambda r: "SK" + drawn(r, 32, HEX)),
    "sendgrid": ("sendgrid-key", lambda r: f"SG.{drawn(r, 22, WORD)}.{drawn(r, 42, WORD)}x"),
    "hugging face": ("huggingface-token", lambda r: "hf_" + drawn(r, 34, string.ascii_letters)),
    "npm": ("npm-token", lambda r: "npm_" + drawn(r, 36)),
    "pypi": ("pypi-token", lambda r: "pypi-AgEIcHlwaS5vcmc" + drawn(r, 150, WORD) + "a"),
    "groq": ("groq-key", lambda r: "gsk_" + drawn(r, 52)),
    "jwt": ("jwt", lambda r: f"eyJ{drawn(r, 33)}.eyJ{drawn(r, 300, WORD)}.{drawn(r, 42, WORD)}z"),
    "pkcs 8": ("private-key", lambda r: block(r, "PRIVATE KEY", 64)),
    "rsa 4096": ("private-key", lambda r: block(r, "RSA PRIVATE KEY", 3172)),
}

ASSIGNED: dict[str, tuple[str, str, Callable[[Random], str]]] = {
    "password": ("password", 'db_password = "{}"', lambda r: drawn(r, 9) + "7!a"),
    "yaml": ("password", "  password: {}\n", lambda r: drawn(r, 9) + "7a"),
    "spoken": ("password", "Hi, my password is {}. Can you log in?", lambda r: drawn(r, 9) + "7a"),
    "json": ("api-key", '{{"apiKey":"{}"}}', lambda r: drawn(r, 31) + "7"),
    "escaped": ("api-key", '{{\\"api_key\\": \\"{}\\"}}', lambda r: drawn(r, 30, HEX) + "a7"),
    "typed": ("token", "token: str = '{}'", lambda r: drawn(r, 39) + "7"),
    "aws": ("aws-key", "aws_secret_access_key = {}\n", lambda r: drawn(r, 38, BASE64) + "a7"),
    "azure": (
        "azure-key",
        "AccountName=a;AccountKey={};EndpointSuffix=b",
        lambda r: drawn(r, 86, BASE64) + "==",
    ),
    "database": ("password", "postgresql://app:{}@db.internal:5432/app", lambda r: drawn(r, 12)),
    "bearer": ("token", "curl -H 'Authorization: Bearer {}'", lambda r: drawn(r, 39) + "7"),
}

SURROUNDINGS = (
    "{}",
    "the key is {}.",
    '"{}"',
    "({})",
    "KEY={}\n",
    "a\\n{}\\nb",
    "`{}`,",
    "schlüssel:{} 鍵",
    "<{}>",
)

randoms = st.integers(0, 2**32).map(Random)


def found(text: str) -> list[tuple[str, str]]:
    return [(each.category, text[each.start : each.end]) for each in CHECK.find(text, CHECK.threshold)]


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(random=randoms, surroundings=st.sampled_from(SURROUNDINGS))
def test_a_key_is_found_by_its_shape(name: str, random: Random, surroundings: str) -> None:
    category, make = SHAPES[name]
    key = make(random)
    assert (category, key) in found(surroundings.format(key))


@pytest.mark.parametrize("name", ASSIGNED)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(random=randoms)
def test_a_value_is_found_by_its_name(name: str, random: Random) -> None:
    category, assignment, make = ASSIGNED[name]
    value = make(random)
    assert found(assignment.format(value)) == [(category, value)]


@pytest.mark.parametrize(
    "text",
    [
        "sk-... sk-YOUR_API_KEY sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx sk-hive-… sk-ant-api03-your-key-goes-here-0123",
        "api_key: YOUR_API_KEY, API_KEY=<your key>, apiKey: ${API_KEY}, api_key={{ vault.key_2024_production }}",
        "AKIAIOSFODNN7EXAMPLE with wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "token 550e8400-e29b-41d4-a716-446655440000, secret: 550e8400-e29b-41d4-a716-446655440000",
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8 sha256:" + "0a1b2c3d" * 8,
        'password: str, password = get_password(), password=os.environ["PASSWORD"], password == self.password1',
        "The password is required. Your token: expired. max_tokens: 4096, tokenizer = load('cl100k_base_2023')",
        "class='sk-fading-circle sk-circle-animation-delay-12' task-sk-loading-component-2 sk-fading-circle-dot12",
        "model = 'claude-3-5-sonnet-20241022', key = 'user:profile:2024:settings', monkey: a1b2c3d4e5f6a7b8c9d0",
        "http://localhost:8080/path@x postgres://user:password@host/db redis://:${PASS}@cache",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "-----BEGIN CERTIFICATE-----\n" + "MIID" * 16 + "\n-----END CERTIFICATE-----",
        "data:image/png;base64," + base64.b64encode(Random(5).randbytes(6000)).decode(),
    ],
)
def test_placeholders_names_and_identifiers_are_none(text: str) -> None:
    assert found(text) == []


def test_ordinary_text_holds_next_to_none(ordinary: list[str]) -> None:
    findings = [each for text in ordinary for each in found(text)]
    print(len(findings), "in", sum(map(len, ordinary)), "characters")
    assert len(findings) <= 3


def test_every_cut_keeps_what_is_found(cuts: Cuts) -> None:
    random = Random(11)
    keys = [make(random) for _, make in SHAPES.values()]
    named = [text.format(make(random)) for _, text, make in ASSIGNED.values()]
    filler = [drawn(random, random.randint(1, 30), string.ascii_lowercase + " ") for _ in keys + named]
    text = " ".join(piece for pair in zip(filler, keys + named, strict=True) for piece in pair)
    assert len(text) > LONGEST_BLOCK + 2000
    ends = {at for each in CHECK.find(text, CHECK.threshold) for at in (each.start, each.end)}
    near = {at + by for at in ends for by in (-1, 0, 1, CHECK.overlap - 1, CHECK.overlap, CHECK.overlap + 1)}
    cuts(CHECK, text, sorted({at for at in near | {*range(0, len(text), 7)} if 0 <= at <= len(text)}))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(random=randoms, name=st.sampled_from([*SHAPES]), before=st.text(max_size=20), data=st.data())
def test_any_cut_of_any_key_keeps_it(
    cuts: Cuts, random: Random, name: str, before: str, data: st.DataObject
) -> None:
    text = f"{before} {SHAPES[name][1](random)} and so on"
    cuts(CHECK, text, data.draw(st.lists(st.integers(0, len(text)), max_size=5)))


def test_a_key_that_is_cut_off_is_found_as_far_as_it_goes() -> None:
    lines = block(Random(3), "RSA PRIVATE KEY", 640).splitlines()
    text = "\n".join(lines[:6])
    assert found(text) == [("private-key", text)]
    hashed = f"{text}\n\nThat was all. Its hash: {'0a1b2c3d' * 8}"
    assert found(hashed) == [("private-key", text)]


def test_shapes_are_surer_than_names() -> None:
    value = drawn(Random(7), 40)
    assert CHECK.score(f"api_key = {value}") == 0.8
    assert CHECK.score(f"api_key = ghp_{value[:36]}") == 1.0
    assert CHECK.score("nothing") == 0.0
    assert CHECK.find(f"api_key = {value}", 0.9) == []


def test_a_password_may_begin_as_a_variable_does() -> None:
    assert found("password = '$ecret1!' or password = '$SECRET_1'") == [("password", "$ecret1!")]


UNITS = (
    "a", "sk-", " sk-a1", "eyJ", "-eyJ", " eyJaaaaaaaaaa.eyJaaaaaaaaaa", "-----BEGIN PRIVATE KEY-----", "://a:b",
    "passw", "-----BEGIN PRIVATE KEY-----\nA: b\n", "-----BEGIN PRIVATE KEY-----" + "A" * 40, "password=a",
    "api_key='a", "bearer a1", "aaa1Q~", "glpat-a.", "AccountKey=a", "password: str =", "\\n", "-----BEGIN ",
)  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_a_megabyte_of_beginnings_takes_linear_time(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    assert all(0 <= each.start < each.end <= len(text) for each in CHECK.find(text, CHECK.threshold))


spans = st.builds(
    lambda start, size, score, category: Finding(category, start, start + size, score),
    st.integers(0, 30),
    st.integers(1, 12),
    st.sampled_from((0.8, 1.0)),
    st.sampled_from("ab"),
)


@given(st.lists(spans, max_size=12))
def test_settled_claims_do_not_overlap_and_leave_no_character_free(claims: list[Finding]) -> None:
    settled = settle(claims)
    assert all(one.end <= other.start for one, other in pairwise(settled))
    assert {at for each in settled for at in range(each.start, each.end)} == {
        at for each in claims for at in range(each.start, each.end)
    }
    for each in settled:
        longest = max(claim.end - claim.start for claim in claims if claim.start <= each.start < claim.end)
        assert any(
            claim.end - claim.start == longest and claim.category == each.category
            for claim in claims
            if claim.start <= each.start and each.end <= claim.end
        )
