/**
 * What a client has of a room, and the proof that nothing is missing.
 *
 * Seqs are dense, and a page says which stretch `(from, to]` it covers: what of it is not in `events`
 * was withheld, and the page says how many. `Account` holds a page against what came before. A page that
 * overlaps gives only what is new; one that leaves a gap, or whose count is wrong, is refused as a
 * `Hole`, and whoever reads asks again from the cursor. So nothing is lost or repeated in silence,
 * whichever transport brings the pages.
 */
import type { Page, RoomEvent } from "./model.ts";

/** A stretch of seqs, both ends included. */
export interface Stretch {
  first: number;
  last: number;
}

/** What a page brought that was new. */
export interface Taken {
  events: RoomEvent[];
  /** Stretches that were withheld on purpose. */
  withheld: Stretch[];
}

/** A page that does not follow on what the client has: it must ask again from its cursor. */
export class Hole extends Error {
  override readonly name = "Hole";
}

/** What a client has of one room. */
export class Account {
  #cursor: string | undefined;
  #seq: number | undefined;
  #withheld = 0;

  /** Begins after a cursor, or with whatever page comes first. */
  constructor(cursor?: string) {
    this.restart(cursor);
  }

  /** The last that the client has; undefined before the first page. */
  get cursor(): string | undefined {
    return this.#cursor;
  }

  /** How many events were withheld so far and have not been fetched since. */
  get withheld(): number {
    return this.#withheld;
  }

  /** Begins anew, as after a room was replaced. */
  restart(cursor?: string): void {
    this.#cursor = cursor;
    this.#seq = cursor === undefined ? undefined : seqOf(cursor);
    this.#withheld = 0;
  }

  /** Takes a page in and says what was new; throws a `Hole` where it does not fit. */
  take(page: Page): Taken {
    checkCounts(page);
    const had = this.#seq ?? page.from;
    if (page.from > had) throw new Hole(`a page from ${page.from} does not follow on ${had}`);
    if (page.to < had) return { events: [], withheld: [] };
    const events = page.events.filter((event) => event.seq > had);
    const withheld = gaps(had, page.to, events);
    this.#withheld += withheld.reduce((sum, gap) => sum + lengthOf(gap), 0);
    this.#seq = page.to;
    this.#cursor = page.cursor;
    return { events, withheld };
  }

  /** Takes off the withheld what was fetched after all. */
  fetched(stretch: Stretch): void {
    this.#withheld = Math.max(0, this.#withheld - lengthOf(stretch));
  }
}

/** How many seqs a stretch has. */
export function lengthOf(stretch: Stretch): number {
  return stretch.last - stretch.first + 1;
}

/** The seq of a cursor. To a client a cursor is opaque but for this: its seqs are dense. */
export function seqOf(cursor: string): number {
  return Number(cursor.slice(cursor.indexOf(":") + 1));
}

/** The cursor of the same generation at another seq: what is withheld is asked for again by it. */
export function cursorAt(cursor: string, seq: number): string {
  const colon = cursor.indexOf(":");
  return colon < 0 || seq === 0 ? "0" : `${cursor.slice(0, colon)}:${seq}`;
}

function checkCounts(page: Page): void {
  let last = page.from;
  for (const event of page.events) {
    if (event.seq <= last || event.seq > page.to) {
      throw new Hole(`event ${event.seq} is not where a page from ${page.from} to ${page.to} has it`);
    }
    last = event.seq;
  }
  const absent = page.to - page.from - page.events.length;
  const told = page.withheld?.count ?? 0;
  if (absent !== told) throw new Hole(`${absent} events are absent of which ${told} are told`);
}

function gaps(after: number, to: number, events: RoomEvent[]): Stretch[] {
  const found: Stretch[] = [];
  let next = after + 1;
  for (const { seq } of events) {
    if (seq > next) found.push({ first: next, last: seq - 1 });
    next = seq + 1;
  }
  if (to >= next) found.push({ first: next, last: to });
  return found;
}
