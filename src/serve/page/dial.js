// The dial: both voices on one round of time. The person's voice points inward, the answer's outward,
// and the arc between them is the time that the answer took.

const ROUND_MS = 16000;
const SLOTS = 256; // bars on the round
const SLOT_MS = ROUND_MS / SLOTS;
const SECOND = SLOTS / 16;
const [QUIET_DB, LOUD_DB] = [-54, -9]; // levels that are drawn as nothing and as a whole bar
const LIVELY_MS = 33; // between pictures while there is sound
const CALM_MS = 250; // in silence, and where less motion is asked for

const RING = 0.8; // radii, as parts of the dial's
const INWARD = 0.22;
const OUTWARD = 0.19;

export class Dial {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.you = new Float32Array(SLOTS);
    this.them = new Float32Array(SLOTS);
    this.gaps = [];
    this.slot = 0;
    this.drawn = 0; // when the last picture was asked for
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    new ResizeObserver(() => this.resize()).observe(canvas);
    for (const query of ["(prefers-color-scheme: dark)", "(prefers-contrast: more)"]) {
      matchMedia(query).addEventListener("change", () => this.recolour());
    }
    this.recolour();
  }

  /** Lets the hand go round, as sound is fed. */
  run() {
    this.started ??= performance.now();
  }

  /** Takes the levels of this moment, in dB, and draws if it is time. */
  feed(you, them) {
    const now = performance.now();
    this.advance(now);
    const levels = [height(you), height(them)];
    this.you[this.slot] = Math.max(this.you[this.slot], levels[0]);
    this.them[this.slot] = Math.max(this.them[this.slot], levels[1]);
    const silent = Math.max(...levels) === 0;
    const wait = silent || this.still.matches ? CALM_MS : LIVELY_MS;
    if (now - this.drawn < wait) return;
    this.drawn = now;
    requestAnimationFrame(() => this.draw(performance.now())); // a hidden page draws nothing
  }

  /** Marks what the answer took: from the end of speech to the first sound. */
  mark(from, to) {
    this.gaps.push({ from, to });
  }

  // The picture.

  recolour() {
    const style = getComputedStyle(this.canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    this.colours = { ink: colour("--ink"), answer: colour("--answer"), dot: colour("--dot") };
    this.draw(performance.now());
  }

  resize() {
    const { width } = this.canvas.getBoundingClientRect();
    this.canvas.width = this.canvas.height = Math.round(width * devicePixelRatio);
    this.draw(performance.now());
  }

  draw(now) {
    this.advance(now);
    this.radius = this.canvas.width / 2;
    this.pen.setTransform(1, 0, 0, 1, 0, 0);
    this.pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.pen.translate(this.radius, this.radius);
    this.pen.lineCap = "round";
    this.drawDots();
    this.drawVoice(this.you, -INWARD, this.colours.ink);
    this.drawVoice(this.them, OUTWARD, this.colours.answer);
    this.gaps.forEach(({ from, to }) => this.drawGap(from, to));
    if (this.started !== undefined) this.drawHand(now);
    else this.drawExample();
  }

  /** Before anything was said: what a question and its answer look like, faintly. */
  drawExample() {
    const speech = (slot) => Math.abs(Math.sin(slot * 0.71) * Math.sin(slot * 0.213 + 1) * Math.cos(slot * 1.93)) ** 0.5;
    const stroke = (slot, length, colour) => {
      this.pen.globalAlpha = 0.22;
      this.bar(slot, Math.sign(length) * 0.012, length * (0.1 + 0.8 * speech(slot)), colour, 0.0095);
    };
    for (let slot = 14; slot < 52; slot++) stroke(slot, -INWARD, this.colours.ink);
    for (let slot = 58; slot < 118; slot++) stroke(slot, OUTWARD, this.colours.answer);
    this.pen.globalAlpha = 1;
  }

  drawDots() {
    for (let slot = 0; slot < SLOTS; slot += 2) {
      const second = slot % SECOND === 0;
      this.bar(slot, -0.0005, second ? 0.022 : 0.0005, this.colours.dot, second ? 0.006 : 0.0075);
    }
  }

  drawVoice(levels, length, colour) {
    levels.forEach((level, slot) => {
      if (level === 0) return;
      const age = ((this.slot - slot + SLOTS) % SLOTS) / SLOTS;
      this.pen.globalAlpha = age < 0.5 ? 1 : Math.max(0, 1 - (age - 0.5) * 2.1);
      const off = Math.sign(length) * 0.012;
      this.bar(slot, off, off + length * level, colour, 0.0095);
    });
    this.pen.globalAlpha = 1;
  }

  /** A stroke across the ring, from and to these distances of it. */
  bar(slot, from, to, colour, width) {
    const angle = (slot / SLOTS) * 2 * Math.PI - Math.PI / 2;
    const [x, y] = [Math.cos(angle) * this.radius, Math.sin(angle) * this.radius];
    this.pen.strokeStyle = colour;
    this.pen.lineWidth = width * this.radius;
    this.pen.beginPath();
    this.pen.moveTo(x * (RING + from), y * (RING + from));
    this.pen.lineTo(x * (RING + to), y * (RING + to));
    this.pen.stroke();
  }

  drawGap(from, to) {
    this.pen.strokeStyle = this.colours.answer;
    this.pen.lineWidth = 0.012 * this.radius;
    this.pen.beginPath();
    this.pen.arc(0, 0, RING * this.radius, this.angle(from), this.angle(to));
    this.pen.stroke();
  }

  drawHand(now) {
    const angle = this.angle(now);
    this.pen.fillStyle = this.colours.ink;
    this.pen.beginPath();
    this.pen.arc(Math.cos(angle) * RING * this.radius, Math.sin(angle) * RING * this.radius, 0.014 * this.radius, 0, 7);
    this.pen.fill();
  }

  // Time.

  angle(moment) {
    return ((moment - this.started) / ROUND_MS) * 2 * Math.PI - Math.PI / 2;
  }

  /** Moves the hand to `now`; the bars that it passes are wiped. */
  advance(now) {
    if (this.started === undefined) return;
    const passed = Math.floor((now - this.started) / SLOT_MS);
    for (let slot = Math.max(this.passed ?? passed, passed - SLOTS) + 1; slot <= passed; slot++) {
      this.you[slot % SLOTS] = this.them[slot % SLOTS] = 0;
    }
    this.passed = Math.max(this.passed ?? 0, passed);
    this.slot = this.passed % SLOTS;
    this.gaps = this.gaps.filter(({ from }) => now - from < ROUND_MS * 0.95);
  }
}

function height(decibels) {
  return Math.max(0, Math.min(1, (decibels - QUIET_DB) / (LOUD_DB - QUIET_DB))) ** 1.6;
}
