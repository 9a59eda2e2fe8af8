// Sound files as the tests need them: 16-bit mono wav in and out, and what is heard in samples.

import { readFileSync, writeFileSync } from "node:fs";

export function readWav(path) {
  const bytes = readFileSync(path);
  const rate = bytes.readUInt32LE(24);
  const at = bytes.indexOf("data") + 8;
  const samples = new Float32Array(bytes.readUInt32LE(at - 4) / 2);
  samples.forEach((_, i) => (samples[i] = bytes.readInt16LE(at + 2 * i) / 32768));
  return { rate, samples };
}

export function writeWav(path, { rate, samples }) {
  const bytes = Buffer.alloc(44 + 2 * samples.length);
  bytes.write("RIFF", 0);
  bytes.writeUInt32LE(36 + 2 * samples.length, 4);
  bytes.write("WAVEfmt ", 8);
  bytes.writeUInt32LE(16, 16);
  bytes.writeUInt16LE(1, 20); // PCM
  bytes.writeUInt16LE(1, 22); // channels
  bytes.writeUInt32LE(rate, 24);
  bytes.writeUInt32LE(2 * rate, 28);
  bytes.writeUInt16LE(2, 32);
  bytes.writeUInt16LE(16, 34);
  bytes.write("data", 36);
  bytes.writeUInt32LE(2 * samples.length, 40);
  samples.forEach((x, i) => bytes.writeInt16LE(Math.round(Math.max(-1, Math.min(1, x)) * 32767), 44 + 2 * i));
  writeFileSync(path, bytes);
}

/** Recordings and pauses in seconds, one after the other. */
export function strung(rate, parts) {
  const pieces = parts.map((part) => (typeof part === "number" ? new Float32Array(Math.round(part * rate)) : part));
  const samples = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    samples.set(piece, at);
    at += piece.length;
  }
  return { rate, samples };
}

/** Spans in which the level of 10 ms is above `level`, joined over gaps below `join` seconds. */
export function spans({ rate, samples }, level, join = 0.3) {
  const block = Math.round(rate / 100);
  const found = [];
  for (let at = 0; at + block <= samples.length; at += block) {
    if (rms(samples.subarray(at, at + block)) < level) continue;
    const last = found.at(-1);
    if (last && at / rate - last.end < join) last.end = (at + block) / rate;
    else found.push({ start: at / rate, end: (at + block) / rate });
  }
  return found;
}

export function rms(samples) {
  return Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
}

/** How alike `part` is to `whole` where it fits best, within 50 ms of `start`: 0 to 1. Both have one rate. */
export function likeness({ rate, samples }, part, start) {
  const [from, to] = [start - 0.05, start + 0.05].map((second) => Math.max(0, Math.round(second * rate)));
  let best = 0;
  for (let at = from; at <= Math.min(to, samples.length - part.length); at++) {
    best = Math.max(best, cosine(samples.subarray(at, at + part.length), part));
  }
  return best;
}

function cosine(a, b) {
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    ab += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return ab / Math.sqrt(aa * bb + 1e-12);
}
