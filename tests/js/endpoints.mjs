// The unmodified `openai` npm client at every endpoint but chat. Prints one JSON document: what each call came to.
// Environment: OLLM_BASE_URL (ends in /v1), OLLM_KEY, OLLM_WORDS (what every request says).

import OpenAI, { toFile } from "openai";

const model = "demo";
const words = process.env.OLLM_WORDS;
const client = new OpenAI({ baseURL: process.env.OLLM_BASE_URL, apiKey: process.env.OLLM_KEY, maxRetries: 0 });
const sound = await toFile(Buffer.alloc(30_000_000, "sound"), words + ", Röntgen.wav");

async function all(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

async function failure(work) {
  try {
    await work();
  } catch (error) {
    return { kind: error.constructor.name, status: error.status ?? null, code: error.code ?? null, param: error.param ?? null };
  }
  return { kind: "none" };
}

const deltas = (events, type) => events.filter((event) => event.type === type).map((event) => event.delta).join("");
const embedded = await client.embeddings.create({ model, input: [words, "two"] });
const response = await client.responses.create({ model, input: words });
const responses = await all(await client.responses.create({ model, input: words, stream: true }));
const heard = await all(await client.audio.transcriptions.create({ model, file: await toFile(Buffer.from(words), "a.wav"), stream: true }));
const completions = await all(await client.completions.create({ model, prompt: words, stream: true }));
const spoken = await client.audio.speech.create({ model, input: words, voice: "alloy" });
const found = {
  embeddings: embedded.data.map((row) => row.embedding),
  response: { text: response.output_text, model: response.model },
  responses: { text: deltas(responses, "response.output_text.delta"), last: responses.at(-1).type, model: responses.at(-1).response.model },
  completion: (await client.completions.create({ model, prompt: words })).choices[0].text,
  completions: completions.map((chunk) => chunk.choices[0].text).join(""),
  upload: (await client.audio.transcriptions.create({ model, file: sound })).text,
  transcript: deltas(heard, "transcript.text.delta"),
  speech: (await spoken.arrayBuffer()).byteLength,
  image: (await client.images.generate({ model, prompt: words })).data[0].b64_json,
  edit: (await client.images.edit({ model, prompt: words, image: await toFile(Buffer.from("png"), "a.png") })).data[0].b64_json,
  moderation: (await client.moderations.create({ model, input: words })).results[0].flagged,
  errors: {
    kept: await failure(() => client.responses.create({ model, input: words, previous_response_id: "resp_1" })),
    unknownModel: await failure(() => client.embeddings.create({ model: "nobody", input: words })),
    stranger: await failure(() => client.withOptions({ apiKey: "sk-ollm-nobody" }).images.generate({ model, prompt: words })),
  },
};
console.log(JSON.stringify(found));
