"""Persons' numbers by their check digits, phone numbers as people write them, and nothing in ordinary text."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive_guardrails.checks import checksums
from hive_guardrails.checks.pii import pii
from hive_guardrails.checks.port import Check

Cuts = Callable[[Check, str, Iterable[int]], None]

CHECK = pii()
DIGITS = string.digits
WORD = string.ascii_letters + string.digits


def drawn(random: Random, length: int, alphabet: str = DIGITS) -> str:
    return "".join(random.choices(alphabet, k=length))


def made(random: Random, form: str, is_right: Callable[[str], bool], tries: int = 5000) -> str:
    """A number of the form (0: a digit, A: a letter, other characters are themselves) that the check accepts."""
    for _ in range(tries):
        number = "".join(
            random.choice(DIGITS)
            if char == "0"
            else random.choice(string.ascii_uppercase)
            if char == "A"
            else char
            for char in form
        )
        if is_right("".join(char for char in number if char.isalnum())):
            return number
    raise AssertionError(form)


def card(random: Random) -> str:
    prefix, length = random.choice(
        (("4", 16), ("4", 19), ("55", 16), ("2221", 16), ("6011", 16), ("3528", 16), ("37", 15))
    )
    digits = made(random, prefix + "0" * (length - len(prefix)), checksums.is_card)
    separator = random.choice(("", " ", "-"))
    if length == 15:
        return separator.join((digits[:4], digits[4:10], digits[10:]))
    return separator.join(digits[at : at + 4] for at in range(0, length, 4))


def iban(random: Random) -> str:
    country = random.choice(("DE", "FR", "ES", "NL", "GB", "NO", "BE", "PL"))
    rest = drawn(random, 4, string.ascii_uppercase) if country in ("GB", "NL") else ""
    rest += drawn(random, checksums.IBAN_LENGTHS[country] - 4 - len(rest))
    check = 98 - int("".join(str(int(char, 36)) for char in rest + country + "00")) % 97
    plain = f"{country}{check:02}{rest}"
    return plain if random.random() < 0.5 else " ".join(plain[at : at + 4] for at in range(0, len(plain), 4))


def email(random: Random) -> str:
    local = (
        drawn(random, random.randint(1, 10), WORD)
        + random.choice(("", ".", "+", "_"))
        + drawn(random, 3, WORD)
    )
    return f"{local}@{drawn(random, random.randint(1, 12), WORD)}.{random.choice(('com', 'de', 'co.uk', 'museum'))}"


def phone(random: Random) -> str:
    form = random.choice(
        (
            "+1 (415) 555-0000", "+14155550000", "+49 30 1230000", "+49 (0)171 1230000", "+33 1 23 45 00 00",
            "0049 89 123000",
            "415-555-0000", "(415) 555-0000", "415.555.0000", "1-800-555-0000", "030 1234000", "0171/1234000",
            "01 23 45 00 00", "01.23.45.00.00", "020 7946 0000", "07700 900000", "(11) 98765-0000", "03-1234-0000",
        )
    )  # fmt: skip
    kept = len(form) - 3
    return form[:kept] + drawn(random, 3) if form[kept:].isdigit() else form


MAKERS: dict[str, tuple[str, Callable[[Random], str]]] = {
    "email": ("{}", email),
    "phone": ("{}", phone),
    "card": ("{}", card),
    "iban": ("{}", iban),
    "ssn": ("{}", lambda r: made(r, "000-00-0000", checksums.is_ssn)),
    "dni": ("{}", lambda r: made(r, "00000000A", checksums.is_dni)),
    "nie": ("{}", lambda r: made(r, r.choice("XYZ") + "0000000A", checksums.is_dni)),
    "nir": (
        "{}",
        lambda r: made(r, f"{r.choice('12')} 00 0{r.randint(1, 9)} 75 000 000 00", checksums.is_nir),
    ),
    "cpf": ("{}", lambda r: made(r, "000.000.000-00", checksums.is_cpf)),
    "aadhaar": ("{}", lambda r: made(r, "7000 0000 0000", checksums.is_aadhaar)),
    "nhs-number": ("NHS number: {}", lambda r: made(r, "400 000 0000", checksums.is_nhs_number)),
    "german-tax-id": ("Steuer-ID: {}", lambda r: made(r, "00 000 000 000", checksums.is_german_tax_id)),
    "pesel": ("PESEL {}", lambda r: made(r, "00010000000", checksums.is_pesel)),
    "codice-fiscale": ("{}", lambda r: made(r, "RSSMRA85T10A000A", checksums.is_codice_fiscale)),
}

SURROUNDINGS = (
    "{}",
    "that is {}.",
    '"{}"',
    "({})",
    "<{}>",
    "data:{}\n",
    "a\\n{}\\nb",
    "`{}`,",
    "Nummer\t{} 番号",
    "{}, ok",
)

randoms = st.integers(0, 2**32).map(Random)


def found(text: str) -> list[tuple[str, str]]:
    return [(each.category, text[each.start : each.end]) for each in CHECK.find(text, CHECK.threshold)]


@pytest.mark.parametrize("category", MAKERS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(random=randoms, surroundings=st.sampled_from(SURROUNDINGS))
def test_what_identifies_someone_is_found_in_any_surroundings(
    category: str, random: Random, surroundings: str
) -> None:
    introduced, make = MAKERS[category]
    number = make(random)
    assert (category, number) in found(surroundings.format(introduced.format(number)))


@pytest.mark.parametrize(
    ("check", "right"),
    [
        (checksums.is_card, "4111111111111111"),
        (checksums.is_card, "378282246310005"),
        (checksums.is_iban, "DE89370400440532013000"),
        (checksums.is_iban, "GB29NWBK60161331926819"),
        (checksums.is_iban, "NO9386011117947"),
        (checksums.is_dni, "12345678Z"),
        (checksums.is_dni, "X1234567L"),
        (checksums.is_cpf, "11144477735"),
        (checksums.verhoeff, "2363"),
        (checksums.is_nhs_number, "9434765919"),
        (checksums.is_pesel, "44051401359"),
        (checksums.is_codice_fiscale, "RSSMRA85T10A562S"),
        (checksums.is_german_tax_id, "86095742719"),
        (checksums.is_nir, "255081416802538"),
    ],
)
def test_known_numbers_are_right_and_one_other_digit_makes_them_wrong(
    check: Callable[[str], bool], right: str
) -> None:
    assert check(right)
    for at in range(len(right)):
        if right[at].isdigit():
            assert not check(f"{right[:at]}{(int(right[at]) + 1) % 10}{right[at + 1 :]}")


@pytest.mark.parametrize(
    "text",
    [
        "v1.2.3, 10.15.7 and 2.31.0.post1; 3.14159265358979 or 0.123456789; 1e-10",
        "2024-01-23 10:11:12, 23.01.2024 10:30, 01/02/2023 12:00, 20240123101112, 1700000000, 1700000000000",
        "192.168.100.200 and 10.0.0.1:8080, fe80::1, 010.020.030.040",
        "order 4155550132, #415-555-0132, ORD-415-555-0132, invoice 2024-000123456, ticket 123456789012",
        "$415 555 0132, 030 12345678 EUR, 1 234 567 890 €, 12,345,678.90, 100 000 000",
        "550e8400-e29b-41d4-a716-446655440000 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "4111 1111 1111 1112 and 4111111111111112, DE88 3704 0044 0532 0130 00, 12345678A, 000-12-3456, 900-12-3456",
        "git@github.com:org/repo, @property, a @ b.c, foo@1.2.3, x@y, user@localhost",
        "ISBN 978-3-16-148410-0, 6 12 24 48 96 192 384 768 1536 3072, 12 345 678 901",
        "lines 100-200, pages 1234-5678, range(1000000, 9999999), 0x1234567890",
    ],
)
def test_other_numbers_are_none(text: str) -> None:
    assert found(text) == []


def test_a_word_before_a_number_says_that_it_is_a_phone() -> None:
    assert found("tel. 4155550132") == [("phone", "4155550132")]
    assert found("Mein Handy: 612 345 678") == [("phone", "612 345 678")]
    assert found("hotel 4155550132") == []


def test_an_escaped_line_break_is_not_part_of_a_name() -> None:
    assert found("Bob\\nnora@x.de\\t\\u00e9va@x.de") == [("email", "nora@x.de"), ("email", "va@x.de")]


def test_ordinary_text_holds_next_to_none(ordinary: list[str]) -> None:
    findings = [each for text in ordinary for each in found(text)]
    numbers = [each for each in findings if each[0] != "email"]
    print(len(numbers), "numbers and", len(findings) - len(numbers), "addresses in", sum(map(len, ordinary)))
    assert len(numbers) <= 3
    assert sum("." not in each for category, each in findings if category == "email") <= 2


def test_every_cut_keeps_what_is_found(cuts: Cuts) -> None:
    random = Random(5)
    pieces = [introduced.format(make(random)) for introduced, make in MAKERS.values()]
    text = " and then, said somebody, ".join(pieces)
    assert {category for category, _ in found(text)} == {*MAKERS}
    cuts(CHECK, text, range(len(text) + 1))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    random=randoms, category=st.sampled_from([*MAKERS]), around=st.sampled_from(SURROUNDINGS), data=st.data()
)
def test_any_cut_keeps_it(
    cuts: Cuts, random: Random, category: str, around: str, data: st.DataObject
) -> None:
    introduced, make = MAKERS[category]
    text = " ".join(
        around.format(introduced.format(make(random))) for _ in range(data.draw(st.integers(1, 12)))
    )
    cuts(CHECK, text, data.draw(st.lists(st.integers(0, len(text)), max_size=8)))


def test_the_longest_that_may_be_is_kept_by_every_cut(cuts: Cuts) -> None:
    longest = f"{'n' * 64}@{'.'.join(['h' * 40] * 3)}.de"
    text = f"{'word ' * 60}{longest} {'word ' * 60}"
    assert found(text) == [("email", longest)]
    cuts(CHECK, text, range(len(text) + 1))


UNITS = (
    "@",
    "a@a.",
    "a@b.c-",
    "1",
    "1 ",
    "(1",
    "1.2",
    "X1234567",
    "DE89 3704 0044 0532 0130 0",
    "4111 ",
    "(030) ",
)


@pytest.mark.parametrize("unit", UNITS)
def test_a_megabyte_of_beginnings_takes_linear_time(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    findings = CHECK.find(text, CHECK.threshold)
    assert all(0 <= each.start < each.end <= len(text) for each in findings)
