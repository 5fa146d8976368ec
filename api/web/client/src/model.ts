/**
 * The shapes that the server answers with, by the names of its OpenAPI document.
 *
 * `schema.ts` is generated from the document; here its members get names that read well, and the one
 * distinction that the types alone do not make: an event whose content moderation took.
 */
import type { components } from "./schema.ts";

type Schemas = components["schemas"];

export type Page = Schemas["Page"];
export type Totals = Schemas["Totals"];
export type RoomOverview = Schemas["RoomOverview"];
export type Rooms = Schemas["Rooms"];
export type Users = Schemas["Users"];
export type Broadcast = Schemas["Broadcast"];
export type Broadcasts = Schemas["Broadcasts"];
export type Manifest = Schemas["Manifest"];
export type SegmentLink = Schemas["SegmentLink"];
export type Segment = Schemas["Segment"];
export type SegmentState = Schemas["SegmentState"];
export type Heat = Schemas["Heat"];
export type Verdict = Schemas["Verdict"];
export type Verdicts = Schemas["Verdicts"];
export type ProblemBody = Schemas["Problem"];
export type Style = Schemas["Style"];
export type User = Schemas["User"];
export type SentEvent = Schemas["SentEvent"];

/** An event without its content: moderation took it. */
export type HiddenEvent = Schemas["HiddenEvent"];
/** An event with its content. */
export type ShownEvent = Exclude<Schemas["Event"], HiddenEvent>;
/** An event of a room, one that has a seq. */
export type RoomEvent = ShownEvent | HiddenEvent;
export type Comment = Schemas["Comment"];
export type Gift = Schemas["Gift"];

/** Who looks: as the public does, or as it was before moderation. */
export type View = "public" | "live";
/** How many of a busy room's comments the server is asked for. */
export type Density = "auto" | "full" | "high" | "normal" | "low";

/** Whether moderation took the event's content. */
export function isHidden(event: RoomEvent): event is HiddenEvent {
  return "deleted" in event;
}
