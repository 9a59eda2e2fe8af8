// The conversation by the protocol: what is sent when, and what each event of the server means.
// It knows no element of the page; it tells the page by events.

import { Answer } from "./answer.js";
import { decode, encode, RATE } from "./pcm.js";

const PRE_ROLL = 10; // ticks of 20 ms that are sent from before the key went down
const SHORTEST_MS = 250; // that the key is held for
const TAIL_MS = 100; // of sound that is still on its way as the key goes up
const HARMLESS = "response_cancel_not_active"; // the answer ended while it was being stopped

/** Events: `state`, `question`, `heard`, `answer`, `words`, `cut`, `answered`, `latency`, `problem`. */
export class Conversation extends EventTarget {
  constructor(realtime) {
    super();
    this.realtime = realtime;
    this.handsFree = true;
    this.microphoneOn = false;
    this.recent = [];
    realtime.addEventListener("ready", ({ detail }) => this.begin(detail));
    realtime.addEventListener("event", ({ detail }) => this.take(detail));
    for (const end of ["lost", "refused", "closed"]) realtime.addEventListener(end, () => this.forget());
  }

  /** The line to speak through; without one, answers are text. */
  use(line) {
    this.line = line;
    line.addEventListener("tick", ({ detail }) => this.tick(detail));
    line.addEventListener("started", ({ detail }) => this.startPlaying(detail));
    line.addEventListener("dropped", ({ detail }) => this.cut(detail));
    line.addEventListener("finished", () => this.finish());
    line.addEventListener("held", () => this.settle("held"));
    line.addEventListener("resumed", () => this.settle("answering"));
  }

  begin(session) {
    this.model = session.model;
    this.configure(this.handsFree);
    this.rest();
  }

  /** Hands-free, the server ends a turn; otherwise the key does. */
  configure(handsFree) {
    this.handsFree = handsFree;
    this.line?.duck(handsFree);
    const format = { type: "audio/pcm", rate: RATE };
    const turn_detection = handsFree ? { type: "semantic_vad", create_response: true, interrupt_response: true } : null;
    this.send("session.update", {
      session: {
        type: "realtime",
        output_modalities: [this.line ? "audio" : "text"],
        audio: { input: { format, turn_detection, transcription: { model: this.model } }, output: { format } },
      },
    });
  }

  /** The connection is gone, and with it what the server knew. */
  forget() {
    this.answer = this.turn = this.asked = null;
    this.letGo();
    this.line?.drop();
  }

  // What the person does.

  listen(on) {
    this.microphoneOn = on;
    this.line?.pause(!on);
    if (!on) this.send("input_audio_buffer.clear");
    if (!this.answer) this.rest();
  }

  press() {
    if (this.pressed || !this.realtime.ready) return;
    this.stop();
    this.pressed = performance.now();
    this.send("input_audio_buffer.clear");
    this.recent.forEach((samples) => this.append(samples));
    this.settle("hearing");
  }

  release() {
    if (!this.pressed || this.releasing) return;
    if (performance.now() - this.pressed < SHORTEST_MS) {
      this.letGo();
      this.send("input_audio_buffer.clear");
      this.rest();
      return this.tell("problem", { message: "Hold the key for as long as you speak." });
    }
    this.releasing = setTimeout(() => this.commit(), TAIL_MS);
  }

  commit() {
    this.letGo();
    this.decide();
    this.send("input_audio_buffer.commit");
  }

  letGo() {
    clearTimeout(this.releasing);
    this.pressed = this.releasing = null;
  }

  askInWriting(text) {
    this.ask({ type: "input_text", text }, text);
  }

  askWithSound(samples, name) {
    this.ask({ type: "input_audio", audio: encode(samples) }, name);
  }

  ask(content, caption) {
    this.stop();
    this.turn = { asked: performance.now() };
    this.asked = `question_${Math.round(this.turn.asked)}`;
    this.tell("question", { id: this.asked, text: caption });
    const item = { id: this.asked, type: "message", role: "user", content: [content] };
    this.send("conversation.item.create", { item });
    this.settle("thinking");
  }

  /** The server has the question. */
  request() {
    this.asked = null;
    this.send("response.create");
  }

  /** Ends the answer under way, if there is one. */
  stop() {
    if (!this.answer) return;
    if (!this.answer.over) this.send("response.cancel");
    this.interrupt();
    this.rest();
  }

