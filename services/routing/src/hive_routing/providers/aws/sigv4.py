"""Requests to Amazon's services, signed with an access key (Signature Version 4)."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from urllib.parse import quote

from hive_routing.providers.aws.credentials import AccessKey

_ALGORITHM = "AWS4-HMAC-SHA256"


class Signer:
    """Signs for one service in one region. Keys of the day are kept."""

    def __init__(self, key: AccessKey, region: str, service: str) -> None:
        self._key = key
        self._region = region
        self._service = service
        self._day = ""
        self._day_key = b""

    def sign(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, now: float
    ) -> dict[str, str]:
        """The headers to be added. now: seconds since the epoch.

        path: as it is on the wire, percent-encoded and without a query. headers: by lower-case names, `host` among
        them; all are signed, and have to be sent as they are.
        """
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        added = {"x-amz-date": moment}
        if self._key.session_token:
            added["x-amz-security-token"] = self._key.session_token
        signed = {**headers, **added}
        names = ";".join(sorted(signed))
        lines = "".join(f"{name}:{' '.join(signed[name].split())}\n" for name in sorted(signed))
        # What is encoded on the wire is encoded once more here: a colon in a model's name becomes `%253A`.
        request = (
            f"{method}\n{quote(path, safe='/~')}\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
        )
        scope = f"{moment[:8]}/{self._region}/{self._service}/aws4_request"
        digest = hashlib.sha256(request.encode()).hexdigest()
        signature = _mac(self._key_of(moment[:8]), f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}").hex()
        credential = f"Credential={self._key.access_key_id}/{scope}"
        added["authorization"] = f"{_ALGORITHM} {credential}, SignedHeaders={names}, Signature={signature}"
        return added

    def _key_of(self, day: str) -> bytes:
        if day != self._day:
            key = f"AWS4{self._key.secret_access_key}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = _mac(key, part)
            self._day, self._day_key = day, key
        return self._day_key


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
