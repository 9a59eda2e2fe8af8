// The `openai` package: chat completions and transcriptions.

import assert from "node:assert/strict";
import { createReadStream, readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import OpenAI from "openai";
import { ANSWER, MODEL, PATIENCE, QUESTION, isHeard } from "./question.js";
import { KEY, readyServer } from "./server.js";

const SPOKEN = {
  role: "user",
  content: [{ type: "input_audio", input_audio: { data: readFileSync(QUESTION, "base64"), format: "wav" } }],
};
let server, client;

before(async () => {
  server = await readyServer();
  client = new OpenAI({ baseURL: `${server.address}/v1`, apiKey: KEY });
});
after(async () => server.stop());

test("a chat completion is spoken", PATIENCE, async () => {
  const completion = await client.chat.completions.create({
    model: MODEL,
    modalities: ["text", "audio"],
    audio: { voice: "alloy", format: "pcm16" },
    messages: [SPOKEN],
  });
  const { audio } = completion.choices[0].message;
  assert.equal(audio.transcript, ANSWER);
  assert.ok(isHeard(Buffer.from(audio.data, "base64")));
});

test("a chat completion is spoken while it is made", PATIENCE, async () => {
  const stream = await client.chat.completions.create({
    model: MODEL,
    modalities: ["text", "audio"],
    audio: { voice: "alloy", format: "pcm16" },
    messages: [SPOKEN],
    stream: true,
  });
  let transcript = "";
  const sound = [];
  for await (const { choices } of stream) {
    const audio = choices[0]?.delta.audio;
    transcript += audio?.transcript ?? "";
    if (audio?.data) sound.push(Buffer.from(audio.data, "base64"));
  }
  assert.equal(transcript, ANSWER);
  assert.ok(sound.length > 1, "in one piece");
  assert.ok(isHeard(Buffer.concat(sound)));
});

test("a recording is transcribed", PATIENCE, async () => {
  const { text } = await client.audio.transcriptions.create({ model: MODEL, file: createReadStream(QUESTION) });
  assert.match(text, /capital of france/i);
});

test("what no Mini-Omni can do is an error of the package's own kind", PATIENCE, async () => {
  const speech = client.audio.speech.create({ model: MODEL, voice: "alloy", input: ANSWER });
  await assert.rejects(speech, OpenAI.APIError);
});
