import { expect, test } from "vitest";

import { Account, cursorAt, Hole, lengthOf } from "../src/account.ts";
import { comment, page } from "./pages.ts";

const seqs = (events: { seq: number }[]) => events.map(({ seq }) => seq);

test("pages that follow on one another are taken whole", () => {
  const account = new Account();
  expect(seqs(account.take(page(10, 12)).events)).toEqual([11, 12]);
  expect(seqs(account.take(page(12, 13)).events)).toEqual([13]);
  expect(account.cursor).toBe("1:13");
  expect(account.withheld).toBe(0);
});

test("what a page repeats is not taken again", () => {
  const account = new Account("1:12");
  expect(seqs(account.take(page(10, 14)).events)).toEqual([13, 14]);
  expect(account.take(page(10, 12))).toEqual({ events: [], withheld: [] });
  expect(account.cursor).toBe("1:14");
});

test("what is withheld is told by its stretches, and counted until it is fetched", () => {
  const account = new Account("1:0");
  const { events, withheld } = account.take(page(0, 8, [1, 2, 5, 8]));
  expect(seqs(events)).toEqual([3, 4, 6, 7]);
  expect(withheld).toEqual([{ first: 1, last: 2 }, { first: 5, last: 5 }, { first: 8, last: 8 }]);
  expect(account.withheld).toBe(4);
  account.fetched(withheld[0]!);
  expect(account.withheld).toBe(2);
});

test("of what a page repeats nothing is withheld again", () => {
  const account = new Account("1:5");
  expect(account.take(page(2, 7, [3, 6])).withheld).toEqual([{ first: 6, last: 6 }]);
});

test("a page that leaves a gap is a hole, and changes nothing", () => {
  const account = new Account("1:5");
  expect(() => account.take(page(6, 8))).toThrow(Hole);
  expect(account.cursor).toBe("1:5");
});

test("a page whose count is wrong is a hole", () => {
  const silent = { ...page(0, 4, [2]), withheld: undefined };
  const loud = { ...page(0, 4), withheld: { count: 1, by: {} } };
  const disordered = { ...page(0, 2), events: [comment(2), comment(1)] };
  const beyond = { ...page(0, 1), events: [comment(2)] };
  for (const wrong of [silent, loud, disordered, beyond]) {
    expect(() => new Account("1:0").take(wrong as ReturnType<typeof page>)).toThrow(Hole);
  }
});

test("a room that begins anew is begun anew", () => {
  const account = new Account("1:50");
  account.restart("2:0");
  expect(seqs(account.take(page(0, 1, [], 2)).events)).toEqual([1]);
  expect(account.cursor).toBe("2:1");
});

test("cursors of the same generation", () => {
  expect(cursorAt("3:9", 4)).toBe("3:4");
  expect(cursorAt("3:9", 0)).toBe("0");
  expect(lengthOf({ first: 3, last: 3 })).toBe(1);
});
