// The server under test, at a port that the system chooses. PAGE_AT names one that runs already.

import { spawn } from "node:child_process";
import { once } from "node:events";

const ROOT = new URL("../../", import.meta.url).pathname;

export async function startServer(model = "onnx/mini-omni-small") {
  if (process.env.PAGE_AT) return { address: process.env.PAGE_AT, stop: async () => {} };
  const binary = `${ROOT}target/release/mini-omni`;
  const server = spawn(binary, ["serve", `${ROOT}${model}`, "--listen", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "pipe"] });
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
