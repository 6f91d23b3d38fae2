// The list of models with the official Node SDK.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import OpenAI from 'openai';

import { client } from './gateway.mjs';

const openai = client();
const slashed = 'gemini/gemini-2.5-pro';

test('the list', async () => {
  const ids = [];
  for await (const model of openai.models.list()) ids.push(model.id);

  assert.ok(ids.includes('gpt-4o') && ids.includes(slashed));
  assert.deepEqual(ids, [...ids].sort());
});

test('an id with a slash', async () => {
  const model = await openai.models.retrieve(slashed);

  assert.equal(model.id, slashed);
  assert.equal(model.object, 'model');
  assert.ok(model.created > 0);
});

test('an unknown id', async () => {
  await assert.rejects(openai.models.retrieve('no/such-model'), OpenAI.NotFoundError);
});
