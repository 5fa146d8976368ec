/**
 * Plays a replay: moves along with a clock and tells what happens, when it happens.
 *
 * Where events have not arrived the clock stands until they have. A seek tells the room's state at the
 * moment and what was on its way across the stage then.
 */
import { ShowClock, type Clock, type Moment, type Replay, type RoomEvent } from "danmu-client";

/** Who is told. */
export interface Audience {
  happen(events: RoomEvent[]): void;
  arrive(moment: Moment, position: number): void;
  state(state: { position: number; isPlaying: boolean; isWaiting: boolean }): void;
  failed(error: unknown): void;
}

export class Player {
  #clock: Clock;
  #frame = 0;
  /** What it waits for. */
  #waits: "seek" | "events" | undefined;
  #seeks = 0;
  #wantsToPlay = false;
  readonly #tick = (): void => {
    this.#frame = requestAnimationFrame(this.#tick);
    const position = Math.min(this.#clock.position, this.replay.to);
    if (this.#wantsToPlay && this.#waits !== "seek") this.#advance(position);
    this.audience.state({ position, isPlaying: this.#wantsToPlay, isWaiting: this.#waits !== undefined });
  };

  constructor(readonly replay: Replay, private readonly audience: Audience, private readonly back_ms: number) {
    this.#clock = new ShowClock(replay.from);
    this.#frame = requestAnimationFrame(this.#tick);
  }

  get position(): number {
    return this.#clock.position;
  }

  get isPlaying(): boolean {
    return this.#wantsToPlay;
  }

  get rate(): number {
    return this.#clock.rate;
  }

  set rate(rate: number) {
    this.#clock.rate = rate;
  }

  /** Goes by another clock from here on. */
  async follow(clock: Clock): Promise<void> {
    clock.rate = this.#clock.rate;
    const position = this.#clock.position;
    this.#clock.pause();
    this.#clock = clock;
    await this.seek(position);
  }

  play(): void {
    this.#wantsToPlay = true;
    if (this.position >= this.replay.to) void this.seek(this.replay.from);
    // Where it waits, it plays once what it waits for is there.
    else if (this.#waits === undefined) this.#clock.play();
  }

  pause(): void {
    this.#wantsToPlay = false;
    this.#clock.pause();
  }

  /** Goes to a moment, and on from there if it was playing. */
  async seek(position: number): Promise<void> {
    const to = Math.min(this.replay.to, Math.max(this.replay.from, position));
    this.#seeks += 1;
    const seek = this.#seeks;
    this.#waits = "seek";
    this.#clock.pause();
    this.#clock.seek(to);
    try {
      const moment = await this.replay.seek(to, this.back_ms);
      if (seek !== this.#seeks) return;
      this.audience.arrive(moment, to);
    } catch (error) {
      if (seek !== this.#seeks) return;
      this.#wantsToPlay = false;
      this.audience.failed(error);
    }
    this.#waits = undefined;
    if (this.#wantsToPlay) this.#clock.play();
  }

  destroy(): void {
    cancelAnimationFrame(this.#frame);
    this.#clock.pause();
    this.#seeks += 1;
  }

  #advance(position: number): void {
    const events = this.replay.advance(position, this.#clock.rate);
    if (events === undefined) {
      this.#waits = "events";
      if (this.#clock.isPlaying) this.#clock.pause();
      return;
    }
    if (this.#waits === "events") {
      this.#waits = undefined;
      this.#clock.play();
    }
    if (events.length > 0) this.audience.happen(events);
    if (position >= this.replay.to) this.pause();
  }
}
