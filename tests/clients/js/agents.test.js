// `@openai/agents-realtime`: its session over its own WebSocket transport.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { RealtimeAgent, RealtimeSession } from "@openai/agents-realtime";
import { ANSWER, MODEL, PATIENCE, WRITTEN, isHeard, spokenTurn } from "./question.js";
import { KEY, readyServer } from "./server.js";

let server;

before(async () => (server = await readyServer()));
after(async () => server.stop());

/** What the answer to `talk` says, by the session's own account, and its sound. */
async function conversation(config, talk) {
  const agent = new RealtimeAgent({ name: "assistant", instructions: "Be brief." });
  const session = new RealtimeSession(agent, { transport: "websocket", model: MODEL, config });
  const sound = [];
  session.on("audio", ({ data }) => sound.push(Buffer.from(data)));
  const said = new Promise((resolve, reject) => {
    session.on("agent_end", (_context, _agent, words) => resolve(words));
    session.on("error", ({ error }) => reject(error));
  });
  try {
    const url = `${server.address.replace("http", "ws")}/v1/realtime?model=${MODEL}`;
    await session.connect({ apiKey: KEY, url });
    talk(session);
    return { said: await said, sound: Buffer.concat(sound) };
  } finally {
    session.close();
  }
}

test("a spoken turn is answered", PATIENCE, async () => {
  const config = { audio: { input: { turnDetection: { type: "server_vad" } } } };
  const { said, sound } = await conversation(config, (session) => {
    for (const piece of spokenTurn()) session.sendAudio(Uint8Array.from(piece).buffer);
  });
  assert.equal(said, ANSWER);
  assert.ok(isHeard(sound));
});

test("a written question is answered in text alone", PATIENCE, async () => {
  const { said, sound } = await conversation({ outputModalities: ["text"] }, (session) => session.sendMessage(WRITTEN));
  assert.equal(said, ANSWER);
  assert.equal(sound.length, 0);
});
