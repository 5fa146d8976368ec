// The page in a real browser, against a real server: what somebody sees who uses it.
//
// `PAGE_URL` is the server, `PAGE_CHROMIUM` the browser, `PAGE_MODERATOR` a moderator's token, `PAGE_VIEWERS`
// those of two viewers. In the room `recorded` is an imported file, in `taken` a show of which moderation
// took something. `tests/it/page.rs` starts it all.
import assert from "node:assert/strict";
import { after, before, beforeEach, afterEach, test } from "node:test";

import { chromium } from "playwright-core";

const { PAGE_URL, PAGE_CHROMIUM, PAGE_MODERATOR, PAGE_VIEWERS } = process.env;
const [ANN, BOB] = JSON.parse(PAGE_VIEWERS);
/** How long anything may take: the machine may be busy. */
const DEADLINE_MS = 60_000;
const QUIET = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
];

let browser;
/** What the pages of a test are in, to be closed after it. */
let contexts;
/** Errors that a page told of; none is expected. */
let errors;

before(async () => {
  browser = await chromium.launch({ executablePath: PAGE_CHROMIUM, args: QUIET });
});
after(() => browser?.close());
beforeEach(() => {
  contexts = [];
  errors = [];
});
afterEach(async () => {
  await Promise.all(contexts.map((context) => context.close()));
  assert.deepEqual(errors, []);
});

/** A page of a browser of its own, with a token. Errors that `expects` matches are no surprise. */
async function visit(address, { token, prepare, expects, viewport = { width: 1280, height: 800 }, ...more } = {}) {
  // The backdrop drifts for nobody here, and a browser without a graphics card has other things to do.
  const context = await browser.newContext({ viewport, reducedMotion: "reduce", ...more });
  contexts.push(context);
  context.setDefaultTimeout(DEADLINE_MS);
  const page = await context.newPage();
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    if (message.type() !== "error") return;
    const told = `${message.text()} ${message.location().url}`;
    if (!expects?.test(told)) errors.push(told);
  });
  page.on("dialog", (dialog) => errors.push(`a dialog: ${dialog.message()}`));
  if (token) await page.addInitScript((token) => sessionStorage.setItem("danmu-token", token), token);
  await prepare?.(page);
  await page.goto(`${PAGE_URL}/${address}`);
  return page;
}

/** The page of a room that is connected, over a socket unless it is told otherwise. */
async function watch(room, { over = "socket", ...options } = {}) {
  const page = await visit(`#/${room}`, options);
  await page.locator(`.connection[data-phase="open"][data-transport="${over}"]`).waitFor();
  return page;
}

/** What a page is sent over its sockets from now on. */
function overSockets(page) {
  const frames = [];
  page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => frames.push(payload)));
  return frames;
}

const row = (page, text) => page.locator(".row.comment", { hasText: text });

async function say(page, text) {
  await page.getByLabel("Your comment").fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

/** Sends an event as a moderator, past the page. */
async function post(room, event, token = PAGE_MODERATOR) {
  const answer = await fetch(`${PAGE_URL}/v1/rooms/${room}/events`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    body: JSON.stringify(event),
  });
  assert.equal(answer.status, 200, await answer.text());
}

/** Waits until what `look` sees on the page is so. */
async function see(page, look, argument) {
  await page.waitForFunction(look, argument, { polling: 50 });
}

/** How many pixels of the stage are painted on. */
function painted(page) {
  return page.evaluate(() => {
    const canvas = document.querySelector(".flight canvas");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let n = 3; n < data.length; n += 4) if (data[n] > 0) count += 1;
    return count;
  });
}

