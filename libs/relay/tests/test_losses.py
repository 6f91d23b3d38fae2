"""Fingerprints of requests: the same for what is sent again, never for another body."""

from __future__ import annotations

from hive_relay import Request
from hive_relay.losses import fingerprint_of
from hive_relay.principal import Principal
from modelhive.relay.v1.relay_pb2 import BlobReference


def request(tenant: str = "t", body: bytes | BlobReference = b"") -> Request:
    principal = Principal(tenant_id=tenant)
    return Request("req_1", "routing", "POST", "/v1/chat/completions", principal, 20.0, body=body)


def test_bodies_and_tenants_are_told_apart() -> None:
    one = request(body=b"one")
    assert fingerprint_of(one) == fingerprint_of(request(body=b"one"))
    assert fingerprint_of(one) != fingerprint_of(request(body=b"two"))
    assert fingerprint_of(one) != fingerprint_of(request("other", b"one"))


def test_a_blob_is_known_by_its_checksum_else_by_its_name() -> None:
    def of(path: str, digest: bytes = b"") -> bytes:
        return fingerprint_of(request(body=BlobReference(path=path, size_bytes=1, digest=digest)))

    assert of("requests/1", b"same") == of("requests/2", b"same") != of("requests/1", b"other")
    assert of("requests/1") != of("requests/2")
