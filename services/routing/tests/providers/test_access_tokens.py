"""Google's and Microsoft's access tokens: asked for once, kept, renewed before they end, by the house's clock."""

from __future__ import annotations

import asyncio
import base64
from functools import cache
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hive_routing.providers.failures import CREDENTIAL_REFUSED
from hive_routing.providers.oauth import tokens
from hive_routing.providers.oauth.tokens import AccessTokens
from hive_routing.providers.over_http import Site
from hive_runtime.errors import HiveError, Kind

BODY = b'{"contents":[]}'
OPTIONS = {"project": "p-1", "location": "europe-west4"}


class StillClock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def now(self) -> float:
        return 1_790_000_000 + self.seconds

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


@cache
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: Any) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()  # type: ignore[no-any-return]


def account(recorder: Any, **fields: str) -> str:
    usual = {
        "type": "service_account",
        "client_email": "robot@p-1.iam.test",
        "private_key_id": "key-1",
        "private_key": pem(private_key()),
        "token_uri": f"{recorder.url}/token",
    }
    return msgspec.json.encode(usual | fields).decode()


def grant(recorder: Any, token: str = "ya29.first", seconds: Any = 3600) -> None:
    recorder.tell({"access_token": token, "expires_in": seconds, "token_type": "Bearer"}, path="/token")


def asked_for_tokens(recorder: Any) -> list[Any]:
    return [each for each in recorder.asked if each.path == "/token"]


def unpacked(part: str) -> Any:
    return msgspec.json.decode(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def test_a_service_account_signs_for_a_token(speaking: Any, recorder: Any) -> None:
    grant(recorder)
    clock = StillClock()
    speaker = speaking("vertex", credential=account(recorder), options=OPTIONS, clock=clock)
    await speaker.send("gemini", BODY, model="gemini-2.5-pro", stream=True)
    token, call = recorder.asked
    assert token.headers["content-type"] == "application/x-www-form-urlencoded"
    form = {name: values[0] for name, values in parse_qs(token.body.decode()).items()}
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    head, claims, signature = form["assertion"].split(".")
    assert unpacked(head) == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
    assert unpacked(claims) == {
        "iss": "robot@p-1.iam.test",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": f"{recorder.url}/token",
        "iat": int(clock.now()),
        "exp": int(clock.now()) + 3600,
    }
    private_key().public_key().verify(
        base64.urlsafe_b64decode(signature + "=="), f"{head}.{claims}".encode(), PKCS1v15(), SHA256()
    )
    assert call.path == (
        "/v1beta1/projects/p-1/locations/europe-west4/publishers/google/models/gemini-2.5-pro"
        ":streamGenerateContent?alt=sse"
    )
    assert call.headers["authorization"] == "Bearer ya29.first"
    assert call.body == BODY


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("publishers/meta/models/llama", "publishers/meta/models/llama:generateContent"),
        ("endpoints/123", "endpoints/123:generateContent"),
    ],
)
async def test_models_of_others_and_tuned_ones_are_named_by_their_path(
    speaking: Any, recorder: Any, model: str, path: str
) -> None:
    grant(recorder)
    speaker = speaking("vertex", credential=account(recorder), options={"project": "p-1"})
    await speaker.send("gemini", BODY, model=model)
    assert recorder.last.path == f"/v1beta1/projects/p-1/locations/global/{path}"


async def test_a_token_is_kept_and_renewed_before_its_end(speaking: Any, recorder: Any) -> None:
    grant(recorder, seconds="3600")
    clock = StillClock()
    speaker = speaking("vertex", credential=account(recorder), options=OPTIONS, clock=clock)
    await speaker.send("gemini", BODY)
    clock.seconds += 3600 - tokens.EARLY_SECONDS - 1
    await speaker.send("gemini", BODY)
    assert len(asked_for_tokens(recorder)) == 1
    grant(recorder, "ya29.second")
    clock.seconds += 2
    await speaker.send("gemini", BODY)
    assert len(asked_for_tokens(recorder)) == 2
    assert recorder.last.headers["authorization"] == "Bearer ya29.second"


async def test_a_token_that_is_still_good_outlives_a_server_that_is_away(
    speaking: Any, recorder: Any
) -> None:
    grant(recorder)
    clock = StillClock()
    speaker = speaking("vertex", credential=account(recorder), options=OPTIONS, clock=clock)
    await speaker.send("gemini", BODY)
    recorder.tell({}, status=503, path="/token")
    clock.seconds += 3500
    for _ in range(3):
        assert (await speaker.send("gemini", BODY))[0] == 200
    assert len(asked_for_tokens(recorder)) == 2  # and not once for each call
    clock.seconds += 200
    with pytest.raises(HiveError) as raised:
        await speaker.send("gemini", BODY)
    assert raised.value.kind is Kind.UPSTREAM_FAILED
    assert raised.value.reason is None


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, {"error": "invalid_grant", "error_description": "secret things"}, CREDENTIAL_REFUSED),
        (401, {}, CREDENTIAL_REFUSED),
        (500, {}, None),
        (200, b"<html>", None),
        (200, {"access_token": "a\nb"}, None),
    ],
)
async def test_no_token_is_no_call(
    speaking: Any, recorder: Any, status: int, body: Any, reason: str | None
) -> None:
    recorder.tell(body, status=status, path="/token")
    speaker = speaking("vertex", credential=account(recorder), options=OPTIONS)
    with pytest.raises(HiveError) as raised:
        await speaker.send("gemini", BODY)
    assert (raised.value.kind, raised.value.reason) == (Kind.UPSTREAM_FAILED, reason)
    assert "secret" not in raised.value.message
    assert len(recorder.asked) == 1


