// What the parts of a machine see of the whole.
import type { End } from "../end.ts";
import type { Open } from "../frames.ts";
import type { MachineCircuit } from "./circuit.ts";
import type { Limits } from "./limits.ts";

export type MachineEvent =
  /** The far side's Hello has arrived. */
  | { kind: "hello" }
  /** The far side opened a circuit: answer with accept or refuse. */
  | { kind: "opened"; circuit: MachineCircuit; open: Open }
  | { kind: "answered" | "readable" | "errorReadable" | "writable" | "finished" | "ended"; circuit: MachineCircuit }
  /** It was closed and let go, and what was sent on it may not have arrived. */
  | { kind: "lost"; circuit: MachineCircuit }
  | { kind: "metadata"; peer: string }
  | { kind: "peerEnded"; peer: string; end: End }
  /** The far side takes no new circuits. */
  | { kind: "draining" }
  /** The trunk is over; all its circuits have ended. */
  | { kind: "closed"; end: End };

export interface Counters {
  roundTrip: number; // ms
  framesReceived: number;
  framesForForgottenCircuits: number;
  unknownFrames: number;
  circuitsOpened: number;
  circuitsRefused: number;
  circuitsLost: number;
  opensCancelled: number;
  readingPauses: number;
  metadataDropped: number;
  errorsDropped: number;
  bytesReceived: number;
  bytesSent: number;
}

export interface Whole {
  now: number;
  readonly limits: Limits;
  readonly counters: Counters;
  emit(event: MachineEvent): void;
  /** The far side broke the protocol: GOODBYE with the reason, and everything ends. */
  violate(reason: number, text: string): void;
  resetCircuit(circuit: MachineCircuit, reason: End): void;
}

/** A bug of ours, not of the far side. */
export function invariant(holds: boolean, words: string): void {
  if (!holds) throw new Error(`invariant broken: ${words}`);
}

/** Fills up with time; may be overdrawn. */
export class TokenBucket {
  tokens: number;
  private at = -Infinity;

  constructor(
    readonly perSecond: number,
    readonly burst: number,
  ) {
    this.tokens = burst;
  }

  refill(now: number): void {
    if (this.at !== -Infinity)
      this.tokens = Math.min(this.burst, this.tokens + (Math.max(0, now - this.at) * this.perSecond) / 1000);
    this.at = now;
  }
  take(count = 1): void {
    this.tokens -= count;
  }
  /** When there are as many, if nothing is taken meanwhile. */
  when(count: number): number {
    return this.tokens >= count ? this.at : this.at + Math.ceil(((count - this.tokens) * 1000) / this.perSecond);
  }
}
