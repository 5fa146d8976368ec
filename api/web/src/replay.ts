/** The replay view: a broadcast of before, its comments where they were. */
import { isHidden, isKept, Replay, type Api, type Broadcast, type Moment, type RoomEvent, type SegmentState, type View as Seen } from "danmu-client";

import { Gifts, Hearts } from "./bursts.ts";
import { choice } from "./composer.ts";
import { fill, h, icon } from "./dom.ts";
import { EventList } from "./list.ts";
import { Panel } from "./panel.ts";
import { Player } from "./player.ts";
import { settings } from "./settings.ts";
import { FLIGHT_MS, Stage } from "./stage.ts";
import { supporters } from "./supporters.ts";
import { Timeline } from "./timeline.ts";
import { VideoClock } from "./video.ts";
import { ADDRESS, type View } from "./view.ts";
import { compact, dateOf, problemText, showTime } from "./words.ts";

/** How far back the list goes at a seek. */
const LIST_BACK_MS = 30_000;
/** How far the arrow keys jump. */
const JUMP_MS = 10_000;
const RATES = [0.5, 1, 1.5, 2, 4];
/** The densities of the slider, in comments a second; the last is all. */
const CAPS = [1, 2, 3, 6, 10, 20, 40, Number.POSITIVE_INFINITY];
const FORMATS = [["jsonl", "JSON lines"], ["xml", "Danmaku XML"], ["ass", "ASS subtitles"]] as const;

export class ReplayView implements View {
  readonly #stage: Stage;
  readonly #hearts = new Hearts();
  readonly #gifts = new Gifts();
  readonly #list: EventList;
  readonly #giftList = new EventList("Gifts", {}, (event) => event.kind === "gift");
  readonly #givers = h("div", { class: "givers" });
  readonly #timeline = new Timeline((position) => void this.#player?.seek(position));
  readonly #title = h("h1", {}, "Replay");
  readonly #facts = h("p", { class: "facts", attributes: { role: "status" } });
  readonly #totals = h("div", { class: "totals" });
  readonly #broadcasts = h("ul", { class: "broadcasts" });
  readonly #exports = h("div", { class: "popover" });
  readonly #play: HTMLButtonElement;
  readonly #key = (event: KeyboardEvent) => this.#pressed(event);
  #player: Player | undefined;
  #seen: Seen = "public";
  #broadcast: string | undefined;
  #isEnded = false;

