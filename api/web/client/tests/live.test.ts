import { afterEach, expect, test, vi } from "vitest";

import { Api } from "../src/http.ts";
import { LiveRoom, type Connection, type Listener } from "../src/live.ts";
import { DEFAULT_PLAN } from "../src/pace.ts";
import { Poll } from "../src/poll.ts";
import type { Ended, Link, Transport } from "../src/transport.ts";
import { page, problem, serving } from "./pages.ts";

afterEach(() => vi.useRealTimers());

/** A transport that does what a test says, each time the next. */
class Scripted implements Transport {
  cursors: (string | undefined)[] = [];

  constructor(readonly name: "socket" | "stream", readonly scripts: ((link: Link) => Ended | Promise<Ended>)[]) {}

  async run(link: Link): Promise<Ended> {
    this.cursors.push(link.cursor());
    const script = this.scripts.length > 1 ? this.scripts.shift()! : this.scripts[0]!;
    return script(link);
  }
}

const lost = (): Ended => ({ how: "lost" });
/** Stays open until it is ended. */
const open = (pages: ReturnType<typeof page>[]) => async (link: Link): Promise<Ended> => {
  link.opened();
  for (const one of pages) link.page(one);
  await new Promise((resolve) => link.signal.addEventListener("abort", resolve));
  return { how: "done" };
};

/** Keeps what a listener is told. */
function listener() {
  const told = { seqs: [] as number[], withheld: 0, connections: [] as Connection[], replaced: 0 };
  const of: Listener = {
    took: ({ events, withheld }) => {
      told.seqs.push(...events.map(({ seq }) => seq));
      told.withheld += withheld.length;
    },
    connection: (connection) => told.connections.push(connection),
    replaced: () => { told.replaced += 1; },
  };
  return { told, of };
}

function room(transports: Transport[], answers: Record<string, unknown[]> = {}) {
  vi.useFakeTimers();
  const { fetch, asked } = serving(answers);
  const { told, of } = listener();
  const live = new LiveRoom(new Api({ fetch }), "r1", of, {
    plan: DEFAULT_PLAN, transports: [...transports, new Poll(() => 0)], random: () => 0, cursor: "1:0",
  });
  return { live, told, asked, running: live.run() };
}

test("a socket that works is all there is", async () => {
  const socket = new Scripted("socket", [open([page(0, 2), page(2, 3)])]);
  const { live, told, asked, running } = room([socket]);
  await vi.advanceTimersByTimeAsync(100_000);
  live.stop();
  await running;
  expect(told.seqs).toEqual([1, 2, 3]);
  expect(asked).toEqual([]);
  expect(told.connections.map(({ phase }) => phase)).toEqual(["connecting", "open", "stopped"]);
});

test("three failures lead to polling with the same cursor, and later back", async () => {
  const socket = new Scripted("socket", [
    (link) => { link.opened(); link.page(page(0, 2)); return lost(); }, lost, open([page(4, 5)]),
  ]);
  const stream = new Scripted("stream", [lost]);
  const { live, told, asked, running } = room([socket, stream], { "/v1/rooms/r1/events": [page(2, 4), { ...page(4, 4), poll_after_ms: 2_000 }] });
  await vi.advanceTimersByTimeAsync(50_000);
  expect(asked[0]).toBe("/v1/rooms/r1/events?after=1%3A2&limit=200&density=auto");
  expect(told.connections.some((one) => one.transport === "poll" && one.phase === "open" && one.hasFallenBack)).toBe(true);
  await vi.advanceTimersByTimeAsync(140_000);
  live.stop();
  await running;
  expect(told.seqs).toEqual([1, 2, 3, 4, 5]);
  expect(socket.cursors.at(-1)).toBe("1:4");
  expect(told.connections.at(-2)).toMatchObject({ phase: "open", transport: "socket", hasFallenBack: false });
});

test("a page that leaves a gap is asked for again from the cursor", async () => {
  const socket = new Scripted("socket", [open([page(0, 1), page(5, 6)]), open([page(1, 6)])]);
  const { live, told, running } = room([socket]);
  await vi.advanceTimersByTimeAsync(5_000);
  live.stop();
  await running;
  expect(socket.cursors).toEqual(["1:0", "1:1"]);
  expect(told.seqs).toEqual([1, 2, 3, 4, 5, 6]);
});

test("a room that was replaced goes on from where the server says", async () => {
  const { live, told, running } = room([], {
    "/v1/rooms/r1/events": [problem("room-replaced", 409, { cursor: "2:0" }), page(0, 1, [], 2), { ...page(1, 1, [], 2), poll_after_ms: 2_000 }],
  });
  await vi.advanceTimersByTimeAsync(200_000);
  expect(told.replaced).toBe(1);
  expect(told.seqs).toEqual([1]);
  expect(live.cursor).toBe("2:1");
  live.stop();
  await running;
});

test("who is refused waits for a token, not for time", async () => {
  const socket = new Scripted("socket", [() => ({ how: "forbidden" }), open([page(0, 1)])]);
  const { live, told, running } = room([socket]);
  await vi.advanceTimersByTimeAsync(600_000);
  expect(socket.cursors).toHaveLength(1);
  expect(told.connections.at(-1)?.phase).toBe("forbidden");
  live.reconnect();
  await vi.advanceTimersByTimeAsync(10);
  expect(told.seqs).toEqual([1]);
  live.stop();
  await running;
});

test("a poll that is told to wait waits", async () => {
  const { live, told, asked, running } = room([], {
    "/v1/rooms/r1/events": [problem("overloaded", 503, {}, { "retry-after": "7" }), { ...page(0, 1), poll_after_ms: 60_000 }],
  });
  await vi.advanceTimersByTimeAsync(6_900);
  const before = asked.length;
  await vi.advanceTimersByTimeAsync(1_000);
  expect([before, asked.length]).toEqual([1, 2]);
  expect(told.seqs).toEqual([1]);
  live.stop();
  await running;
});

test("what was withheld can be read again, page by page", async () => {
  const socket = new Scripted("socket", [open([page(0, 9, [3, 4, 5, 6])])]);
  const { live, told, asked, running } = room([socket], { "/v1/rooms/r1/events": [page(2, 4), page(4, 6)] });
  await vi.advanceTimersByTimeAsync(10);
  expect([told.withheld, live.withheld]).toEqual([1, 4]);
  const events = await live.fetch({ first: 3, last: 6 });
  expect(events.map(({ seq }) => seq)).toEqual([3, 4, 5, 6]);
  expect(asked).toEqual([
    "/v1/rooms/r1/events?after=1%3A2&limit=4&density=full",
    "/v1/rooms/r1/events?after=1%3A4&limit=4&density=full",
  ]);
  expect(live.withheld).toBe(0);
  live.stop();
  await running;
});
