"""Which of Amazon's operations a path asks for."""

from __future__ import annotations

import re

from hive_testing.simulator.converse import answer, embed, request
from hive_testing.simulator.converse.dialect import CONVERSE
from hive_testing.simulator.endpoint import Endpoint

PATH = re.compile(r"/model/(?P<model>[^/]+)/(?P<operation>converse|converse-stream|count-tokens|invoke)")
OPERATIONS = {
    "converse": Endpoint(request.read, answer.answer, CONVERSE),
    "converse-stream": Endpoint(request.read_stream, answer.stream, CONVERSE),
    "count-tokens": Endpoint(request.read_count, answer.count, CONVERSE),
    "invoke": Endpoint(embed.read, embed.answer, CONVERSE),
}


def find(path: str) -> tuple[Endpoint, dict[str, str]] | None:
    """The endpoint of a path and the names in it; None where it is none of Amazon's."""
    found = PATH.fullmatch(path)
    return (OPERATIONS[found["operation"]], found.groupdict()) if found else None
