// Samples as the protocol carries them: 16-bit little-endian at 24 kHz, in base64.

export const RATE = 24000;

/** Float samples, -1 to 1, as base64. */
export function encode(samples) {
  const bytes = new DataView(new ArrayBuffer(samples.length * 2));
  samples.forEach((x, i) => bytes.setInt16(i * 2, Math.round(Math.max(-1, Math.min(1, x)) * 32767), true));
  return toBase64(new Uint8Array(bytes.buffer));
}

/** Base64 as float samples. */
export function decode(base64) {
  const text = atob(base64);
  const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length >> 1 }, (_, i) => view.getInt16(i * 2, true) / 32768);
}

/** A sound file as mono samples at 24 kHz; rejects what the browser cannot read. */
export async function decodeFile(file) {
  const context = new OfflineAudioContext(1, 1, RATE); // decoding resamples to its rate
  const sound = await context.decodeAudioData(await file.arrayBuffer());
  const mono = new Float32Array(sound.length);
  for (let c = 0; c < sound.numberOfChannels; c++) {
    sound.getChannelData(c).forEach((x, i) => (mono[i] += x / sound.numberOfChannels));
  }
  return mono;
}

function toBase64(bytes) {
  let text = "";
  const PART = 0x8000; // arguments of one call
  for (let i = 0; i < bytes.length; i += PART) text += String.fromCharCode(...bytes.subarray(i, i + PART));
  return btoa(text);
}
