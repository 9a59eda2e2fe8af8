// A headless Chromium whose microphone is a sound file, and a recording of both sides of the page.

import { chromium } from "playwright-core";

const RATE = 48000; // of the page's audio context, as the recording has it
const FLAGS = [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

/** Opens `address`; `microphone` is a wav, or null for one that is denied. */
export async function openPage(address, { microphone, width = 1440, height = 900, colorScheme = "light", reducedMotion = "no-preference" }) {
  const sound = microphone
    ? ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", `--use-file-for-fake-audio-capture=${microphone}%noloop`]
    : ["--use-fake-device-for-media-stream", "--deny-permission-prompts"];
  const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
  const browser = await chromium.launch({ executablePath, args: [...FLAGS, ...sound] });
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, reducedMotion });
  const page = await context.newPage();
  await page.addInitScript(tap, RATE);
  const sent = [];
  const received = [];
  page.on("websocket", (socket) => {
    socket.on("framesent", ({ payload }) => sent.push(JSON.parse(payload)));
    socket.on("framereceived", ({ payload }) => received.push(JSON.parse(payload)));
  });
  const faults = [];
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  await page.goto(address).catch(async (error) => {
    await browser.close();
    throw error;
  });
  return { browser, page, sent, received, faults };
}

/** In the page: records the microphone and what the page's worklet plays, sample by sample together. */
function tap(rate) {
  const Context = window.AudioContext;
  window.AudioContext = class extends Context {
    constructor(options) {
      super({ ...options, sampleRate: rate });
      window.recorded = { microphone: [], played: [] };
      this.both = this.createChannelMerger(2);
      const recorder = this.createScriptProcessor(16384, 2, 1); // long: a busy page must lose none
      recorder.onaudioprocess = ({ inputBuffer }) => {
        window.recorded.microphone.push(...inputBuffer.getChannelData(0));
        window.recorded.played.push(...inputBuffer.getChannelData(1));
      };
      this.both.connect(recorder).connect(this.destination);
    }
    createMediaStreamSource(stream) {
      const source = super.createMediaStreamSource(stream);
      source.connect(this.both, 0, 0);
      return source;
    }
  };
  const Node = window.AudioWorkletNode;
  window.AudioWorkletNode = class extends Node {
    constructor(context, ...rest) {
      super(context, ...rest);
      this.connect(context.both, 0, 1);
    }
  };
}

/** What was recorded until now. */
export async function recording(page) {
  await page.waitForTimeout(800); // of the recorder's buffer
  const sides = await page.evaluate(async () => {
    const read = (blob) => new Promise((done) => {
      const reader = new FileReader();
      reader.onload = () => done(reader.result.split(",")[1]);
      reader.readAsDataURL(blob);
    });
    const { microphone, played } = window.recorded;
    return Promise.all([microphone, played].map((side) => read(new Blob([Float32Array.from(side)]))));
  });
  const [microphone, played] = sides.map((base64) => {
    const bytes = Buffer.from(base64, "base64");
    return { rate: RATE, samples: new Float32Array(Uint8Array.from(bytes).buffer) };
  });
  return { microphone, played };
}

export function inState(page, ...states) {
  const check = (wanted) => wanted.includes(document.body.dataset.state);
  return page.waitForFunction(check, states, { timeout: 40000 });
}
