/** Numbers, times and refusals as people read them. */
import { Problem, type Verdict } from "danmu-client";

const COMPACT = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

export const compact = (count: number): string => COMPACT.format(count);
export const dateOf = (at: number): string => DATE.format(at);
export const clockOf = (at: number): string => CLOCK.format(at);

/** Show time: `1:02:03`, `-0:04`. */
export function showTime(ms: number): string {
  const seconds = Math.floor(Math.abs(ms) / 1_000);
  const [hours, minutes] = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60];
  const two = (n: number) => String(n).padStart(2, "0");
  const text = hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
  return ms < 0 && seconds > 0 ? `-${text}` : text;
}

/** How long a show has gone on. */
export function since(at: number, now = Date.now()): string {
  const minutes = Math.max(0, Math.floor((now - at) / 60_000));
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

type Refusal = Extract<Verdict, { verdict: "refused" }>;

const REASONS: Record<Refusal["reason"], string> = {
  muted: "you are muted here",
  "slow-mode": "slow mode is on",
  "comments-closed": "comments are closed",
  "target-unknown": "that event is not there any more",
  "not-recorded": "only a recorded show takes that",
  "issued-too-long-ago": "it was issued too long ago",
  "issued-in-future": "it is issued in the future",
  "room-busy": "the room is too busy",
  "no-broadcast": "no show is on",
};

/** What became of a comment, for its sender. */
export function verdictText(verdict: Verdict): string {
  switch (verdict.verdict) {
    case "visible":
      return `Shown to everybody as #${verdict.seq}`;
    case "duplicate":
      return "It was there already";
    case "refused": {
      const until = verdict.until_at === undefined ? "" : ` until ${clockOf(verdict.until_at)}`;
      return `Not shown: ${REASONS[verdict.reason] ?? verdict.reason}${until}`;
    }
    case "pending":
      return "Accepted; the room has not decided yet";
  }
}

/** What went wrong. */
export function problemText(error: unknown): string {
  if (!(error instanceof Problem)) return "Something went wrong";
  const fields = error.body?.errors?.map(({ field, reason }) => `${field}: ${reason}`).join("; ");
  if (fields) return fields;
  if (error.status === 401) return "A token is needed for that: set one under Profile";
  return error.message;
}

/** A colour as CSS has it. */
export const cssColor = (color: number): string => `#${color.toString(16).padStart(6, "0")}`;

/** A hue that follows from a name, so that a person and a room keep theirs. */
export function hueOf(name: string): number {
  let hash = 2_166_136_261;
  for (let n = 0; n < name.length; n += 1) hash = Math.imul(hash ^ name.charCodeAt(n), 16_777_619);
  return (hash >>> 0) % 360;
}

/** A hue for a large surface: of the cool half, which goes with every picture. */
export const stageHueOf = (room: string): number => 205 + (hueOf(room) % 130);

const ART: Record<string, string> = {
  rose: "🌹", coffee: "☕", lantern: "🏮", comet: "☄️", castle: "🏰", bits: "💎", cheer: "💎",
};

/** What a gift looks like. */
export const giftArt = (gift: string): string => ART[gift] ?? "🎁";
