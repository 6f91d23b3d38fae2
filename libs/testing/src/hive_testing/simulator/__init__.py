"""A provider for tests and benchmarks: speaks every provider's dialect, fails as it is told, keeps its own bill.

It answers "Echo: " and the last words of the request, four characters a token; the same request gets the
same answer, whatever the dialect. `Behaviour` lists what a test may ask of it; the model `sim/cut_after=3` behaves
so by itself. Below its address:

    OpenAI     /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/moderations, /v1/models, /v1/responses
    Azure      /openai/deployments/{deployment}/…?api-version=…, /openai/v1/…
    Anthropic  /v1/messages, /v1/messages/count_tokens
    Google     /v1beta/models/{model}:…, /v1/projects/{project}/locations/{location}/publishers/google/models/{model}:…
               and …/publishers/anthropic/models/{model}:rawPredict, :streamRawPredict
    Amazon     /model/{model}/converse, /converse-stream, /count-tokens, /invoke for embeddings
    Cohere     /v1/rerank, /v2/rerank, /v2/embed

What the real provider would refuse gets its 400, in its own words: by the types of its SDK, and by the rules that
types cannot say. What the simulator signed or encrypted has to come back unchanged. OpenAI's chat and embeddings are
read leniently and fast, unless the simulator is strict: `Simulator(strict=True)`, `be_strict()`, `strict` in a
behaviour or in an order, `--strict`.

Other processes use GET /_sim/calls, GET /_sim/bill, POST /_sim/script and POST /_sim/reset:

    POST /_sim/script {"behaviour": {"status": 429, "fail_times": 2}, "model": "gpt-4o", "once": false}
    POST /_sim/script {"strict": true, "require_key": "sk-…"}
"""

from hive_testing.simulator.behaviour import Behaviour, ScriptedTool
from hive_testing.simulator.bill import BillLine
from hive_testing.simulator.calls import Call
from hive_testing.simulator.simulator import Simulator
from hive_testing.simulator.thread import SimulatorThread

__all__ = ["Behaviour", "BillLine", "Call", "ScriptedTool", "Simulator", "SimulatorThread"]
