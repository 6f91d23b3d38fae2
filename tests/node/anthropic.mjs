// Anthropic's messages with the official Node SDK, whoever provides the model.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import Anthropic from '@anthropic-ai/sdk';

import { answer, hello, key, models, question, result, thinkers, url, weather } from './gateway.mjs';

const client = (apiKey = key) => new Anthropic({ apiKey, baseURL: url, maxRetries: 0, timeout: 20_000 });
const anthropic = client();
const tools = [{ name: weather.name, description: weather.description, input_schema: weather.schema }];

async function turn(fields) {
  const pieces = [];
  const stream = anthropic.messages.stream({ max_tokens: 4096, tools, ...fields });
  stream.on('text', (piece) => pieces.push(piece));
  return { message: await stream.finalMessage(), pieces };
}

for (const model of [...models, ...thinkers]) {
  test(`two turns with ${model}`, async () => {
    const thinks = thinkers.includes(model);
    const thinking = thinks ? { thinking: { type: 'enabled', budget_tokens: 1024 } } : {};
    const messages = [{ role: 'user', content: question }];
    const { message: asked } = await turn({ model, messages, ...thinking });
    const call = asked.content.at(-1);
    assert.equal(asked.stop_reason, 'tool_use');
    assert.deepEqual([call.type, call.name, call.input], ['tool_use', 'get_weather', { city: 'Rome' }]);
    assert.equal(asked.content.some((block) => block.type === 'thinking' && block.thinking), thinks);
    assert.ok(asked.usage.input_tokens > 0 && asked.usage.output_tokens > 0);

    messages.push({ role: 'assistant', content: asked.content });
    messages.push({ role: 'user', content: [{ type: 'tool_result', tool_use_id: call.id, content: result }] });
    const { message: told, pieces } = await turn({ model, messages, ...thinking });
    assert.equal(told.stop_reason, 'end_turn');
    assert.equal(pieces.join(''), answer);
    assert.ok(pieces.length > 1);
  });
}

const ask = (model, apiKey, fields) =>
  client(apiKey).messages.create({ model, max_tokens: 100, messages: hello, ...fields });

async function caught(promise, kind, status, type) {
  const error = await promise.then(() => assert.fail('no error'), (error) => error);
  assert.ok(error instanceof kind, `${error}`);
  assert.equal(error.status, status);
  assert.equal(error.error.error.type, type);
  assert.match(error.requestID, /^req_/);
}

test('401', () => caught(ask('anthropic', 'sk-hive-wrong'), Anthropic.AuthenticationError, 401, 'authentication_error'));

test('402', () =>
  caught(
    ask('anthropic', process.env.SCENARIO_POOR_KEY, { max_tokens: 20_000 }),
    Anthropic.APIError,
    402,
    'billing_error',
  ));

test('404', () => caught(ask('no-such-model'), Anthropic.NotFoundError, 404, 'not_found_error'));

test('429', () => caught(ask('anthropic-limited'), Anthropic.RateLimitError, 429, 'rate_limit_error'));

for (const model of ['anthropic-cut', 'gemini-cut']) {
  test(`an error in the middle of the stream of ${model}`, async () => {
    let said = '';
    const fails = async () => {
      for await (const event of await ask(model, key, { stream: true })) said += event.delta?.text ?? '';
    };
    await assert.rejects(fails, (error) => error instanceof Anthropic.APIError && error.error.error.type === 'api_error');
    assert.ok(said && 'It lives in a hive with ten thousand sisters.'.startsWith(said));
  });
}
