/**
 * The list of what happened, newest at the bottom, as a chat has it.
 *
 * It follows the newest while one stands at its end and stays where it is while one reads further up. It
 * keeps the last few hundred rows. For a screen reader it is a log that is silent until one asks for it.
 */
import { isHidden, lengthOf, type Comment, type Gift, type RoomEvent, type Stretch } from "danmu-client";

import { h, icon } from "./dom.ts";
import { settings } from "./settings.ts";
import { clockOf, compact, cssColor, giftArt, hueOf, showTime } from "./words.ts";

const ROWS_MAX = 300;
/** How near to its end, in pixels, counts as being there. */
const END_PX = 48;

/** What one can do with a row. */
export interface RowActions {
  /** What a moderator can do with a comment. */
  moderate?: { remove(seq: number): void; mute(user: string, name: string): void; pin(seq: number): void };
  /** Reads what was withheld. */
  fetch?: (stretch: Stretch) => Promise<RoomEvent[]>;
  /** Goes to where it happened, in a replay. */
  go?: (event: RoomEvent) => void;
}

export class EventList {
  readonly element: HTMLElement;
  readonly #rows: HTMLOListElement;
  readonly #newer: HTMLButtonElement;
  readonly #actions: RowActions;
  readonly #bySeq = new Map<number, HTMLLIElement>();
  #follows = true;

