// Embeddings with the official Node SDK, which asks for base64 and decodes it unless told otherwise.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { client, provider } from './gateway.mjs';

const openai = client();
const model = 'text-embedding-3-small';
const input = ['ModelHive routes requests.', 'Embeddings are useful.'];

test('the default is base64 and ends as numbers', async () => {
  const answer = await openai.embeddings.create({ model, input: input[0] });

  assert.equal((await provider('calls')).data.at(-1).json.encoding_format, 'base64');
  assert.equal(answer.data[0].embedding.length, 1536);
  assert.ok(Math.abs(Math.hypot(...answer.data[0].embedding) - 1) < 1e-3);
});

test('a batch keeps its order, and both encodings hold the same numbers', async () => {
  const packed = await openai.embeddings.create({ model, input });
  const plain = await openai.embeddings.create({ model, input, encoding_format: 'float' });

  assert.deepEqual(packed.data.map((each) => each.index), [0, 1]);
  for (const [place, each] of packed.data.entries()) {
    each.embedding.forEach((value, at) => assert.ok(Math.abs(value - plain.data[place].embedding[at]) < 1e-6));
  }
});

test('fewer dimensions, and token numbers', async () => {
  assert.equal((await openai.embeddings.create({ model, input: 'a', dimensions: 256 })).data[0].embedding.length, 256);
  assert.equal((await openai.embeddings.create({ model, input: [[1, 2], [3]] })).data.length, 2);
});
