import { afterEach, expect, test, vi } from "vitest";

import { Api } from "../src/http.ts";
import { Likes, newId, send } from "../src/sender.ts";
import { problem } from "./pages.ts";

afterEach(() => vi.useRealTimers());

/** A server whose log takes an event at the given try, and what it was sent. */
function server(takesAt: number, verdicts: object[]) {
  const bodies: { id: string }[] = [];
  const serve = async (input: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    if (String(input).includes("/verdicts")) {
      const verdict = verdicts.length > 1 ? verdicts.shift() : verdicts[0];
      return Response.json({ verdicts: [{ ...verdict, id: bodies[0]!.id }] });
    }
    bodies.push(JSON.parse(String(init?.body)));
    if (bodies.length < takesAt) return problem("outcome-unknown", 503);
    return Response.json({ accepted: [bodies[0]!.id] });
  };
  return { api: new Api({ fetch: serve as typeof fetch }), bodies };
}

test("ids sort by time and are never the same", () => {
  const [early, late] = [newId(1_000), newId(2_000)];
  expect(early < late).toBe(true);
  expect(early).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(newId(1_000)).not.toBe(early);
});

test("an unknown outcome is tried again under the same id", async () => {
  vi.useFakeTimers();
  const { api, bodies } = server(3, [{ verdict: "pending" }, { verdict: "visible", seq: 4 }]);
  const sent = send(api, "r1", { kind: "comment", text: "hello" });
  await vi.runAllTimersAsync();
  expect(await sent).toMatchObject({ verdict: "visible", seq: 4 });
  expect(bodies).toHaveLength(3);
  expect(new Set(bodies.map(({ id }) => id)).size).toBe(1);
});

test("what is refused outright is not tried again", async () => {
  let asked = 0;
  const refuse = async () => {
    asked += 1;
    return problem("invalid-events", 400, { errors: [{ index: 0, field: "text", reason: "is blank" }] });
  };
  const api = new Api({ fetch: refuse as typeof fetch });
  await expect(send(api, "r1", { kind: "comment", text: " " })).rejects.toMatchObject({ kind: "invalid-events", status: 400 });
  expect(asked).toBe(1);
});

test("likes go together, and a failure is let go", async () => {
  vi.useFakeTimers();
  const counts: number[] = [];
  const serve = async (_: RequestInfo | URL, init?: RequestInit) => {
    counts.push(JSON.parse(String(init?.body)).count);
    return problem("overloaded", 503);
  };
  const failed = vi.fn();
  const likes = new Likes(new Api({ fetch: serve as typeof fetch }), "r1", failed);
  for (let n = 0; n < 130; n += 1) likes.add();
  await vi.runAllTimersAsync();
  expect(counts).toEqual([100]);
  expect(failed).toHaveBeenCalledOnce();
});
