// A stream that is aborted in the middle: the provider's work ends too.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import OpenAI from 'openai';

import { client, eventually, hello, provider } from './gateway.mjs';

const asked = async (name) => (await provider('calls')).data.filter((call) => call.json?.model === name);

test('aborting by the controller', async () => {
  const stream = await client().chat.completions.create({ model: 'endless', messages: hello, stream: true });
  let chunks = 0;
  for await (const chunk of stream) {
    chunks += chunk.choices.length;
    if (chunks === 3) stream.controller.abort();
  }
  assert.ok(chunks < 100);

  const name = 'sim/chunks=1000,chunk_bytes=4,chunk_delay=0.02';
  await eventually(async () => (await asked(name)).every((call) => call.disconnected));
  const [line] = (await provider('bill')).data.filter((line) => line.model === name);
  assert.ok(!line.finished && line.completion_tokens < 1000);
});

test('aborting by a signal before the first word', async () => {
  const abort = new AbortController();
  const answer = client().chat.completions.create({ model: 'silent', messages: hello }, { signal: abort.signal });
  const [call] = await eventually(async () => {
    const found = await asked('sim/silent=true');
    return found.length > 0 && found;
  });
  assert.ok(!call.disconnected);
  abort.abort();
  await assert.rejects(answer, OpenAI.APIUserAbortError);
  await eventually(async () => (await asked('sim/silent=true')).every((each) => each.disconnected));
});
