"""Which of Google's methods a path asks for."""

from __future__ import annotations

import re

from hive_testing.simulator.endpoint import Endpoint, Read, Say
from hive_testing.simulator.gemini import answer, embed, request
from hive_testing.simulator.gemini.dialect import ARRAY, GEMINI, VERTEX, VERTEX_ARRAY

DEVELOPER = re.compile(r"/(?:v1|v1beta|v1alpha)/(?:models|tunedModels)/(?P<model>.+):(?P<method>\w+)")
CLOUD = re.compile(
    r"/(?:v1|v1beta1)/projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/publishers/google/models/"
    r"(?P<model>.+):(?P<method>\w+)"
)
METHODS: dict[str, tuple[Read, Say]] = {
    "generateContent": (request.read, answer.answer),
    "streamGenerateContent": (request.read, answer.stream),
    "countTokens": (request.read_count, answer.count),
    "embedContent": (embed.read, embed.answer),
    "batchEmbedContents": (embed.read_batch, embed.answer_batch),
    "predict": (embed.read_instances, embed.answer_instances),
}
LISTED: tuple[Read, Say] = (request.read, answer.stream_array)
SSE = "alt=sse"


def find(path: str, query: str) -> tuple[Endpoint, dict[str, str]] | None:
    """The endpoint of a path and the names in it; None where it is none of Google's."""
    cloud = CLOUD.fullmatch(path)
    found = cloud or DEVELOPER.fullmatch(path)
    if found is None or found["method"] not in METHODS:
        return None
    is_array = found["method"] == "streamGenerateContent" and SSE not in query.split("&")
    read, say = LISTED if is_array else METHODS[found["method"]]
    dialects = (VERTEX_ARRAY, VERTEX) if cloud else (ARRAY, GEMINI)
    return Endpoint(read, say, dialects[0] if is_array else dialects[1]), found.groupdict()
