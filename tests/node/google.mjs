// Gemini's generateContent with Google's Node SDK, whoever provides the model.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ApiError, GoogleGenAI } from '@google/genai';

import { answer, key, models, question, result, thinkers, url, weather } from './gateway.mjs';

const client = (apiKey = key) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl: url, timeout: 20_000 } });
const google = client();
const functionDeclarations = [
  { name: weather.name, description: weather.description, parametersJsonSchema: weather.schema },
];

// The parts of the model's turn, as they came.
async function turn(model, contents, config) {
  const tools = [{ functionDeclarations }];
  const stream = await google.models.generateContentStream({ model, contents, config: { tools, ...config } });
  const parts = [];
  let last;
  for await (const chunk of stream) {
    parts.push(...(chunk.candidates?.[0]?.content?.parts ?? []));
    last = chunk;
  }
  return { parts, last };
}

for (const model of [...models, ...thinkers]) {
  test(`two turns with ${model}`, async () => {
    const thinks = thinkers.includes(model);
    const config = thinks ? { thinkingConfig: { includeThoughts: true, thinkingBudget: 1024 } } : {};
    const contents = [{ role: 'user', parts: [{ text: question }] }];
    const asked = await turn(model, contents, config);
    const [call] = asked.parts.filter((part) => part.functionCall).map((part) => part.functionCall);
    assert.deepEqual([call.name, call.args], ['get_weather', { city: 'Rome' }]);
    assert.equal(asked.parts.some((part) => part.thought && part.text), thinks);
    assert.ok(asked.last.usageMetadata.totalTokenCount > 0);

    contents.push({ role: 'model', parts: asked.parts });
    const functionResponse = { id: call.id, name: call.name, response: { output: result } };
    contents.push({ role: 'user', parts: [{ functionResponse }] });
    const told = await turn(model, contents, config);
    const pieces = told.parts.filter((part) => part.text && !part.thought).map((part) => part.text);
    assert.ok(pieces.length > 1);
    assert.ok(pieces.join('').startsWith('Echo: ') && pieces.join('').includes(result), pieces.join(''));
    assert.equal(told.last.candidates[0].finishReason, 'STOP');
  });
}

const ask = (model, apiKey, config) => client(apiKey).models.generateContent({ model, contents: 'hello', config });

async function caught(promise, status, word) {
  const error = await promise.then(() => assert.fail('no error'), (error) => error);
  assert.ok(error instanceof ApiError, `${error}`);
  assert.equal(error.status, status);
  assert.equal(JSON.parse(error.message).error.status, word);
}

test('401', () => caught(ask('gemini', 'sk-hive-wrong'), 401, 'UNAUTHENTICATED'));

test('402', () =>
  caught(ask('gemini', process.env.SCENARIO_POOR_KEY, { maxOutputTokens: 20_000 }), 402, 'FAILED_PRECONDITION'));

test('404', () => caught(ask('no-such-model'), 404, 'NOT_FOUND'));

test('429', () => caught(ask('gemini-limited'), 429, 'RESOURCE_EXHAUSTED'));

for (const model of ['gemini-cut', 'anthropic-cut']) {
  test(`an error in the middle of the stream of ${model}`, async () => {
    let said = '';
    const fails = async () => {
      const stream = await google.models.generateContentStream({ model, contents: 'hello' });
      for await (const chunk of stream) said += chunk.text ?? '';
    };
    await assert.rejects(fails, (error) => error instanceof ApiError && error.status === 502);
    assert.ok(said && 'It lives in a hive with ten thousand sisters.'.startsWith(said));
  });
}
