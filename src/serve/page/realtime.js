// The socket: opens, says why it cannot, and comes back by itself when it is lost.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 10000;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/; // what a subprotocol may hold

/**
 * Events: `ready` (the session is there), `event` (of the server), `lost` (with `retryMs`), `refused`
 * (with `kind` "token" or "full" and a `message`), `closed` (by the server, with its reason).
 */
export class Realtime extends EventTarget {
  constructor() {
    super();
    this.wait = FIRST_WAIT_MS;
    this.token = "";
  }

  get ready() {
    return this.session !== undefined;
  }

  open() {
    clearTimeout(this.timer);
    if (this.socket) return;
    const address = new URL("/v1/realtime", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    const protocols = this.token ? ["realtime", `openai-insecure-api-key.${this.token}`] : ["realtime"];
    this.socket = new WebSocket(address, protocols);
    this.socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    this.socket.onclose = (event) => this.lose(event);
  }

  /** Opens with a token. */
  enter(token) {
    if (!TOKEN.test(token)) return this.tell("refused", { kind: "token", reason: "unsendable" });
    this.token = token;
    this.open();
  }

  send(event) {
    if (this.ready) this.socket.send(JSON.stringify(event));
  }

  receive(event) {
    if (event.type === "session.created") {
      this.session = event.session;
      this.wait = FIRST_WAIT_MS;
      this.tell("ready", event.session);
    } else if (event.type === "error" && !this.ready) {
      this.refusal = event.error.message;
    } else {
      this.tell("event", event);
    }
  }

  async lose({ code, reason }) {
    const [wasReady, refusal] = [this.ready, this.refusal];
    this.socket = this.session = this.refusal = undefined;
    if (wasReady && (code === 1000 || code === 1008)) return this.tell("closed", { reason });
    const why = wasReady ? null : refusal ? { kind: "full", message: refusal } : await refused(this.token);
    if (why?.kind === "token") return this.tell("refused", why);
    const retryMs = this.wait * (0.8 + 0.4 * Math.random()); // not all pages at once
    this.wait = Math.min(LONGEST_WAIT_MS, this.wait * 2);
    this.timer = setTimeout(() => this.open(), retryMs);
    this.tell(why ? "refused" : "lost", { ...why, retryMs });
  }

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** A browser hides why a socket was refused; the server's other addresses tell. */
async function refused(token) {
  try {
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    const models = await fetch("/v1/models", { headers });
    if (models.status === 401 || models.status === 403) return { kind: "token", reason: token ? "wrong" : "missing" };
    const ready = await fetch("/readyz");
    if (!ready.ok) return { kind: "full", message: "The server takes no conversation now." };
  } catch {
    // No answer at all: the line is lost.
  }
  return null;
}
