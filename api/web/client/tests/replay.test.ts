import { expect, test } from "vitest";

import { ShowClock } from "../src/clock.ts";
import { hashOf, isKept } from "../src/density.ts";
import { Api } from "../src/http.ts";
import type { Manifest, Segment } from "../src/model.ts";
import { Replay } from "../src/replay.ts";
import { comment, problem, serving } from "./pages.ts";

const BASE = "/v1/rooms/r1/broadcasts/1%3A1";
const url = (n: number, revision = 0) => `/segments/${n}?revision=${revision}`;

function manifest(ns: number[], revision = 0): Manifest {
  const sums = { comments: 0, gifts: 0, gift_value: {}, likes: 0 };
  return {
    broadcast: "1:1", title: "", started_at: 0, ended_at: 120_000, events: 0, totals: sums, recorded: false, live: false,
    zero_at: 0, heat: [], interruptions: [],
    segments: ns.map((n) => ({
      n, from_ms: n * 30_000, to_ms: (n + 1) * 30_000, first_seq: 1, last_seq: 2, count: 1, revision, url: url(n, revision),
    })),
  };
}

/** A segment with events at these moments, whose seqs are the moments' seconds. */
function segment(...moments: number[]): Segment {
  const totals = { comments: moments[0]!, gifts: 0, gift_value: {}, likes: 0, viewers: 0 };
  const state = { title: "", head: 0, totals, rules: { slow_ms: 0, comments: "open" as const } };
  return { state, events: moments.map((ms) => comment(Math.floor(ms / 1_000), ms)) };
}

async function replay(answers: Record<string, unknown[]>, ns = [0, 1, 3]) {
  const served = serving({ [BASE]: [manifest(ns)], ...answers });
  return { replay: await Replay.open(new Api({ fetch: served.fetch }), "r1", "1:1", "public"), asked: served.asked };
}

const FULL = { [url(0)]: [segment(5_000, 25_000)], [url(1)]: [segment(31_000, 59_000)], [url(3)]: [segment(95_000)] };
const seqs = (events: { seq: number }[] | undefined) => events?.map(({ seq }) => seq);
const settle = () => new Promise((resolve) => setTimeout(resolve, 0));

test("it goes on only over what has arrived, and skips nothing", async () => {
  const { replay: of } = await replay(FULL);
  expect([of.from, of.to]).toEqual([0, 120_001]);
  expect(of.advance(10_000)).toBeUndefined();
  await settle();
  expect(seqs(of.advance(26_000))).toEqual([5, 25]);
  await settle();
  expect(seqs(of.advance(59_000))).toEqual([31]);
  expect(seqs(of.advance(59_001))).toEqual([59]);
});

test("what comes next is fetched before it is needed", async () => {
  const { replay: of, asked } = await replay(FULL);
  await of.seek(12_000, 1_000);
  await settle();
  expect(asked.slice(1)).toEqual([url(0), url(1)]);
  expect(seqs(of.advance(31_500))).toEqual([25, 31]);
});

test("a seek tells the state, what led to the moment and what was just said", async () => {
  const { replay: of } = await replay(FULL);
  const moment = await of.seek(60_000, 5_000);
  expect(moment.state?.totals.comments).toBe(31_000);
  expect(seqs(moment.since)).toEqual([31, 59]);
  expect(seqs(moment.before)).toEqual([59]);
  expect(seqs(of.advance(60_000))).toEqual([]);
});

test("a seek into a stretch without events has the state before it", async () => {
  const { replay: of } = await replay(FULL);
  const moment = await of.seek(80_000, 5_000);
  expect([moment.state?.totals.comments, seqs(moment.since), seqs(moment.before)]).toEqual([31_000, [31, 59], []]);
});

test("a segment that changed since is found under its new address", async () => {
  const answers = { [url(0)]: [problem("gone", 410)], [url(0, 7)]: [segment(5_000)] };
  const served = serving({ [BASE]: [manifest([0]), manifest([0], 7)], ...answers });
  const of = await Replay.open(new Api({ fetch: served.fetch }), "r1", "1:1", "public");
  expect(seqs((await of.seek(6_000, 5_000)).before)).toEqual([5]);
});

test("a show may begin before its zero", async () => {
  const { replay: of } = await replay({ [url(-1)]: [segment(-4_000)] }, [-1]);
  expect(of.from).toBe(-30_000);
  expect(seqs((await of.seek(0, 5_000)).before)).toEqual([-4]);
});

test("the clock runs, stands, jumps and runs faster", () => {
  let now = 0;
  const clock = new ShowClock(-1_000, () => now);
  now = 500;
  expect(clock.position).toBe(-1_000);
  clock.play();
  now = 1_500;
  expect(clock.position).toBe(0);
  clock.rate = 2;
  now = 2_000;
  expect(clock.position).toBe(1_000);
  clock.pause();
  now = 9_000;
  clock.seek(5_000);
  expect([clock.position, clock.isPlaying]).toEqual([5_000, false]);
});

test("density keeps what the server would", () => {
  // SplitMix64 of 0 and 1, from its reference implementation.
  expect(hashOf(0)).toBe(0xe220a8397b1dcdafn);
  expect(hashOf(1)).toBe(0x910a2dec89025cc1n);
  expect(isKept(1, 5, 5)).toBe(true);
  expect(isKept(7, 1e9, Number.POSITIVE_INFINITY)).toBe(true);
  const kept = Array.from({ length: 1_000 }, (_, n) => isKept(n + 1, 100, 25)).filter(Boolean).length;
  expect(kept).toBeGreaterThan(200);
  expect(kept).toBeLessThan(300);
});
