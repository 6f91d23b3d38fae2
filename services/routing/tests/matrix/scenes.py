"""What happens in each row of the matrix: what is asked, what the model says, what the tools give."""

from __future__ import annotations

from dataclasses import dataclass

from hive_routing.dialects.form import Stop
from hive_testing.simulator import Behaviour, ScriptedTool
from services.routing.tests.matrix.asking import Ask, Given

SYSTEM = "Answer in Latin."
SAID = "Salvē! 🐝 Apis sum."
THOUGHT = "A bee is asked for. It says so in Latin, or not at all."
WEATHER = ScriptedTool("get_weather", '{"city":"Zürich","days":[1,2],"deep":{"is":null}}')
TIME = ScriptedTool("get_time", '{"city":"Rōma"}')
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "number", "minimum": 3}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}
_ANSWER = Behaviour(content="Et cetera.")


@dataclass(frozen=True, slots=True)
class Scene:
    """ask, says: the first turn. given: by the tools that were called. then: what the model says in the second turn."""

    ask: Ask = Ask()
    says: Behaviour = Behaviour(content=SAID)
    stop: Stop = Stop.END
    given: tuple[Given, ...] = ()
    then: Behaviour = _ANSWER


SCENES = {
    "text": Scene(),
    "system": Scene(Ask(system=SYSTEM)),
    "tools": Scene(
        Ask(tools=("get_weather", "get_time")),
        Behaviour(content="I look it up.", tool_calls=[WEATHER]),
        Stop.TOOLS,
        (Given("sunny"),),
    ),
    "parallel_tools": Scene(
        Ask(tools=("get_weather", "get_time")),
        Behaviour(tool_calls=[WEATHER, TIME, WEATHER]),
        Stop.TOOLS,
        (Given("sunny"), Given("noon"), Given("cloudy")),
    ),
    "tool_images": Scene(
        Ask(tools=("get_weather",)),
        Behaviour(tool_calls=[WEATHER]),
        Stop.TOOLS,
        (Given("sunny", image=True),),
    ),
    "schema": Scene(Ask(schema=SCHEMA), Behaviour()),
    "thinking": Scene(
        Ask(thinks=True, tools=("get_weather",)),
        Behaviour(thinking=THOUGHT, content="I look it up.", tool_calls=[WEATHER]),
        Stop.TOOLS,
        (Given("sunny"),),
    ),
    "thinking_text": Scene(Ask(thinks=True), Behaviour(thinking=THOUGHT, content=SAID)),
    "images": Scene(Ask(image="data"), Behaviour()),
    "image_urls": Scene(Ask(image="url"), Behaviour()),
    "documents": Scene(Ask(document="data"), Behaviour()),
    "document_urls": Scene(Ask(document="url"), Behaviour()),
    "length": Scene(Ask(max_output=16), Behaviour(content="x" * 200), Stop.LENGTH),
    "stop": Scene(Ask(stop=("STOP",)), Behaviour(content="Go on. STOP Do not."), Stop.SEQUENCE),
    "cache_marks": Scene(Ask(marks_cache=True)),
    "usage": Scene(says=Behaviour(content=SAID, thinking=THOUGHT, cached_tokens=640, cache_write_tokens=128)),
    "refusals": Scene(says=Behaviour(refusal="I will not say that."), stop=Stop.FILTERED),
    "answers": Scene(Ask(answers=2)),
    "top_k": Scene(Ask(top_k=40)),
    "seed": Scene(Ask(seed=7)),
    "penalties": Scene(Ask(penalty=0.5)),
    "logprobs": Scene(Ask(logprobs=True)),
}
"""By row of `hive_routing.dialects.support`."""
