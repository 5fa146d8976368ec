/** How many comments came in the second before each: by it a stage decides which ones fly. */
import type { Comment } from "danmu-client";

const SECOND_MS = 1_000;

export class Crowd {
  #ats: number[] = [];

  /** Counts a comment in and says how many came in the second before its own. */
  of(comment: Comment): number {
    if (comment.crowd !== undefined) return comment.crowd;
    const second = Math.floor(comment.at / SECOND_MS);
    this.#ats.push(second);
    this.#ats = this.#ats.filter((at) => at >= second - 1);
    return Math.max(1, this.#ats.filter((at) => at === second - 1).length);
  }
}
