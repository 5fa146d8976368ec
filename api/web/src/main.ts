/**
 * The page: a header, and the view that the address asks for.
 *
 * Everything comes from the server that serves it. `#/` is the list of rooms, `#/ROOM` a room live,
 * `#/ROOM/replay/BROADCAST` a show of before.
 */
import { Api } from "danmu-client";

import { fill, h, icon } from "./dom.ts";
import { LiveView } from "./live.ts";
import { profile } from "./profile.ts";
import { ReplayView } from "./replay.ts";
import { RoomsView } from "./rooms.ts";
import { settings } from "./settings.ts";
import { ADDRESS, asked, type Asked, type View } from "./view.ts";

const api = new Api({ token: () => settings.token });
const place = h("main", { id: "view", tabIndex: -1 });
const nav = h("nav", { class: "where", attributes: { "aria-label": "Room" } });
const dialog = profile(() => open());
let view: View | undefined;

function header(): HTMLElement {
  const theme = h("button", { type: "button", class: "icon-button", onclick: () => settings.set({ theme: isDark() ? "light" : "dark" }) });
  const name = h("span", { class: "name" });
  const show = () => {
    document.documentElement.dataset.theme = settings.all.theme;
    const label = isDark() ? "Light theme" : "Dark theme";
    theme.ariaLabel = theme.title = label;
    fill(theme, icon(isDark() ? "sun" : "moon"));
    name.textContent = settings.user.name;
  };
  settings.addEventListener("change", show);
  show();
  return h("header", { class: "top" },
    h("a", { class: "brand", href: ADDRESS.rooms, attributes: { "aria-label": "danmu: all rooms" } },
      h("span", { class: "mark", attributes: { "aria-hidden": "true" } }, h("i"), h("i"), h("i")), "danmu"),
    nav, h("span", { class: "spacer" }), theme,
    h("button", { type: "button", class: "icon-button wide", onclick: () => dialog.showModal(), attributes: { "aria-label": "Profile and settings" } }, icon("gear"), name));
}

function isDark(): boolean {
  const { theme } = settings.all;
  return theme === "auto" ? matchMedia("(prefers-color-scheme: dark)").matches : theme === "dark";
}

function open(): void {
  view?.destroy();
  const where = asked(location.hash);
  document.title = "danmu";
  showWhere(where);
  switch (where.view) {
    case "rooms":
      view = new RoomsView(place, api);
      break;
    case "live":
      view = new LiveView(place, api, where.room);
      break;
    case "replay":
      view = new ReplayView(place, api, where.room, where.broadcast);
      break;
  }
}

function showWhere(where: Asked): void {
  if (where.view === "rooms") return fill(nav);
  const link = (name: string, href: string, isHere: boolean) =>
    h("a", { href, attributes: { "aria-current": isHere ? "page" : undefined } }, name);
  fill(nav, link("Live", ADDRESS.live(where.room), where.view === "live"), link("Replay", ADDRESS.replays(where.room), where.view === "replay"));
}

/** Menus close when one goes elsewhere. */
function closeMenus(event: Event): void {
  for (const menu of document.querySelectorAll<HTMLDetailsElement>("details.menu[open]")) {
    const isElsewhere = event instanceof KeyboardEvent ? event.key === "Escape" : !menu.contains(event.target as Node);
    if (!isElsewhere) continue;
    menu.open = false;
    if (event instanceof KeyboardEvent) menu.querySelector("summary")?.focus();
  }
}

fill(document.getElementById("app")!,
  h("a", { class: "skip", href: "#view", onclick: (event) => { event.preventDefault(); place.focus(); } }, "To the content"),
  header(), place, dialog,
  h("footer", { class: "foot" }, h("a", { href: "/docs" }, "API"), h("a", { href: "/licences.txt" }, "Licences")));
document.addEventListener("pointerdown", closeMenus);
document.addEventListener("keydown", closeMenus);
document.addEventListener("keydown", (event) => {
  const isTyping = event.target instanceof HTMLElement && event.target.closest("input, select, textarea, dialog");
  if (event.key !== "/" || isTyping || !(view instanceof LiveView)) return;
  event.preventDefault();
  view.focusComposer();
});
addEventListener("hashchange", open);
open();
