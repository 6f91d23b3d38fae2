"""What is sealed with the public key is read with the private one, and with nothing else."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest

from hive_runtime.sealing import SealingError, SealingKey, load_or_create, seal

SECRET = b"sk-upstream-secret"


def test_the_private_key_opens_what_the_public_one_sealed() -> None:
    key = SealingKey.generate()
    sealed = seal(key.public, SECRET)
    assert SECRET not in sealed
    assert SealingKey.from_text(key.text).open(sealed) == SECRET


def test_two_seals_of_one_secret_differ() -> None:
    key = SealingKey.generate()
    assert seal(key.public, SECRET) != seal(key.public, SECRET)


def test_another_key_is_told_which_key_did_not_fit() -> None:
    other = SealingKey.generate()
    with pytest.raises(SealingError) as error:
        other.open(seal(SealingKey.generate().public, SECRET))
    assert other.public in str(error.value)
    assert other.text not in str(error.value)


@pytest.mark.parametrize("damaged", [b"", b"short", b"x" * 200])
def test_what_was_never_sealed_is_refused(damaged: bytes) -> None:
    with pytest.raises(SealingError, match="cannot be opened"):
        SealingKey.generate().open(damaged)


def test_a_changed_secret_is_refused() -> None:
    key = SealingKey.generate()
    sealed = bytearray(seal(key.public, SECRET))
    sealed[-1] ^= 1
    with pytest.raises(SealingError, match="damaged"):
        key.open(bytes(sealed))


@pytest.mark.parametrize(
    ("text", "words"),
    [("not base64!", "not base64"), (b64encode(b"x" * 31).decode(), "31 bytes"), ("", "0 bytes")],
)
def test_a_text_that_is_no_key_is_refused_without_showing_it(text: str, words: str) -> None:
    with pytest.raises(SealingError, match=words) as error:
        SealingKey.from_text(text)
    assert not text or text not in str(error.value)
    with pytest.raises(SealingError, match=words):
        seal(text, SECRET)


def test_the_representation_of_a_key_tells_no_secret() -> None:
    key = SealingKey.generate()
    assert key.text not in repr(key)


def test_a_key_file_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "credentials-key"
    key = load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_or_create(path).text == key.text


def test_a_file_that_holds_no_key_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "credentials-key"
    path.write_text("something else")
    with pytest.raises(SealingError, match="credentials-key"):
        load_or_create(path)
    assert path.read_text() == "something else"
