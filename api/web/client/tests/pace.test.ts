import { expect, test } from "vitest";

import { DEFAULT_PLAN, LONG_AGAIN_AFTER_MS, Pace } from "../src/pace.ts";

const pace = () => new Pace(DEFAULT_PLAN, () => 1);

/** Fails as often as given; what was tried. */
function failing(of: Pace, times: number, now = 0): string[] {
  return Array.from({ length: times }, () => {
    const { transport } = of.next(now);
    of.failed(transport, now);
    return transport;
  });
}

test("long connections come first, and all of them are tried", () => {
  expect(failing(pace(), 3)).toEqual(["socket", "stream", "socket"]);
});

test("after three failures it polls at once, and says so", () => {
  const of = pace();
  failing(of, 2);
  expect(of.hasFallenBack).toBe(false);
  failing(of, 1);
  expect(of.hasFallenBack).toBe(true);
  expect(of.next(0)).toEqual({ transport: "poll", after_ms: 0 });
});

test("a while later a long connection is tried again; one failure then is enough", () => {
  const of = pace();
  failing(of, 3);
  of.opened("poll");
  const later = LONG_AGAIN_AFTER_MS;
  expect(of.next(later - 1).transport).toBe("poll");
  expect(of.longAgainAt).toBe(later);
  expect(of.next(later).transport).toBe("stream");
  of.failed("stream", later);
  expect(of.next(later)).toEqual({ transport: "poll", after_ms: 0 });
  expect(of.next(2 * later).transport).toBe("socket");
});

test("a long connection that works makes everything forgotten", () => {
  const of = pace();
  failing(of, 3);
  of.opened("socket");
  expect(of.hasFallenBack).toBe(false);
  expect(of.next(1)).toEqual({ transport: "socket", after_ms: 0 });
});

test("waits double up to the most, and leave half to chance", () => {
  const waits = (random: number) => {
    const of = new Pace({ transports: ["poll"], backoff: { min_ms: 100, max_ms: 500, attempts: 3 } }, () => random);
    return Array.from({ length: 5 }, () => {
      const { after_ms } = of.next(0);
      of.failed("poll", 0);
      return after_ms;
    });
  };
  expect(waits(1)).toEqual([0, 100, 200, 400, 500]);
  expect(waits(0)).toEqual([0, 50, 100, 200, 250]);
});

test("where nothing but polling is offered, nothing else is tried", () => {
  const of = new Pace({ ...DEFAULT_PLAN, transports: ["poll"] });
  expect(of.next(1e12).transport).toBe("poll");
  expect(of.hasFallenBack).toBe(false);
  expect(of.longAgainAt).toBeUndefined();
});
