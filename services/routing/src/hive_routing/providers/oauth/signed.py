"""JSON web tokens that are signed with RSA and SHA-256 (RS256), as OAuth's servers want them of service accounts."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key


class Signer:
    """One private key. Signing takes about a millisecond."""

    def __init__(self, pem: str, key_id: str = "") -> None:
        """pem: the key, not encrypted. Raises ValueError where it is none of RSA's; the message never holds it."""
        try:
            key = load_pem_private_key(pem.encode(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ValueError("the private key of the credential cannot be read") from None
        if not isinstance(key, RSAPrivateKey):
            raise ValueError("the private key of the credential is not one of RSA's")
        self._key = key
        header = {"alg": "RS256", "typ": "JWT"} | ({"kid": key_id} if key_id else {})
        self._header = _part(header)

    def signed(self, claims: dict[str, Any]) -> str:
        text = f"{self._header}.{_part(claims)}"
        return f"{text}.{_base64(self._key.sign(text.encode(), PKCS1v15(), SHA256()))}"


def _part(value: dict[str, Any]) -> str:
    return _base64(msgspec.json.encode(value))


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
