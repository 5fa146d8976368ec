/** The live view: the stage, the list, one's own comments, likes, and how it is connected. */
import { isHidden, isKept, Likes, LiveRoom, type Api, type Listener, type RoomEvent, type RoomOverview, type Totals } from "danmu-client";

import { Gifts, Hearts } from "./bursts.ts";
import { Composer } from "./composer.ts";
import { ConnectionState } from "./connection.ts";
import { Crowd } from "./crowd.ts";
import { fill, h, icon } from "./dom.ts";
import { EventList } from "./list.ts";
import { Moderation } from "./moderation.ts";
import { Panel } from "./panel.ts";
import { settings } from "./settings.ts";
import { Spread } from "./spread.ts";
import { Stage } from "./stage.ts";
import { supporters } from "./supporters.ts";
import { ADDRESS, type View } from "./view.ts";
import { compact, problemText, since } from "./words.ts";

/** How often the overview is read again: titles and top givers are not in pages. */
const OVERVIEW_EVERY_MS = 15_000;
/** Of the page that one joins with, what is younger than this still flies. */
const JOIN_FLIES_MS = 3_000;

export class LiveView implements View {
  readonly #stage: Stage;
  readonly #hearts = new Hearts();
  readonly #gifts = new Gifts();
  readonly #crowd = new Crowd();
  readonly #spread = new Spread((events) => this.#happen(events));
  readonly #composer: Composer;
  readonly #moderation: Moderation;
  readonly #comments: EventList;
  readonly #giftList: EventList;
  readonly #panel: Panel;
  readonly #connection: ConnectionState;
  readonly #live: LiveRoom;
  readonly #title = h("h1", {});
  readonly #facts = h("p", { class: "facts" });
  readonly #viewers = h("span", { class: "viewers", title: "Watching now" });
  readonly #likeCount = h("b", {});
  readonly #pinned = h("div", { class: "pinned", hidden: true });
  readonly #givers = h("div", { class: "givers" });
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #tokenChanged = () => this.#live.reconnect();
  readonly #settingsChanged = () => this.#panel.refresh();
  #hasJoined = false;

