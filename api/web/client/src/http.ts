/**
 * Requests to a server: addresses, the token, problems.
 *
 * Whatever is refused becomes a `Problem`; a server that cannot be reached is one too, with status 0,
 * so that callers decide in one place. Nothing is retried here.
 */
import type {
  Broadcasts, Density, Manifest, Page, ProblemBody, RoomOverview, Rooms, Segment, SentEvent, Users,
  Verdicts, View,
} from "./model.ts";

const PROBLEM_PREFIX = "urn:danmu:problem:";

/** Why a request was not answered. */
export class Problem extends Error {
  override readonly name = "Problem";

  constructor(
    /** The problem's name, such as `room-replaced`; `unreachable` where there was no answer. */
    readonly kind: string,
    readonly status: number,
    /** When to try again, in milliseconds from now; undefined where nothing was said. */
    readonly retryAfterMs: number | undefined,
    readonly body: ProblemBody | undefined,
    message: string,
  ) {
    super(message);
  }

  /** Of a problem's body, however it came. */
  static of(body: ProblemBody, retryAfterMs = inMs(body.retry_after_s)): Problem {
    const kind = body.type.startsWith(PROBLEM_PREFIX) ? body.type.slice(PROBLEM_PREFIX.length) : body.type;
    return new Problem(kind, body.status, retryAfterMs, body, body.detail ?? body.title);
  }

  /** Whether the token is at fault, so that trying again with it is in vain. */
  get isForbidden(): boolean {
    return this.status === 401 || this.status === 403;
  }
}

/** What a client is made with. */
export interface ApiOptions {
  /** The server's address, without a slash at its end; empty for the page's own. */
  base?: string;
  /** The token to send, asked for at every request; undefined for none. */
  token?: () => string | undefined;
  fetch?: typeof fetch;
}

type Query = Record<string, string | number | boolean | string[] | undefined>;

/** A server's HTTP API. */
export class Api {
  readonly #base: string;
  readonly #token: () => string | undefined;
  readonly #fetch: typeof fetch;

  constructor(options: ApiOptions = {}) {
    this.#base = options.base ?? "";
    this.#token = options.token ?? (() => undefined);
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init));
  }

  get token(): string | undefined {
    return this.#token();
  }

  /** The whole address of a path, with a query. */
  url(path: string, query: Query = {}): string {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one !== undefined) parameters.append(name, String(one));
      }
    }
    const text = parameters.toString();
    return `${this.#base}${path}${text ? `?${text}` : ""}`;
  }

  /** An address that a link or a socket uses by itself: it carries the token. */
  urlWithToken(path: string, query: Query = {}): string {
    return this.url(path, { ...query, access_token: this.#token() });
  }

  /** Fetches an address that `url` made; a `Problem` unless the answer is a success. */
  async fetch(url: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    const token = this.#token();
    if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
    let response: Response;
    try {
      response = await this.#fetch(url, { ...init, headers });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw new Problem("unreachable", 0, undefined, undefined, "the server cannot be reached");
    }
    if (!response.ok) throw await problemOf(response);
    return response;
  }

  async get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
    const response = await this.fetch(this.url(path, query), signal ? { signal } : {});
    return (await response.json()) as T;
  }

  async post<T>(path: string, body: unknown): Promise<T> {
    const response = await this.fetch(this.url(path), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return (await response.json()) as T;
  }

  rooms(signal?: AbortSignal): Promise<Rooms> {
    return this.get("/v1/rooms", { live: true, limit: 100 }, signal);
  }

  room(room: string, signal?: AbortSignal): Promise<RoomOverview> {
    return this.get(roomPath(room), {}, signal);
  }

  users(room: string, limit: number): Promise<Users> {
    return this.get(`${roomPath(room)}/users`, { limit });
  }

  /** Events after a cursor; the newest page where there is none. */
  events(
    room: string,
    query: { after?: string; limit?: number; wait?: number; density?: Density; view?: View; max_behind?: number },
    signal?: AbortSignal,
  ): Promise<Page> {
    return this.get(`${roomPath(room)}/events`, query, signal);
  }

  /** Appends an event: once this answers, it is in the log. The event should bring its id. */
  send(room: string, event: SentEvent): Promise<{ accepted: string[] }> {
    return this.post(`${roomPath(room)}/events`, event);
  }

  like(room: string, count: number): Promise<unknown> {
    return this.post(`${roomPath(room)}/likes`, { count });
  }

  verdicts(room: string, ids: string[], wait: number): Promise<Verdicts> {
    return this.get(`${roomPath(room)}/verdicts`, { id: ids, wait });
  }

  broadcasts(room: string, view: View, after?: string): Promise<Broadcasts> {
    return this.get(`${roomPath(room)}/broadcasts`, { after, limit: 50, ...viewed(view) });
  }

  manifest(room: string, broadcast: string, view: View): Promise<Manifest> {
    return this.get(broadcastPath(room, broadcast), viewed(view));
  }

  /** A segment, by the address that the manifest gave it. */
  async segment(url: string, view: View): Promise<Segment> {
    const seen = view === "live" ? `${url}&view=live` : url;
    const response = await this.fetch(`${this.#base}${seen}`);
    return (await response.json()) as Segment;
  }

  exportUrl(room: string, broadcast: string, format: "jsonl" | "xml" | "ass", view: View): string {
    return this.urlWithToken(`${broadcastPath(room, broadcast)}/export`, { format, ...viewed(view) });
  }
}

/** Where a room is. */
export function roomPath(room: string): string {
  return `/v1/rooms/${encodeURIComponent(room)}`;
}

function broadcastPath(room: string, broadcast: string): string {
  return `${roomPath(room)}/broadcasts/${encodeURIComponent(broadcast)}`;
}

function viewed(view: View): { view?: View } {
  return view === "live" ? { view } : {};
}

function inMs(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1_000;
}

async function problemOf(response: Response): Promise<Problem> {
  const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
  const retryAfterMs = Number.isFinite(seconds) ? inMs(seconds) : undefined;
  try {
    return Problem.of((await response.json()) as ProblemBody, retryAfterMs);
  } catch {
    const message = `the server answered ${response.status}`;
    return new Problem("unknown", response.status, retryAfterMs, undefined, message);
  }
}
