/** Who one is on this page, and how it looks: name, token, role, theme, density. */
import type { Density } from "danmu-client";

import { choice } from "./composer.ts";
import { fill, h } from "./dom.ts";
import { density, words } from "./replay.ts";
import { settings, type Role, type Theme } from "./settings.ts";

const THEMES: [Theme, string][] = [["auto", "System"], ["light", "Light"], ["dark", "Dark"]];
const ROLES: [Role, string][] = [["viewer", "Viewer"], ["moderator", "Moderator"], ["host", "Host"]];
const DENSITIES: [Density, string][] = [["auto", "Auto"], ["full", "Full"], ["high", "High"], ["normal", "Normal"], ["low", "Low"]];

/** A dialog; `changed` is called when the room must be read anew. */
export function profile(changed: () => void): HTMLDialogElement {
  const dialog = h("dialog", { class: "profile", attributes: { "aria-label": "Profile and settings" } });
  const show = () => {
    const { name, role, theme, density: asked } = settings.all;
    const nameInput = h("input", {
      value: name, maxLength: 64, autocomplete: "nickname",
      onchange: () => { if (nameInput.value.trim()) settings.set({ name: nameInput.value.trim() }); },
    });
    const token = h("textarea", { rows: 3, spellcheck: false, autocomplete: "off", placeholder: "eyJ…", value: settings.token ?? "" });
    const keep = () => {
      settings.setToken(token.value.trim() || undefined);
      show();
    };
    fill(dialog,
      h("form", { method: "dialog", class: "form" },
        h("header", {}, h("h2", {}, "Profile"), h("button", { class: "close", attributes: { "aria-label": "Close" } }, "×")),
        settings.token
          ? h("p", { class: "hint" }, `You comment as ${settings.user.name}, ${settings.role}: your token says so.`)
          : h("div", {},
            h("label", {}, "Name", nameInput),
            choice("Role", "role", ROLES, role, (role) => settings.set({ role })),
            h("p", { class: "hint" }, "Roles can be chosen where a server asks for no tokens.")),
        h("label", {}, "Token", token),
        h("div", { class: "line" },
          h("button", { type: "button", onclick: keep }, "Use token"),
          h("span", { class: "hint" }, "Kept until this tab is closed.")),
        h("h2", {}, "View"),
        choice("Theme", "theme", THEMES, theme, (theme) => settings.set({ theme })),
        choice("Ask the server for", "asked", DENSITIES, asked, (density) => {
          settings.set({ density });
          changed();
        }),
        density()));
    dialog.append(words(() => undefined));
  };
  dialog.addEventListener("toggle", () => { if (dialog.open) show(); });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  show();
  return dialog;
}
