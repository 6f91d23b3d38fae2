"""Google's SDK takes the simulator for Gemini and Vertex AI, and what Google refuses is refused."""

from __future__ import annotations

import base64
from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials

from hive_testing.simulator import SimulatorThread

FLASH, PRO = "gemini-2.5-flash", "gemini-3-pro"
CALLS = [{"name": "look", "arguments": '{"at":"ä","n":1}'}, {"name": "see"}]
DECLARED = [
    types.FunctionDeclaration(name="look", parameters_json_schema={"type": "object"}),
    types.FunctionDeclaration(
        name="see",
        parameters=types.Schema(
            type=types.Type.OBJECT, properties={"at": types.Schema(type=types.Type.STRING)}
        ),
    ),
]
CONFIG = types.GenerateContentConfig(
    system_instruction="be brief",
    temperature=0.5,
    tools=[types.Tool(function_declarations=DECLARED)],
    thinking_config=types.ThinkingConfig(include_thoughts=True),
    automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
)
HELLO = types.Content(role="user", parts=[types.Part(text="hello")])


def parts(answer: types.GenerateContentResponse) -> list[types.Part]:
    """The parts of the only candidate."""
    assert answer.candidates and len(answer.candidates) == 1
    content = answer.candidates[0].content
    return (content.parts or []) if content else []


def answered(spoken: types.Content) -> types.Content:
    """The turn that gives a result for every call."""
    results = [
        types.FunctionResponse(
            id=part.function_call.id, name=part.function_call.name, response={"result": "42"}
        )
        for part in spoken.parts or []
        if part.function_call
    ]
    return types.Content(role="user", parts=[types.Part(function_response=each) for each in results])


def spoken(gemini: genai.Client, provider: SimulatorThread, model: str, **scripted: Any) -> types.Content:
    """What the model says in its first turn."""
    provider.script(**{"thinking": "let me see", "content": "I look.", "tool_calls": CALLS, **scripted})
    answer = gemini.models.generate_content(model=model, contents=[HELLO], config=CONFIG)
    provider.reset()
    return types.Content(role="model", parts=parts(answer))


def test_plain(gemini: genai.Client, provider: SimulatorThread) -> None:
    config = types.GenerateContentConfig(
        http_options=types.HttpOptions(headers={"x-client-request-id": "try-1"})
    )
    answer = gemini.models.generate_content(model=FLASH, contents="hello", config=config)

    assert answer.text == "Echo: hello" and answer.model_version == FLASH
    usage = answer.usage_metadata
    assert usage and (usage.prompt_token_count, usage.candidates_token_count) == (5, 3)
    assert usage.total_token_count == 8 and usage.thoughts_token_count is None
    (line,) = provider.bill
    assert (line.attempt_id, line.prompt_tokens, line.completion_tokens) == ("try-1", 5, 3)


@pytest.mark.parametrize("model", [FLASH, PRO])
def test_the_stream_grows_to_the_plain_answer(
    gemini: genai.Client, provider: SimulatorThread, model: str
) -> None:
    provider.script(thinking="let me see", content="I look.", tool_calls=CALLS, cached_tokens=7)
    plain = gemini.models.generate_content(model=model, contents="hello", config=CONFIG)
    stream = list(gemini.models.generate_content_stream(model=model, contents="hello", config=CONFIG))

    pieces = [part for each in stream for part in parts(each)]
    thought, said, *calls = parts(plain)
    assert thought.thought and thought.text == "let me see" and said.text == "I look."
    assert "".join(piece.text or "" for piece in pieces if piece.thought) == thought.text
    assert "".join(piece.text or "" for piece in pieces if not piece.thought) == said.text
    assert [call.function_call.name for call in calls if call.function_call] == ["look", "see"]
    assert [bool(call.thought_signature) for call in calls] == [True, False]
    assert [piece.thought_signature for piece in pieces if piece.function_call] == [
        call.thought_signature for call in calls
    ]
    usage, last = plain.usage_metadata, stream[-1].usage_metadata
    assert usage == last and usage
    assert (usage.prompt_token_count, usage.cached_content_token_count, usage.thoughts_token_count) == (
        17,
        7,
        3,
    )
    assert [line.finished for line in provider.bill] == [True, True]


