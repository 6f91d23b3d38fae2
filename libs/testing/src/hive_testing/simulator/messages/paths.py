"""The paths of Anthropic."""

from __future__ import annotations

from hive_testing.simulator.endpoint import Endpoint
from hive_testing.simulator.messages.answer import answer, count
from hive_testing.simulator.messages.dialect import MESSAGES
from hive_testing.simulator.messages.request import read, read_count

ENDPOINTS = {
    "/v1/messages": Endpoint(read, answer, MESSAGES),
    "/v1/messages/count_tokens": Endpoint(read_count, count, MESSAGES),
}
