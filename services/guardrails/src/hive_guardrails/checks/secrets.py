"""The guard `secrets`: keys and tokens by their exact shapes, private keys, and passwords next to their names."""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from hive_guardrails.checks.claims import BEFORE, settle
from hive_guardrails.checks.port import Check, Finding, Origin

LONGEST_BLOCK = 4096
"""Characters of the longest private key that is found whole where a text comes in pieces: RSA with 4096 bits."""

_NAMED = 0.8
"""How sure a value is that has a telling name and looks random, but no shape of its own."""


class _Shape(NamedTuple):
    """A secret that `literal` occurs in. Its first group is the secret where it has one."""

    category: str
    literal: str
    pattern: re.Pattern[str]


def _prefixed(category: str, prefix: str, rest: str, alphabet: str = "A-Za-z0-9") -> _Shape:
    literal = re.escape(prefix)  # in front of all: `re` then looks for it as fast as `str.find`
    return _Shape(category, prefix, re.compile(f"{literal}{BEFORE.format(literal)}{rest}(?![{alphabet}])"))


_WORD = "A-Za-z0-9_-"
_BASE64 = "A-Za-z0-9+/"

_SHAPES = (
    _prefixed("openai-key", "sk-", "[A-Za-z0-9_-]{20,220}+", _WORD),
    _prefixed("google-key", "AIza", "[A-Za-z0-9_-]{35}", _WORD),
    _prefixed("google-key", "GOCSPX-", "[A-Za-z0-9_-]{28}", _WORD),
    _prefixed("google-key", "ya29.", "[A-Za-z0-9_-]{30,400}+", _WORD),
    *(_prefixed("aws-key", prefix, "[A-Z2-7]{16}") for prefix in ("AKIA", "ASIA", "ABIA", "ACCA")),
    _Shape(
        "aws-key",
        "AKIA",
        re.compile(rf"AKIA[A-Z2-7]{{16}}[\s,;:|\"']{{1,8}}([{_BASE64}]{{40}})(?![{_BASE64}=])"),
    ),
    *(_prefixed("github-token", f"gh{kind}_", "[A-Za-z0-9]{36,251}+") for kind in "pousr"),
    _prefixed("github-token", "github_pat_", "[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
    *(
        _prefixed(
            "gitlab-token", f"gl{kind}-", r"[A-Za-z0-9_-]{20,300}+(?:\.[0-9a-z]{2}\.[0-9a-z]{9})?", _WORD
        )
        for kind in ("pat", "rt", "dt", "ptt", "cbt", "soat", "agent")
    ),
    *(_prefixed("slack-token", f"xox{kind}-", "[A-Za-z0-9-]{20,250}+", _WORD) for kind in "abceoprs"),
    _prefixed("slack-token", "xapp-", r"\d-[A-Z0-9]{8,14}-\d{8,16}-[a-f0-9]{32,80}+", _WORD),
    _prefixed(
        "slack-token", "hooks.slack.com/services/", "T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{20,28}+"
    ),
    _prefixed("stripe-key", "sk_live_", "[A-Za-z0-9]{16,240}+"),
    _prefixed("stripe-key", "rk_live_", "[A-Za-z0-9]{16,240}+"),
    _prefixed("stripe-key", "whsec_", "[A-Za-z0-9+/]{32,80}+={0,2}"),
    _prefixed("twilio-key", "SK", "[0-9a-f]{32}"),
    _prefixed("sendgrid-key", "SG.", r"[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}", _WORD),
    _prefixed("mailgun-key", "key-", "[0-9a-f]{32}"),
    _prefixed("huggingface-token", "hf_", "[A-Za-z0-9]{34,40}+"),
    _prefixed("npm-token", "npm_", "[A-Za-z0-9]{36}"),
    _prefixed("pypi-token", "pypi-", "[A-Za-z0-9_-]{50,250}+", _WORD),
    _prefixed("docker-token", "dckr_pat_", "[A-Za-z0-9_-]{27}", _WORD),
    *(_prefixed("digitalocean-token", f"do{kind}_v1_", "[a-f0-9]{64}") for kind in "por"),
    *(_prefixed("shopify-token", f"shp{kind}_", "[a-fA-F0-9]{32}") for kind in ("at", "ca", "pa", "ss")),
    _prefixed("databricks-token", "dapi", "[a-f0-9]{32}(?:-[0-9])?"),
    _prefixed("vault-token", "hvs.", "[A-Za-z0-9_-]{24,200}+", _WORD),
    _prefixed("linear-key", "lin_api_", "[A-Za-z0-9]{40}"),
    _prefixed("notion-token", "ntn_", "[A-Za-z0-9]{40,60}+"),
    _prefixed("postman-key", "PMAK-", "[a-f0-9]{24}-[a-f0-9]{34}"),
    _prefixed("grafana-token", "glsa_", "[A-Za-z0-9]{32}_[a-fA-F0-9]{8}"),
    _prefixed("newrelic-key", "NRAK-", "[A-Z0-9]{27}"),
    _prefixed("atlassian-token", "ATATT3", "[A-Za-z0-9_=-]{100,250}+", _WORD),
    _prefixed("age-key", "AGE-SECRET-KEY-1", "[0-9A-Z]{58}"),
    _prefixed("groq-key", "gsk_", "[A-Za-z0-9]{40,60}+"),
    _prefixed("xai-key", "xai-", "[A-Za-z0-9]{60,90}+"),
    _prefixed("perplexity-key", "pplx-", "[A-Za-z0-9]{40,60}+"),
    _prefixed("replicate-token", "r8_", "[A-Za-z0-9]{37}"),
    _prefixed("nvidia-key", "nvapi-", "[A-Za-z0-9_-]{60,70}+", _WORD),
    _prefixed("azure-key", "AccountKey=", "([A-Za-z0-9+/]{86}==)", "A-Za-z0-9+/="),
    _prefixed("azure-key", "SharedAccessKey=", "([A-Za-z0-9+/]{43}=)", "A-Za-z0-9+/="),
    _prefixed("azure-key", "sig=", "([A-Za-z0-9%]{40,70}+)(?<=%3D)"),
    _Shape(
        "azure-key",
        "Q~",
        re.compile(r"(?<![A-Za-z0-9_~.-])[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}(?![A-Za-z0-9_~.-])"),
    ),
    _Shape(
        "telegram-token", ":AA", re.compile(r"(?<![A-Za-z0-9])\d{8,10}:AA[A-Za-z0-9_-]{33}(?![A-Za-z0-9_-])")
    ),
    _Shape(
        "jwt",
        "eyJ",
        re.compile(
            r"eyJ(?:(?<![A-Za-z0-9_.-]eyJ)|(?<=\\[nrt]eyJ))"
            r"[A-Za-z0-9_-]{8,600}+\.eyJ[A-Za-z0-9_-]{8,2600}+\.[A-Za-z0-9_-]{16,700}+"
        ),
    ),
)
"""Those of models, clouds, code hosts, chats and payments; each is tried only where its literal occurs in a run."""

_SHORTEST = b"x" * 20
_IN_RUNS = frozenset((string.ascii_letters + string.digits + "+/=_-.:~%\\?").encode())
_RUNS = bytes(ord("x") if code in _IN_RUNS else ord(" ") for code in range(256))
_RUN = re.compile(_SHORTEST + b"x*")
"""Characters without a blank or a quotation mark between them: no shape matches less. Behind `translate(_RUNS)`.

`?` stands for all that is not ASCII: the digits of other scripts are digits to a pattern.
"""

_IN_URL = _Shape(
    "password",
    "://",
    re.compile(r"://[^\s/:@?#\"'<>`\\]{0,64}+:([^\s/?#\"'<>`\\]{1,100})@(?=[A-Za-z0-9\[])"),
)

_MAKERS = {
    "sk-ant-": "anthropic-key",
    "sk-hive": "modelhive-key",
    "sk-or-": "openrouter-key",
    "sk-lf-": "langfuse-key",
}
"""Whose keys start with `sk-`, besides OpenAI and those who took over its form."""

_OWN_PREFIX = re.compile("sk-(?:(?:[a-z]{2,8}|api[0-9]{2}|oat[0-9]{2}|v[0-9])-)*+")

_BEGIN = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_TO_ITS_END = re.compile(
    r"([^-]*+(?:-(?!----)[^-]*+)*+)-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
)
_MATERIAL = re.compile(r"[A-Za-z0-9+/=]{40,}")
_CUT_OFF = re.compile(
    r"(?:\\[nr]|\s)*+(?:[A-Za-z-]{1,20}:[^\n\\]{1,80}+(?:\\[nr]|\s)++)*+"
    r"[A-Za-z0-9+/=]{40,}+(?:(?:\\[nr]|\s)++[A-Za-z0-9+/=]{16,}+)*+"
)
"""Lines of a key without the one that ends it."""

_VALUE = (
    r"(?:\\?[\"'`](?P<quoted>[^\s\"'`\\]{6,200}+)(?=\\?[\"'`])"
    r"|(?P<bare>[^\s\"'`\\,;<>(){}\[\]&|]{6,200}+)(?![(\[{<&|]))"
)
_REST_OF_NAME = (
    r"(?:[_-]?(?:value|text|str|prod|production|dev|live|staging|[0-9]{1,2}))?(?:\\?[\"'`])?\]?"
    r"(?:[ \t]{0,3}:[ \t]{0,3}(?:str|string|String)(?:[ \t]{0,2}\|[ \t]{0,2}None)?(?=[ \t]{0,3}=))?"
)
_ASSIGNED = r":=|=>|==?|:"
_SAID = r"[ \t](?:is|ist|es|est|lautet)(?=[ \t:])[ \t]{0,2}:?"


def _named(name: str, words: str = "", between: str = _ASSIGNED) -> tuple[str, re.Pattern[str]]:
    """A value behind a name that starts with `name`."""
    return name, re.compile(rf"{name}{words}{_REST_OF_NAME}[ \t]{{0,4}}(?:{between})[ \t]{{0,4}}{_VALUE}")


_PASSWORDS = (
    _named("passw", "(?:or[dt]|d)", f"{_ASSIGNED}|{_SAID}"),
    _named("passphrase", "", f"{_ASSIGNED}|{_SAID}"),
)
_ASSIGNED_PASSWORDS = (_named("pwd"),)
_TOKENS = (
    _named("secret", "(?:[_ -]?(?:access)?[_ -]?key|[_-]?token)?"),
    _named("token"),
    _named("key"),
)
_KINDS_OF_KEYS = re.compile(
    r"(?:api|access|auth|private|account|encryption|signing|shared|master|subscription)[_ -]?$"
)
_LONGEST_KIND = 13
_AWS_NAME = re.compile(r"secret[_ -]?access[_ -]?key")

_BEARER = re.compile(r"bearer[ \t]{1,4}([A-Za-z0-9._~+/=-]{16,600}+)", re.IGNORECASE)
_BASIC = re.compile(r"basic[ \t]{1,4}([A-Za-z0-9+/]{12,200}+={0,2})", re.IGNORECASE)

_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_PLACEHOLDER = re.compile(
    r"example|placeholder|change[_-]?me|redacted|dummy|\.\.\.|…|\*\*|123456789|abcdefgh|(.)\1{5}"
    r"|\$\{|\{\{|%\(|^[<{]|^\$\w+$|^%\w+%$|^x{3,}(?![a-z0-9])|^(?:your|insert)"
    r"|^(?:[a-z]{2,8}[-_])*(?:your|my|the|some|test|fake|sample)(?![a-z0-9])",
    re.IGNORECASE,
)
_COMMON_WORDS = frozenset(
    ("pass", "passw0rd", "pw", "pwd", "secret", "password", "passwd", "user", "username", "token")
)
_WRITTEN = r"(?:[A-Za-z]{0,20}[0-9]{0,3}|[0-9]{4,8})"
_ONLY_WORDS = re.compile(rf"{_WRITTEN}(?:[-_./:@+]{_WRITTEN})*")
_LIKE_A_CALL = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")


class _Secrets:
    """See `secrets`."""

    name = "secrets"
    version = "1"
    threshold = 0.5
    reads: Collection[Origin] = frozenset(Origin)
    redacts = True
    overlap = LONGEST_BLOCK

    def find(self, text: str, threshold: float) -> list[Finding]:
        claims = [claim for claim in _claims(text) if claim.score >= threshold]
        return settle(claims) if claims else []

    def open(self, text: str) -> int:
        """No secret but a private key has a blank in it."""
        last = text[-LONGEST_BLOCK:]
        begun = last.rfind("-----BEGIN")
        end = last.find("-----END", begun)
        if begun >= 0 and (end < 0 or "-----" not in last[end + 8 :]):
            return len(last) - begun
        blank = max(last.rfind(each) for each in " \t\n")
        return len(last) - blank - 1

    def score(self, text: str) -> float:
        return max((claim.score for claim in _claims(text)), default=0.0)


def secrets() -> Check:
    """Finds credentials: by their shapes, with a score of 1, or by the names before them.

    Of a text that comes in pieces, private keys longer than LONGEST_BLOCK are found only as far as they are seen
    together with their first line.
    """
    return _Secrets()


def _claims(text: str) -> Iterator[Finding]:
    if runs := _runs(text):
        for shape in _SHAPES:
            if shape.literal in runs:
                yield from _shaped(shape, text)
    if "PRIVATE KEY" in text:
        yield from _blocks(text)
    lowered = _lowered(text)
    if "pass" in lowered:
        yield from _named_by(_PASSWORDS, _passwords, text, lowered)
    if ":" in text or "=" in text:  # looked for much faster than what may stand before them
        if _IN_URL.literal in text:
            yield from _shaped(_IN_URL, text)
        yield from _named_by(_ASSIGNED_PASSWORDS, _passwords, text, lowered)
        yield from _named_by(_TOKENS, _tokens, text, lowered)
    if "authorization" in lowered or "bearer " in lowered:
        yield from _authorizations(text)


def _named_by(
    names: Iterable[tuple[str, re.Pattern[str]]],
    find: Callable[[re.Pattern[str], str, str], Iterator[Finding]],
    text: str,
    lowered: str,
) -> Iterator[Finding]:
    for literal, pattern in names:
        if literal in lowered:
            yield from find(pattern, text, lowered)


def _runs(text: str) -> str:
    """All of the text that can be part of a shape, a line for each run; most texts have none."""
    marked = text.encode("ascii", "replace").translate(_RUNS)
    if _SHORTEST not in marked:
        return ""
    return "\n".join([text[run.start() : run.end()] for run in _RUN.finditer(marked)])


def _lowered(text: str) -> str:
    """In lower case, and every character at its place."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else text.replace("İ", "i").lower()


def _shaped(shape: _Shape, text: str) -> Iterator[Finding]:
    for match in shape.pattern.finditer(text):
        start, end = match.span(shape.pattern.groups and 1)
        value = text[start:end]
        if shape.category == "password":
            if not _is_placeholder(value) and value.lower() not in _COMMON_WORDS:
                yield Finding("password", start, end)
        elif shape.literal == "sk-":
            prefix = _OWN_PREFIX.match(value)
            if prefix is not None and _is_drawn(value, prefix.end()):
                yield Finding(_maker(value), start, end)
        elif _is_random(value, 0 if shape.pattern.groups else len(shape.literal)):
            yield Finding(shape.category, start, end)


def _maker(key: str) -> str:
    return next((category for prefix, category in _MAKERS.items() if key.startswith(prefix)), "openai-key")


def _blocks(text: str) -> Iterator[Finding]:
    for begin in _BEGIN.finditer(text):
        block = _TO_ITS_END.match(text, begin.end())
        if block is None:
            block = _CUT_OFF.match(text, begin.end())
        elif not _MATERIAL.search(block[1]):
            continue
        if block is not None:
            yield Finding("private-key", begin.start(), block.end())


def _passwords(pattern: re.Pattern[str], text: str, lowered: str) -> Iterator[Finding]:
    for match in pattern.finditer(lowered):
        start, end = _value(match, text)
        if _is_password(text[start:end], match["quoted"] is not None):
            yield Finding("password", start, end, _NAMED)


def _tokens(pattern: re.Pattern[str], text: str, lowered: str) -> Iterator[Finding]:
    for match in pattern.finditer(lowered):
        before = lowered[max(0, match.start() - _LONGEST_KIND) : match.start()]
        name = match[0][: match.start(match.lastgroup or 0) - match.start()]
        if name.startswith("key") and not _KINDS_OF_KEYS.search(before):
            continue
        start, end = _value(match, text)
        value = text[start:end]
        if len(value) == 40 and _AWS_NAME.match(name) and _is_random(value):
            yield Finding("aws-key", start, end)
        elif len(value) >= 16 and _is_drawn(value) and "://" not in value:
            yield Finding(_kind(name), start, end, _NAMED)


def _kind(name: str) -> str:
    return "api-key" if "key" in name else "token" if "token" in name else "secret"


def _value(match: re.Match[str], text: str) -> tuple[int, int]:
    """Where it is: without the full stop of a sentence."""
    start, end = match.span(match.lastgroup or 0)
    if match["bare"] is not None:
        while end > start and text[end - 1] in ".!?:":
            end -= 1
    return start, end


def _authorizations(text: str) -> Iterator[Finding]:
    for match in _BEARER.finditer(text):
        if _is_drawn(match[1]):
            yield Finding("token", *match.span(1), _NAMED)
    for match in _BASIC.finditer(text):
        before = text[max(0, match.start() - 24) : match.start()].lower()
        if "authorization" in before and not _is_placeholder(match[1]):
            yield Finding("password", *match.span(1), _NAMED)


def _is_password(value: str, quoted: bool) -> bool:
    """Letters and something else: of what people choose, all that cannot be a word of a sentence or a name in code."""
    if _is_placeholder(value) or _UUID.fullmatch(value) or _LIKE_A_CALL.fullmatch(value):
        return False
    letter = any(char.isalpha() for char in value)
    digit = any(char.isdigit() for char in value)
    mark = any(not char.isalnum() and char not in "-_./:" for char in value)
    mixed = letter and (digit or mark)
    return mixed and len(value) >= 6 and "://" not in value and (quoted or digit)


def _is_drawn(value: str, prefix: int = 0) -> bool:
    """Random, and not put together from words and numbers as names are."""
    if not any(char.isdigit() for char in value) or not any(char.isalpha() for char in value):
        return False
    return _is_random(value, prefix) and not _ONLY_WORDS.fullmatch(value, prefix)


def _is_random(value: str, prefix: int = 0) -> bool:
    """After its prefix it is no placeholder, and its characters are spread as chance does."""
    body = value[prefix:]
    return bool(body) and not _is_placeholder(body) and not _UUID.fullmatch(body) and _entropy(body) >= 2.6


def _is_placeholder(value: str) -> bool:
    return _PLACEHOLDER.search(value) is not None


def _entropy(value: str) -> float:
    """Bits a character."""
    counts: Iterable[int] = Counter(value).values()
    return math.log2(len(value)) - sum(count * math.log2(count) for count in counts) / len(value)