  constructor(place: HTMLElement, private readonly api: Api, private readonly room: string) {
    const stagePlace = h("div", { class: "stage-place" });
    const main = h("div", { class: "main" }, stagePlace);
    const watch = h("div", { class: "watch" }, main);
    fill(place, watch);
    this.#stage = new Stage(stagePlace, room, `The stage of ${room}`);
    this.#stage.overlay.append(this.#gifts.element, this.#hearts.element, h("span", { class: "live-badge" }, "Live"));
    this.#composer = new Composer(api, room);
    this.#moderation = new Moderation(api, room);
    const moderation = this.#moderation;
    this.#comments = new EventList("Comments", {
      moderate: {
        remove: (seq) => moderation.remove(seq),
        mute: (user, name) => moderation.mute(user, name),
        pin: (seq) => moderation.pin(seq),
      },
      fetch: async (stretch) => {
        const events = await this.#live.fetch(stretch);
        this.#connection.withheld = this.#live.withheld;
        return events;
      },
    });
    this.#giftList = new EventList("Gifts", {}, (event) => event.kind === "gift");
    const announce = h("label", { class: "announce" },
      h("input", { type: "checkbox", onchange: ({ target }) => { this.#comments.announced = (target as HTMLInputElement).checked; } }),
      "Read new comments aloud to screen readers");
    const comments = h("div", { class: "panel" }, this.#pinned, this.#comments.element, announce);
    const gifts = h("div", { class: "panel" }, this.#givers, this.#giftList.element);
    this.#panel = new Panel("Room", [
      { name: "Comments", content: comments },
      { name: "Gifts", content: gifts },
      { name: "Moderate", content: moderation.element, isHidden: () => !settings.mayModerate },
    ]);
    this.#connection = new ConnectionState(() => this.#live.reconnect());
    const likes = new Likes(api, room, () => undefined);
    const like = h(
      "button",
      {
        type: "button", class: "like", attributes: { "aria-label": "Like" },
        onclick: () => {
          likes.add();
          this.#hearts.burst(1);
        },
      },
      icon("heart"), this.#likeCount,
    );
    main.append(
      h("div", { class: "bar" }, this.#composer.element, like),
      h("div", { class: "about" },
        h("div", { class: "about-text" }, this.#title, this.#facts),
        h("div", { class: "about-side" }, this.#viewers, this.#connection.element,
          h("a", { class: "button", href: ADDRESS.replays(room) }, icon("film"), "Replays"))),
    );
    watch.append(this.#panel.element);
    this.#title.textContent = room;

    this.#live = new LiveRoom(api, room, this.#listener(), { density: settings.all.density });
    void this.#live.run();
    void this.#readOverview();
    this.#timer = setInterval(() => void this.#readOverview(), OVERVIEW_EVERY_MS);
    settings.addEventListener("token", this.#tokenChanged);
    settings.addEventListener("change", this.#settingsChanged);
  }

  focusComposer(): void {
    this.#composer.focus();
  }

  destroy(): void {
    clearInterval(this.#timer);
    settings.removeEventListener("token", this.#tokenChanged);
    settings.removeEventListener("change", this.#settingsChanged);
    this.#spread.clear();
    this.#live.stop();
    this.#gifts.clear();
    this.#stage.destroy();
  }

  #listener(): Listener {
    return {
      took: (taken, page, transport) => {
        this.#showTotals(page.totals);
        this.#connection.withheld = this.#live.withheld;
        // What is withheld while one joins is the room's past, not a gap in what one sees.
        if (this.#hasJoined) this.#comments.add([], taken.withheld);
        if (this.#hasJoined) this.#spread.take(taken.events, transport);
        else this.#join(taken.events);
      },
      connection: (connection) => this.#connection.show(connection),
      replaced: () => {
        this.#spread.clear();
        this.#stage.clear();
        this.#comments.clear();
        this.#giftList.clear();
        void this.#readOverview();
      },
    };
  }

  #join(events: RoomEvent[]): void {
    this.#hasJoined = true;
    const newest = events.at(-1)?.at ?? 0;
    const flies = (event: RoomEvent) => event.at >= newest - JOIN_FLIES_MS && event.kind === "comment";
    this.#comments.add(events);
    this.#giftList.add(events);
    for (const event of events.filter(flies)) this.#fly(event);
  }

  #happen(events: RoomEvent[]): void {
    this.#comments.add(events);
    this.#giftList.add(events);
    for (const event of events) this.#act(event);
  }

  #act(event: RoomEvent): void {
    if (isHidden(event)) return;
    switch (event.kind) {
      case "comment":
        return this.#fly(event);
      case "gift":
        return this.#gifts.show(event);
      case "likes":
        return this.#hearts.burst(event.count);
      case "delete":
        if (event.target_seq !== undefined) this.#hide(event.target_seq);
        return;
      case "mute":
        if (event.hide_since_at !== undefined) {
          this.#comments.hideUser(event.target_user, event.hide_since_at).forEach((seq) => this.#stage.hide(seq));
        }
        return;
      case "erase":
      case "pin":
      case "unpin":
      case "rules":
      case "broadcast_start":
      case "broadcast_end":
        void this.#readOverview();
        return;
    }
  }

  #fly(event: RoomEvent): void {
    if (isHidden(event) || event.kind !== "comment" || settings.isBlocked(event.text)) return;
    const isOwn = event.user?.id === settings.user.id;
    if (isOwn || isKept(event.seq, this.#crowd.of(event), settings.all.cap)) this.#stage.fly(event, { isOwn });
  }

  #hide(seq: number): void {
    this.#stage.hide(seq);
    this.#comments.hide(seq);
  }

  async #readOverview(): Promise<void> {
    try {
      this.#showOverview(await this.api.room(this.room));
    } catch (error) {
      this.#facts.textContent = problemText(error);
    }
  }

  #showOverview(overview: RoomOverview): void {
    const { broadcast, pinned, rules } = overview;
    this.#title.textContent = broadcast?.title || this.room;
    document.title = `${this.#title.textContent} · danmu`;
    const state = broadcast ? `on for ${since(broadcast.started_at)}` : "not on air";
    const slow = rules && rules.slow_ms > 0 ? ` · slow mode ${rules.slow_ms / 1_000} s` : "";
    const closed = rules?.comments === "closed" ? " · comments are closed" : "";
    this.#facts.textContent = `${this.room} · ${state}${slow}${closed}`;
    this.#stage.element.classList.toggle("on-air", broadcast !== undefined);
    if (rules) this.#moderation.rules = rules;
    this.#showPinned(pinned);
    fill(this.#givers, supporters(overview.top_givers ?? []));
    this.#showTotals(overview.totals);
  }

  #showPinned(pinned: RoomOverview["pinned"]): void {
    const shown = pinned && !isHidden(pinned) && pinned.kind === "comment" ? pinned : undefined;
    this.#moderation.pinned = shown?.seq;
    this.#pinned.hidden = shown === undefined;
    if (shown) fill(this.#pinned, icon("pin"), h("span", { class: "who" }, shown.user?.name || "Somebody"), h("span", { dir: "auto" }, shown.text));
  }

  #showTotals(totals: Totals): void {
    fill(this.#viewers, icon("people"), h("b", {}, compact(totals.viewers)), h("span", {}, "watching"));
    this.#likeCount.textContent = compact(totals.likes);
  }
}