  /** Nobody speaks. */
  rest() {
    this.settle(this.microphoneOn ? "listening" : "paused");
  }

  // What the line tells.

  tick({ samples, loud, active, at, played, answer }) {
    if (loud && !active) this.lastLoud = performance.now();
    if (active && this.answer?.id === answer) this.say(played);
    if (!samples) return;
    if (this.pressed || (this.handsFree && this.microphoneOn)) this.append(samples);
    this.recent.push(samples);
    if (this.recent.length > PRE_ROLL) this.recent.shift();
  }

  say(played) {
    this.answer.played = played;
    this.tell("words", { answer: this.answer });
  }

  startPlaying({ at }) {
    if (this.turn && !this.turn.played) {
      this.turn.played = at;
      this.tell("latency", this.turn);
    }
    this.settle("answering");
  }

  finish() {
    if (!this.answer) return;
    this.say(this.answer.received);
    this.close();
  }

  close() {
    this.tell("answered", { answer: this.answer });
    this.answer = null;
    this.rest();
  }

  interrupt() {
    this.interrupted = this.answer;
    this.answer = null;
    if (this.line) this.line.drop();
    else this.cut({});
  }

  /** The loudspeaker fell silent: the server learns how much was heard. */
  cut({ answer: id, played }) {
    const answer = this.interrupted;
    this.interrupted = null;
    if (!answer) return;
    if (answer.id === id) answer.played = played;
    this.tell("cut", { answer });
    if (!answer.item || !answer.spoken) return;
    const audio_end_ms = Math.floor((answer.played * 1000) / RATE);
    this.send("conversation.item.truncate", { item_id: answer.item, content_index: 0, audio_end_ms });
  }

  // What the server tells.

  take(event) {
    HANDLERS[event.type]?.call(this, event);
  }

  decide() {
    this.turn = { spoken: this.lastLoud, decided: performance.now() };
    this.settle("thinking");
  }

  mine(event) {
    return this.answer?.id === event.response_id ? this.answer : null;
  }

  append(samples) {
    this.send("input_audio_buffer.append", { audio: encode(samples) });
  }

  send(type, fields) {
    this.realtime.send({ type, ...fields });
  }

  settle(state) {
    this.tell("state", { state });
  }

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

const HANDLERS = {
  "input_audio_buffer.speech_started"() {
    const interrupts = this.answer || this.interrupted;
    if (this.answer) this.interrupt();
    this.settle(interrupts ? "interrupted" : "hearing");
  },
  "input_audio_buffer.speech_stopped"() {
    this.decide();
  },
  "input_audio_buffer.committed"({ item_id }) {
    this.tell("question", { id: item_id, text: "" });
    if (!this.handsFree) this.request();
  },
  "conversation.item.added"({ item }) {
    if (item.id === this.asked) this.request();
  },
  "conversation.item.input_audio_transcription.completed"({ item_id, transcript }) {
    this.tell("heard", { id: item_id, text: transcript });
  },
  "conversation.item.input_audio_transcription.failed"({ item_id }) {
    this.tell("heard", { id: item_id, text: "" });
  },
  "response.created"({ response }) {
    if (this.answer) this.interrupt();
    this.answer = new Answer(response.id, Boolean(this.line));
    this.tell("answer", { answer: this.answer });
  },
  "response.output_item.added"(event) {
    const answer = this.mine(event);
    if (answer) answer.item = event.item.id;
  },
  "response.output_audio_transcript.delta": addText,
  "response.output_text.delta": addText,
  "response.output_audio.delta"(event) {
    const answer = this.mine(event);
    if (!answer || !this.line) return;
    if (this.turn) this.turn.arrived ??= performance.now();
    const samples = decode(event.delta);
    answer.received += samples.length;
    this.line.play(answer.id, samples);
  },
  "response.done"({ response }) {
    if (this.answer?.id !== response.id) return;
    this.answer.over = true;
    if (response.status === "failed") this.tell("problem", { message: response.status_details?.error?.message });
    if (response.status === "cancelled") this.stop();
    else if (this.answer.received === 0) this.close();
    else this.line.end(response.id);
  },
  error({ error }) {
    if (error.code === HARMLESS) return;
    this.asked = null;
    this.tell("problem", { message: error.message });
    if (!this.answer && !this.pressed) this.rest();
  },
};

function addText(event) {
  const answer = this.mine(event);
  if (!answer) return;
  answer.text += event.delta;
  this.tell("words", { answer });
}
