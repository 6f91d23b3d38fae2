"""The gateway under test, as the environment names it, and the conversation that every framework has with it."""

# No `from __future__ import annotations` here: frameworks make schemas of the annotations as they find them.

import json
import os
import sys
from collections.abc import Iterable
from typing import Any, Literal

URL = os.environ["SCENARIO_URL"]
KEY = os.environ["SCENARIO_KEY"]
QUESTION = "Use get_weather for Rome."

City = Literal["Rome"]


def get_weather(city: City) -> str:
    """The weather of a city."""
    return f"sunny in {city}, 23 degrees"


def stay_here() -> None:
    """Refuse every connection that would leave this machine: frameworks like to tell their makers about themselves."""

    def check(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", "localhost", None):
            raise PermissionError(f"{arguments[0]} is not this machine")

    sys.addaudithook(check)


def tell(name: str, calls: Iterable[dict[str, Any]], pieces: list[str], **more: Any) -> None:
    """One line about one conversation. calls: what the tools were called with. pieces: the text as it was streamed."""
    print(json.dumps({"name": name, "calls": list(calls), "pieces": pieces, **more}))