def test_the_signature_of_words_comes_last(gemini: genai.Client, provider: SimulatorThread) -> None:
    provider.script(thinking="let me see", content="I see.")
    *_, last = gemini.models.generate_content_stream(model=FLASH, contents="hello")
    (part,) = parts(last)

    assert part.thought_signature and not part.text
    plain = gemini.models.generate_content(model=FLASH, contents="hello")
    (whole,) = parts(plain)
    assert whole.text == "I see." and whole.thought_signature == part.thought_signature
    again = [HELLO, types.Content(role="model", parts=[whole]), HELLO]
    assert gemini.models.generate_content(model=FLASH, contents=again)


@pytest.mark.parametrize("model", [FLASH, PRO])
@pytest.mark.parametrize("ids", [True, False])
def test_tool_round_trip(gemini: genai.Client, provider: SimulatorThread, model: str, ids: bool) -> None:
    turn = spoken(gemini, provider, model, call_ids=ids)
    contents = [HELLO, turn, answered(turn)]

    assert gemini.models.generate_content(model=model, contents=contents, config=CONFIG).text == "Echo: 42"


@pytest.mark.parametrize(
    ("model", "scripted", "signed"),
    [(FLASH, {}, True), (PRO, {}, True), (PRO, {"thinking": None}, True), (FLASH, {"thinking": None}, False)],
)
def test_a_signature_that_was_sent_has_to_come_back(
    gemini: genai.Client, provider: SimulatorThread, model: str, scripted: dict[str, Any], signed: bool
) -> None:
    turn = spoken(gemini, provider, model, **scripted)
    for part in turn.parts or []:
        part.thought_signature = None

    def asks() -> types.GenerateContentResponse:
        contents = [HELLO, turn, answered(turn)]
        return gemini.models.generate_content(model=model, contents=contents, config=CONFIG)

    if not signed:
        assert asks().text == "Echo: 42"
        return
    with pytest.raises(errors.ClientError, match="missing a thought_signature"):
        asks()


def test_a_signature_is_of_its_call(gemini: genai.Client, provider: SimulatorThread) -> None:
    turn = spoken(gemini, provider, PRO)
    (first,) = [part for part in turn.parts or [] if part.thought_signature]
    kept, first.thought_signature = first.thought_signature, b"made up"
    contents = [HELLO, turn, answered(turn)]

    with pytest.raises(errors.ClientError, match="Thought signature is not valid"):
        gemini.models.generate_content(model=PRO, contents=contents, config=CONFIG)
    assert first.function_call
    first.thought_signature, first.function_call.args = kept, {"at": "b"}
    with pytest.raises(errors.ClientError, match="Thought signature is not valid"):
        gemini.models.generate_content(model=PRO, contents=contents, config=CONFIG)
    first.thought_signature = b"skip_thought_signature_validator"
    assert gemini.models.generate_content(model=PRO, contents=contents, config=CONFIG).text == "Echo: 42"


@pytest.mark.parametrize(
    ("scripted", "reason"),
    [
        ({"refusal": "I will not."}, types.FinishReason.PROHIBITED_CONTENT),
        ({"finish_reason": "content_filter"}, types.FinishReason.SAFETY),
        ({"finish_reason": "RECITATION"}, types.FinishReason.RECITATION),
        ({"content": "x" * 100}, types.FinishReason.MAX_TOKENS),
    ],
)
def test_reasons(
    gemini: genai.Client, provider: SimulatorThread, scripted: dict[str, Any], reason: types.FinishReason
) -> None:
    provider.script(**scripted)
    config = types.GenerateContentConfig(max_output_tokens=10)
    answer = gemini.models.generate_content(model=FLASH, contents="hello", config=config)
    *_, last = gemini.models.generate_content_stream(model=FLASH, contents="hello", config=config)

    assert [each.candidates[0].finish_reason for each in (answer, last) if each.candidates] == [reason] * 2


