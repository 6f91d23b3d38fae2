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
