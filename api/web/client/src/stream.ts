/** Server-sent events: pages over one answer that does not end. */
import { Problem, roomPath } from "./http.ts";
import type { Page, ProblemBody } from "./model.ts";
import { endedBy, endedByCode, type Ended, type Link, type Transport } from "./transport.ts";

/** A stream says something every 15 s; one that is silent for three times that is dead. */
const SILENT_MS_MAX = 45_000;

export class Stream implements Transport {
  readonly name = "stream";
  readonly #random: () => number;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  run(link: Link): Promise<Ended> {
    if (typeof EventSource === "undefined") return Promise.resolve({ how: "lost" });
    const after = link.cursor();
    const query = { ...(after === undefined ? {} : { after }), density: link.density };
    return new Promise((resolve) => {
      const source = new EventSource(link.api.urlWithToken(`${roomPath(link.room)}/stream`, query));
      let watchdog: ReturnType<typeof setTimeout>;
      const end = (ended: Ended) => {
        clearTimeout(watchdog);
        source.close();
        link.signal.removeEventListener("abort", abort);
        resolve(ended);
      };
      const abort = () => end({ how: "done" });
      const alive = () => {
        clearTimeout(watchdog);
        watchdog = setTimeout(() => end({ how: "lost" }), SILENT_MS_MAX);
      };
      link.signal.addEventListener("abort", abort);
      alive();
      source.onopen = () => {
        alive();
        link.opened();
      };
      source.onmessage = (message: MessageEvent<string>) => {
        alive();
        try {
          link.page(JSON.parse(message.data) as Page);
        } catch {
          end({ how: "lost" });
        }
      };
      source.addEventListener("problem", (message) => {
        const body = JSON.parse((message as MessageEvent<string>).data) as ProblemBody;
        end(endedBy(Problem.of(body)));
      });
      source.addEventListener("end", (message) => {
        const { code } = JSON.parse((message as MessageEvent<string>).data) as { code: number };
        end(endedByCode(code, this.#random));
      });
      // The browser would try again by itself; when and with which transport is not its to decide.
      source.onerror = () => end({ how: "lost" });
    });
  }
}
