// The Vercel AI SDK: it goes through both turns by itself; over chat, responses and messages.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { jsonSchema, stepCountIs, streamText, tool } from 'ai';

import { answer, key, models, question, result, thinkers, url, weather } from './gateway.mjs';

const anthropic = createAnthropic({ apiKey: key, baseURL: `${url}/v1` });
const openai = createOpenAI({ apiKey: key, baseURL: `${url}/v1` });
const dialects = { chat: openai.chat, responses: openai.responses, messages: anthropic };
const thinking = {
  anthropic: { thinking: { type: 'enabled', budgetTokens: 1024 } },
  openai: { forceReasoning: true, reasoningEffort: 'low', reasoningSummary: 'auto' },
};
const sealed = { store: false, include: ['reasoning.encrypted_content'] };

for (const [name, dialect] of Object.entries(dialects)) {
  for (const model of [...models, ...thinkers]) {
    test(`two steps with ${model} over ${name}`, async () => {
      const called = [];
      const execute = ({ city }) => {
        called.push(city);
        return result;
      };
      const { anthropic, openai } = thinkers.includes(model) ? thinking : {};
      const errors = [];
      const run = streamText({
        model: dialect(model),
        prompt: question,
        tools: {
          get_weather: tool({ description: weather.description, inputSchema: jsonSchema(weather.schema), execute }),
        },
        providerOptions: { anthropic, openai: { ...openai, ...(name === 'responses' ? sealed : {}) } },
        stopWhen: stepCountIs(3),
        maxOutputTokens: 4096,
        maxRetries: 0,
        onError: ({ error }) => errors.push(error),
      });
      const pieces = [];
      for await (const piece of run.textStream) pieces.push(piece);
      assert.deepEqual(errors, []);
      assert.deepEqual(called, ['Rome']);
      assert.equal(pieces.join(''), answer);
      assert.ok(pieces.length > 1);
      const [first, ...rest] = await run.steps;
      assert.equal(rest.length, 1);
      assert.equal(Boolean(first.reasoningText), thinkers.includes(model) && name !== 'chat');
      assert.ok((await run.totalUsage).totalTokens > 0);
    });
  }
}

test('an error', async () => {
  const errors = [];
  const onError = ({ error }) => errors.push(error);
  const run = streamText({ model: openai.responses('no-such-model'), prompt: 'hello', maxRetries: 0, onError });
  await run.consumeStream();
  assert.equal(errors[0].statusCode, 404);
});
