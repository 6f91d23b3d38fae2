"""The paths of Cohere."""

from __future__ import annotations

from hive_testing.simulator.cohere import embed, rerank
from hive_testing.simulator.cohere.dialect import COHERE
from hive_testing.simulator.endpoint import Endpoint

ENDPOINTS = {
    "/v1/rerank": Endpoint(rerank.read_v1, rerank.answer, COHERE),
    "/v2/rerank": Endpoint(rerank.read_v2, rerank.answer, COHERE),
    "/v2/embed": Endpoint(embed.read, embed.answer, COHERE),
}
