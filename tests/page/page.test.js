// The page as a person has it: spoken to, listened to, interrupted, and without a microphone.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { inState, openPage, recording } from "./browser.js";
import { startServer } from "./server.js";
import { likeness, readWav, spans, strung, writeWav } from "./sound.js";

const QUESTION = new URL("../fixtures/audio/capital.wav", import.meta.url).pathname; // the capital of France
const AUDIBLE = 0.005; // rms
const LIKENESS = 0.9; // of what is played to what was sent, where both are the same sound
const INTO = 1.2; // seconds behind the first question: into its answer
const LONGEST_OVERLAP = 1; // seconds of an interrupted answer behind the first word spoken into it
const SILENCE_AROUND = 300; // ms of an answer in which nothing is audible, before its first word and in a pause
const SLACK = 0.1; // seconds between two measures of one answer's audible part

const folder = mkdtempSync(join(tmpdir(), "page-"));
const { rate, samples: question } = readWav(QUESTION);
let server;

before(async () => (server = await startServer()));
after(async () => server.stop());

/** A wav for the microphone, of recordings and of pauses in seconds. */
function microphone(name, ...parts) {
  const path = join(folder, `${name}.wav`);
  writeWav(path, strung(rate, parts));
  return path;
}

async function withPage({ at = server, expected = [], ...options }, use) {
  const opened = await openPage(at.address, options);
  try {
    await use(opened);
    const faults = opened.faults.filter((fault) => !expected.some((pattern) => pattern.test(fault)));
    assert.deepEqual(faults, []);
  } finally {
    await opened.browser.close();
  }
}

/** The sound of the answers that the server sent, at the recording's rate. */
function sound(received, responseId) {
  const deltas = received.filter((event) => event.type === "response.output_audio.delta" && event.response_id === responseId);
  const bytes = Buffer.concat(deltas.map((event) => Buffer.from(event.delta, "base64")));
  const samples = new Float32Array(bytes.length);
  for (let i = 0; i < bytes.length / 2; i++) {
    samples[2 * i] = bytes.readInt16LE(2 * i) / 32768;
    samples[2 * i + 1] = (samples[2 * i] + bytes.readInt16LE(Math.min(2 * i + 2, bytes.length - 2)) / 32768) / 2;
  }
  return samples;
}

const length = (audible) => audible.at(-1).end - audible[0].start; // s

const types = (events) => events.map((event) => event.type);
const words = (page) => page.locator("#words .answer p").allTextContents();

test("a spoken question is answered aloud and in writing", async () => {
  const spoken = microphone("once", 1, question, 8);
  await withPage({ microphone: spoken }, async ({ page, received }) => {
    await page.click("#key");
    await inState(page, "answering");
    await inState(page, "listening");
    const { played } = await recording(page);
    const heard = spans(played, AUDIBLE);
    assert.equal(heard.length, 1, JSON.stringify(heard));
    const answer = received.find((event) => event.type === "response.done").response;
    const sent = { rate: played.rate, samples: sound(received, answer.id) };
    const { start } = spans(sent, AUDIBLE)[0];
    const second = sent.samples.subarray(start * sent.rate, (start + 1) * sent.rate);
    const alike = likeness(played, second, heard[0].start);
    assert.ok(alike > LIKENESS, `likeness ${alike}`);
    assert.match((await words(page)).join(), /Paris/);
    assert.match(await page.textContent("#voice"), /Paris/);
    assert.ok(Number(await page.textContent("#latency output")) > 0);
    if (process.env.KEEP) writeWav(join(process.env.KEEP, "answer.wav"), { rate: played.rate, samples: played.samples });
  });
});

test("a second question, spoken into the answer, interrupts it and is answered", async () => {
  const spoken = microphone("twice", 1, question, INTO, question, 8);
  await withPage({ microphone: spoken }, async ({ page, sent, received }) => {
    await page.click("#key");
    await inState(page, "interrupted");
    await inState(page, "answering");
    await inState(page, "listening");
    const { microphone: said, played } = await recording(page);
    const into = spans(said, AUDIBLE).at(1).start;
    const heard = spans(played, AUDIBLE);
    const first = heard.filter((span) => span.start < into + LONGEST_OVERLAP);
    const second = heard.slice(first.length);
    const silent = first.at(-1).end;
    console.log(`the answer fell silent ${Math.round((silent - into) * 1000)} ms after the first word into it`);
    assert.ok(silent - into < LONGEST_OVERLAP, `${silent} ${into}`);
    assert.ok(second.length > 0 && second[0].start > into + question.length / rate, "nothing more of the first answer");
    const truncate = sent.find((event) => event.type === "conversation.item.truncate");
    const whole = sound(received, received.find((event) => event.type === "response.created").response.id);
    const cut = whole.subarray(0, truncate.audio_end_ms / 1000 * played.rate); // what the page says was heard
    const [told, was] = [spans({ rate: played.rate, samples: cut }, AUDIBLE), first].map(length);
    assert.ok(Math.abs(told - was) < SLACK, `${told} of ${was} s`);
    assert.ok(types(received).includes("conversation.item.truncated"));
    assert.equal((await words(page)).length, 2);
  });
});

