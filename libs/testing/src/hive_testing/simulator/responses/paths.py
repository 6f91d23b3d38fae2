"""The paths of OpenAI's responses."""

from __future__ import annotations

from hive_testing.simulator.endpoint import Endpoint
from hive_testing.simulator.responses.answer import answer, count
from hive_testing.simulator.responses.dialect import RESPONSES
from hive_testing.simulator.responses.request import read, read_count

ENDPOINTS = {
    "/v1/responses": Endpoint(read, answer, RESPONSES),
    "/v1/responses/input_tokens": Endpoint(read_count, count, RESPONSES),
}
