// What was said: questions and answers, an answer's words as they are spoken.

export class Words {
  /** `list` shows them; `voice` tells a screen reader an answer once its sound is over. */
  constructor(list, voice) {
    this.list = list;
    this.voice = voice;
    this.questions = new Map(); // by the server's item id
    this.answers = new Map();
  }

  question(id, text) {
    const entry = this.add("you", "You", text || "…");
    this.questions.set(id, entry);
  }

  /** The server's transcription of a question. */
  heard(id, text) {
    const entry = this.questions.get(id);
    if (entry) entry.textContent = text || "(not understood)";
  }

  answer(answer) {
    this.answers.set(answer.id, this.add("answer", "Answer", ""));
  }

  words(answer) {
    const entry = this.answers.get(answer.id);
    if (!entry || entry.textContent === answer.said) return;
    entry.textContent = answer.said;
    this.follow();
  }

  answered(answer) {
    this.words(answer);
    this.voice.textContent = `Answer: ${answer.said}`;
  }

  /** Somebody spoke into the answer. */
  cut(answer) {
    this.words(answer);
    const entry = this.answers.get(answer.id);
    if (answer.said) entry.parentElement.dataset.cut = "";
    else entry?.parentElement.remove();
  }

  /** A line across, such as where the connection was lost. */
  divide(text) {
    if (!this.list.lastElementChild || this.list.lastElementChild.className === "divide") return;
    this.add("divide", "", text);
    this.questions.clear();
  }

  add(kind, label, text) {
    const item = document.createElement("li");
    const name = document.createElement("b");
    const words = document.createElement("p");
    item.className = kind;
    name.textContent = label;
    words.textContent = text;
    item.append(name, words);
    this.list.append(item);
    this.follow();
    return words;
  }

  follow() {
    this.list.scrollTop = this.list.scrollHeight;
  }
}
