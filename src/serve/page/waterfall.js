// Where the time of the last turn went, from the end of the person's speech to the first sound.

const STAGES = [
  ["decided", "turn is certain"],
  ["arrived", "sound arrives"],
  ["played", "sound is heard"],
];

/** Draws `turn`, whose moments are on the page's clock in ms, into `figure`. */
export function showLatency(figure, turn) {
  const start = turn.spoken ?? turn.asked ?? turn.decided;
  const total = turn.played - start;
  const stages = spans(turn, start);
  figure.querySelector("output").textContent = Math.round(total);
  figure.querySelector("ol").replaceChildren(...stages.map((span) => row(span, start, total)));
  figure.dataset.known = "";
}

function spans(turn, start) {
  let from = start;
  return STAGES.filter(([moment]) => turn[moment] !== undefined).map(([moment, label]) => {
    const span = { label, from, to: Math.max(from, turn[moment]) };
    from = span.to;
    return span;
  });
}

function row({ label, from, to }, start, total) {
  const item = document.createElement("li");
  const [name, track, bar, time] = ["span", "i", "i", "b"].map((tag) => document.createElement(tag));
  name.textContent = label;
  time.textContent = `${Math.round(to - from)} ms`;
  bar.style.marginLeft = `${(100 * (from - start)) / total}%`;
  bar.style.width = `${(100 * (to - from)) / total}%`;
  track.append(bar);
  item.append(name, track, time);
  return item;
}
