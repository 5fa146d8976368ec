/**
 * A broadcast watched again: segments as they are needed, a little ahead of the time.
 *
 * `advance` gives what lies between the last position and this one; where a segment is not there yet it
 * gives nothing and stays, so that nothing is skipped. `seek` gives the room's state at a moment and what
 * was said just before it. Segments never change under their address: one that moderation changed since
 * has another (410), and then the manifest is read again.
 */
import { Problem, type Api } from "./http.ts";
import type { Manifest, RoomEvent, Segment, SegmentLink, SegmentState, View } from "./model.ts";

/** How many segments are kept. */
const KEPT_MAX = 12;
/** How far ahead segments are fetched, in milliseconds of show time at normal speed; and at any. */
const AHEAD_MS = 20_000;
const AHEAD_MS_MAX = 120_000;
/** How long nothing is fetched ahead after a fetch failed. */
const AGAIN_AFTER_MS = 2_000;

/** What lies at a moment. */
export interface Moment {
  /** The room before the segment in which the moment lies; undefined before the first one. */
  state: SegmentState | undefined;
  /** What happened from the state's moment up to this one. */
  since: RoomEvent[];
  /** What happened from `back_ms` before the moment up to it, within loaded segments. */
  before: RoomEvent[];
}

export class Replay {
  #manifest: Manifest;
  #kept = new Map<string, Promise<Segment>>();
  /** What of `#kept` has arrived. */
  #arrived = new Map<string, Segment>();
  #position: number;
  #failedAt = Number.NEGATIVE_INFINITY;

  private constructor(
    readonly api: Api,
    readonly room: string,
    readonly broadcast: string,
    readonly view: View,
    manifest: Manifest,
  ) {
    this.#manifest = manifest;
    this.#position = this.from;
  }

  static async open(api: Api, room: string, broadcast: string, view: View): Promise<Replay> {
    return new Replay(api, room, broadcast, view, await api.manifest(room, broadcast, view));
  }

  get manifest(): Manifest {
    return this.#manifest;
  }

  /** Where the show begins: 0, or earlier where something came before its zero. */
  get from(): number {
    return Math.min(0, this.#manifest.segments[0]?.from_ms ?? 0);
  }

  /** Where the show ends. */
  get to(): number {
    const { ended_at, zero_at, segments } = this.#manifest;
    const last = segments.at(-1)?.to_ms ?? 0;
    // What happened in the very last moment belongs to it.
    return ended_at === undefined ? last : Math.max(ended_at - zero_at, this.from) + 1;
  }

  /** How far `advance` has come. */
  get position(): number {
    return this.#position;
  }

  /** What happened after the last position up to this one; undefined while it has not arrived. */
  advance(position: number, rate = 1): RoomEvent[] | undefined {
    this.#prefetch(position, position + Math.min(AHEAD_MS * rate, AHEAD_MS_MAX));
    const links = this.#between(this.#position, position);
    const segments = links.map((link) => this.#arrived.get(link.url));
    if (segments.some((segment) => segment === undefined)) return undefined;
    const from = this.#position;
    this.#position = Math.max(from, position);
    return segments.flatMap((segment) => within(segment!, from, position));
  }

  /** Goes to a moment: waits until it is there. */
  async seek(position: number, back_ms: number): Promise<Moment> {
    this.#position = position;
    const links = this.#between(position - back_ms, position);
    const segments = await Promise.all(links.map((link) => this.#load(link)));
    this.#prefetch(position, position + AHEAD_MS);
    const at = await this.#before(position);
    return {
      state: at?.state,
      since: at ? within(at, Number.NEGATIVE_INFINITY, position) : [],
      before: segments.flatMap((segment) => within(segment, position - back_ms, position)),
    };
  }

  /** Reads the manifest again: a show that is on has more to replay by now. */
  async refresh(): Promise<void> {
    this.#manifest = await this.api.manifest(this.room, this.broadcast, this.view);
  }

  /** The last segment that begins before a moment. */
  async #before(position: number): Promise<Segment | undefined> {
    const link = this.#manifest.segments.findLast((link) => link.from_ms <= position);
    return link && this.#load(link);
  }

  #between(from: number, to: number): SegmentLink[] {
    return this.#manifest.segments.filter((link) => link.from_ms < to && link.to_ms > from);
  }

  #prefetch(from: number, to: number): void {
    if (Date.now() - this.#failedAt < AGAIN_AFTER_MS) return;
    for (const link of this.#between(from, to)) {
      // Whoever needs it hears why it is missing; a later prefetch tries again.
      this.#load(link).catch(() => undefined);
    }
  }

  #load(link: SegmentLink): Promise<Segment> {
    const { url } = link;
    const kept = this.#kept.get(url);
    const loading = kept ?? this.#fetch(link);
    // The last used is the last to be forgotten.
    this.#kept.delete(url);
    this.#kept.set(url, loading);
    if (kept) return kept;
    loading.then(
      (segment) => this.#kept.has(url) && this.#arrived.set(url, segment),
      () => {
        this.#kept.delete(url);
        this.#failedAt = Date.now();
      },
    );
    this.#forget();
    return loading;
  }

  async #fetch(link: SegmentLink): Promise<Segment> {
    try {
      return await this.api.segment(link.url, this.view);
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 410) throw error;
      await this.refresh();
      const renewed = this.#manifest.segments.find(({ n }) => n === link.n);
      if (!renewed) throw error;
      return this.api.segment(renewed.url, this.view);
    }
  }

  #forget(): void {
    for (const url of this.#kept.keys()) {
      if (this.#kept.size <= KEPT_MAX) return;
      this.#kept.delete(url);
      this.#arrived.delete(url);
    }
  }
}

/** What of a segment lies in `[from, to)`. */
function within(segment: Segment, from: number, to: number): RoomEvent[] {
  return segment.events.filter(({ show_ms }) => show_ms !== undefined && show_ms >= from && show_ms < to);
}
