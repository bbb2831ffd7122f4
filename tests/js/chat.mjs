// The unmodified `openai` npm client, changed in base URL and key alone. Prints one JSON document: what each call came to.
// Environment: OLLM_BASE_URL (ends in /v1), OLLM_KEY (simulated machines may serve it), OLLM_STRICT_KEY (they may not).

import OpenAI from "openai";

const baseURL = process.env.OLLM_BASE_URL;
const client = new OpenAI({ baseURL, apiKey: process.env.OLLM_KEY });
const once = new OpenAI({ baseURL, apiKey: process.env.OLLM_KEY, maxRetries: 0 });
const strict = new OpenAI({ baseURL, apiKey: process.env.OLLM_STRICT_KEY });
const stranger = new OpenAI({ baseURL, apiKey: "sk-ollm-nobody" });

const messages = [
  { role: "system", content: "You are terse." },
  { role: "user", content: "What is the weather in Reykjavík" },
];
const weather = {
  type: "function",
  function: { name: "get_weather", parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } },
};
const place = {
  type: "json_schema",
  json_schema: {
    name: "place",
    strict: true,
    schema: { type: "object", properties: { city: { type: "string" }, inhabitants: { type: "integer" } }, required: ["city", "inhabitants"] },
  },
};
const pixel =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const image = { role: "user", content: [{ type: "text", text: "What is this?" }, { type: "image_url", image_url: { url: pixel } }] };

async function collected(more) {
  const chunks = [];
  for await (const chunk of await client.chat.completions.create({ model: "chat", messages, stream: true, ...more })) chunks.push(chunk);
  return {
    chunks: chunks.length,
    text: chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join(""),
    usage: chunks.map((chunk) => chunk.usage ?? null).filter((usage) => usage !== null),
    finish: chunks.map((chunk) => chunk.choices[0]?.finish_reason).filter((reason) => reason),
  };
}

// The most special class of the SDK's that the error is of, and what it says.
async function failure(work) {
  try {
    await work();
  } catch (error) {
    return { kind: error.constructor.name, isApiError: error instanceof OpenAI.APIError, status: error.status ?? null, code: error.code ?? null };
  }
  return { kind: "none" };
}

async function brokenOff() {
  let chunks = 0;
  const error = await failure(async () => {
    for await (const _ of await client.chat.completions.create({ model: "cut", messages, stream: true })) chunks += 1;
  });
  return { ...error, chunks };
}

const ask = (model, by = client, more = {}) => by.chat.completions.create({ model, messages, ...more });
const whole = await ask("chat");
const tool = await ask("chat", client, { tools: [weather] });
const found = {
  whole: { text: whole.choices[0].message.content, model: whole.model, usage: whole.usage },
  stream: await collected({}),
  streamWithUsage: await collected({ stream_options: { include_usage: true } }),
  choices: (await ask("chat", client, { n: 2 })).choices.length,
  tool: tool.choices[0].message.tool_calls[0].function,
  streamedTool: (await client.chat.completions.stream({ model: "chat", messages, tools: [weather] }).finalChatCompletion()).choices[0].message
    .tool_calls[0].function,
  schema: JSON.parse((await ask("chat", client, { response_format: place })).choices[0].message.content),
  image: (await client.chat.completions.create({ model: "chat", messages: [image] })).choices[0].message.content,
  models: (await client.models.list()).data.map((model) => model.id),
  errors: {
    stranger: await failure(() => ask("chat", stranger)),
    unknownModel: await failure(() => ask("no-such-model")),
    malformed: await failure(() => ask("chat", client, { stream: "perhaps" })),
    strict: await failure(() => ask("chat", strict)),
    limited: await failure(() => ask("limited", once)),
    failing: await failure(() => ask("failing", once)),
    unverified: await failure(() => ask("unverified")),
    brokenOff: await brokenOff(),
  },
};
console.log(JSON.stringify(found));
