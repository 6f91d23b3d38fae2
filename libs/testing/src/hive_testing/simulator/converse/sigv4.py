"""Amazon's signature of a request, version 4, made once more and compared."""

from __future__ import annotations

import hashlib
import hmac
import re
from urllib.parse import quote

from hive_testing.simulator.calls import Call

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "bedrock"
FIELDS = re.compile(
    rf"{ALGORITHM} Credential=(?P<access>[^/]+)/(?P<scope>(?P<day>\d{{8}})/(?P<region>[a-z0-9-]+)/"
    rf"(?P<service>[a-z0-9-]+)/aws4_request), ?SignedHeaders=(?P<headers>[^,]+), ?Signature=(?P<signature>[0-9a-f]+)"
)
NEEDED = {"host", "x-amz-date"}
MISSING = "Missing Authentication Token"
UNKNOWN = "The security token included in the request is invalid."
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)


def fault(call: Call, access: str, secret: str) -> str | None:
    """What is wrong with the signature of a call; None: nothing. Without a secret only its presence counts."""
    headers = call.headers
    if "authorization" not in headers:
        return MISSING
    found = FIELDS.fullmatch(headers["authorization"])
    if found is None or not set(found["headers"].split(";")) >= NEEDED:
        return f"Authorization header is not an {ALGORITHM} signature of {' and '.join(sorted(NEEDED))}."
    if found["access"] != access:
        return UNKNOWN
    stamp = headers.get("x-amz-date", "")
    if found["service"] != SERVICE or not stamp.startswith(found["day"]):
        return f"Credential should be scoped to correct service: '{SERVICE}', and to the day of x-amz-date."
    request = _canonical(call, headers, found["headers"])
    signed = "\n".join((ALGORITHM, stamp, found["scope"], hashlib.sha256(request.encode()).hexdigest()))
    made = hmac.new(_key(secret, found["scope"]), signed.encode(), hashlib.sha256).hexdigest()
    return MISMATCH if secret and not hmac.compare_digest(made, found["signature"]) else None


def _canonical(call: Call, headers: dict[str, str], signed: str) -> str:
    path = "/".join(quote(part, safe="-_.~") for part in call.path.split("/"))
    query = "&".join(sorted(call.query.split("&"))) if call.query else ""
    lines = "".join(f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in signed.split(";"))
    digest = hashlib.sha256(call.body).hexdigest()
    return "\n".join((call.method, path, query, lines, signed, digest))


def _key(secret: str, scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
