// The page: joins the line, the socket, the conversation and what is seen of them.

import { Conversation } from "./conversation.js";
import { Dial } from "./dial.js";
import { Line } from "./line.js";
import { decodeFile } from "./pcm.js";
import { Realtime } from "./realtime.js";
import { PROBLEMS, STATES } from "./sentences.js";
import { showLatency } from "./waterfall.js";
import { Words } from "./words.js";

const AT_REST = ["off", "paused", "denied", "lost", "full"]; // the dial stands still

const byId = (id) => document.getElementById(id);
const key = byId("key");
const tokenDialog = byId("token");

const dial = new Dial(byId("dial"));
const words = new Words(byId("words"), byId("voice"));
const realtime = new Realtime();
const conversation = new Conversation(realtime);
let line; // once a gesture allowed sound
let state = "off";
let starting = Promise.resolve();

// What is seen.

function show(next, hint) {
  state = next === "paused" && byId("note").dataset.microphone ? "denied" : next;
  document.body.dataset.state = state;
  const [word, freeHint, holdHint] = STATES[state];
  byId("word").textContent = !conversation.handsFree && state === "listening" ? "Hold to talk" : word;
  byId("hint").textContent = hint ?? (conversation.handsFree ? freeHint : (holdHint ?? freeHint));
}

/** A sentence below the dial; `microphone` keeps the key in mind of it. */
function note(sentence, microphone = false) {
  byId("note").textContent = sentence ?? "";
  byId("note").dataset.microphone = microphone ? "yes" : "";
}

/** Takes the sentence away, unless it tells of the microphone. */
function keepNote() {
  if (!byId("note").dataset.microphone) note(null);
}

conversation.addEventListener("state", ({ detail }) => show(detail.state));
conversation.addEventListener("problem", ({ detail }) => note(detail.message ?? PROBLEMS.failed));
conversation.addEventListener("question", ({ detail }) => {
  keepNote();
  words.question(detail.id, detail.text);
});
conversation.addEventListener("heard", ({ detail }) => words.heard(detail.id, detail.text));
for (const event of ["answer", "words", "cut", "answered"]) {
  conversation.addEventListener(event, ({ detail }) => words[event](detail.answer));
}
conversation.addEventListener("latency", ({ detail }) => {
  showLatency(byId("latency"), detail);
  dial.mark(detail.spoken ?? detail.asked ?? detail.decided, detail.played);
});

realtime.addEventListener("ready", () => keepNote());
realtime.addEventListener("lost", ({ detail }) => {
  words.divide(PROBLEMS.divide);
  countDown("lost", detail.retryMs);
});
realtime.addEventListener("refused", ({ detail }) => {
  if (detail.kind === "token") return askForToken(detail.reason);
  note(detail.message);
  countDown("full", detail.retryMs);
});
realtime.addEventListener("closed", ({ detail }) => {
  words.divide(PROBLEMS.divide);
  show("off");
  note(PROBLEMS[detail.reason] ?? PROBLEMS.closed);
});

function countDown(name, ms) {
  const until = performance.now() + ms;
  const tick = () => {
    if (state !== name && state !== "connecting") return;
    const seconds = Math.ceil((until - performance.now()) / 1000);
    show(name, seconds > 0 ? `trying again in ${seconds} s` : "trying again");
    if (seconds > 0) setTimeout(tick, 1000);
  };
  show(name);
  tick();
}

// What is done.

/** Opens everything that a question needs, one request at a time; `aloud` asks for the microphone too. */
function start(aloud) {
  starting = starting.catch(() => null).then(() => open(aloud));
  return starting;
}

async function open(aloud) {
  if (!realtime.ready) show("connecting");
  dial.run();
  await openLine();
  if (aloud) await openMicrophone();
  if (!realtime.ready) {
    const ready = new Promise((done) => realtime.addEventListener("ready", done, { once: true }));
    realtime.open();
    await ready;
  }
  conversation.listen(Boolean(line?.microphone));
}

async function openLine() {
  if (!Line.possible) return note(PROBLEMS.insecure, true);
  if (!line) {
    line = await Line.open();
    line.addEventListener("tick", ({ detail }) => {
      if (!AT_REST.includes(state)) dial.feed(detail.heard, detail.playing);
    });
    line.addEventListener("unplugged", () => loseMicrophone("unplugged"));
    conversation.use(line);
  }
  await line.wake();
}

async function openMicrophone() {
  if (!line) return;
  try {
    await line.listen();
    note(null);
  } catch (error) {
    loseMicrophone(error.name);
  }
}

function loseMicrophone(reason) {
  note(PROBLEMS[reason] ?? PROBLEMS.microphone, true);
  conversation.listen(false);
}

/** The key was pressed, hands-free. */
function toggle() {
  if (["answering", "held", "thinking"].includes(state) && conversation.answer) conversation.stop();
  else if (realtime.ready && line?.microphone) conversation.listen(!conversation.microphoneOn);
  else start(true);
}

function press() {
  if (realtime.ready && line?.microphone) conversation.press();
  else start(true);
}

async function askWith(file) {
  try {
    const samples = await decodeFile(file);
    await start(false);
    conversation.askWithSound(samples, file.name);
  } catch {
    note(`${file.name} could not be read as sound.`);
  }
}

// Key, keyboard and pointer.

key.addEventListener("click", (event) => {
  if (conversation.handsFree) toggle();
  else if (event.detail === 0) conversation.pressed ? conversation.release() : press(); // no pointer: a switch
});
key.addEventListener("pointerdown", (event) => {
  if (conversation.handsFree || event.button !== 0) return;
  key.setPointerCapture(event.pointerId);
  press();
});
for (const end of ["pointerup", "pointercancel"]) key.addEventListener(end, () => conversation.release());
key.addEventListener("contextmenu", (event) => event.preventDefault()); // of a long touch
window.addEventListener("blur", () => conversation.release());

const takesSpace = ({ target }) => target === document.body || target === key || target.id === "words";
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !tokenDialog.open) conversation.stop();
  if (event.key !== " " || !takesSpace(event)) return;
  event.preventDefault();
  if (event.repeat) return;
  if (conversation.handsFree) toggle();
  else press();
});
document.addEventListener("keyup", (event) => {
  if (event.key !== " " || !takesSpace(event)) return;
  event.preventDefault();
  if (!conversation.handsFree) conversation.release();
});

byId("mode").addEventListener("change", ({ target }) => {
  conversation.release();
  conversation.configure(target.value === "free");
  show(state);
});

// Without a microphone.

byId("write").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (!text) return;
  byId("text").value = "";
  await start(false);
  conversation.askInWriting(text);
});
byId("file").addEventListener("change", ({ target }) => {
  if (target.files[0]) askWith(target.files[0]);
  target.value = "";
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.dataset.drop = "";
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) delete document.body.dataset.drop;
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  delete document.body.dataset.drop;
  if (event.dataTransfer.files[0]) askWith(event.dataTransfer.files[0]);
});

// The token, where the server asks for one.

function askForToken(reason) {
  byId("wrong").textContent = PROBLEMS[reason] ?? "";
  show("off");
  tokenDialog.showModal();
}
tokenDialog.addEventListener("close", () => {
  const input = tokenDialog.querySelector("input");
  if (input.value) realtime.enter(input.value.trim());
  input.value = "";
});
