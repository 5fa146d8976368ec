/**
 * Spreads what came in one answer over the time in which it happened, so that polling looks alive too.
 * Over a long connection events come as they happen and are passed on at once.
 */
import type { RoomEvent, TransportName } from "danmu-client";

/** The longest that an answer is spread over, and in what steps. */
const SPREAD_MS_MAX = 2_000;
const STEP_MS = 50;

export class Spread {
  readonly #timers = new Set<ReturnType<typeof setTimeout>>();
  /** When the last of what is held back is passed on. */
  #busyUntil = 0;

  constructor(private readonly pass: (events: RoomEvent[]) => void) {}

  /** Passes the events on, in order, each when its turn is. */
  take(events: RoomEvent[], transport: TransportName): void {
    const [first, last] = [events[0], events.at(-1)];
    if (!first || !last) return;
    const now = performance.now();
    const begins = Math.max(now, this.#busyUntil);
    const length = last.at - first.at;
    const isSpread = transport === "poll" && length > 0 && !document.hidden;
    const scale = isSpread ? Math.min(1, SPREAD_MS_MAX / length) : 0;
    if (scale === 0 && begins === now) return this.pass(events);
    const groups = new Map<number, RoomEvent[]>();
    for (const event of events) {
      const due = begins + Math.floor(((event.at - first.at) * scale) / STEP_MS) * STEP_MS;
      groups.set(due, [...(groups.get(due) ?? []), event]);
    }
    for (const [due, group] of groups) this.#passAt(due, now, group);
  }

  clear(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
    this.#busyUntil = 0;
  }

  #passAt(due: number, now: number, events: RoomEvent[]): void {
    this.#busyUntil = Math.max(this.#busyUntil, due);
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.pass(events);
    }, due - now);
    this.#timers.add(timer);
  }
}
