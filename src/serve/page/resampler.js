// Sound that streams from one sample rate to another: a windowed sinc, cut below the lower of both
// Nyquist frequencies. The browser's device has its own rate; the protocol's is 24 kHz.

const ZERO_CROSSINGS = 16; // on each side
const STEPS = 256; // of the table, between two zero crossings
const PASS = 0.95; // of the lower Nyquist frequency

const KERNEL = Float32Array.from({ length: ZERO_CROSSINGS * STEPS + 2 }, (_, i) => {
  const x = i / STEPS;
  if (x >= ZERO_CROSSINGS) return 0;
  const window = 0.42 + 0.5 * Math.cos((Math.PI * x) / ZERO_CROSSINGS) + 0.08 * Math.cos((2 * Math.PI * x) / ZERO_CROSSINGS);
  return x === 0 ? 1 : (window * Math.sin(Math.PI * x)) / (Math.PI * x);
});

export class Resampler {
  constructor(from, to) {
    this.step = from / to;
    this.cut = PASS * Math.min(1, to / from);
    this.reach = Math.ceil(ZERO_CROSSINGS / this.cut); // input samples on each side
    this.input = new Float32Array(this.reach); // silence before the first sample
    this.at = this.reach; // where the next output lies in `input`
  }

  /** Takes samples in and gives those that are complete. */
  push(samples) {
    if (this.step === 1) return samples;
    const input = joined(this.input, samples);
    const count = Math.max(0, Math.ceil((input.length - this.reach - this.at) / this.step));
    const output = Float32Array.from({ length: count }, (_, i) => this.sample(input, this.at + i * this.step));
    const next = this.at + count * this.step;
    const spent = Math.max(0, Math.floor(next) - this.reach);
    this.input = input.slice(spent);
    this.at = next - spent;
    return output;
  }

  /** The rest, once nothing more comes. */
  flush() {
    return this.step === 1 ? new Float32Array(0) : this.push(new Float32Array(this.reach));
  }

  sample(input, at) {
    const first = Math.max(0, Math.ceil(at - this.reach));
    const last = Math.min(input.length - 1, Math.floor(at + this.reach));
    let sum = 0;
    for (let i = first; i <= last; i++) sum += input[i] * kernel(Math.abs(i - at) * this.cut);
    return sum * this.cut;
  }
}

function kernel(x) {
  if (x >= ZERO_CROSSINGS) return 0;
  const place = x * STEPS;
  const i = Math.floor(place);
  return KERNEL[i] + (KERNEL[i + 1] - KERNEL[i]) * (place - i);
}

function joined(a, b) {
  const both = new Float32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
