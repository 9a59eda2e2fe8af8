// The page at three widths, light and dark, in each state: it fits, axe finds no fault, and a person
// can look at the pictures in SCREENSHOTS.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { inState, openPage } from "./browser.js";
import { startServer } from "./server.js";
import { readWav, strung, writeWav } from "./sound.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const QUESTION = new URL("../fixtures/audio/capital.wav", import.meta.url).pathname;
// A colour on its way to another has no contrast to be judged by.
const reducedMotion = "reduce";
const SIZES = [[360, 740], [768, 1024], [1440, 900]];

const folder = process.env.SCREENSHOTS ?? mkdtempSync(join(tmpdir(), "page-"));
mkdirSync(folder, { recursive: true });
const { rate, samples: question } = readWav(QUESTION);
const spoken = join(mkdtempSync(join(tmpdir(), "page-")), "twice.wav");
writeWav(spoken, strung(rate, [2.5, question, 2, question, 8]));
let server;

before(async () => (server = await startServer()));
after(async () => server.stop());

for (const colorScheme of ["light", "dark"]) {
  for (const [width, height] of SIZES) {
    const name = `${colorScheme}-${width}`;

    test(`${name}: fits and is accessible while people talk`, async (t) => {
      const { browser, page } = await openPage(server.address, { microphone: spoken, width, height, colorScheme, reducedMotion });
      t.after(() => browser.close());
      await judge(page, `${name}-off`);
      await page.click("#key");
      let [answers, state] = [0, "off"];
      while (answers === 0 || state !== "listening") {
        state = await nextState(page, state);
        if (state === "answering") answers++;
        await page.waitForTimeout(500); // into it
        await picture(page, `${name}-${answers}-${state}`);
      }
      await judge(page, `${name}-talked`);
    });

    test(`${name}: fits and is accessible without microphone and without server`, async (t) => {
      const { browser, page } = await openPage(server.address, { microphone: null, width, height, colorScheme, reducedMotion });
      t.after(() => browser.close());
      let cut;
      await page.routeWebSocket("**/v1/realtime", (socket) => {
        socket.connectToServer();
        cut = () => socket.close({ code: 1011 });
      });
      await page.click("#key");
      await inState(page, "denied");
      await judge(page, `${name}-denied`);
      await page.routeWebSocket("**/v1/realtime", (socket) => socket.close({ code: 1011 }));
      await cut();
      await inState(page, "lost");
      await judge(page, `${name}-lost`);
    });
  }
}

async function judge(page, name) {
  await picture(page, name);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${overflow} pixels too wide`);
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => axe.run());
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html)}`), []);
}

async function nextState(page, state) {
  await page.waitForFunction((old) => document.body.dataset.state !== old, state, { timeout: 40000 });
  return page.evaluate(() => document.body.dataset.state);
}

async function picture(page, name) {
  await page.screenshot({ path: join(folder, `${name}.png`) });
}
