// Chat completions with the official Node SDK.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { client, hello, provider } from './gateway.mjs';

const openai = client();
const model = 'gpt-4o';

function tool(name) {
  const parameters = { type: 'object', properties: { city: { type: 'string', minLength: 40 } }, required: ['city'] };
  return { type: 'function', function: { name, parameters } };
}

test('a plain answer', async () => {
  const { data, response, request_id } = await openai.chat.completions
    .create({ model, messages: hello, temperature: 0.7, max_tokens: 500 })
    .withResponse();

  assert.equal(data.choices[0].message.content, 'Echo: hello');
  assert.equal(data.choices[0].finish_reason, 'stop');
  assert.equal(data.usage.completion_tokens, 3);
  assert.match(request_id, /^req_/);
  assert.equal(response.headers.get('x-hive-request-id'), request_id);
});

test('a stream', async () => {
  let said = '';
  let last;
  for await (const chunk of await openai.chat.completions.create({ model, messages: hello, stream: true })) {
    said += chunk.choices[0]?.delta?.content || '';
    last = chunk;
    assert.equal(chunk.choices.length, 1);
  }
  assert.equal(said, 'Echo: hello');
  assert.equal(last.choices[0].finish_reason, 'stop');
});

test('a stream with usage', async () => {
  const chunks = [];
  const options = { stream: true, stream_options: { include_usage: true } };
  for await (const chunk of await openai.chat.completions.create({ model, messages: hello, ...options })) {
    chunks.push(chunk);
  }
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.equal(chunks.at(-1).usage.completion_tokens, 3);
});

test('the stream helper', async () => {
  const deltas = [];
  const stream = openai.chat.completions.stream({ model, messages: hello }).on('content', (delta) => deltas.push(delta));
  const final = await stream.finalChatCompletion();

  assert.equal(deltas.join(''), 'Echo: hello');
  assert.equal(final.choices[0].message.content, 'Echo: hello');
});

test('a round trip with tools', async () => {
  const tools = [tool('get_weather'), tool('get_time')];
  const messages = [{ role: 'user', content: 'get_weather and get_time in Rome' }];
  const asked = (await openai.chat.completions.create({ model, messages, tools })).choices[0];
  assert.equal(asked.finish_reason, 'tool_calls');
  assert.deepEqual(asked.message.tool_calls.map((call) => call.function.name), ['get_weather', 'get_time']);

  const results = asked.message.tool_calls.map((call) => ({ role: 'tool', tool_call_id: call.id, content: 'sunny' }));
  const answer = await openai.chat.completions.create({ model, messages: [...messages, asked.message, ...results], tools });
  assert.equal(answer.choices[0].message.content, 'Echo: sunny');
});

test('streamed fragments of calls', async () => {
  const stream = openai.chat.completions.stream({
    model,
    messages: [{ role: 'user', content: 'get_weather' }],
    tools: [tool('get_weather')],
  });
  const [call] = (await stream.finalChatCompletion()).choices[0].message.tool_calls;

  assert.equal(call.function.name, 'get_weather');
  assert.equal(JSON.parse(call.function.arguments).city.length, 40);
});

test('an answer parsed by a schema', async () => {
  const schema = {
    type: 'object',
    properties: { name: { type: 'string' }, inhabitants: { type: 'integer' } },
    required: ['name', 'inhabitants'],
    additionalProperties: false,
  };
  const response_format = { type: 'json_schema', json_schema: { name: 'capital', strict: true, schema } };
  const answer = await openai.chat.completions.parse({ model, messages: hello, response_format });

  assert.deepEqual(JSON.parse(answer.choices[0].message.content), { name: '', inhabitants: 0 });
});

test('a picture and a PDF', async () => {
  const picture = { type: 'image_url', image_url: { url: 'https://example.com/photo.jpg' } };
  const report = { type: 'image_url', image_url: { url: 'data:application/pdf;base64,JVBERg==' } };
  const content = [{ type: 'text', text: 'Describe these.' }, picture, report];
  await openai.chat.completions.create({ model, messages: [{ role: 'user', content }] });

  const sent = (await provider('calls')).data.at(-1).json.messages[0].content;
  assert.deepEqual(sent[1], picture);
  assert.equal(sent[2].type, 'file');
  assert.equal(sent[2].file.file_data, report.image_url.url);
});

test('the local model', async () => {
  const answer = await openai.chat.completions.create(
    { model: 'local/smollm2-135m', messages: [{ role: 'user', content: 'What is a bee?' }], max_tokens: 8 },
    { timeout: 60_000 },
  );
  assert.ok(answer.choices[0].message.content.trim());
});
