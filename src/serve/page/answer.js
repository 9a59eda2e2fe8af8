// One answer on its way: its text comes early, its sound later, and a part of it is heard.

import { RATE } from "./pcm.js";

const CHARACTERS_A_SECOND = 15; // of speech, until the length of the sound is known

export class Answer {
  constructor(id, spoken) {
    this.id = id;
    this.spoken = spoken; // otherwise it is read
    this.text = "";
    this.received = 0; // samples
    this.played = 0; // samples
    this.shown = 0; // characters
    this.over = false; // nothing more comes
  }

  /** The words that have been begun, by the share of the sound that was played. */
  get said() {
    if (!this.spoken || (this.over && this.received === 0)) return this.text;
    const share = this.text.length / this.received;
    const rate = this.over ? share : Math.min(share, CHARACTERS_A_SECOND / RATE); // text may be far ahead
    const spoken = this.played * rate;
    if (spoken > 0) this.shown = Math.max(this.shown, this.endOfWord(spoken));
    return this.text.slice(0, this.shown);
  }

  endOfWord(characters) {
    const space = this.text.indexOf(" ", Math.min(this.text.length, Math.floor(characters)));
    return space < 0 ? this.text.length : space;
  }
}
