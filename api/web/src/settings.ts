/**
 * What the person who watches has chosen: kept in this browser, a token only until the tab is closed.
 *
 * A server that asks for tokens takes the author from the token. One without takes whoever a comment
 * says it is from: there the page makes up a guest, and lets one act as a moderator or host.
 */
import type { Density, SentEvent, Style, User } from "danmu-client";

export type Theme = "auto" | "light" | "dark";
export type Role = "viewer" | "moderator" | "host";

interface Kept {
  id: string;
  name: string;
  /** The role to act in where there is no token. */
  role: Role;
  theme: Theme;
  style: Style;
  /** The most comments that fly a second. */
  cap: number;
  density: Density;
  /** Words; comments that have one are not shown. */
  blocked: string[];
}

const KEY = "danmu";
const TOKEN_KEY = "danmu-token";
/** The roles that may moderate. */
const MODERATES = ["moderator", "host", "backend", "operator"];

function defaults(): Kept {
  const number = String(1_000 + Math.floor(Math.random() * 9_000));
  return {
    id: `guest-${number}-${Math.random().toString(36).slice(2, 8)}`,
    name: `Guest ${number}`,
    role: "viewer",
    theme: "auto",
    style: { mode: "scroll", color: 0xffffff, size: "normal" },
    cap: 6,
    density: "auto",
    blocked: [],
  };
}

class Settings extends EventTarget {
  #kept: Kept = { ...defaults(), ...read() };

  constructor() {
    super();
    this.set({});
  }

  get all(): Readonly<Kept> {
    return this.#kept;
  }

  set(change: Partial<Kept>): void {
    this.#kept = { ...this.#kept, ...change };
    localStorage.setItem(KEY, JSON.stringify(this.#kept));
    this.dispatchEvent(new Event("change"));
  }

  get token(): string | undefined {
    return sessionStorage.getItem(TOKEN_KEY) ?? undefined;
  }

  setToken(token: string | undefined): void {
    if (token) sessionStorage.setItem(TOKEN_KEY, token);
    else sessionStorage.removeItem(TOKEN_KEY);
    this.dispatchEvent(new Event("change"));
    this.dispatchEvent(new Event("token"));
  }

  /** Who comments are from, as far as this page knows. */
  get user(): User {
    const claims = this.#claims();
    if (!claims) return { id: this.#kept.id, name: this.#kept.name };
    return { id: claims.sub ?? "", name: claims.name ?? claims.sub ?? "" };
  }

  get role(): string {
    return this.#claims()?.role ?? (this.token ? "viewer" : this.#kept.role);
  }

  get mayModerate(): boolean {
    return MODERATES.includes(this.role);
  }

  /** An event as this person sends it. */
  signed<E extends SentEvent>(event: E): E {
    if (this.token) return event;
    return { ...event, user: this.user, role: this.#kept.role };
  }

  /** Whether a text has a word that is not wanted. */
  isBlocked(text: string): boolean {
    const lower = text.toLowerCase();
    return this.#kept.blocked.some((word) => lower.includes(word.toLowerCase()));
  }

  /** What the token says of its bearer. Only the server knows whether it is true. */
  #claims(): { sub?: string; name?: string; role?: string } | undefined {
    const part = this.token?.split(".")[1];
    if (!part) return undefined;
    try {
      const bytes = Uint8Array.from(atob(part.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
      return JSON.parse(new TextDecoder().decode(bytes));
    } catch {
      return undefined;
    }
  }
}

function read(): Partial<Kept> {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Kept>;
    // JSON has no infinity.
    return kept.cap === null ? { ...kept, cap: Number.POSITIVE_INFINITY } : kept;
  } catch {
    return {};
  }
}

export const settings = new Settings();
