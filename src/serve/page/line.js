// Microphone and loudspeaker: one audio context, one worklet, and the protocol's 24 kHz on this side.

import { RATE } from "./pcm.js";
import { Resampler } from "./resampler.js";

const WORKLET = new URL("./line.worklet.js", import.meta.url);

/** Events: `tick`, `started`, `held`, `resumed`, `finished`, `dropped`, `unplugged`; counts are at 24 kHz. */
export class Line extends EventTarget {
  /** A browser offers worklets and microphones in a secure context only. */
  static get possible() {
    return window.isSecureContext && "AudioWorkletNode" in window;
  }

  static async open() {
    const context = new AudioContext({ latencyHint: "interactive" });
    await context.audioWorklet.addModule(WORKLET);
    return new Line(context);
  }

  constructor(context) {
    super();
    this.context = context;
    this.node = new AudioWorkletNode(context, "line", { outputChannelCount: [1] });
    this.node.port.onmessage = ({ data }) => this.hear(data);
    this.node.connect(context.destination);
  }

  /** Sound may begin only after a gesture; call it from one. */
  wake() {
    return this.context.resume();
  }

  /** Asks for the microphone; rejects with the browser's reason. */
  async listen() {
    if (this.microphone) return;
    const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    this.recorder = new Resampler(this.context.sampleRate, RATE);
    this.microphone = this.context.createMediaStreamSource(stream);
    this.microphone.connect(this.node);
    this.track = stream.getAudioTracks()[0];
    this.track.addEventListener("ended", () => this.unplug());
  }

  /** A paused microphone gives silence, whatever it hears. */
  pause(paused) {
    if (this.microphone) this.track.enabled = !paused;
  }

  unplug() {
    this.microphone.disconnect();
    this.microphone = null;
    this.dispatchEvent(new Event("unplugged"));
  }

  play(answer, samples) {
    if (this.playing !== answer) {
      this.playing = answer;
      this.player = new Resampler(RATE, this.context.sampleRate);
    }
    this.queue(answer, this.player.push(samples));
  }

  /** Nothing more follows of `answer`. */
  end(answer) {
    if (this.playing !== answer) return;
    this.queue(answer, this.player.flush());
    this.order("end", { answer });
  }

  /** Silence at once; `dropped` tells how much of the answer was heard. */
  drop() {
    this.playing = null;
    this.order("drop");
  }

  /** Whether speech of this side silences the answer before the server says so. */
  duck(on) {
    this.order("duck", { on });
  }

  queue(answer, samples) {
    if (samples.length) this.order("play", { answer, samples });
  }

  order(order, more) {
    this.node.port.postMessage({ order, ...more });
  }

  hear(message) {
    const detail = {
      ...message,
      played: Math.round((message.played * RATE) / this.context.sampleRate),
      at: this.moment(message.time),
      samples: message.samples && this.microphone ? this.recorder.push(message.samples) : null,
    };
    this.dispatchEvent(new CustomEvent(message.event, { detail }));
  }

  /** When a sample of the context's time `seconds` is heard, on the page's clock in ms. */
  moment(seconds) {
    const latency = this.context.outputLatency || this.context.baseLatency || 0;
    return performance.now() + (seconds - this.context.currentTime + latency) * 1000;
  }
}
