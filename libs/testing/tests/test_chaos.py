"""The plan of a chaos run, and what counts as an end of a call."""

from __future__ import annotations

from itertools import pairwise

import httpx2
import openai
import pytest

from hive_testing.chaos.callers import KINDS
from hive_testing.chaos.endings import ANSWERED, SILENT, Ending, How, of_error
from hive_testing.chaos.plan import SERVERS, Blow, planned
from hive_testing.chaos.report import Report
from hive_testing.chaos.traffic import Tally

PROCESSES = ["billing-0", "edge-0", "edge-1", "routing-0", "routing-1"]
PARTED = ["edge-0", "routing-0"]
REQUEST = httpx2.Request("POST", "http://gateway/v1/chat/completions")
PLAIN = KINDS[0]


def failed(status: int, **inner: object) -> openai.APIStatusError:
    response = httpx2.Response(status, request=REQUEST)
    return openai.APIStatusError("no", response=response, body={"type": "some_error", **inner})


def test_a_seed_decides_everything() -> None:
    assert planned(7, 300, 15, PROCESSES, PARTED) == planned(7, 300, 15, PROCESSES, PARTED)
    assert planned(7, 300, 15, PROCESSES, PARTED) != planned(8, 300, 15, PROCESSES, PARTED)


@pytest.mark.parametrize("seed", range(20))
def test_a_short_run_has_one_of_each(seed: int) -> None:
    plan = planned(seed, 60, 8, PROCESSES, PARTED)
    assert len(plan) == 7
    assert {fault.blow for fault in plan} >= {Blow.KILL, Blow.PAUSE}
    assert sorted(fault.victim for fault in plan if fault.victim in SERVERS) == sorted(SERVERS)
    (parted,) = (fault for fault in plan if fault.blow in (Blow.CUT, Blow.SILENCE))
    assert parted.victim in PARTED
    assert all(fault.at + fault.seconds < after.at for fault, after in pairwise(plan))
    assert plan[-1].at + plan[-1].seconds < 60


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (failed(503), Ending(How.ERROR, "503 some_error")),
        (
            failed(503, message="Gone for 2.5 s: 7 wait. Try again."),
            Ending(How.ERROR, "503 some_error Gone for … s: … wait"),
        ),
        (failed(502, reason="attempt_lost"), Ending(How.ERROR, "502 some_error attempt_lost")),
        (openai.APIConnectionError(request=REQUEST), Ending(How.CONNECTION_LOST, "APIConnectionError")),
        (httpx2.RemoteProtocolError("cut"), Ending(How.CONNECTION_LOST, "RemoteProtocolError")),
        (openai.APITimeoutError(request=REQUEST), Ending(How.NO_END, "APITimeoutError")),
        (openai.APIError("broke", REQUEST, body={"type": "t"}), Ending(How.ERROR_EVENT, "t")),
    ],
)
def test_how_a_call_ended(error: Exception, ending: Ending) -> None:
    assert of_error(error, ()) == ending


def test_what_a_fault_does_not_excuse() -> None:
    assert of_error(failed(500), ()).how is How.WRONG
    assert of_error(failed(401), ()).how is How.WRONG
    assert of_error(failed(429), ()).how is How.WRONG
    assert of_error(failed(429), (429,)).how is How.ERROR
    assert of_error(failed(500, reason="outcome_unknown"), (), ("outcome_unknown",)).how is How.ERROR


def test_a_lost_connection_needs_a_lost_edge() -> None:
    tally, lost = Tally(), Ending(How.CONNECTION_LOST, "ReadError")
    tally.add(PLAIN, "a", ANSWERED, is_excused=False)
    tally.add(PLAIN, "b", lost, is_excused=True)
    assert not tally.failures
    tally.add(PLAIN, "c", lost, is_excused=False)
    tally.add(PLAIN, "d", SILENT, is_excused=True)
    assert [failure.split(":")[0] for failure in tally.failures] == ["plain c", "plain d"]


def test_what_the_report_says() -> None:
    tally, report = Tally(), Report(7, 60, ["one"])
    tally.add(PLAIN, "a", ANSWERED, is_excused=False)
    tally.add(PLAIN, "b", Ending(How.ERROR, "503 away"), is_excused=False)
    report.take(tally, 2, 3)
    assert (report.calls, report.per_second, report.requests) == (2, 1.0, 3)
    assert report.errors == {"error: 503 away": 1}
    assert "1 callers saw an error (50.00%)" in report.text and "no problem" in report.text
