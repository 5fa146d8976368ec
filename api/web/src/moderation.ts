/** What a moderator can do in a room, besides what the rows of the list offer. */
import { newId, send, type Api, type SentEvent } from "danmu-client";

import { choice } from "./composer.ts";
import { fill, h } from "./dom.ts";
import { settings } from "./settings.ts";
import { problemText, verdictText } from "./words.ts";

/** How long somebody is muted. */
const MUTE_MS = 10 * 60 * 1_000;
/** The slow modes to choose from, in milliseconds. */
const SLOW: [string, string][] = [["0", "Off"], ["2000", "2 s"], ["10000", "10 s"], ["60000", "1 min"]];

export class Moderation {
  readonly element = h("div", { class: "panel moderation" });
  readonly #told = h("p", { class: "told", attributes: { role: "status" } });
  readonly #rules = h("div", {});
  readonly #muted = h("ul", { class: "muted" });
  readonly #names = new Map<string, string>();

  constructor(private readonly api: Api, private readonly room: string) {
    this.rules = { slow_ms: 0, comments: "open" };
    fill(
      this.element,
      h("p", { class: "hint" }, "Delete, mute and pin stand beside each comment in the list."),
      this.#rules,
      h("button", { type: "button", class: "wide", onclick: () => void this.#unpin() }, "Take the pinned comment down"),
      h("h3", {}, "Muted from here"), this.#muted, this.#told,
    );
    this.#showMuted();
  }

  /** The seq of the pinned comment. */
  pinned: number | undefined;

  set rules(rules: { slow_ms: number; comments: "open" | "closed" }) {
    const slow = String(rules.slow_ms);
    const options = SLOW.some(([value]) => value === slow) ? SLOW : [...SLOW, [slow, `${rules.slow_ms / 1_000} s`] as [string, string]];
    fill(
      this.#rules,
      choice("Slow mode", "slow", options, slow, (value) => void this.#act({ kind: "rules", slow_ms: Number(value) })),
      choice("Comments", "comments", [["open", "Open"], ["closed", "Closed"]], rules.comments, (comments) =>
        void this.#act({ kind: "rules", comments: comments as "open" | "closed" })),
    );
  }

  remove(seq: number): void {
    void this.#act({ kind: "delete", target_seq: seq, reason: "by a moderator" });
  }

  pin(seq: number): void {
    void this.#act({ kind: "pin", target_seq: seq });
  }

  mute(user: string, name: string): void {
    void this.#act({ kind: "mute", target_user: user, until_at: Date.now() + MUTE_MS, reason: "by a moderator" }).then((done) => {
      if (!done) return;
      this.#names.set(user, name);
      this.#showMuted();
    });
  }

  async #unpin(): Promise<void> {
    if (this.pinned === undefined) this.#tell("Nothing is pinned", "");
    else await this.#act({ kind: "unpin", target_seq: this.pinned });
  }

  async #unmute(user: string): Promise<void> {
    if (!(await this.#act({ kind: "unmute", target_user: user }))) return;
    this.#names.delete(user);
    this.#showMuted();
  }

  #showMuted(): void {
    const rows = [...this.#names].map(([user, name]) =>
      h("li", {}, h("span", {}, name), h("button", { type: "button", onclick: () => void this.#unmute(user) }, "Unmute")));
    fill(this.#muted, ...(rows.length > 0 ? rows : [h("li", { class: "hint" }, "Nobody")]));
  }

  /** Sends it; whether the room took it. */
  async #act(event: SentEvent): Promise<boolean> {
    try {
      const verdict = await send(this.api, this.room, settings.signed({ ...event, id: newId() } as SentEvent));
      const isDone = verdict.verdict !== "refused";
      this.#tell(isDone ? "Done" : verdictText(verdict), isDone ? "good" : "bad");
      return isDone;
    } catch (error) {
      this.#tell(problemText(error), "bad");
      return false;
    }
  }

  #tell(text: string, tone: string): void {
    this.#told.textContent = text;
    this.#told.className = `told ${tone}`;
  }
}
