// The `openai` package's Realtime client. It knows no `ws://`, so the server speaks TLS.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import OpenAI from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";
import { ANSWER, MODEL, PATIENCE, WRITTEN, isHeard, spokenTurn } from "./question.js";
import { KEY, readyServer } from "./server.js";

const folder = mkdtempSync(join(tmpdir(), "realtime-"));
const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
let server;

before(async () => {
  const self = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -days 1";
  const names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert];
  execFileSync("openssl", [...self.split(" "), ...names], { stdio: "ignore" });
  server = await readyServer(["--tls-cert", cert, "--tls-key", key], readFileSync(cert));
});
after(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

async function connected(use, apiKey = KEY) {
  const client = new OpenAI({ baseURL: `${server.address}/v1`, apiKey });
  const realtime = new OpenAIRealtimeWS({ model: MODEL, options: { ca: readFileSync(cert) } }, client);
  try {
    await use(realtime);
  } finally {
    realtime.close();
  }
}

test("a spoken turn is answered", PATIENCE, () =>
  connected(async (realtime) => {
    await realtime.emitted("session.created");
    const input = { turn_detection: { type: "server_vad" }, transcription: { model: "any" } };
    realtime.send({ type: "session.update", session: { type: "realtime", audio: { input } } });
    const sound = [];
    realtime.on("response.output_audio.delta", ({ delta }) => sound.push(Buffer.from(delta, "base64")));
    const ends = ["response.done", "conversation.item.input_audio_transcription.completed"];
    const ended = Promise.all(ends.map((type) => realtime.emitted(type)));
    for (const piece of spokenTurn()) {
      realtime.send({ type: "input_audio_buffer.append", audio: piece.toString("base64") });
    }
    const [{ response }, question] = await ended;
    assert.equal(response.status, "completed");
    assert.equal(response.output[0].content[0].transcript, ANSWER);
    assert.ok(isHeard(Buffer.concat(sound)));
    assert.match(question.transcript, /capital of france/i);
  }));

test("a written question is answered in text alone", PATIENCE, () =>
  connected(async (realtime) => {
    await realtime.emitted("session.created");
    const seen = [];
    realtime.on("event", ({ type }) => seen.push(type));
    const done = realtime.emitted("response.done");
    const content = [{ type: "input_text", text: WRITTEN }];
    realtime.send({ type: "session.update", session: { type: "realtime", output_modalities: ["text"] } });
    realtime.send({ type: "conversation.item.create", item: { type: "message", role: "user", content } });
    realtime.send({ type: "response.create" });
    assert.equal((await done).response.output[0].content[0].text, ANSWER);
    assert.ok(seen.includes("response.output_text.delta"));
    assert.ok(!seen.includes("response.output_audio.delta"));
  }));

test("a failure names its event", PATIENCE, () =>
  connected(async (realtime) => {
    await realtime.emitted("session.created");
    const failed = realtime.emitted("error");
    realtime.send({ type: "conversation.item.retrieve", item_id: "none", event_id: "mine" });
    const { code, event_id } = (await failed).error;
    assert.deepEqual([code, event_id], ["item_retrieve_invalid_item_id", "mine"]);
  }));

test("a wrong key is refused", PATIENCE, () =>
  connected(async (realtime) => assert.match((await realtime.emitted("error")).message, /401/), "wrong"));
