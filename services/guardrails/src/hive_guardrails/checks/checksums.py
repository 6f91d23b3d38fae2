"""Check digits of numbers that people and accounts have. Digits come without separators, letters in upper case."""

from __future__ import annotations

import re

IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28,
    "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20,
    "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25,
    "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27,
    "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip
"""Characters of an IBAN, by its country."""

_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

_CARD = re.compile(
    r"4\d{12}(?:\d{3}){0,2}"
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"
    r"|3[47]\d{13}"
    r"|3(?:0[0-5]|[68]\d)\d{11}"
    r"|(?:6011\d\d|64[4-9]\d{3}|65\d{4}|62\d{4}|35(?:2[89]|[3-8]\d)\d\d)\d{10,13}"
)
"""Visa, Mastercard, American Express, Diners Club; Discover, UnionPay, JCB."""

_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"

_TIMES = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_TURNED = (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip
"""Verhoeff's multiplication in the dihedral group, and his permutation of the digits by their place."""

_ODD_PLACES = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            1, 0, 5, 7, 9, 13, 15, 17, 19, 21,
            1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
        ),
        strict=True,
    )
)  # fmt: skip


def is_card(digits: str) -> bool:
    """A payment card's number: a known issuer's prefix and length, and its check digit."""
    return _CARD.fullmatch(digits) is not None and luhn(digits)


def luhn(digits: str) -> bool:
    plain = sum(map(int, digits[-1::-2]))
    return (plain + sum(_DOUBLED[int(digit)] for digit in digits[-2::-2])) % 10 == 0


def is_iban(iban: str) -> bool:
    """Of a known country, as long as its IBANs are, and 1 modulo 97."""
    if len(iban) != IBAN_LENGTHS.get(iban[:2]):
        return False
    return int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4])) % 97 == 1


def is_ssn(digits: str) -> bool:
    """A US social security number that may have been given out; it has no check digit."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def is_dni(number: str) -> bool:
    """Spain: a DNI (eight digits and a letter) or a NIE (X, Y or Z, seven digits and a letter)."""
    digits = str("XYZ".index(number[0])) + number[1:-1] if number[0] in "XYZ" else number[:-1]
    return _DNI_LETTERS[int(digits) % 23] == number[-1]


def is_nir(number: str) -> bool:
    """France: sex, year, month, place, order and two digits of control; 2A and 2B are Corsica."""
    plain = number[:13].replace("2A", "19").replace("2B", "18")
    month = int(number[3:5])
    known = 1 <= month <= 12 or 20 <= month <= 42 or month >= 50
    return plain.isdigit() and known and 97 - int(plain) % 97 == int(number[13:])


def is_german_tax_id(digits: str) -> bool:
    """Eleven digits: of the first ten one occurs twice or three times and no other one does; ISO 7064 (11, 10)."""
    counts = sorted(digits[:10].count(digit) for digit in set(digits[:10]))
    if digits[0] == "0" or counts[-1] not in (2, 3) or counts[-2] != 1:
        return False
    product = 10
    for digit in digits[:10]:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[10])


def is_cpf(digits: str) -> bool:
    """Brazil: nine digits and two that check them; eleven equal digits are nobody's."""
    if len(set(digits)) == 1:
        return False
    return all(
        sum(int(digit) * weight for digit, weight in zip(digits, range(length + 1, 1, -1), strict=False))
        * 10 % 11 % 10
        == int(digits[length])
        for length in (9, 10)
    )  # fmt: skip


def verhoeff(digits: str) -> bool:
    check = 0
    for place, digit in enumerate(reversed(digits)):
        check = int(_TIMES[check][int(_TURNED[place % 8][int(digit)])])
    return check == 0


def is_aadhaar(digits: str) -> bool:
    """India: twelve digits, the first one from 2 on."""
    return digits[0] >= "2" and verhoeff(digits)


def is_nhs_number(digits: str) -> bool:
    """United Kingdom: ten digits, modulo 11."""
    check = -sum(int(digit) * weight for digit, weight in zip(digits, range(10, 1, -1), strict=False)) % 11
    return check == int(digits[9])


def is_pesel(digits: str) -> bool:
    """Poland: a day of birth (the century is in the month), an order and a check digit."""
    month, day = int(digits[2:4]) % 20, int(digits[4:6])
    weighed = sum(int(digit) * weight for digit, weight in zip(digits, (1, 3, 7, 9) * 3, strict=False))
    check = -(weighed - int(digits[10]) * 7) % 10
    return 1 <= month <= 12 and 1 <= day <= 31 and check == int(digits[10])


def is_codice_fiscale(code: str) -> bool:
    """Italy: fifteen letters and digits and a letter that checks them."""
    odd = sum(_ODD_PLACES[char] for char in code[0:15:2])
    even = sum(int(char, 36) - (10 if char.isalpha() else 0) for char in code[1:15:2])
    return chr(ord("A") + (odd + even) % 26) == code[15]