test("a murmur into the answer silences it for a moment and ends nothing", async () => {
  const murmur = question.subarray(0.4 * rate, 0.6 * rate);
  const spoken = microphone("murmur", 1, question, INTO, murmur, 8);
  await withPage({ microphone: spoken }, async ({ page, sent, received }) => {
    await page.click("#key");
    await inState(page, "held");
    await inState(page, "answering"); // again
    await inState(page, "listening");
    assert.ok(!types(sent).includes("conversation.item.truncate"));
    const answer = received.find((event) => event.type === "response.done").response;
    assert.equal(answer.status, "completed");
    const length = sound(received, answer.id).length; // at the recording's rate
    const { played } = await recording(page);
    const from = spans(played, AUDIBLE)[0].start;
    const to = spans(played, AUDIBLE).at(-1).end;
    assert.ok((to - from) * played.rate > length - SILENCE_AROUND * played.rate / 1000, "all of it was heard");
    assert.match((await words(page)).join(), /Paris/);
  });
});

test("with the key held, the turn ends as it is let go", async () => {
  const spoken = microphone("held", 1, question, 20);
  await withPage({ microphone: spoken }, async ({ page, sent, received }) => {
    await page.click("text=Hold to talk");
    await page.focus("#key");
    await page.keyboard.press("Space"); // opens the line
    await inState(page, "listening");
    await page.keyboard.down("Space");
    await inState(page, "hearing");
    await page.waitForTimeout(1000 * (1.2 + question.length / rate));
    assert.ok(!types(received).includes("response.created"));
    await page.keyboard.up("Space");
    await inState(page, "answering");
    await inState(page, "listening");
    const update = sent.findLast((event) => event.type === "session.update");
    assert.equal(update.session.audio.input.turn_detection, null);
    assert.match((await words(page)).join(), /Paris/);
  });
});

test("a sound file that is dropped is answered aloud", async () => {
  await withPage({ microphone: null }, async ({ page, faults }) => {
    const bytes = [...readFileSync(QUESTION)];
    await page.evaluate((bytes) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([Uint8Array.from(bytes)], "capital.wav"));
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    }, bytes);
    await inState(page, "answering");
    await inState(page, "paused");
    assert.match((await words(page)).join(), /Paris/);
    const { played } = await recording(page);
    assert.equal(spans(played, AUDIBLE).length, 1);
  });
});

test("a file that is no sound, or too long a sound, is refused in a sentence", async () => {
  await withPage({ microphone: null }, async ({ page, received }) => {
    await page.setInputFiles("#file input", { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("no sound") });
    await page.waitForFunction(() => /notes.txt could not be read/.test(document.getElementById("note").textContent));
    await page.setInputFiles("#file input", microphone("long", question, 40));
    await page.waitForFunction(() => /30 s/.test(document.getElementById("note").textContent));
    await inState(page, "paused");
    assert.ok(!types(received).includes("response.output_audio.delta"));
  });
});

test("a denied microphone is told in a sentence, and a written question is answered", async () => {
  await withPage({ microphone: null }, async ({ page }) => {
    await page.click("#key");
    await inState(page, "denied");
    assert.match(await page.textContent("#note"), /microphone is blocked/);
    await page.fill("#text", "What is the capital of France?");
    await page.press("#text", "Enter");
    await inState(page, "answering");
    await inState(page, "denied");
    assert.match((await words(page)).join(), /Paris/);
    assert.match(await page.textContent("#note"), /microphone is blocked/);
  });
});

test("a lost connection is told, and comes back by itself", async () => {
  const silence = microphone("silence", 30);
  await withPage({ microphone: silence }, async ({ page }) => {
    let cut;
    await page.routeWebSocket("**/v1/realtime", (socket) => {
      socket.connectToServer();
      cut = () => socket.close({ code: 1011, reason: "gone" });
    });
    await page.click("#key");
    await inState(page, "listening");
    await cut();
    await inState(page, "lost");
    await inState(page, "listening");
  });
});

test("a server that is full says so, and is asked again", async () => {
  await withPage({ microphone: microphone("silence", 30) }, async ({ page }) => {
    let refusals = 0;
    await page.routeWebSocket("**/v1/realtime", (socket) => {
      if (refusals++ > 0) return socket.connectToServer();
      socket.send(JSON.stringify({ type: "error", error: { message: "All places are taken." } }));
      socket.close({ code: 1013 });
    });
    await page.click("#key");
    await inState(page, "full");
    assert.equal(await page.textContent("#note"), "All places are taken.");
    await inState(page, "listening");
    assert.equal(await page.textContent("#note"), "");
  });
});

test("a server with a token asks for it, and says where it is wrong", async () => {
  const guarded = await startServer("secret");
  const expected = [/401/, /WebSocket connection/]; // the browser's own words for a refusal
  try {
    await withPage({ at: guarded, microphone: microphone("silence", 30), expected }, async ({ page }) => {
      await page.click("#key");
      for (const [token, sentence] of [["a/b", /cannot send this token/], ["guess", /did not accept/]]) {
        await page.fill("dialog[open] input", token);
        await page.press("dialog input", "Enter");
        await page.waitForFunction((text) => new RegExp(text).test(document.getElementById("wrong").textContent), sentence.source);
      }
      await page.fill("dialog[open] input", "secret");
      await page.press("dialog input", "Enter");
      await inState(page, "listening");
    });
  } finally {
    await guarded.stop();
  }
});
