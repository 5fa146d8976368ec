/**
 * Sending: an event goes out under an id of its own, so that trying again cannot double it; then comes
 * the room's verdict. Likes are gathered and sent together.
 */
import { Problem, type Api } from "./http.ts";
import type { SentEvent, Verdict } from "./model.ts";

/** How often an event is sent again whose outcome is unknown. */
const ATTEMPTS_MAX = 4;
const AGAIN_AFTER_MS = 1_000;
/** How long a question for a verdict waits, in seconds, and how often it is asked. */
const VERDICT_WAIT_S = 10;
const VERDICT_QUESTIONS_MAX = 3;
/** How long likes are gathered, and the most in one request. */
const LIKES_GATHER_MS = 400;
const LIKES_MAX = 100;

/** An id that sorts by time (UUID version 7). `crypto.randomUUID` is not there on plain HTTP. */
export function newId(now = Date.now()): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  let ms = now;
  for (let n = 5; n >= 0; n -= 1) {
    bytes[n] = ms % 256;
    ms = Math.floor(ms / 256);
  }
  bytes[6] = (bytes[6]! & 0x0f) | 0x70;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/**
 * Sends an event and waits for its verdict: `pending` where the room has not decided in time.
 * `accepted` is called once the event is in the log.
 */
export async function send(
  api: Api,
  room: string,
  event: SentEvent,
  accepted: (id: string) => void = () => {},
): Promise<Verdict> {
  const id = event.id ?? newId();
  await append(api, room, { ...event, id });
  accepted(id);
  for (let asked = 0; asked < VERDICT_QUESTIONS_MAX; asked += 1) {
    const { verdicts } = await api.verdicts(room, [id], VERDICT_WAIT_S);
    const verdict = verdicts.find((verdict) => verdict.id === id);
    if (verdict && verdict.verdict !== "pending") return verdict;
  }
  return { id, verdict: "pending" };
}

async function append(api: Api, room: string, event: SentEvent): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await api.send(room, event);
      return;
    } catch (error) {
      const mayTryAgain = error instanceof Problem && (error.status === 0 || error.status === 503);
      if (!mayTryAgain || attempt === ATTEMPTS_MAX) throw error;
      const wait = error.retryAfterMs ?? AGAIN_AFTER_MS * attempt;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}

/** Gathers likes. One whose request fails is let go: likes are not worth a doubt. */
export class Likes {
  #count = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly api: Api,
    readonly room: string,
    readonly failed: (error: unknown) => void,
  ) {}

  /** One more. */
  add(): void {
    this.#count = Math.min(LIKES_MAX, this.#count + 1);
    this.#timer ??= setTimeout(() => this.#flush(), LIKES_GATHER_MS);
  }

  #flush(): void {
    const count = this.#count;
    this.#count = 0;
    this.#timer = undefined;
    this.api.like(this.room, count).catch(this.failed);
  }
}
