"""Signatures, and the paths that they are of, against those of Amazon's own SDK; and how credentials are read."""

from __future__ import annotations

from urllib.parse import quote

import botocore.session  # type: ignore[import-untyped]
import pytest
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]
from botocore.serialize import create_serializer  # type: ignore[import-untyped]

from hive_routing.providers.aws.credentials import AccessKey, ApiKey, read_credential
from hive_routing.providers.aws.sigv4 import Signer

NOW = 1_790_000_000.9
MOMENT = "20260921T141320Z"
HEADERS = {"host": "bedrock-runtime.eu-central-1.amazonaws.com", "content-type": "application/json"}
MODELS = [
    "amazon.nova-lite-v1:0",
    "us.anthropic.claude-sonnet-4-20250514-v1:0",
    "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-20250514-v1:0",
    "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/a1b2c3d4e5f6",
    "a model/with spaces & signs=1+1?~#%41",
    "bee-é",
]


def path_of(model: str) -> str:
    return f"/model/{quote(model, safe='~')}/converse"


def by_amazon(path: str, headers: dict[str, str], body: bytes, token: str) -> str:
    """The header that their SDK would send at this moment."""
    credentials = Credentials("AKIDEXAMPLE", "wJalr/XUtn+FEMI", token or None)
    auth = SigV4Auth(credentials, "bedrock", "eu-central-1")
    request = AWSRequest("POST", f"https://{headers['host']}{path}", headers, body)
    request.context["timestamp"] = MOMENT
    auth._modify_request_before_signing(request)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    auth._inject_signature_to_request(request, auth.signature(text, request))
    return str(request.headers["Authorization"])


@pytest.mark.parametrize("model", MODELS)
def test_a_model_stands_in_the_path_as_their_sdk_puts_it_there(model: str) -> None:
    service = botocore.session.get_session().get_service_model("bedrock-runtime")
    serializer = create_serializer("rest-json")
    request = serializer.serialize_to_request({"modelId": model}, service.operation_model("Converse"))
    assert path_of(model) == request["url_path"]


@pytest.mark.parametrize("token", ["", "FwoGZXIvYXdzE/+=="])
@pytest.mark.parametrize("prefix", ["", "/behind/a proxy"])
@pytest.mark.parametrize("model", MODELS)
def test_a_signature_is_theirs(model: str, prefix: str, token: str) -> None:
    path = quote(prefix) + path_of(model)
    signer = Signer(AccessKey("AKIDEXAMPLE", "wJalr/XUtn+FEMI", token), "eu-central-1", "bedrock")
    body = b'{"messages":[]}'
    added = signer.sign("POST", path, HEADERS, body, NOW)
    assert added["authorization"] == by_amazon(path, HEADERS, body, token)
    assert added["x-amz-date"] == MOMENT
    assert added.get("x-amz-security-token", "") == token


def test_white_space_in_headers_is_signed_as_it_counts() -> None:
    headers = HEADERS | {"x-note": "  two   words  "}
    signer = Signer(AccessKey("AKIDEXAMPLE", "wJalr/XUtn+FEMI"), "eu-central-1", "bedrock")
    added = signer.sign("POST", path_of("bee"), headers, b"", NOW)
    assert added["authorization"] == by_amazon(path_of("bee"), headers, b"", "")


def test_each_day_has_its_key() -> None:
    signer = Signer(AccessKey("AKIDEXAMPLE", "wJalr/XUtn+FEMI"), "eu-central-1", "bedrock")
    first, later, again = (
        signer.sign("POST", path_of("bee"), HEADERS, b"", NOW + day * 86_400)["authorization"]
        for day in (0, 1, 0)
    )
    assert first == again == by_amazon(path_of("bee"), HEADERS, b"", "")
    assert "/20260922/eu-central-1/bedrock/aws4_request" in later


@pytest.mark.parametrize(
    ("secret", "credential"),
    [
        ("AKIAIOSFODNN7EXAMPLE:wJalr/XUtn+FEMI", AccessKey("AKIAIOSFODNN7EXAMPLE", "wJalr/XUtn+FEMI")),
        ("ASIAIOSFODNN7EXAMPLE:wJalr:a:b\n", AccessKey("ASIAIOSFODNN7EXAMPLE", "wJalr", "a:b")),
        (
            '{"access_key_id":"AKIA1","secret_access_key":"s","session_token":"t","region":"eu-west-1"}',
            AccessKey("AKIA1", "s", "t", "eu-west-1"),
        ),
        ('{"access_key_id": "AKIA1", "secret_access_key": "s"}', AccessKey("AKIA1", "s")),
        ('{"token":"ABSK1","region":"eu-west-1"}', ApiKey("ABSK1", "eu-west-1")),
        ("ABSKQmVkcm9ja0FQSUtleS0xMjM=", ApiKey("ABSKQmVkcm9ja0FQSUtleS0xMjM=")),
        ("bedrock-api-key-YmVl:x", ApiKey("bedrock-api-key-YmVl:x")),
    ],
)
def test_a_credential_may_be_written_in_several_ways(secret: str, credential: AccessKey | ApiKey) -> None:
    assert read_credential(secret) == credential


@pytest.mark.parametrize(
    "secret",
    ["", "  ", "kéy", "two\nlines", '{"access_key_id":"AKIA-hidden"}', '{"token": 1, "k": "AKIA-hidden"'],
)
def test_what_is_no_credential_is_told_without_it(secret: str) -> None:
    with pytest.raises(ValueError, match="credential") as raised:
        read_credential(secret)
    assert "hidden" not in str(raised.value)
