"""Interactions that are kept, with Google's official Python SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai._gaos.lib.compat_errors import NotFoundError

from hive_testing.gateway import Served, eventually
from hive_testing.simulator import SimulatorThread


@pytest.fixture(scope="module")
def google(gateway: Served) -> Iterator[Any]:
    options: Any = {"base_url": gateway.url, "api_version": "v1"}
    with genai.Client(api_key=gateway.key, http_options=options) as client:
        yield client.interactions


def test_an_interaction_is_kept_gone_on_from_and_deleted(google: Any, simulator: SimulatorThread) -> None:
    first = google.create(model="gpt-4o", input="one")
    second = google.create(model="gpt-4o", input="two", previous_interaction_id=first.id)

    assert first.output_text == "Echo: one" and second.output_text == "Echo: two"
    again = google.get(second.id)
    assert (again.id, again.status, again.output_text) == (second.id, "completed", "Echo: two")
    google.delete(second.id)
    with pytest.raises(NotFoundError):
        google.get(second.id)


def test_an_interaction_in_the_background(google: Any, gateway: Served, simulator: SimulatorThread) -> None:
    queued = google.create(model="gpt-4o", input="hello", background=True)
    eventually(lambda: google.get(queued.id).status == "completed", 20, "the interaction")
    assert google.get(queued.id).output_text == "Echo: hello"
    silent = google.create(model=gateway.add_model(model="sim/silent=true"), input="hello", background=True)
    assert google.cancel(silent.id).status == "cancelled"


def test_a_stream_in_the_background_can_be_had_again(google: Any, simulator: SimulatorThread) -> None:
    told = list(google.create(model="gpt-4o", input="hi", background=True, stream=True))
    id = told[0].interaction.id

    rest = list(google.get(id, stream=True, last_event_id=told[1].event_id))

    assert [event.event_id for event in rest] == [event.event_id for event in told[2:]]
    assert rest[-1].event_type == "interaction.completed"