async def test_many_calls_fetch_one_token(recorder: Any) -> None:
    grant(recorder)
    fetched = AccessTokens(Site("acme", "vertex", recorder.url), f"{recorder.url}/token", dict)
    assert set(await asyncio.gather(*(fetched.get() for _ in range(20)))) == {"ya29.first"}
    assert len(recorder.asked) == 1
    fetched.close()


async def test_many_calls_fail_by_one_fetch(recorder: Any) -> None:
    recorder.tell({}, status=500)
    fetched = AccessTokens(Site("acme", "vertex", recorder.url), f"{recorder.url}/token", dict)
    failures = await asyncio.gather(*(fetched.get() for _ in range(20)), return_exceptions=True)
    assert all(isinstance(each, HiveError) for each in failures)
    assert len(recorder.asked) == 1
    fetched.close()


async def test_a_token_that_is_refused_is_fetched_anew_and_never_shown(speaking: Any, recorder: Any) -> None:
    grant(recorder)
    recorder.tell({"error": {"message": "bad ya29.first"}}, status=401)
    speaker = speaking("vertex", credential=account(recorder), options=OPTIONS)
    assert (await speaker.send("gemini", BODY))[1] == b'{"error":{"message":"bad ***"}}'
    await speaker.send("gemini", BODY)
    assert len(asked_for_tokens(recorder)) == 2


async def test_a_users_own_credential_is_refreshed(speaking: Any, recorder: Any) -> None:
    grant(recorder)
    credential = msgspec.json.encode(
        {
            "type": "authorized_user",
            "client_id": "c",
            "client_secret": "s",
            "refresh_token": "r",
            "token_uri": f"{recorder.url}/token",
        }
    ).decode()
    await speaking("vertex", credential=credential, options=OPTIONS).send("gemini", BODY)
    form = parse_qs(recorder.asked[0].body.decode())
    assert (form["grant_type"], form["refresh_token"]) == (["refresh_token"], ["r"])


async def test_a_machine_asks_for_the_token_of_its_own_identity(recorder: Any) -> None:
    grant(recorder)
    site = Site("acme", "vertex", recorder.url)
    fetched = AccessTokens(site, f"{recorder.url}/token?x=1", None, {"metadata-flavor": "Google"})
    recorder.tell({"access_token": "ya29.machine", "expires_in": 10}, path="/token?x=1")
    assert await fetched.get() in ("ya29.first", "ya29.machine")
    assert (recorder.last.method, recorder.last.headers["metadata-flavor"]) == ("GET", "Google")
    assert (recorder.last.path, recorder.last.body) == ("/token?x=1", b"")
    fetched.close()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"private_key": "no key"}, "cannot be read"),
        ({"private_key": pem(ec.generate_private_key(ec.SECP256R1()))}, "not one of RSA's"),
        ({"type": "external_account"}, "'external_account' cannot be used"),
    ],
)
async def test_a_credential_that_cannot_sign_is_refused(
    speaking: Any, recorder: Any, fields: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        speaking("vertex", credential=account(recorder, **fields), options=OPTIONS)


async def test_claude_at_vertex_is_named_by_the_path_alone(speaking: Any, recorder: Any) -> None:
    grant(recorder)
    speaker = speaking(
        "vertex-anthropic", credential=account(recorder), options=OPTIONS, headers={"anthropic-beta": "b-1"}
    )
    body = b'{"model":"x","max_tokens":5,"messages":[]}'
    await speaker.send("messages", body, model="claude-sonnet-5@20260101", stream=True)
    assert recorder.last.path.endswith(
        "/publishers/anthropic/models/claude-sonnet-5@20260101:streamRawPredict"
    )
    assert recorder.last.json == {
        "max_tokens": 5,
        "messages": [],
        "anthropic_version": "vertex-2023-10-16",
    }
    assert recorder.last.headers["anthropic-beta"] == "b-1"
    await speaker.send("messages", body, model="claude-haiku-5-5")
    assert recorder.last.path.endswith("/publishers/anthropic/models/claude-haiku-5-5:rawPredict")


async def test_azure_takes_a_clients_secret(speaking: Any, recorder: Any) -> None:
    recorder.tell({"access_token": "eyJ.entra", "expires_in": 3599}, path="/tenant-1/oauth2/v2.0/token")
    options = {"tenant_id": "tenant-1", "client_id": "app-1", "authority": recorder.url}
    speaker = speaking("azure", options=options)
    await speaker.send("chat", b"{}")
    form = {name: values[0] for name, values in parse_qs(recorder.asked[0].body.decode()).items()}
    assert form == {
        "grant_type": "client_credentials",
        "client_id": "app-1",
        "client_secret": "sk-secret",
        "scope": "https://cognitiveservices.azure.com/.default",
    }
    assert recorder.last.headers["authorization"] == "Bearer eyJ.entra"
    assert "api-key" not in recorder.last.headers
