/** The rooms that are live now, and the way to any other. */
import type { Api } from "danmu-client";

import { fill, h, icon } from "./dom.ts";
import { ADDRESS, type View } from "./view.ts";
import { compact, problemText, since, stageHueOf } from "./words.ts";

/** How often the list is read again. */
const EVERY_MS = 5_000;

export class RoomsView implements View {
  readonly #grid = h("ul", { class: "rooms" });
  readonly #told = h("p", { class: "empty", attributes: { role: "status" } }, "Looking for live rooms…");
  readonly #stop = new AbortController();
  readonly #timer: ReturnType<typeof setInterval>;
  #shown = "";

  constructor(place: HTMLElement, private readonly api: Api) {
    const name = h("input", {
      name: "room", placeholder: "Room name", required: true, maxLength: 64, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*",
      autocomplete: "off", autocapitalize: "off", attributes: { "aria-label": "Room name" },
    });
    const open = h(
      "form",
      {
        class: "open-room",
        onsubmit: (event) => {
          event.preventDefault();
          location.hash = ADDRESS.live(name.value.trim());
        },
      },
      name, h("button", { type: "submit" }, "Open room"),
    );
    fill(
      place,
      h("div", { class: "home" },
        h("div", { class: "hero" },
          h("div", {}, h("h1", {}, "Live now"), h("p", {}, "Watch together: every comment flies over the show, now and when you watch it again.")),
          open),
        this.#told, this.#grid),
    );
    void this.#read();
    this.#timer = setInterval(() => void this.#read(), EVERY_MS);
  }

  destroy(): void {
    clearInterval(this.#timer);
    this.#stop.abort();
  }

  async #read(): Promise<void> {
    try {
      const { rooms } = await this.api.rooms(this.#stop.signal);
      this.#told.textContent = rooms.length > 0 ? "" : "No room is live at the moment. Open one by its name, or start danmu demo.";
      this.#told.hidden = rooms.length > 0;
      this.#show([...rooms].sort((a, b) => b.viewers - a.viewers));
    } catch (error) {
      if (this.#stop.signal.aborted) return;
      this.#told.hidden = false;
      this.#told.textContent = problemText(error);
    }
  }

  /** Changes the figures where the rooms are the same, so that focus stays where it is. */
  #show(rooms: Awaited<ReturnType<Api["rooms"]>>["rooms"]): void {
    const names = rooms.map(({ room, title }) => `${room} ${title}`).sort().join("\n");
    if (names !== this.#shown) {
      this.#shown = names;
      fill(this.#grid, ...rooms.map(card));
    }
    for (const { room, viewers } of rooms) {
      const figure = this.#grid.querySelector(`[data-viewers="${CSS.escape(room)}"]`);
      if (figure) figure.textContent = compact(viewers);
    }
  }
}

function card({ room, title, viewers, started_at }: Awaited<ReturnType<Api["rooms"]>>["rooms"][number]): HTMLElement {
  const count = h("span", {}, compact(viewers));
  count.dataset.viewers = room;
  return h(
    "li", {},
    h(
      "a", { class: "card", href: ADDRESS.live(room) },
      h("div", { class: "cover", variables: { hue: String(stageHueOf(room)) }, attributes: { "aria-hidden": "true" } },
        h("i"), h("i"), h("i"),
        h("span", { class: "live-badge" }, "Live"),
        h("span", { class: "watching" }, icon("people"), count)),
      h("div", { class: "card-text" },
        h("h2", {}, title || room),
        h("p", {}, `${room}${started_at === undefined ? "" : ` · on for ${since(started_at)}`}`)),
    ),
  );
}