  constructor(label: string, actions: RowActions, private readonly accepts: (event: RoomEvent) => boolean = () => true) {
    this.#actions = actions;
    this.#rows = h("ol", {
      class: "rows",
      tabIndex: 0,
      attributes: { role: "log", "aria-label": label, "aria-live": "off" },
      onscroll: () => this.#scrolled(),
    });
    this.#newer = h(
      "button",
      { class: "newer", type: "button", hidden: true, onclick: () => this.follow() },
      icon("down"), "Newest",
    );
    this.element = h("div", { class: "list" }, this.#rows, this.#newer);
  }

  /** Whether a screen reader reads out what comes. */
  set announced(announced: boolean) {
    this.#rows.setAttribute("aria-live", announced ? "polite" : "off");
  }

  add(events: RoomEvent[], withheld: Stretch[] = []): void {
    const gaps = withheld.map((stretch) => ({ seq: stretch.first, row: this.#gap(stretch) }));
    const rows = events.filter((event) => this.accepts(event)).map((event) => ({ seq: event.seq, row: this.#row(event) }));
    const shown = [...gaps, ...rows].filter(({ row }) => row !== undefined).sort((a, b) => a.seq - b.seq);
    if (shown.length === 0) return;
    this.#rows.append(...shown.map(({ row }) => row!));
    while (this.#rows.childElementCount > ROWS_MAX) this.#drop(this.#rows.firstElementChild as HTMLLIElement);
    if (this.#follows) this.#toEnd();
    else this.#newer.hidden = false;
  }

  /** Takes the content of an event away. */
  hide(seq: number): void {
    const row = this.#bySeq.get(seq);
    if (!row) return;
    row.replaceWith(this.#blank(seq));
  }

  /** Takes away what somebody has said since a moment. */
  hideUser(user: string, since_at: number): number[] {
    const theirs = [...this.#bySeq].filter(([, row]) => row.dataset.user === user && Number(row.dataset.at) >= since_at);
    for (const [seq] of theirs) this.hide(seq);
    return theirs.map(([seq]) => seq);
  }

  clear(): void {
    this.#bySeq.clear();
    this.#rows.replaceChildren();
    this.#newer.hidden = true;
    this.#follows = true;
  }

  /** Goes to the newest and stays there. */
  follow(): void {
    this.#follows = true;
    this.#newer.hidden = true;
    this.#toEnd();
  }

  #toEnd(): void {
    this.#rows.scrollTop = this.#rows.scrollHeight;
  }

  #scrolled(): void {
    const { scrollTop, clientHeight, scrollHeight } = this.#rows;
    this.#follows = scrollTop + clientHeight >= scrollHeight - END_PX;
    if (this.#follows) this.#newer.hidden = true;
  }

  #drop(row: HTMLLIElement): void {
    this.#bySeq.delete(Number(row.dataset.seq));
    row.remove();
  }

  #row(event: RoomEvent): HTMLLIElement | undefined {
    if (isHidden(event)) return event.kind === "comment" ? this.#blank(event.seq) : undefined;
    switch (event.kind) {
      case "comment":
        return settings.isBlocked(event.text) ? undefined : this.#comment(event);
      case "gift":
        return this.#gift(event);
      case "gift_reversal":
        return this.#note(event, "A gift was taken back");
      case "broadcast_start":
        return this.#note(event, event.title ? `The show begins: ${event.title}` : "The show begins");
      case "broadcast_end":
        return this.#note(event, "The show is over");
      case "broadcast_interrupt":
        return this.#note(event, "A short break");
      case "broadcast_resume":
        return this.#note(event, "Here we go again");
      case "mute":
        return this.#note(event, "Somebody was muted");
      case "rules":
        return this.#note(event, rulesText(event));
      case "custom":
        return this.#note(event, [event.name, ...Object.values(event.ext ?? {})].join(": "));
      case "reset":
        return this.#note(event, "The room begins anew");
      default:
        return undefined;
    }
  }

  #comment(event: Comment): HTMLLIElement {
    const name = event.user?.name || event.user?.id || "Somebody";
    const isOwn = event.user?.id === settings.user.id;
    const color = event.style.color === 0xffffff ? undefined : cssColor(event.style.color);
    const body = h(
      "div", { class: "said" },
      h("span", { class: "who" }, name), badge(event.role),
      color !== undefined && h("span", { class: "swatch", variables: { color }, title: "Flies in this colour" }),
      h("span", { class: "text", dir: "auto" }, event.text),
    );
    const row = this.#item(event, isOwn ? "row comment own" : "row comment", avatar(name, event.user?.id), body);
    row.dataset.user = event.user?.id ?? "";
    const { moderate } = this.#actions;
    if (moderate && settings.mayModerate) row.append(this.#moderation(event, name));
    return row;
  }

  #moderation(event: Comment, name: string): HTMLElement {
    const { moderate } = this.#actions;
    const button = (text: string, label: string, act: () => void) =>
      h("button", { type: "button", onclick: act, attributes: { "aria-label": label } }, text);
    const user = event.user?.id;
    return h(
      "div", { class: "row-actions" },
      button("Delete", `Delete the comment of ${name}`, () => moderate?.remove(event.seq)),
      user !== undefined && button("Mute", `Mute ${name}`, () => moderate?.mute(user, name)),
      button("Pin", `Pin the comment of ${name}`, () => moderate?.pin(event.seq)),
    );
  }

  #gift(event: Gift): HTMLLIElement {
    const name = event.user?.name || event.user?.id || "Somebody";
    const worth = event.count * event.unit_value;
    const total = event.combo_total !== undefined && event.combo_total > event.count ? ` · combo ${event.combo_total}` : "";
    const body = h(
      "div", { class: "said" },
      h("span", { class: "who" }, name), " sent ", h("b", {}, event.count > 1 ? `${event.count} × ${event.name}` : event.name),
      h("span", { class: "worth" }, `${compact(worth)} ${event.currency}${total}`),
      event.text !== undefined && h("span", { class: "text", dir: "auto" }, event.text),
    );
    const art = h("span", { class: "avatar art", attributes: { "aria-hidden": "true" } }, giftArt(event.gift));
    return this.#item(event, worth >= 100 ? "row gift dear" : "row gift", art, body);
  }

  #note(event: RoomEvent, text: string): HTMLLIElement {
    return this.#item(event, "row note", h("span", {}, text));
  }

  #item(event: RoomEvent, className: string, ...inside: Node[]): HTMLLIElement {
    const { go } = this.#actions;
    const at = "show_ms" in event && event.show_ms !== undefined ? showTime(event.show_ms) : clockOf(event.at);
    const time = go
      ? h("button", { class: "time", type: "button", onclick: () => go(event), attributes: { "aria-label": `Go to ${at}` } }, at)
      : h("span", { class: "time" }, at);
    const row = h("li", { class: className }, ...inside, time);
    row.dataset.seq = String(event.seq);
    row.dataset.at = String(event.at);
    this.#bySeq.set(event.seq, row);
    return row;
  }

  #blank(seq: number): HTMLLIElement {
    const row = h("li", { class: "row blank" }, h("span", {}, "Removed by a moderator"));
    row.dataset.seq = String(seq);
    this.#bySeq.set(seq, row);
    return row;
  }

  #gap(stretch: Stretch): HTMLLIElement | undefined {
    const { fetch } = this.#actions;
    if (!fetch) return undefined;
    const count = lengthOf(stretch);
    const button = h("button", { type: "button", onclick: () => void read() }, `${count} withheld: show`);
    const row = h("li", { class: "row note" }, button);
    const read = async () => {
      button.disabled = true;
      try {
        const rows = (await fetch(stretch)).map((event) => this.#row(event));
        row.replaceWith(...rows.filter((row) => row !== undefined));
      } catch {
        button.disabled = false;
        button.textContent = `${count} withheld: try again`;
      }
    };
    return row;
  }
}

/** What happened to the rules. */
function rulesText(rules: { slow_ms?: number; comments?: string }): string {
  const parts: string[] = [];
  if (rules.slow_ms !== undefined) {
    parts.push(rules.slow_ms > 0 ? `Slow mode: a comment every ${rules.slow_ms / 1_000} s` : "Slow mode is off");
  }
  if (rules.comments !== undefined) parts.push(rules.comments === "open" ? "Comments are open" : "Comments are closed");
  return parts.join(" · ");
}

function badge(role: string | undefined): HTMLElement | undefined {
  if (role === undefined || role === "viewer" || role === "backend") return undefined;
  return h("span", { class: `badge ${role}` }, role === "moderator" ? "mod" : role);
}

function avatar(name: string, id = name): HTMLElement {
  const initial = [...name][0]?.toUpperCase() ?? "?";
  return h("span", { class: "avatar", variables: { hue: String(hueOf(id)) }, attributes: { "aria-hidden": "true" } }, initial);
}
