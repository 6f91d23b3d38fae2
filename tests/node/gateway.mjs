// The gateway under test, as the environment names it, and a client for it that tries once.
import OpenAI from 'openai';

export const url = process.env.SCENARIO_URL;
export const key = process.env.SCENARIO_KEY;
export const hello = [{ role: 'user', content: 'hello' }];

export function client(options = {}) {
  return new OpenAI({ apiKey: key, baseURL: `${url}/v1`, maxRetries: 0, timeout: 20_000, ...options });
}

// What the provider saw and billed so far.
export async function provider(path) {
  return (await fetch(`${process.env.SCENARIO_PROVIDER}/_sim/${path}`)).json();
}

// The first truthy value that `probe` gives; fails after twenty seconds.
export async function eventually(probe) {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > deadline) throw new Error('it did not come about within 20 s');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// The conversation that every dialect has: the model calls a tool, and says what came of it.
export const question = 'Use get_weather for Rome.';
export const result = 'sunny, 23 degrees';
export const answer = 'Echo: sunny, 23 degrees';
export const weather = {
  name: 'get_weather',
  description: 'The weather of a city.',
  schema: { type: 'object', properties: { city: { type: 'string', enum: ['Rome'] } }, required: ['city'] },
};

// A model of each provider, and one that shows its thoughts: where it signs them, it wants them back so.
export const models = ['openai', 'compatible', 'anthropic', 'gemini', 'bedrock'];
export const thinkers = models.map((name) => `${name}-thinks`);
