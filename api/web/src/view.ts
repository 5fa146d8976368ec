/** What every view is: something in the page that ends when another takes its place. */

export interface View {
  /** Ends what it runs; its elements go by themselves. */
  destroy(): void;
}

/** The addresses within the page, kept behind the `#`. */
export const ADDRESS = {
  rooms: "#/",
  live: (room: string) => `#/${room}`,
  replays: (room: string) => `#/${room}/replay`,
  replay: (room: string, broadcast: string) => `#/${room}/replay/${broadcast}`,
};

/** Which view an address asks for. */
export type Asked =
  | { view: "rooms" }
  | { view: "live"; room: string }
  | { view: "replay"; room: string; broadcast: string | undefined };

/** Reads an address; whatever it does not know is the list of rooms. */
export function asked(hash: string): Asked {
  const [room, word, broadcast] = hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  if (!room || !/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(room)) return { view: "rooms" };
  return word === "replay" ? { view: "replay", room, broadcast } : { view: "live", room };
}
