"""Secrets that many may write down and one may read: sealed with a public key, opened with the private one.

Both keys are 32 bytes (X25519), written as base64 text.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from hive_runtime import private_file

KEY_BYTES = 32


class SealingError(Exception):
    """A key that is none, or that does not fit; the message never holds a key or a secret."""


class SealingKey:
    """The private key: opens what was sealed with its `public` half."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key

    def __repr__(self) -> str:
        return f"SealingKey(public={self.public!r})"

    @classmethod
    def generate(cls) -> SealingKey:
        return cls(PrivateKey.generate())

    @classmethod
    def from_text(cls, text: str) -> SealingKey:
        """The key that `text` holds as base64; raises SealingError where it holds none."""
        return cls(PrivateKey(_key_bytes(text)))

    @property
    def text(self) -> str:
        """The private key as base64: a secret."""
        return b64encode(bytes(self._key)).decode()

    @property
    def public(self) -> str:
        """The public key as base64, for `seal`."""
        return b64encode(bytes(self._key.public_key)).decode()

    def open(self, sealed: bytes) -> bytes:
        """The plain text; raises SealingError where it was sealed for another key, or was changed."""
        try:
            return SealedBox(self._key).decrypt(sealed)
        except (CryptoError, TypeError, ValueError):
            raise SealingError(
                f"This secret cannot be opened with the credentials key whose public half is {self.public}: "
                "it was sealed for another key, or it was damaged. Bring the former key back, or enter the "
                "secret again."
            ) from None


def seal(public: str, plaintext: bytes) -> bytes:
    """Seal for the owner of `public` (base64); two seals of one text differ. Raises SealingError."""
    return SealedBox(PublicKey(_key_bytes(public))).encrypt(plaintext)


def credentials_key(given: str | None, folder: Path) -> SealingKey:
    """The key of providers' credentials: the one that is given, else the one that is kept in the data folder.

    Blocks on the file. Raises SealingError where there is a text that is no key.
    """
    return SealingKey.from_text(given) if given else load_or_create(folder / "credentials-key")


def load_or_create(path: Path) -> SealingKey:
    """The key that the file holds; a new one, in a file that its owner alone can read, where there is none.

    Blocks on the file. Raises SealingError where the file holds no key.
    """
    text, _ = private_file.load_or_create(path, lambda: SealingKey.generate().text)
    try:
        return SealingKey.from_text(text)
    except SealingError as error:
        raise SealingError(f"{path}: {error}") from None


def _key_bytes(text: str) -> bytes:
    try:
        key = b64decode(text.strip(), validate=True)
    except (NotBase64, ValueError):
        raise SealingError("A sealing key is 32 bytes in base64; this is not base64.") from None
    if len(key) != KEY_BYTES:
        raise SealingError(f"A sealing key is 32 bytes in base64; this has {len(key)} bytes.")
    return key
