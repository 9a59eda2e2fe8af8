// The server under test, once it answers.

import { get } from "node:http";
import { get as getSecurely } from "node:https";
import { setTimeout } from "node:timers/promises";
import { startServer } from "../../page/server.js";

export const KEY = "s3cret";

/** `ca`: the certificate to trust, where `options` say that the server speaks TLS. */
export async function readyServer(options = [], ca = undefined) {
  const server = await startServer(KEY, ...options);
  while ((await status(`${server.address}/readyz`, ca)) !== 200) await setTimeout(50);
  return server;
}

function status(url, ca) {
  return new Promise((resolve, reject) => {
    const request = ca ? getSecurely(url, { ca }) : get(url);
    request.once("response", (response) => resolve(response.resume().statusCode)).once("error", reject);
  });
}
