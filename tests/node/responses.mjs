// OpenAI's responses, and its chats with tools, with the official Node SDK, whoever provides the model.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import OpenAI from 'openai';

import { answer, client, models, question, result, thinkers, weather } from './gateway.mjs';

const openai = client();
const tool = { type: 'function', name: weather.name, description: weather.description, parameters: weather.schema };

async function respond(fields) {
  const pieces = [];
  let response;
  const stream = await openai.responses.create({ tools: [{ ...tool, strict: false }], stream: true, ...fields });
  for await (const event of stream) {
    if (event.type === 'response.output_text.delta') pieces.push(event.delta);
    response = event.response ?? response;
  }
  return { response, pieces };
}

const isCall = (item) => item.type === 'function_call';
const output = (call) => ({ type: 'function_call_output', call_id: call.call_id, output: result });

for (const model of [...models, ...thinkers]) {
  test(`two responses of ${model}, all sent again`, async () => {
    const thinks = thinkers.includes(model);
    const sealed = { store: false, include: ['reasoning.encrypted_content'] };
    const fields = { model, ...sealed, ...(thinks ? { reasoning: { effort: 'low', summary: 'auto' } } : {}) };
    const input = [{ role: 'user', content: question }];
    const { response: asked } = await respond({ input, ...fields });
    const call = asked.output.find(isCall);
    assert.deepEqual([call.name, JSON.parse(call.arguments)], ['get_weather', { city: 'Rome' }]);
    assert.equal(asked.output.some((item) => item.type === 'reasoning' && item.summary.length), thinks);

    const again = [...input, ...asked.output, output(call)];
    const { response: told, pieces } = await respond({ input: again, ...fields });
    assert.equal(told.status, 'completed');
    assert.equal(pieces.join(''), answer);
    assert.ok(pieces.length > 1 && told.usage.total_tokens > 0);
  });

  test(`two responses of ${model}, the second to the first`, async () => {
    const fields = { model, ...(thinkers.includes(model) ? { reasoning: { effort: 'low' } } : {}) };
    const { response: asked } = await respond({ input: question, ...fields });
    const call = asked.output.find(isCall);
    const { response: told, pieces } = await respond({ input: [output(call)], previous_response_id: asked.id, ...fields });
    assert.equal(pieces.join(''), answer);
    assert.equal(told.previous_response_id, asked.id);
  });

  test(`two turns of a chat with ${model}`, async () => {
    const { name, description, schema: parameters } = weather;
    const tools = [{ type: 'function', function: { name, description, parameters } }];
    const fields = { model, tools, ...(thinkers.includes(model) ? { reasoning_effort: 'low' } : {}) };
    const messages = [{ role: 'user', content: question }];
    const asked = await openai.chat.completions.stream({ messages, ...fields }).finalChatCompletion();
    const { message, finish_reason } = asked.choices[0];
    const [call] = message.tool_calls;
    assert.equal(finish_reason, 'tool_calls');
    assert.deepEqual([call.function.name, JSON.parse(call.function.arguments)], ['get_weather', { city: 'Rome' }]);

    delete message.parsed; // the SDK put it there for us
    messages.push(message, { role: 'tool', tool_call_id: call.id, content: result });
    const told = await openai.chat.completions.stream({ messages, ...fields }).finalChatCompletion();
    assert.equal(told.choices[0].message.content, answer);
  });
}

const ask = (fields, options) => client(options).responses.create({ model: 'openai', input: 'hello', ...fields });

async function caught(promise, kind, status, type) {
  const error = await promise.then(() => assert.fail('no error'), (error) => error);
  assert.ok(error instanceof kind, `${error}`);
  assert.deepEqual([error.status, error.type, String(error.code)], [status, type, String(status)]);
  assert.match(error.requestID, /^req_/);
}

test('401', () => caught(ask({}, { apiKey: 'sk-hive-wrong' }), OpenAI.AuthenticationError, 401, 'authentication_error'));

test('402', () =>
  caught(
    ask({ max_output_tokens: 20_000 }, { apiKey: process.env.SCENARIO_POOR_KEY }),
    OpenAI.APIError,
    402,
    'budget_exceeded',
  ));

test('404', () => caught(ask({ model: 'no-such-model' }), OpenAI.NotFoundError, 404, 'not_found_error'));

test('429', () => caught(ask({ model: 'openai-limited' }), OpenAI.RateLimitError, 429, 'rate_limit_exceeded'));

for (const model of ['openai-cut', 'anthropic-cut']) {
  test(`an error in the middle of the stream of ${model}`, async () => {
    let said = '';
    const fails = async () => {
      for await (const event of await ask({ model, stream: true }))
        if (event.type === 'response.output_text.delta') said += event.delta;
    };
    await assert.rejects(fails, OpenAI.APIError);
    assert.ok(said && 'It lives in a hive with ten thousand sisters.'.startsWith(said));
  });
}
