/** Pages as a server makes them. */
import type { Page, RoomEvent } from "../src/model.ts";

export function comment(seq: number, show_ms?: number): RoomEvent {
  return {
    seq, kind: "comment", at: 1_000 + seq, id: `00000000-0000-7000-8000-${String(seq).padStart(12, "0")}`,
    text: `comment ${seq}`, style: { mode: "scroll", color: 0xffffff, size: "normal" },
    ...(show_ms === undefined ? {} : { show_ms }),
  };
}

/** The page of `(from, to]` without the events in `without`. */
export function page(from: number, to: number, without: number[] = [], generation = 1): Page {
  const seqs = Array.from({ length: to - from }, (_, n) => from + 1 + n).filter((seq) => !without.includes(seq));
  return {
    room: "r1", events: seqs.map((seq) => comment(seq)), cursor: `${generation}:${to}`, from, to, head: to,
    totals: { comments: to, gifts: 0, gift_value: {}, likes: 0, viewers: 1 }, poll_after_ms: 0,
    ...(without.length > 0 ? { withheld: { count: without.length, by: { density: without.length } } } : {}),
  };
}

/** A fetch that answers from a list of paths; each answer is used once, the last for ever. */
export function serving(answers: Record<string, unknown[]>): { fetch: typeof fetch; asked: string[] } {
  const asked: string[] = [];
  const serve = async (input: RequestInfo | URL): Promise<Response> => {
    const url = String(input);
    asked.push(url);
    const path = Object.keys(answers).find((path) => url.startsWith(path));
    const list = path === undefined ? undefined : answers[path];
    const answer = list && (list.length > 1 ? list.shift() : list[0]);
    if (answer instanceof Response) return answer.clone();
    if (answer instanceof Error) throw answer;
    return answer === undefined ? problem("not-found", 404) : Response.json(answer);
  };
  return { fetch: serve as typeof fetch, asked };
}

export function problem(kind: string, status: number, more: object = {}, headers: Record<string, string> = {}): Response {
  return Response.json({ type: `urn:danmu:problem:${kind}`, title: kind, status, ...more }, { status, headers });
}
