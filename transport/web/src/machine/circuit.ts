// One circuit as its machine keeps it. Others read it; each group of members is written by the part that it names.
import type { Id } from "../bytes.ts";
import type { End } from "../end.ts";
import type { Fragment } from "../fragment.ts";
import { circuitWindowInitial } from "../frames.ts";

export interface PeerName {
  readonly id: Id;
  readonly service: string;
}

/** A fragment in a queue, with what it was charged. */
export interface Queued {
  fragment: Fragment;
  cost: number;
  /** Of the cost, what the circuit was granted beyond its window to complete it: not granted again. */
  extra: number;
  /** The same of the trunk: all that was missing when its memory was set aside. */
  trunkExtra: number;
}

/** A first-in first-out queue whose removals cost no move of the rest. */
export class Queue<T> {
  private items: (T | undefined)[] = [];
  private first = 0;

  get length(): number {
    return this.items.length - this.first;
  }
  peek(): T | undefined {
    return this.items[this.first];
  }
  push(item: T): void {
    this.items.push(item);
  }
  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const item = this.items[this.first];
    this.items[this.first++] = undefined;
    if (this.first > 64 && this.first * 2 > this.items.length) {
      this.items = this.items.slice(this.first);
      this.first = 0;
    }
    return item;
  }
  *[Symbol.iterator](): Generator<T> {
    for (let at = this.first; at < this.items.length; ++at) yield this.items[at] as T;
  }
}

/** A fragment of several frames while it arrives. */
export interface Assembly {
  circuit: MachineCircuit;
  queued: Queued;
  total: number;
  arrived: number;
  /** Still set aside in the pool. */
  reserved: number;
  /** It has begun without credit for more than its first frame. */
  isShort: boolean;
  /** The pool has given: `whole` has the full size. */
  whole: Uint8Array | undefined;
  /** What came before that. */
  held: Uint8Array[];
}

export interface CircuitCounters {
  fragmentsSent: number;
  fragmentsReceived: number;
  bytesSent: number;
  bytesReceived: number;
  errorsDropped: number;
}

/** How far a direction is. States are entered in this order, each at most once. */
export type Out = "open" | "finishing" | "finished" | "acknowledged";
export type In = "open" | "finished" | "acknowledged";
/** A close of ours. */
export type Closing = "no" | "asked" | "said" | "answered";

export class MachineCircuit {
  readonly id: number; // 0: it never reached the wire
  readonly openedHere: boolean;
  readonly openedAt: number;

  // The machine.
  local: PeerName | undefined;
  remote: PeerName;
  name: string;
  userString: string;
  deadline = Infinity;
  answer: "awaited" | "unasked" | "given" = "unasked";
  out: Out = "open";
  in: In = "open";
  closing: Closing = "no";
  ended = false;
  /** The far side closed it, rather than resetting it: what it sent before is to be served. */
  closedThere = false;
  /** Why it has ended, or the reason of our close; undefined is clean. */
  end: End | undefined = undefined;
  released = false;
  inBacklog = false;
  isRead = false;
  strings = 0;
  readonly counters: CircuitCounters = {
    fragmentsSent: 0,
    fragmentsReceived: 0,
    bytesSent: 0,
    bytesReceived: 0,
    errorsDropped: 0,
  };

  // Window: credit + consumed + unread == window + extras outstanding.
  receiveCredit = circuitWindowInitial;
  consumed = 0;
  receiveWindow = circuitWindowInitial;
  unread = 0;
  errorsUnread = 0;
  reads = new Queue<Queued>();
  errors = new Queue<Queued>();
  assembly: Assembly | undefined = undefined;
  grantedAt: number;
  consumedAt: number;
  emptyFrames = 0;

  // Scheduler.
  sendCredit = circuitWindowInitial;
  sendWindow = circuitWindowInitial;
  sending = new Queue<Queued>();
  headSent = 0; // payload bytes of the head of `sending` that are in the output
  queued = 0; // what `sending` costs that is not in the output yet
  counted = 0; // of which the scheduler's sum has this
  promised = 0;
  begun = 0; // its place among the begun fragments; 0: the head has not begun
  begunShort = false;
  deficit = 0;
  wantsCredit = false;
  isHolder = false;

  // Closings.
  lookedAt = 0;
  looks = 0;
  answeredFrom = 0;

  /** For the owner of the circuit: whatever it wants to find again. */
  owner: unknown = undefined;

  constructor(
    id: number,
    openedHere: boolean,
    now: number,
    names: { local: PeerName | undefined; remote: PeerName; name: string; userString: string },
  ) {
    this.id = id;
    this.openedHere = openedHere;
    this.openedAt = now;
    this.grantedAt = now;
    this.consumedAt = now;
    this.local = names.local;
    this.remote = names.remote;
    this.name = names.name;
    this.userString = names.userString;
  }

  /** Sent, and not granted again. */
  get outstanding(): number {
    return this.sendWindow - this.sendCredit;
  }
  get finishedHere(): boolean {
    return this.out !== "open";
  }
  get finishedThere(): boolean {
    return this.in !== "open";
  }
  get closedHere(): boolean {
    return this.closing !== "no";
  }
}
