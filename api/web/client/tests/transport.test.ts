import { expect, test } from "vitest";

import { Problem } from "../src/http.ts";
import { endedBy, endedByCode } from "../src/transport.ts";

test("a server's code says how its client goes on", () => {
  const ended = [4400, 4401, 4408, 4429, 4503, 1006].map((code) => endedByCode(code, () => 0.5));
  expect(ended).toEqual([
    { how: "lost" },
    { how: "forbidden" },
    { how: "sent-away", after_ms: 0 },
    { how: "lost", after_ms: 10_000 },
    { how: "sent-away", after_ms: 2_500 },
    { how: "lost" },
  ]);
});

test("a problem in a message says when to try again", () => {
  const problem = Problem.of({ type: "urn:danmu:problem:overloaded", title: "overloaded", status: 503, retry_after_s: 2 });
  expect(endedBy(problem)).toEqual({ how: "lost", problem, after_ms: 2_000 });
});
