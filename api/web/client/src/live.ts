/**
 * A room as it happens, whatever the network does.
 *
 * `LiveRoom` runs one transport at a time from one cursor: it asks `Pace` which, holds every page against
 * the `Account`, and starts over when a transport ends. What listeners get is gapless: new events in
 * order, and which stretches were withheld.
 */
import { Account, cursorAt, Hole, type Stretch, type Taken } from "./account.ts";
import { Problem, type Api } from "./http.ts";
import type { Density, Page, RoomEvent, Verdict } from "./model.ts";
import { DEFAULT_PLAN, Pace, type Plan, type TransportName } from "./pace.ts";
import { Poll } from "./poll.ts";
import { Socket } from "./socket.ts";
import { Stream } from "./stream.ts";
import { pause, type Ended, type Link, type Transport } from "./transport.ts";

/** How a room is connected. */
export interface Connection {
  phase: "connecting" | "open" | "waiting" | "forbidden" | "stopped";
  transport: TransportName;
  /** Whether it polls because long connections failed. */
  hasFallenBack: boolean;
  /** When the next try is, while it waits. */
  retryAt?: number;
  /** What went wrong last. */
  problem?: Problem;
}

/** Who is told. */
export interface Listener {
  /** New events, in order, and what was withheld of the stretch. */
  took(taken: Taken, page: Page, transport: TransportName): void;
  connection(connection: Connection): void;
  /** The room's numbering began anew: what is shown is of before. */
  replaced(): void;
  verdict?(verdict: Verdict): void;
}

export interface LiveOptions {
  density?: Density;
  /** Goes on after this; joins at the newest page where it is left out. */
  cursor?: string;
  plan?: Plan;
  transports?: Transport[];
  random?: () => number;
}

/** The most events that are asked for when what was withheld is read again. */
const FETCH_LEN = 500;

export class LiveRoom {
  readonly #api: Api;
  readonly #room: string;
  readonly #listener: Listener;
  readonly #account: Account;
  readonly #transports: Map<TransportName, Transport>;
  readonly #random: () => number;
  #plan: Plan | undefined;
  #density: Density;
  #stop = new AbortController();
  /** Ends the transport that runs, so that the next begins with new settings. */
  #again = new AbortController();

  constructor(api: Api, room: string, listener: Listener, options: LiveOptions = {}) {
    this.#api = api;
    this.#room = room;
    this.#listener = listener;
    this.#account = new Account(options.cursor);
    this.#density = options.density ?? "auto";
    this.#plan = options.plan;
    this.#random = options.random ?? Math.random;
    const transports = options.transports ?? [new Socket(), new Stream(), new Poll()];
    this.#transports = new Map(transports.map((transport) => [transport.name, transport]));
  }

  /** The last that was taken. */
  get cursor(): string | undefined {
    return this.#account.cursor;
  }

  /** How many events were withheld and have not been fetched. */
  get withheld(): number {
    return this.#account.withheld;
  }

  /** Runs until `stop`. */
  async run(): Promise<void> {
    const signal = this.#stop.signal;
    const pace = new Pace(this.#plan ?? (await this.#askPlan()), this.#random);
    let waitAtLeast = 0;
    while (!signal.aborted) {
      const step = pace.next(Date.now());
      const wait = Math.max(step.after_ms, waitAtLeast);
      waitAtLeast = 0;
      if (wait > 0) {
        this.#tell({ phase: "waiting", transport: step.transport, retryAt: Date.now() + wait }, pace);
        await pause(wait, signal);
        if (signal.aborted) break;
      }
      const ended = await this.#run(step.transport, pace);
      if (signal.aborted) break;
      waitAtLeast = this.#after(ended, step.transport, pace);
      if (ended.how === "forbidden") {
        await this.#wakened();
      }
    }
    this.#tell({ phase: "stopped", transport: "poll" }, pace);
  }

  /** Ends it. */
  stop(): void {
    this.#stop.abort();
    this.#again.abort();
  }

  /** Connects anew from the same cursor: with a new token, another density, or because it is asked to. */
  reconnect(density: Density = this.#density): void {
    this.#density = density;
    this.#again.abort();
  }

  /** Reads a stretch that was withheld. It no longer counts as withheld then. */
  async fetch(stretch: Stretch): Promise<RoomEvent[]> {
    const found: RoomEvent[] = [];
    let after = cursorAt(this.#account.cursor ?? "0", stretch.first - 1);
    for (;;) {
      const limit = Math.min(FETCH_LEN, stretch.last - stretch.first + 1);
      const page = await this.#api.events(this.#room, { after, limit, density: "full" });
      found.push(...page.events.filter((event) => event.seq <= stretch.last));
      if (page.to >= stretch.last || page.to === page.from) break;
      after = page.cursor;
    }
    this.#account.fetched(stretch);
    return found;
  }

  async #askPlan(): Promise<Plan> {
    try {
      const plan = await this.#api.get<Plan>("/v1/connect", { room: this.#room }, this.#stop.signal);
      const known = plan.transports.filter((name) => this.#transports.has(name));
      return { ...DEFAULT_PLAN, ...plan, transports: known };
    } catch {
      return DEFAULT_PLAN;
    }
  }

  async #run(name: TransportName, pace: Pace): Promise<Ended> {
    const transport = this.#transports.get(name);
    if (!transport) return { how: "lost" };
    this.#again = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, this.#again.signal]);
    this.#tell({ phase: "connecting", transport: name }, pace);
    let isOpen = false;
    const link: Link = {
      api: this.#api,
      room: this.#room,
      density: this.#density,
      signal,
      cursor: () => this.#account.cursor,
      opened: () => {
        if (isOpen) return;
        isOpen = true;
        pace.opened(name);
        this.#tell({ phase: "open", transport: name }, pace);
      },
      page: (page) => this.#listener.took(this.#account.take(page), page, name),
      verdict: (verdict) => this.#listener.verdict?.(verdict),
      until: () => pace.longAgainAt,
    };
    try {
      return await transport.run(link);
    } catch (error) {
      if (error instanceof Hole || error instanceof Problem) return { how: "lost" };
      throw error;
    }
  }

  /** Takes note of how a transport ended; how long to wait at least. */
  #after(ended: Ended, transport: TransportName, pace: Pace): number {
    switch (ended.how) {
      case "lost":
        pace.failed(transport, Date.now());
        return ended.after_ms ?? 0;
      case "sent-away":
        return ended.after_ms;
      case "forbidden":
        this.#tell({ phase: "forbidden", transport, ...(ended.problem && { problem: ended.problem }) }, pace);
        return 0;
      case "replaced":
        this.#account.restart(ended.cursor);
        this.#listener.replaced();
        return 0;
      case "done":
        return 0;
    }
  }

  /** Waits until somebody asks to connect anew. */
  #wakened(): Promise<void> {
    this.#again = new AbortController();
    return pause(2 ** 31 - 1, AbortSignal.any([this.#stop.signal, this.#again.signal]));
  }

  #tell(connection: Omit<Connection, "hasFallenBack">, pace: Pace): void {
    this.#listener.connection({ ...connection, hasFallenBack: pace.hasFallenBack });
  }
}
