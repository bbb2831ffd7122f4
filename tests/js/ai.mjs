// Vercel's `ai` with `@ai-sdk/openai-compatible`, unmodified. Prints one JSON document: what each call came to.
// Environment: OLLM_BASE_URL (ends in /v1), OLLM_KEY.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, jsonSchema, Output, stepCountIs, streamText, tool } from "ai";

const provider = createOpenAICompatible({
  name: "ollm",
  baseURL: process.env.OLLM_BASE_URL,
  apiKey: process.env.OLLM_KEY,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const model = provider("demo");
const prompt = "What is the weather in Reykjavík";
const tools = {
  get_weather: tool({
    description: "The weather in a city.",
    inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false }),
    execute: async ({ city }) => `four degrees in ${city}, rain`,
  }),
};
const place = jsonSchema({
  type: "object",
  properties: { city: { type: "string" }, inhabitants: { type: "integer" } },
  required: ["city", "inhabitants"],
  additionalProperties: false,
});

async function failure(work) {
  try {
    await work();
  } catch (error) {
    return { kind: error.name, status: error.statusCode ?? null, retryable: error.isRetryable ?? null };
  }
  return { kind: "none" };
}

async function streamed(more) {
  const errors = [];
  const result = streamText({ model, prompt, maxRetries: 0, onError: ({ error }) => errors.push(error?.message ?? String(error)), ...more });
  const pieces = [];
  for await (const piece of result.textStream) pieces.push(piece);
  return { result, pieces, errors };
}

const whole = await generateText({ model, prompt });
const stream = await streamed({});
const called = await generateText({ model, prompt, tools, stopWhen: stepCountIs(2) });
const calling = await streamed({ tools });
const broken = await streamed({ model: provider("sim-cut") });
const found = {
  whole: whole.text,
  usage: whole.usage.outputTokens,
  stream: { text: stream.pieces.join(""), pieces: stream.pieces.length, usage: (await stream.result.usage).outputTokens },
  tool: { call: called.steps[0].toolCalls[0].input, result: called.steps[0].toolResults[0].output, text: called.text },
  streamedTool: (await calling.result.toolCalls).map((call) => [call.toolName, call.input]),
  structured: (await generateText({ model, prompt, output: Output.object({ schema: place }) })).output,
  embeddings: (await embedMany({ model: provider.embeddingModel("embed"), values: ["one", "two"] })).embeddings.map((vector) => vector.length),
  errors: {
    unknownModel: await failure(() => generateText({ model: provider("nobody"), prompt, maxRetries: 0 })),
    limited: await failure(() => generateText({ model: provider("sim-error-429"), prompt, maxRetries: 0 })),
    brokenOff: { pieces: broken.pieces.length, errors: broken.errors.length },
  },
};
console.log(JSON.stringify(found));
