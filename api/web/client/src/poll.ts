/** Polling: a question every now and then, at the server's pace. It works wherever HTTP does. */
import { Problem } from "./http.ts";
import { endedBy, pause, type Ended, type Link, type Transport } from "./transport.ts";

/** How much of the server's pace is left to chance, so that viewers do not ask in step. */
const JITTER = 0.1;
/** The pace where an answer names none. */
const PACE_MS = 2_000;
/** The most events in a page. */
const PAGE_LEN = 200;

export class Poll implements Transport {
  readonly name = "poll";
  readonly #random: () => number;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  async run(link: Link): Promise<Ended> {
    try {
      while (!link.signal.aborted) {
        const page = await link.api.events(link.room, query(link), link.signal);
        link.opened();
        link.page(page);
        if ((link.until() ?? Number.POSITIVE_INFINITY) <= Date.now()) break;
        await pause((page.poll_after_ms ?? PACE_MS) * (1 + JITTER * this.#random()), link.signal);
      }
      return { how: "done" };
    } catch (error) {
      if (link.signal.aborted) return { how: "done" };
      return error instanceof Problem ? endedBy(error) : { how: "lost" };
    }
  }
}

function query(link: Link) {
  const after = link.cursor();
  return { ...(after === undefined ? {} : { after }), limit: PAGE_LEN, density: link.density };
}
