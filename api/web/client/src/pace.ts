/**
 * Which transport to try next, and when: a pure decision over what happened before.
 *
 * Long connections come first, in the order that the server names them. After three failures in a row
 * the client polls, and tries a long connection again a while later: one more failure then is enough to
 * go back to polling. The wait between tries doubles from `min_ms` to `max_ms`, each drawn from its upper
 * half so that viewers who lost one server do not come back in step.
 */

export type TransportName = "socket" | "stream" | "poll";

/** How a server wants to be connected to. */
export interface Plan {
  /** What the server offers, the best first; the last is what always works. */
  transports: TransportName[];
  backoff: { min_ms: number; max_ms: number; attempts: number };
}

/** What a client does where the server says nothing. */
export const DEFAULT_PLAN: Plan = {
  transports: ["socket", "stream", "poll"],
  backoff: { min_ms: 500, max_ms: 15_000, attempts: 3 },
};

/** How long polling goes on before a long connection is tried again. */
export const LONG_AGAIN_AFTER_MS = 60_000;

/** What to do next. */
export interface Step {
  transport: TransportName;
  after_ms: number;
}

/** The memory of what failed. */
export class Pace {
  readonly #plan: Plan;
  readonly #random: () => number;
  /** Failures of long connections since one last worked. */
  #longFailures = 0;
  /** Failures of any kind since anything last worked. */
  #failures = 0;
  #longAgainAt = 0;

  constructor(plan: Plan, random: () => number = Math.random) {
    this.#plan = plan;
    this.#random = random;
  }

  /** Whether long connections have been given up for now. */
  get hasFallenBack(): boolean {
    return this.#long.length > 0 && this.#longFailures >= this.#plan.backoff.attempts;
  }

  /** How many long connections failed in a row. */
  get failures(): number {
    return this.#longFailures;
  }

  /** When polling should end, because a long connection is due; undefined where there is none to try. */
  get longAgainAt(): number | undefined {
    return this.#long.length > 0 ? this.#longAgainAt : undefined;
  }

  /** What to try at `now`. */
  next(now: number): Step {
    const after_ms = this.#wait();
    const long = this.#long;
    const isLongDue = !this.hasFallenBack || now >= this.#longAgainAt;
    const transport = long[this.#longFailures % Math.max(1, long.length)];
    if (transport !== undefined && isLongDue) return { transport, after_ms };
    return { transport: "poll", after_ms };
  }

  /** A transport works. */
  opened(transport: TransportName): void {
    this.#failures = 0;
    if (transport !== "poll") this.#longFailures = 0;
  }

  /** A transport could not be opened, or broke. */
  failed(transport: TransportName, now: number): void {
    this.#failures += 1;
    if (transport === "poll") return;
    this.#longFailures += 1;
    if (!this.hasFallenBack) return;
    this.#longAgainAt = now + LONG_AGAIN_AFTER_MS;
    // Polling begins at once: it is what the waiting was for.
    this.#failures = 0;
  }

  get #long(): TransportName[] {
    return this.#plan.transports.filter((transport) => transport !== "poll");
  }

  #wait(): number {
    if (this.#failures === 0) return 0;
    const { min_ms, max_ms } = this.#plan.backoff;
    const full = Math.min(max_ms, min_ms * 2 ** (this.#failures - 1));
    return full * (0.5 + 0.5 * this.#random());
  }
}
