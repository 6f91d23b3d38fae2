"""The dialects by their names."""

from __future__ import annotations

from collections.abc import Mapping

from hive_routing.dialects import chat, converse, gemini, interactions, messages, responses
from hive_routing.dialects.port import Dialect

BY_NAME: Mapping[str, Dialect] = {
    each.name: each
    for each in (
        chat.dialect,
        messages.dialect,
        responses.dialect,
        gemini.dialect,
        converse.dialect,
        interactions.dialect,
    )
}
