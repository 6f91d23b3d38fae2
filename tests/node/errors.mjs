// Every class of error becomes the right class of the official Node SDK.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import OpenAI from 'openai';

import { client, hello } from './gateway.mjs';

const openai = client();
const ask = (fields, options) =>
  client(options).chat.completions.create({ model: 'gpt-4o', messages: hello, ...fields });

async function caught(promise, kind, status, type) {
  const error = await promise.then(() => assert.fail('no error'), (error) => error);
  assert.ok(error instanceof kind, `${error}`);
  assert.equal(error.status, status);
  assert.equal(error.type, type);
  assert.equal(String(error.code), String(status));
  assert.match(error.requestID, /^req_/);
  return error;
}

test('400', async () => {
  const error = await caught(ask({ temperature: 9 }), OpenAI.BadRequestError, 400, 'invalid_request_error');
  assert.equal(error.param, 'temperature');
});

test('401', () =>
  caught(ask({}, { apiKey: 'sk-hive-wrong' }), OpenAI.AuthenticationError, 401, 'authentication_error'));

test('404', () => caught(ask({ model: 'no-such-model' }), OpenAI.NotFoundError, 404, 'not_found_error'));

test('405', () => caught(openai.delete('/embeddings'), OpenAI.APIError, 405, 'invalid_request_error'));

test('413', () =>
  caught(
    ask({ messages: [{ role: 'user', content: 'x'.repeat(20 * 1024 * 1024) }] }),
    OpenAI.APIError,
    413,
    'invalid_request_error',
  ));

test('429', async () => {
  const error = await caught(ask({ model: 'limited' }), OpenAI.RateLimitError, 429, 'rate_limit_exceeded');
  assert.equal(error.headers.get('retry-after'), '60');
});

test('502', () => caught(ask({ model: 'failing' }), OpenAI.InternalServerError, 502, 'upstream_error'));

test('503', () => caught(ask({ model: 'unreachable' }), OpenAI.InternalServerError, 503, 'server_error'));

test('504', () => caught(ask({ model: 'silent' }), OpenAI.InternalServerError, 504, 'timeout_error'));

test('an error in the middle of a stream', async () => {
  let said = '';
  await assert.rejects(async () => {
    for await (const chunk of await ask({ model: 'cut', stream: true })) said += chunk.choices[0].delta.content ?? '';
  }, OpenAI.APIError);
  assert.ok('Echo: hello'.startsWith(said) && said);
});

test('what is not there yet', () =>
  caught(openai.images.generate({ model: 'gpt-image-1', prompt: 'a city' }), OpenAI.NotFoundError, 404, 'not_found_error'));
