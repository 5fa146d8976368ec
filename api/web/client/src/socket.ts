/**
 * The WebSocket: pages as they happen, in frames of JSON.
 *
 * A frame is a page, or an object with one member that says what it is: `hello`, `ping`, `accepted`,
 * `problem`, `verdict`. The server pings every 25 s, so a connection that is silent for much longer is
 * dead even if nobody told us.
 */
import { Problem, roomPath } from "./http.ts";
import type { Page, ProblemBody, Verdict } from "./model.ts";
import { endedBy, endedByCode, type Ended, type Link, type Transport } from "./transport.ts";

const SUBPROTOCOL = "danmu.v1.json";
/** How long the server may be silent. */
const SILENT_MS_MAX = 60_000;
/** How long a connection may take to open. */
const OPEN_MS_MAX = 10_000;
interface Frame extends Partial<Page> {
  hello?: { cursor: string; head: number; now_at: number };
  ping?: number;
  problem?: ProblemBody;
  verdict?: Verdict;
}

export class Socket implements Transport {
  readonly name = "socket";
  readonly #random: () => number;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  run(link: Link): Promise<Ended> {
    if (typeof WebSocket === "undefined") return Promise.resolve({ how: "lost" });
    return new Promise((resolve) => {
      const socket = new WebSocket(address(link), SUBPROTOCOL);
      let watchdog: ReturnType<typeof setTimeout>;
      const end = (ended: Ended) => {
        clearTimeout(watchdog);
        link.signal.removeEventListener("abort", abort);
        socket.onmessage = socket.onclose = null;
        socket.close();
        resolve(ended);
      };
      const abort = () => end({ how: "done" });
      const within = (ms: number) => {
        clearTimeout(watchdog);
        watchdog = setTimeout(() => end({ how: "lost" }), ms);
      };
      link.signal.addEventListener("abort", abort);
      within(OPEN_MS_MAX);
      socket.onmessage = (message: MessageEvent<string>) => {
        within(SILENT_MS_MAX);
        try {
          const ended = receive(JSON.parse(message.data) as Frame, link);
          if (ended) end(ended);
        } catch {
          end({ how: "lost" });
        }
      };
      socket.onclose = ({ code }) => end(endedByCode(code, this.#random));
    });
  }
}

/** Takes a frame in; how the connection ended, if the frame says so. */
function receive(frame: Frame, link: Link): Ended | undefined {
  if (frame.hello) link.opened();
  else if (frame.events) link.page(frame as Page);
  else if (frame.verdict) link.verdict(frame.verdict);
  else if (frame.problem) return endedBy(Problem.of(frame.problem));
  return undefined;
}

function address(link: Link): string {
  const after = link.cursor();
  const query = { ...(after === undefined ? {} : { after }), density: link.density };
  const url = link.api.urlWithToken(`${roomPath(link.room)}/socket`, query);
  const absolute = new URL(url, globalThis.location?.href);
  absolute.protocol = absolute.protocol.replace("http", "ws");
  return absolute.href;
}
