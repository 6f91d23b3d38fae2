"""What can go wrong at a provider, and what has to come of it, whoever asks."""

from __future__ import annotations

from dataclasses import dataclass

from hive_routing.attempts import Outcome
from hive_runtime.errors import Kind
from hive_testing.simulator import Behaviour

SAID = "Salvē! Apis sum, et hodie multum dico."
LATE = 9
"""Events into a stream: something has been said by then in every dialect."""


@dataclass(frozen=True, slots=True)
class Fault:
    """says: what the provider does. attempts: how often it is asked. words: in what the caller hears.

    is_paid: the tenant pays for what was delivered. ways: whether it happens to whole answers, to streams.
    """

    says: Behaviour
    outcome: Outcome
    kind: Kind
    words: str = "The provider"
    attempts: int = 3
    is_paid: bool = False
    ways: tuple[bool, ...] = (False, True)


def _late(**fields: object) -> Behaviour:
    """Not at once: what comes together with the fault is not delivered, and another deployment is asked."""
    return Behaviour(content=SAID * 8, chunk_delay=0.01, **fields)  # type: ignore[arg-type]


FAULTS = {
    "closed": Fault(Behaviour(hang_up=True), Outcome.UNANSWERED, Kind.UPSTREAM_FAILED),
    "reset": Fault(Behaviour(hang_up=True, reset=True), Outcome.UNANSWERED, Kind.UPSTREAM_FAILED),
    "silent": Fault(Behaviour(silent=True), Outcome.UNANSWERED, Kind.TIMEOUT, attempts=1),
    "cut": Fault(Behaviour(cut_after=0), Outcome.BROKEN, Kind.UPSTREAM_FAILED),
    "cut_late": Fault(
        _late(cut_after=LATE), Outcome.BROKEN, Kind.UPSTREAM_FAILED, attempts=1, is_paid=True, ways=(True,)
    ),
    "stall": Fault(Behaviour(stall_after=0), Outcome.BROKEN, Kind.TIMEOUT, attempts=1),
    "stall_late": Fault(
        _late(stall_after=LATE), Outcome.BROKEN, Kind.TIMEOUT, attempts=1, is_paid=True, ways=(True,)
    ),
    "no_json": Fault(Behaviour(body='{"half": "'), Outcome.BROKEN, Kind.UPSTREAM_FAILED, ways=(False,)),
    "malformed": Fault(Behaviour(malformed_chunk=0), Outcome.BROKEN, Kind.UPSTREAM_FAILED, ways=(True,)),
    "malformed_late": Fault(
        _late(malformed_chunk=LATE),
        Outcome.BROKEN,
        Kind.UPSTREAM_FAILED,
        attempts=1,
        is_paid=True,
        ways=(True,),
    ),
    "html": Fault(
        Behaviour(content_type="text/html", body="<html>Oops.</html>"), Outcome.BROKEN, Kind.UPSTREAM_FAILED
    ),
    "refused": Fault(Behaviour(status=400), Outcome.REFUSED, Kind.INVALID, "told to answer 400", attempts=1),
    "limited": Fault(
        Behaviour(status=429, retry_after=7), Outcome.REFUSED, Kind.RATE_LIMITED, "", attempts=1
    ),
    "away": Fault(Behaviour(status=503), Outcome.REFUSED, Kind.UPSTREAM_FAILED),
    "overloaded": Fault(Behaviour(status=529), Outcome.REFUSED, Kind.UPSTREAM_FAILED),
    "error": Fault(Behaviour(error_event_after=0), Outcome.BROKEN, Kind.UPSTREAM_FAILED, ways=(True,)),
    "error_late": Fault(
        _late(error_event_after=LATE),
        Outcome.BROKEN,
        Kind.UPSTREAM_FAILED,
        attempts=1,
        is_paid=True,
        ways=(True,),
    ),
    "unfinished": Fault(
        _late(no_finish=True, no_done=True),
        Outcome.BROKEN,
        Kind.UPSTREAM_FAILED,
        attempts=1,
        is_paid=True,
        ways=(True,),
    ),
}
