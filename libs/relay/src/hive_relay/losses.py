"""Requests that cost processes: one that took two down with it is refused for a while, for its tenant."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from hashlib import blake2b

from hive_relay.request import Request
from hive_runtime.errors import HiveError, Kind
from modelhive.relay.v1.relay_pb2 import BlobReference

MOST_LOSSES = 2
"""A request that took so many processes down with it is not given to another one."""

REFUSED_SECONDS = 60.0

_MOST_REMEMBERED = 1024


class CostlyBodies:
    """What was lost with too many processes; each caller counts by itself, and forgets when it restarts.

    So a body that is sent on, again and again, takes at most two processes a minute with it for each caller.
    """

    def __init__(self, seconds: float = REFUSED_SECONDS) -> None:
        self._seconds = seconds
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def add(self, fingerprint: bytes) -> None:
        """Refuse it from now on. The oldest are forgotten where there are very many."""
        self._until[fingerprint] = asyncio.get_running_loop().time() + self._seconds
        self._until.move_to_end(fingerprint)
        if len(self._until) > _MOST_REMEMBERED:
            self._until.popitem(last=False)

    def check(self, request: Request) -> None:
        """Raises HiveError `upstream_failed` for a request that is refused; costs nothing while none is."""
        if self._until and (error := self.refusal(fingerprint_of(request))):
            raise error

    def refusal(self, fingerprint: bytes) -> HiveError | None:
        """Why a request with this fingerprint is not run, if so."""
        now = asyncio.get_running_loop().time()
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        until = self._until.get(fingerprint)
        if until is None:
            return None
        return HiveError(
            Kind.UPSTREAM_FAILED,
            f"{MOST_LOSSES} processes were lost while they ran this very request, so it is refused for another"
            f" {until - now:.0f} s. Change it, or tell us if it should work.",
            reason="attempt_lost",
            should_retry=False,
        )


def fingerprint_of(request: Request) -> bytes:
    """The same for what a tenant sends again unchanged, but for bodies in storage without a checksum."""
    digest = blake2b(digest_size=16)
    for text in (request.principal.tenant_id, request.method, request.path, request.query):
        digest.update(text.encode() + b"\0")
    body = request.body
    digest.update(body.digest or body.path.encode() if isinstance(body, BlobReference) else body)
    return digest.digest()
