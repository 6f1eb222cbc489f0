// Vercel's AI SDK against an API: `node --input-type=module - URL MODEL < ai_sdk_client.mjs`, in a folder with its packages.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, streamText, tool } from "ai";

const [baseURL, model] = process.argv.slice(2);
const openai = createOpenAI({ baseURL, apiKey: "EMPTY" });
const compatible = createOpenAICompatible({ name: "agent-assets", baseURL, apiKey: "EMPTY" });
const city = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const weather = tool({ description: "The weather", inputSchema: jsonSchema(city) });
const quiet = { maxRetries: 0 };

async function failure(make) {
  try {
    await generateText({ model: make, prompt: "Hi", ...quiet });
  } catch (error) {
    return { status: error.statusCode, message: error.message };
  }
}

const answer = await generateText({ model: openai.chat(model), system: "Be short.", prompt: "Hi", seed: 7, ...quiet });
const pieces = [];
const stream = streamText({ model: compatible(model), prompt: "Hi", ...quiet });
for await (const piece of stream.textStream) pieces.push(piece);
const called = await generateText({ model: compatible(model), prompt: "Weather?", tools: { weather }, ...quiet });
console.log(
  JSON.stringify({
    text: answer.text,
    pieces,
    call: { name: called.toolCalls[0].toolName, arguments: called.toolCalls[0].input },
    unknown: await failure(openai.chat("nobody")),
    responses: await failure(openai(model)),
  }),
);
