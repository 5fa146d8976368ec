/**
 * What a transport is: a way to bring the pages that follow on a cursor, until it ends.
 *
 * Poll, stream and socket bring the same pages from the same cursor, so a client changes between them at
 * any moment. A transport takes pages to its `Link` and returns how it ended; it neither retries nor
 * waits before it begins, which is `live.ts`'s.
 */
import type { Api, Problem } from "./http.ts";
import type { Density, Page, Verdict } from "./model.ts";
import type { TransportName } from "./pace.ts";

/** What a transport works for. */
export interface Link {
  readonly api: Api;
  readonly room: string;
  readonly density: Density;
  readonly signal: AbortSignal;
  /** The cursor to go on from. */
  cursor(): string | undefined;
  /** It works: pages will come. */
  opened(): void;
  /** A page came. Throws a `Hole` where it does not follow on what was had. */
  page(page: Page): void;
  /** What became of an event that went out over this connection. */
  verdict(verdict: Verdict): void;
  /** When to end a poll for the sake of a long connection; undefined for never. */
  until(): number | undefined;
}

/** How a transport ended. */
export type Ended =
  /** It broke, or could not be opened. */
  | { how: "lost"; problem?: Problem; after_ms?: number }
  /** The server asks to come back: no failure of the transport. */
  | { how: "sent-away"; after_ms: number }
  /** The token is no longer good. */
  | { how: "forbidden"; problem?: Problem }
  /** The room's numbering began anew, at this cursor. */
  | { how: "replaced"; cursor: string }
  /** It ended as it was asked to. */
  | { how: "done" };

/** A way to bring pages. */
export interface Transport {
  readonly name: TransportName;
  run(link: Link): Promise<Ended>;
}

/** How a problem ends a transport. */
export function endedBy(problem: Problem): Ended {
  const cursor = problem.body?.cursor;
  if (problem.kind === "room-replaced" && cursor !== undefined) return { how: "replaced", cursor };
  if (problem.isForbidden) return { how: "forbidden", problem };
  return problem.retryAfterMs === undefined
    ? { how: "lost", problem }
    : { how: "lost", problem, after_ms: problem.retryAfterMs };
}

/** The longest wait, drawn evenly, of one who is asked to come back with jitter. */
const COME_BACK_MS_MAX = 5_000;
/** How long one waits who asked for too much. */
const WAIT_MS = 10_000;
/** Why a server closes a long connection: a socket's codes, which a stream tells in its last message. */
const CLOSED = { RENEW_TOKEN: 4401, TOO_SLOW: 4408, WAIT: 4429, COME_BACK: 4503 } as const;

/** How a server's code ends a transport. */
export function endedByCode(code: number, random: () => number): Ended {
  switch (code) {
    case CLOSED.RENEW_TOKEN:
      return { how: "forbidden" };
    case CLOSED.TOO_SLOW:
      return { how: "sent-away", after_ms: 0 };
    case CLOSED.WAIT:
      return { how: "lost", after_ms: WAIT_MS };
    case CLOSED.COME_BACK:
      return { how: "sent-away", after_ms: COME_BACK_MS_MAX * random() };
    default:
      return { how: "lost" };
  }
}

/** Waits; ends early when the signal does. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const ended = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", ended);
      resolve();
    };
    const timer = setTimeout(ended, ms);
    signal.addEventListener("abort", ended);
  });
}
