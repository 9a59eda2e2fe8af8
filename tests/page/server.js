// The server under test, at a port that the system chooses. PAGE_AT names one that runs already.

import { spawn } from "node:child_process";
import { once } from "node:events";

const ROOT = new URL("../../", import.meta.url).pathname;

/** `token`: what clients must know, if anything. `options`: more words of its command line. */
export async function startServer(token, ...options) {
  if (process.env.PAGE_AT && !token) return { address: process.env.PAGE_AT, stop: async () => {} };
  const arguments_ = ["serve", `${ROOT}onnx/mini-omni-small`, "--listen", "127.0.0.1:0", ...options];
  const env = token ? { ...process.env, MINI_OMNI_TOKEN: token } : process.env;
  const server = spawn(`${ROOT}target/release/mini-omni`, arguments_, { env, stdio: ["ignore", "pipe", "pipe"] });
  const address = await listening(server);
  return {
    address,
    stop: async () => {
      server.kill("SIGTERM");
      await once(server, "exit");
    },
  };
}

/** The address that the server names once it listens. */
function listening(server) {
  return new Promise((resolve, reject) => {
    let said = "";
    const read = (text) => {
      said += text;
      const address = said.match(/https?:\/\/127\.0\.0\.1:\d+/);
      if (address) resolve(address[0]);
    };
    server.stdout.on("data", read);
    server.stderr.on("data", read);
    server.once("exit", () => reject(new Error(`the server ended: ${said}`)));
  });
}
