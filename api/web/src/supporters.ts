/** Who gave most. */
import type { RoomOverview } from "danmu-client";

import { h } from "./dom.ts";
import { compact, hueOf } from "./words.ts";

const SHOWN_MAX = 3;

/** The first few givers of a currency; nothing where nobody gave. */
export function supporters(of: NonNullable<RoomOverview["top_givers"]>): HTMLElement | undefined {
  const top = of.find(({ givers }) => givers.length > 0);
  if (!top) return undefined;
  const rows = top.givers.slice(0, SHOWN_MAX).map(({ user, value }, n) =>
    h("li", { variables: { hue: String(hueOf(user.id)) } },
      h("span", { class: "place" }, n + 1),
      h("span", { class: "who" }, user.name || user.id),
      h("span", { class: "worth" }, `${compact(value)} ${top.currency}`)));
  return h("div", {}, h("h3", {}, "Top supporters"), h("ol", {}, ...rows));
}