const isPainted = () => {
  const canvas = document.querySelector(".flight canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.some((value, n) => n % 4 === 3 && value > 0);
};

test("a comment posted in one tab flies in the other, and its sender is told", async () => {
  let frames;
  const prepare = (page) => { frames = overSockets(page); };
  const [ann, bob] = await Promise.all([watch("tabs", { token: ANN }), watch("tabs", { token: BOB, prepare })]);
  assert.equal(await painted(bob), 0);
  await say(ann, "hello from the other tab");
  await ann.getByText(/^Shown to everybody as #\d+$/).waitFor();
  await row(bob, "hello from the other tab").waitFor();
  await see(bob, isPainted);
  await see(ann, isPainted);
  assert.equal(await bob.locator(".row.comment .who").textContent(), "Ann");
  assert.ok(frames.some((frame) => frame.includes("hello from the other tab")));
});

test("where sockets are refused a stream brings the same", async () => {
  const refuse = (page) => page.routeWebSocket(/\/socket/, (socket) => socket.close({ code: 1011 }));
  const page = await watch("streamed", { token: BOB, prepare: refuse, over: "stream" });
  for (const n of [1, 2, 3]) await post("streamed", { kind: "comment", text: `number ${n}` });
  await row(page, "number 3").waitFor();
  const texts = await page.locator(".row.comment .text").allTextContents();
  assert.deepEqual(texts, ["number 1", "number 2", "number 3"]);
});

test("a script in a comment stays text", async () => {
  const page = await watch("scripts", { token: ANN });
  const text = "<script>alert(1)</script><img src=x onerror=alert(2)>";
  await say(page, text);
  await row(page, "alert(1)").waitFor();
  assert.equal(await page.locator(".row.comment .text").textContent(), text);
  assert.equal(await page.locator(".rows script, .rows img").count(), 0);
});

test("a stream that ends says why", async () => {
  const prepare = async (page) => {
    await page.routeWebSocket(/\/socket/, (socket) => socket.close({ code: 1011 }));
    const body = 'event: end\ndata: {"code":4401,"reason":"renew the token"}\n\n';
    await page.route(/\/stream/, (route) => route.fulfill({ contentType: "text/event-stream", body }));
  };
  const page = await visit("#/ended", { token: BOB, prepare });
  await page.getByText("A token is needed to watch").waitFor();
});

test("where long connections are refused it polls, says so, and loses nothing", async () => {
  const refuse = async (page) => {
    await page.routeWebSocket(/\/socket/, (socket) => socket.close({ code: 1011 }));
    await page.route(/\/stream/, (route) => route.abort());
  };
  const page = await watch("refused", { token: BOB, prepare: refuse, expects: /\/stream/, over: "poll" });
  await page.locator('.connection[data-fallen-back="true"]').waitFor();
  await page.getByText("Long connections fail: polling for now").waitFor();
  for (const n of [1, 2, 3]) await post("refused", { kind: "comment", text: `number ${n}` });
  await row(page, "number 3").waitFor();
  const texts = await page.locator(".row.comment .text").allTextContents();
  assert.deepEqual(texts, ["number 1", "number 2", "number 3"]);
});

test("a moderator deletes, and viewers see it go from the list and the stage", async () => {
  const [viewer, moderator] = await Promise.all([watch("moderated", { token: BOB }), watch("moderated", { token: PAGE_MODERATOR })]);
  assert.equal(await viewer.getByRole("button", { name: /^Delete/ }).count(), 0);
  await post("moderated", { kind: "comment", text: "this will go", style: { mode: "top" } }, ANN);
  await Promise.all([row(viewer, "this will go").waitFor(), see(viewer, isPainted)]);
  await row(moderator, "this will go").hover();
  await moderator.getByRole("button", { name: "Delete the comment of Ann" }).click();
  await viewer.getByText("Removed by a moderator").waitFor();
  assert.equal(await row(viewer, "this will go").count(), 0);
  await viewer.waitForFunction(() => {
    const canvas = document.querySelector(".flight canvas");
    return !canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value > 0);
  });
});

test("who is refused is told why", async () => {
  await post("closed", { kind: "rules", comments: "closed" });
  const page = await watch("closed", { token: ANN });
  await page.getByText(/comments are closed/).first().waitFor();
  await say(page, "let me in");
  await page.getByText("Not shown: comments are closed").waitFor();
});

test("a moderator pins, slows a room down, mutes and unmutes", async () => {
  const page = await watch("ruled", { token: PAGE_MODERATOR });
  await post("ruled", { kind: "comment", text: "worth pinning" }, ANN);
  await row(page, "worth pinning").hover();
  await page.getByRole("button", { name: "Pin the comment of Ann" }).click();
  await page.locator(".pinned", { hasText: "worth pinning" }).waitFor();
  await row(page, "worth pinning").hover();
  await page.getByRole("button", { name: "Mute Ann" }).click();
  await page.getByText("Somebody was muted").waitFor();
  await page.getByRole("tab", { name: "Moderate" }).click();
  await page.locator(".muted", { hasText: "Ann" }).waitFor();
  await page.getByLabel("10 s").check();
  await page.getByText(/slow mode 10 s/).waitFor();
  await page.getByRole("button", { name: "Unmute" }).click();
  await page.locator(".muted", { hasText: "Nobody" }).waitFor();
  await page.getByRole("button", { name: "Take the pinned comment down" }).click();
  await page.locator(".pinned").waitFor({ state: "hidden" });
});

test("likes are counted for everybody", async () => {
  const [ann, bob] = await Promise.all([watch("liked", { token: ANN }), watch("liked", { token: BOB })]);
  for (let n = 0; n < 3; n += 1) await ann.getByRole("button", { name: "Like" }).click();
  await bob.locator(".like b", { hasText: /^3$/ }).waitFor();
});

test("a replay of an imported file shows the right comments at a seek", async () => {
  const page = await visit("#/recorded/replay", { token: ANN });
  await page.getByRole("heading", { name: "recorded" }).waitFor();
  const texts = () => page.locator(".row.comment .text").allTextContents();
  // The file has comments at -4.5 s, 0 s, 5 s and 12 s, among others.
  await seek(page, 5_500);
  await row(page, "wwwww").first().waitFor();
  assert.ok((await texts()).includes("before the start"), (await texts()).join());
  assert.ok(!(await texts()).includes("first in the file, late in the show"));
  await see(page, isPainted);
  await seek(page, 12_500);
  await row(page, "first in the file, late in the show").waitFor();
  await seek(page, -4_000);
  await row(page, "before the start").waitFor();
  await see(page, () => document.querySelectorAll(".row.comment").length === 1);
});

test("a replay plays on from where it is, and stands when it is paused", async () => {
  // The page's time moves when this says so: a busy machine may take as long as it likes between two clicks.
  const prepare = (page) => page.clock.install({ time: 0 });
  const page = await visit("#/recorded/replay", { token: ANN, prepare });
  await page.clock.pauseAt(3_600_000);
  const passes = async () => {
    await page.clock.runFor(100);
    return Number(await page.getByLabel("Position in the show").inputValue());
  };
  await seek(page, 4_500);
  await page.getByLabel("Speed").selectOption("2");
  await page.getByRole("button", { name: "Play" }).click();
  let position = await passes();
  for (const deadline = Date.now() + DEADLINE_MS; await row(page, "wwwww").count() === 0; ) {
    assert.ok(Date.now() < deadline, `still at ${position}`);
    position = await passes();
  }
  assert.ok(position > 5_000 && position < 6_000, `${position}`);
  await page.getByRole("button", { name: "Pause" }).click();
  const stands = await passes();
  assert.equal(await passes(), stands);
  await page.getByRole("button", { name: "Play" }).click();
  assert.ok((await passes()) > stands);
});

test("words that one hides are not shown", async () => {
  const page = await visit("#/recorded/replay", { token: ANN });
  await seek(page, 5_500);
  await row(page, "wwwww").first().waitFor();
  await page.getByLabel("Words that are not shown").click();
  await page.locator(".controls").getByLabel("Word to hide").fill("WWW");
  await page.getByRole("button", { name: "Hide", exact: true }).click();
  await see(page, () => ![...document.querySelectorAll(".row.comment")].some((row) => row.textContent.includes("wwwww")));
  assert.ok((await page.locator(".row.comment").count()) > 0);
});

test("a show can be saved in every format", async () => {
  const page = await visit("#/recorded/replay", { token: ANN });
  await seek(page, 0);
  await page.getByLabel("Save this show").click();
  for (const [name, expected] of [["JSON lines", "wwwww"], ["Danmaku XML", "<d p="], ["ASS subtitles", "[Script Info]"]]) {
    const link = page.getByRole("link", { name });
    const text = await (await fetch(new URL(await link.getAttribute("href"), PAGE_URL))).text();
    assert.ok(text.includes(expected), `${name}: ${text.slice(0, 200)}`);
  }
});

test("what moderation took is there for those who may see it", async () => {
  const page = await visit("#/taken/replay", { token: PAGE_MODERATOR });
  await see(page, () => document.querySelector(".seek").max !== "");
  const last = Number(await page.getByLabel("Position in the show").getAttribute("max"));
  await seek(page, last);
  await page.getByText("Removed by a moderator").waitFor();
  await page.getByLabel("As live").check();
  await row(page, "taken away").waitFor();
  const viewer = await visit("#/taken/replay", { token: ANN });
  await seek(viewer, last);
  await viewer.getByText("Removed by a moderator").waitFor();
  assert.ok(await viewer.getByLabel("As live").isHidden());
});

test("it can be used from the keyboard, and tells a screen reader what is what", async () => {
  const page = await watch("keys", { token: ANN });
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "To the content");
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Your comment");
  await page.keyboard.type("typed");
  await page.keyboard.press("Enter");
  await row(page, "typed").waitFor();
  assert.equal(await page.getByRole("log").first().getAttribute("aria-live"), "off");
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll("button, input, select, textarea, a, summary")]
      .filter((element) => element.checkVisibility())
      .filter((element) => !element.ariaLabel && !element.textContent.trim() && !element.labels?.length)
      .map((element) => element.outerHTML));
  assert.deepEqual(nameless, []);
});

test("it fits a phone, in both themes", async () => {
  for (const colorScheme of ["light", "dark"]) {
    const page = await watch("phone", { token: ANN, viewport: { width: 360, height: 740 }, colorScheme });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= 360, `${wide} pixels wide`);
    const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const [red] = ground.match(/\d+/g).map(Number);
    assert.equal(red < 128, colorScheme === "dark", ground);
    await page.getByRole("button", { name: colorScheme === "dark" ? "Light theme" : "Dark theme" }).click();
    const other = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.notEqual(other, ground);
  }
});

/** Goes to a moment of the show, as one who drags the bar does. */
async function seek(page, position) {
  await see(page, () => document.querySelector(".seek")?.max !== "");
  await page.getByLabel("Position in the show").evaluate((range, position) => {
    range.value = String(position);
    range.dispatchEvent(new Event("input", { bubbles: true }));
    range.dispatchEvent(new Event("change", { bubbles: true }));
  }, position);
}
