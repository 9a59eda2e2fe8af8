// A spoken question and what its answer must be.

import { readWav, rms } from "../../page/sound.js";

export const QUESTION = new URL("../../fixtures/audio/capital.wav", import.meta.url).pathname;
export const WRITTEN = "What is the capital of France?";
export const ANSWER = "The capital of France is Paris.";
export const MODEL = "mini-omni-small";
export const PATIENCE = { timeout: 60_000 }; // ms until a test fails; nothing is measured by it

const RATE = 24_000;
const PAUSE = 1.5; // seconds, which end the turn
const PIECE = 2 * RATE * 0.1; // bytes of 100 ms

/** The question and the pause that ends its turn: PCM16 at 24 kHz, as a microphone gives it. */
export function* spokenTurn() {
  const { rate, samples } = readWav(QUESTION);
  const length = Math.floor((samples.length * RATE) / rate);
  const pcm = Buffer.alloc(2 * (length + PAUSE * RATE));
  for (let i = 0; i < length; i++) pcm.writeInt16LE(Math.round(32767 * between(samples, (i * rate) / RATE)), 2 * i);
  for (let at = 0; at < pcm.length; at += PIECE) yield pcm.subarray(at, at + PIECE);
}

/** The sample at a place between two, on the line through them. */
function between(samples, at) {
  const [before, share] = [Math.floor(at), at % 1];
  return samples[before] * (1 - share) + (samples[before + 1] ?? 0) * share;
}

/** Over half a second of sound that is no silence. */
export function isHeard(pcm) {
  const samples = Float32Array.from({ length: pcm.length / 2 }, (_, i) => pcm.readInt16LE(2 * i) / 32768);
  return samples.length > RATE / 2 && rms(samples) > 0.01;
}
