// The audio thread's part: it records the microphone, plays the queue of answers, and falls silent at
// once where somebody speaks into an answer. It decides that here, so that a busy page delays nothing.

const BLOCK_MS = 10; // of the onset detector
const TICK_BLOCKS = 2; // a message to the page each 20 ms
const RAMP_MS = 8; // to silence and back, without a click
const HOLD_MS = 500; // silence that waits for the server's word
const REFILL_MS = 100; // queued before playing goes on, once the queue has run dry
const QUIETEST_DB = -70;

const decibels = (power) => Math.max(QUIETEST_DB, 10 * Math.log10(power + 1e-12));

/** Tells speech from the room's noise and from the answer's own echo, by level. */
class Onset {
  constructor() {
    this.floor = -60; // dB of the room
    this.echo = QUIETEST_DB; // dB of what was played in the last moments
    this.recent = []; // loud or not, the last blocks
  }

  /** Takes the levels of one block. */
  hear(microphone, playing) {
    const RISE = 0.03; // dB a block: 3 dB a second
    const FADE = 1; // dB a block: what was played is heard for a quarter of a second
    this.floor = Math.min(microphone, this.floor + RISE);
    this.echo = Math.max(playing, this.echo - FADE);
    this.loud = microphone > Math.max(-50, this.floor + 12);
    this.recent.push(this.loud && microphone > this.echo - 9);
    if (this.recent.length > 5) this.recent.shift();
  }

  get speech() {
    return this.recent.filter(Boolean).length >= 4;
  }

  get silence() {
    return !this.recent.includes(true);
  }
}

class Line extends AudioWorkletProcessor {
  constructor() {
    super();
    this.blockLength = Math.round((sampleRate * BLOCK_MS) / 1000);
    this.onset = new Onset();
    this.queue = []; // samples of the answer
    this.ducks = true;
    this.gain = this.target = 1;
    this.recorded = [];
    this.clear();
    this.startBlock();
    this.port.onmessage = ({ data }) => this[data.order](data);
  }

  // Orders of the page.

  play({ answer, samples }) {
    if (this.answer !== answer) this.begin(answer);
    this.queue.push(samples);
    this.queued += samples.length;
  }

  end({ answer }) {
    if (this.answer === answer) this.ended = true;
  }

  drop() {
    this.dropping = true;
    this.target = 0;
    if (this.gain === 0 || !this.playing) this.finish("dropped");
  }

  duck({ on }) {
    this.ducks = on;
  }

  // One render quantum: 128 samples.

  process([input], [output]) {
    const microphone = input[0];
    const speaker = output[0];
    this.fill(speaker);
    for (let c = 1; c < output.length; c++) output[c].set(speaker);
    this.measure(microphone, speaker);
    return true;
  }

  fill(speaker) {
    for (let i = 0; i < speaker.length; i++) {
      const slope = 1000 / (RAMP_MS * sampleRate);
      this.gain += Math.max(-slope, Math.min(slope, this.target - this.gain));
      speaker[i] = this.gain > 0 && this.ready() ? this.gain * this.next() : 0;
    }
    if (this.dropping && this.gain === 0) this.finish("dropped");
    if (this.ended && this.queued === 0) this.finish("finished");
  }

  ready() {
    if (this.queued === 0) {
      if (this.playing && !this.ended) this.refill = (sampleRate * REFILL_MS) / 1000;
      return false;
    }
    return this.ended || this.queued >= this.refill;
  }

  next() {
    if (!this.playing) this.tell("started");
    this.playing = true;
    this.refill = 0;
    const sample = this.queue[0][this.head++];
    if (this.head === this.queue[0].length) {
      this.queue.shift();
      this.head = 0;
    }
    this.queued--;
    this.played++;
    return sample;
  }

  // Levels, and the decision to fall silent.

  measure(microphone, speaker) {
    for (let i = 0; i < speaker.length; i++) {
      const heard = microphone ? microphone[i] : 0;
      this.block[this.blockAt++] = heard;
      this.heardPower += heard * heard;
      this.playedPower += speaker[i] * speaker[i];
      if (this.blockAt === this.blockLength) this.endBlock(Boolean(microphone));
    }
  }

  endBlock(recording) {
    const heard = decibels(this.heardPower / this.blockLength);
    const playing = decibels(this.playedPower / this.blockLength);
    this.onset.hear(heard, playing);
    this.decide();
    this.recorded.push({ samples: this.block, heard, playing });
    if (this.recorded.length === TICK_BLOCKS) this.tick(recording);
    this.startBlock();
  }

  startBlock() {
    this.block = new Float32Array(this.blockLength);
    this.blockAt = this.heardPower = this.playedPower = 0;
  }

  decide() {
    if (this.held > 0) {
      this.held -= BLOCK_MS;
      if (this.held <= 0) this.resume();
    } else if (this.onset.silence) {
      this.armed = true;
    } else if (this.ducks && this.armed && this.playing && !this.dropping && this.onset.speech) {
      this.hold();
    }
  }

  hold() {
    this.held = HOLD_MS;
    this.target = 0;
    this.armed = false; // a noise that stays is no second reason
    this.tell("held");
  }

  resume() {
    this.held = 0;
    if (this.dropping) return;
    this.target = 1;
    this.tell("resumed");
  }

  // What the page is told.

  tick(recording) {
    const samples = new Float32Array(this.blockLength * TICK_BLOCKS);
    this.recorded.forEach((block, i) => samples.set(block.samples, i * this.blockLength));
    const loudest = (level) => Math.max(...this.recorded.map((block) => block[level]));
    this.tell("tick", {
      samples: recording ? samples : null,
      heard: loudest("heard"),
      playing: loudest("playing"),
      loud: recording && this.onset.loud,
      active: this.playing,
    });
    this.recorded = [];
  }

  tell(event, more) {
    this.port.postMessage({ event, answer: this.answer, played: this.played, time: currentTime, ...more });
  }

  begin(answer) {
    if (this.dropping) this.finish("dropped");
    this.clear();
    this.answer = answer;
  }

  finish(event) {
    this.tell(event);
    this.clear();
  }

  clear() {
    this.queue.length = 0;
    this.answer = null;
    this.head = this.queued = this.played = this.refill = this.held = 0;
    this.playing = this.ended = this.dropping = false;
    this.armed = true;
    this.gain = this.target = 1;
  }
}

registerProcessor("line", Line);