def test_several_candidates(gemini: genai.Client) -> None:
    config = types.GenerateContentConfig(candidate_count=2)
    answer = gemini.models.generate_content(model=FLASH, contents="hi", config=config)
    stream = gemini.models.generate_content_stream(model=FLASH, contents="hi", config=config)

    said = {0: "", 1: ""}
    for each in stream:
        for one in each.candidates or []:
            pieces = one.content.parts if one.content else None
            said[one.index or 0] += "".join(part.text or "" for part in pieces or [])
    assert said == {0: "Echo: hi", 1: "Echo: hi #2"}
    assert answer.candidates and len(answer.candidates) == 2


def test_structured_output(gemini: genai.Client) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    config = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=schema)

    assert gemini.models.generate_content(model=FLASH, contents="hi", config=config).text == '{"n":0}'


def test_tokens_and_vectors(gemini: genai.Client, provider: SimulatorThread) -> None:
    counted = gemini.models.count_tokens(model=FLASH, contents="hello")
    embedded = gemini.models.embed_content(
        model="gemini-embedding-001",
        contents=["one", "two"],
        config=types.EmbedContentConfig(output_dimensionality=8),
    )

    assert counted.total_tokens == 5
    assert [len(each.values or []) for each in embedded.embeddings or []] == [8, 8]
    assert [(line.model, line.prompt_tokens) for line in provider.bill] == [("gemini-embedding-001", 2)]


def test_vertex(provider: SimulatorThread) -> None:
    provider.require_key("token")
    credentials = Credentials(token="token")  # type: ignore[no-untyped-call]
    options = types.HttpOptions(base_url=provider.control_url)
    with genai.Client(
        vertexai=True, project="p", location="l", credentials=credentials, http_options=options
    ) as client:
        answer = client.models.generate_content(model=FLASH, contents="hello")
        stream = list(client.models.generate_content_stream(model=FLASH, contents="hello"))

    assert answer.text == "".join(each.text or "" for each in stream) == "Echo: hello"
    assert provider.calls[0].path.endswith(
        f"/projects/p/locations/l/publishers/google/models/{FLASH}:generateContent"
    )


def test_vertex_predicts_vectors(raw: httpx2.Client, provider: SimulatorThread) -> None:
    path = "/v1/projects/p/locations/l/publishers/google/models/text-embedding-005:predict"
    body = {"instances": [{"content": "one"}, {"content": "two"}], "parameters": {"outputDimensionality": 8}}
    predictions = raw.post(path, json=body).json()["predictions"]

    assert [len(each["embeddings"]["values"]) for each in predictions] == [8, 8]
    assert predictions[0]["embeddings"]["statistics"] == {"truncated": False, "token_count": 1}
    assert provider.bill[0].prompt_tokens == 2
    refused = raw.post(path, json={"instances": [{"text": "one"}]})
    assert refused.status_code == 400 and "instances[0].content" in refused.json()["error"]["message"]


def test_without_sse_the_stream_is_an_array(raw: httpx2.Client, provider: SimulatorThread) -> None:
    path = "/v1beta/models/sim/chunks=2:streamGenerateContent"
    answer = raw.post(path, json={"contents": [{"parts": [{"text": "x"}]}]})

    assert answer.headers["content-type"] == "application/json"
    pieces = [each["candidates"][0]["content"]["parts"][0]["text"] for each in answer.json()]
    assert pieces == ["Ech", "o: x", ""]
    assert provider.bill[0].finished