  constructor(place: HTMLElement, private readonly api: Api, private readonly room: string, broadcast: string | undefined) {
    const stagePlace = h("div", { class: "stage-place" });
    const main = h("div", { class: "main" }, stagePlace);
    const watch = h("div", { class: "watch replaying" }, main);
    fill(place, watch);
    this.#stage = new Stage(stagePlace, room, `The stage of ${room}, replayed`);
    this.#stage.element.classList.add("on-air");
    this.#stage.overlay.append(this.#gifts.element, this.#hearts.element, h("span", { class: "live-badge replay-badge" }, "Replay"));
    this.#stage.playing = false;
    this.#list = new EventList("Comments", { go: (event) => void this.#player?.seek((event as { show_ms?: number }).show_ms ?? 0) });
    this.#play = h("button", { type: "button", class: "play", onclick: () => this.#toggle() });
    this.#showPlaying(false);
    main.append(
      h("div", { class: "player-bar" }, this.#timeline.element, this.#controls()),
      h("div", { class: "about" },
        h("div", { class: "about-text" }, this.#title, this.#facts),
        h("div", { class: "about-side" }, this.#totals, h("a", { class: "button", href: ADDRESS.live(room) }, "Live room"))),
    );
    const panel = new Panel("Replay", [
      { name: "Comments", content: h("div", { class: "panel" }, this.#list.element) },
      { name: "Gifts", content: h("div", { class: "panel" }, this.#givers, this.#giftList.element) },
      { name: "Shows", content: h("div", { class: "panel" }, this.#broadcasts) },
    ]);
    watch.append(panel.element);
    document.addEventListener("keydown", this.#key);
    void this.#begin(broadcast);
  }

  destroy(): void {
    this.#isEnded = true;
    document.removeEventListener("keydown", this.#key);
    this.#player?.destroy();
    this.#gifts.clear();
    this.#stage.destroy();
  }

  async #begin(asked: string | undefined): Promise<void> {
    try {
      const { broadcasts } = await this.api.broadcasts(this.room, "public");
      if (this.#isEnded) return;
      const chosen = asked ?? (broadcasts.find(({ live }) => !live) ?? broadcasts[0])?.broadcast;
      this.#showBroadcasts(broadcasts, chosen);
      if (chosen === undefined) this.#facts.textContent = "There is nothing to watch again yet: no show has been on here.";
      else await this.#open(chosen, undefined);
    } catch (error) {
      this.#facts.textContent = problemText(error);
    }
  }

  /** Opens a broadcast, at a position where one is given. */
  async #open(broadcast: string, position: number | undefined): Promise<void> {
    const replay = await Replay.open(this.api, this.room, broadcast, this.#seen);
    if (this.#isEnded) return;
    const wasPlaying = this.#player?.isPlaying ?? false;
    this.#player?.destroy();
    this.#broadcast = broadcast;
    const { manifest } = replay;
    this.#title.textContent = manifest.title || this.room;
    document.title = `${this.#title.textContent} · replay · danmu`;
    this.#facts.textContent = `${this.room} · ${dateOf(manifest.started_at)}${manifest.live ? " · still on: what is over can be replayed" : ""}`;
    this.#timeline.show(manifest, replay.from, replay.to);
    this.#showExports(broadcast);
    this.#player = new Player(replay, {
      happen: (events) => this.#happen(events),
      arrive: (moment, at) => this.#arrive(moment, at),
      state: ({ position, isPlaying, isWaiting }) => {
        this.#timeline.position = position;
        this.#stage.playing = isPlaying && !isWaiting;
        this.#stage.element.classList.toggle("waiting", isWaiting);
        this.#showPlaying(isPlaying);
      },
      failed: (error) => { this.#facts.textContent = problemText(error); },
    }, LIST_BACK_MS);
    await this.#player.seek(position ?? replay.from);
    if (wasPlaying) this.#player.play();
  }

  #happen(events: RoomEvent[]): void {
    this.#list.add(events);
    this.#giftList.add(events);
    for (const event of events) {
      if (isHidden(event)) continue;
      if (event.kind === "comment") this.#fly(event, 0);
      else if (event.kind === "gift") this.#gifts.show(event);
      else if (event.kind === "likes") this.#hearts.burst(event.count);
    }
    this.#count(events);
  }

  #arrive(moment: Moment, position: number): void {
    this.#stage.clear();
    this.#gifts.clear();
    this.#list.clear();
    this.#giftList.clear();
    this.#list.add(moment.before);
    this.#giftList.add(moment.before);
    for (const event of moment.before) this.#fly(event, position - (event.show_ms ?? position));
    this.#stage.redraw();
    fill(this.#givers, supporters(moment.state?.top_givers ?? []));
    this.#sums = sumsOf(moment.state);
    this.#count(moment.since);
  }

  #sums = sumsOf(undefined);

  #count(events: RoomEvent[]): void {
    for (const event of events) {
      if (event.kind === "comment") this.#sums.comments += 1;
      else if (isHidden(event)) continue;
      else if (event.kind === "gift") this.#sums.gifts += event.count;
      else if (event.kind === "likes") this.#sums.likes += event.count;
    }
    const { comments, gifts, likes } = this.#sums;
    this.#totals.textContent = `${compact(comments)} comments · ${compact(gifts)} gifts · ${compact(likes)} likes`;
  }

  #fly(event: RoomEvent, age_ms: number): void {
    if (isHidden(event) || event.kind !== "comment" || age_ms >= FLIGHT_MS || settings.isBlocked(event.text)) return;
    const isOwn = event.user?.id === settings.user.id;
    if (isKept(event.seq, event.crowd ?? 1, settings.all.cap)) this.#stage.fly(event, { isOwn, age_ms });
  }

  #toggle(): void {
    if (this.#player?.isPlaying) this.#player.pause();
    else this.#player?.play();
  }

  #showPlaying(isPlaying: boolean): void {
    const label = isPlaying ? "Pause" : "Play";
    if (this.#play.ariaLabel === label) return;
    this.#play.ariaLabel = label;
    this.#play.title = `${label} (space)`;
    fill(this.#play, icon(isPlaying ? "pause" : "play"));
  }

  #pressed(event: KeyboardEvent): void {
    const isTyping = event.target instanceof HTMLElement && event.target.closest("input, select, textarea, button, a, summary, [role=log]");
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey || !this.#player) return;
    const jump = event.key === "ArrowRight" ? JUMP_MS : event.key === "ArrowLeft" ? -JUMP_MS : 0;
    if (event.key === " " || event.key === "k") this.#toggle();
    else if (jump !== 0) void this.#player.seek(this.#player.position + jump);
    else return;
    event.preventDefault();
  }

  #controls(): HTMLElement {
    const rate = h("select", {
      attributes: { "aria-label": "Speed" },
      onchange: ({ target }) => { if (this.#player) this.#player.rate = Number((target as HTMLSelectElement).value); },
    }, ...RATES.map((rate) => h("option", { value: String(rate), selected: rate === 1 }, `${rate}×`)));
    return h("div", { class: "controls" },
      this.#play, rate, density(), h("span", { class: "spacer" }),
      this.#seenSwitch(), menu("Words", "Words that are not shown", words(() => this.#again())),
      menu("Video", "Play a recording of the show", this.#videoForm()), menu("Export", "Save this show", this.#exports));
  }

  /** For those who may see what moderation took. */
  #seenSwitch(): HTMLElement {
    const element = choice("View", "view", [["public", "Moderated"], ["live", "As live"]], "public", (seen) => {
      this.#seen = seen;
      this.#again();
    });
    element.hidden = !settings.mayModerate;
    settings.addEventListener("change", () => { element.hidden = !settings.mayModerate; });
    return element;
  }

  /** Shows the same moment anew. */
  #again(): void {
    if (!this.#broadcast) return;
    this.#open(this.#broadcast, this.#player?.position).catch((error: unknown) => {
      this.#facts.textContent = problemText(error);
    });
  }

  #videoForm(): HTMLElement {
    const url = h("input", { type: "url", placeholder: "https://… .mp4", attributes: { "aria-label": "Address of the recording" } });
    const offset = h("input", { type: "number", step: "0.1", value: "0", attributes: { "aria-label": "Show time at the video's beginning, in seconds" } });
    const told = h("p", { class: "told bad", attributes: { role: "status" } });
    const play = async () => {
      told.textContent = "";
      if (!this.#player) return;
      const clock = new VideoClock(url.value, Number(offset.value) * 1_000, () => { told.textContent = "That video cannot be played"; });
      this.#stage.showVideo(clock.element);
      await this.#player.follow(clock);
    };
    return h("form", { class: "popover form", onsubmit: (event) => { event.preventDefault(); void play(); } },
      h("label", {}, "Recording", url), h("label", {}, "Begins at show second", offset),
      h("button", { type: "submit", class: "primary" }, "Use this video"), told);
  }

  #showExports(broadcast: string): void {
    fill(this.#exports, ...FORMATS.map(([format, name]) =>
      h("a", { href: this.api.exportUrl(this.room, broadcast, format, this.#seen), attributes: { download: `${this.room}.${format}` } }, icon("save"), name)));
  }

  #showBroadcasts(broadcasts: Broadcast[], chosen: string | undefined): void {
    if (broadcasts.length === 0) return fill(this.#broadcasts, h("li", { class: "hint" }, "No show yet"));
    fill(this.#broadcasts, ...broadcasts.map((show) => {
      const length = show.ended_at === undefined ? "on now" : showTime(show.ended_at - show.started_at);
      return h("li", {},
        h("a", { href: ADDRESS.replay(this.room, show.broadcast), attributes: { "aria-current": show.broadcast === chosen ? "true" : undefined } },
          h("b", {}, show.title || this.room),
          h("span", {}, `${dateOf(show.started_at)} · ${length}`),
          h("span", {}, `${compact(show.totals.comments)} comments · ${compact(show.totals.gifts)} gifts · ${compact(show.totals.likes)} likes`)));
    }));
  }
}

function sumsOf(state: SegmentState | undefined): { comments: number; gifts: number; likes: number } {
  const { comments = 0, gifts = 0, likes = 0 } = state?.totals ?? {};
  return { comments, gifts, likes };
}

/** How many comments fly. */
export function density(): HTMLElement {
  const at = CAPS.findIndex((cap) => cap >= settings.all.cap);
  const label = h("output", {});
  const input = h("input", {
    type: "range", min: "0", max: String(CAPS.length - 1), step: "1", attributes: { "aria-label": "Density: comments that fly a second" },
    oninput: () => {
      settings.set({ cap: CAPS[Number(input.value)]! });
      show();
    },
  });
  const show = () => {
    const cap = CAPS[Number(input.value)]!;
    label.textContent = Number.isFinite(cap) ? `${cap}/s` : "all";
    input.setAttribute("aria-valuetext", Number.isFinite(cap) ? `${cap} a second` : "all");
  };
  input.value = String(at < 0 ? CAPS.length - 1 : at);
  show();
  return h("label", { class: "density", title: "How many comments fly" }, h("span", {}, "Density"), input, label);
}

/** The words that are not wanted. */
export function words(changed: () => void): HTMLElement {
  const word = h("input", { placeholder: "Word to hide", maxLength: 64, attributes: { "aria-label": "Word to hide" } });
  const list = h("ul", { class: "words" });
  const set = (blocked: string[]) => {
    settings.set({ blocked });
    show();
    changed();
  };
  const show = () => {
    const { blocked } = settings.all;
    fill(list, ...blocked.map((one) => h("li", {},
      h("span", {}, one),
      h("button", { type: "button", onclick: () => set(blocked.filter((other) => other !== one)), attributes: { "aria-label": `Show ${one} again` } }, "×"))));
  };
  show();
  return h("form", {
    class: "popover form",
    onsubmit: (event) => {
      event.preventDefault();
      const text = word.value.trim();
      word.value = "";
      if (text && !settings.all.blocked.includes(text)) set([...settings.all.blocked, text]);
    },
  }, h("p", { class: "hint" }, "Comments with these words are not shown to you."), h("div", { class: "line" }, word, h("button", { type: "submit" }, "Hide")), list);
}

/** A button that opens a box. */
export function menu(name: string, label: string, box: HTMLElement): HTMLElement {
  return h("details", { class: "menu up right" }, h("summary", { class: "button", attributes: { "aria-label": label }, title: label }, name), box);
}
