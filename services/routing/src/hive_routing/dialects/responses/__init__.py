"""OpenAI's responses, for clients who ask in this dialect and for providers who answer in it."""

from hive_routing.dialects.responses.dialect import Responses

dialect = Responses()

__all__ = ["Responses", "dialect"]