PART = {"text": "hello"}
USER = {"role": "user", "parts": [PART]}
CALL = {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {}}}]}
ANSWER = {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {}}}]}
TOOLS = [{"functionDeclarations": [{"name": "look"}]}]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"contents": []}, "contents is not specified"),
        (
            {"contents": [{"role": "user", "parts": []}]},
            "contents[0].parts: contents.parts must not be empty",
        ),
        (
            {"contents": [{"role": "user", "parts": [{}]}]},
            "contents[0].parts[0].data: required oneof field 'data'",
        ),
        ({"contents": [{"role": "system", "parts": [PART]}]}, "Please use a valid role: user, model."),
        ({"foo": 1}, 'Unknown name "foo": Cannot find field.'),
        ({"contents": [{**USER, "foo": 1}]}, "Unknown name \"foo\" at 'contents[0]': Cannot find field."),
        ({"generationConfig": {"maxTokens": 1}}, "Unknown name \"maxTokens\" at 'generationConfig'"),
        ({"generationConfig": {"temperature": 3}}, "temperature must be in the range [0, 2]"),
        ({"generationConfig": {"stopSequences": list("abcdef")}}, "at most 5"),
        (
            {"generationConfig": {"responseSchema": {"type": "OBJECT"}}},
            "only allowed with a response mime type of JSON",
        ),
        (
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "LOW"}}},
            "only set one of",
        ),
        (
            {"generationConfig": {"responseMimeType": "application/json"}, "tools": TOOLS},
            "mime type: 'application/json'",
        ),
        ({"contents": [{"role": "user", "parts": [{"inlineData": {"data": "!"}}]}]}, "inlineData.data"),
        (
            {"contents": [{"role": "user", "parts": [{"inlineData": {"data": "aGk="}}]}]},
            "inlineData.mimeType",
        ),
        ({"contents": [USER, ANSWER]}, "function response turn comes immediately after a function call turn"),
        ({"contents": [CALL, ANSWER]}, "function call turn comes immediately after a user turn"),
        ({"contents": [USER, CALL, USER]}, "number of function response parts is equal"),
        ({"contents": [USER, CALL]}, "followed by a function response turn"),
        (
            {"contents": [USER, CALL, {"parts": [{"functionResponse": {"name": "see", "response": {}}}]}]},
            "match the function call parts by name",
        ),
        ({"tools": [{"functionDeclarations": [{"name": "a b"}]}]}, "Invalid function name"),
        (
            {"tools": [{"functionDeclarations": [{"name": "a", "parameters": {"const": 1}}]}]},
            'Unknown name "const"',
        ),
        (
            {"tools": [{"functionDeclarations": [{"name": "a", "parameters": {"type": "list"}}]}]},
            "parameters.type",
        ),
        (
            {"tools": [{"functionDeclarations": [{"name": "a", "parameters": {"type": "ARRAY"}}]}]},
            "items: missing field",
        ),
        ({"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "without function_declarations"),
        (
            {"tools": TOOLS, "toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["look"]}}},
            "only be set when mode is ANY",
        ),
        (
            {"safetySettings": [{"category": "HARM_CATEGORY_FUN", "threshold": "OFF"}]},
            "safetySettings[0].category",
        ),
    ],
)
def test_refused(raw: httpx2.Client, fields: dict[str, Any], words: str) -> None:
    answer = raw.post(f"/v1beta/models/{FLASH}:generateContent", json={"contents": [USER], **fields})

    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert words in error["message"]


def test_names_may_be_in_snake_case(raw: httpx2.Client) -> None:
    body = {
        "contents": [USER],
        "system_instruction": {"parts": [PART]},
        "generation_config": {"max_output_tokens": 2},
    }
    answer = raw.post(f"/v1/models/{FLASH}:generateContent", json=body)

    assert answer.json()["candidates"][0]["finishReason"] == "MAX_TOKENS"


def test_a_batch_names_its_model(raw: httpx2.Client) -> None:
    wanted = {"content": {"parts": [PART]}, "model": "models/other"}
    answer = raw.post("/v1beta/models/this:batchEmbedContents", json={"requests": [wanted]})

    assert answer.status_code == 400
    assert "requests[0].model" in answer.json()["error"]["message"]


def test_signatures_come_in_either_alphabet(raw: httpx2.Client, provider: SimulatorThread) -> None:
    provider.script(tool_calls=CALLS[:1], once=True)
    path = f"/v1beta/models/{PRO}:generateContent"
    content = raw.post(path, json={"contents": [USER]}).json()["candidates"][0]["content"]
    (part,) = content["parts"]
    given = {"name": "look", "id": part["functionCall"]["id"], "response": {"output": "42"}}
    part["thoughtSignature"] = base64.urlsafe_b64encode(base64.b64decode(part["thoughtSignature"])).decode()
    contents = [USER, content, {"role": "user", "parts": [{"functionResponse": given}]}]
    answer = raw.post(path, json={"contents": contents}).json()

    assert answer["candidates"][0]["content"]["parts"][0]["text"] == "Echo: 42"
