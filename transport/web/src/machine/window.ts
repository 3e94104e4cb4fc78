// What the far side may send, and the memory behind it. Credit is granted when the application takes a fragment, not
// when it arrives: a reader that falls behind holds at most one window of bytes per circuit.
//
// Half of the trunk's memory is its window. The other half, the pool, reassembles: a fragment of several frames is
// granted as a whole once its memory is set aside, so that one that has begun can always be completed. At every moment
//
//   receiveCredit + consumed + unread == window + extras
//
// for the trunk, and for every circuit that is still sent to. The extras are what completing a large fragment needs
// beyond the window: granted once, and worked off, not granted again, when it is taken.
import { end, reasons } from "../end.ts";
import { Fragment } from "../fragment.ts";
import { encodeCredit, fragmentOverhead, FrameType, trunkWindowInitial } from "../frames.ts";
import type { Assembly, MachineCircuit, Queued } from "./circuit.ts";
import type { Output } from "./output.ts";
import { invariant, TokenBucket, type Whole } from "./whole.ts";

const grantUsual = 64 * 1024; // of the trunk's credit: less is not worth a frame of its own
const grantMin = 1024; // less counts as a control frame
const grantLeast = 256; // when hardly anything is left
const grantAfterMs = 1000; // a sender that waits to see its data move sees it so often, however little that is
const turnMs = 2; // sender and receiver on one processor take turns
const usedUpBelow = 2 * fragmentOverhead; // hardly anything can be sent
const shortBeginningMax = 4096;

export class Window {
  private readonly window: number;
  private readonly pool: number;
  private receiveCredit = trunkWindowInitial;
  private consumedBytes: number; // negative: extras of abandoned fragments that the far side still has
  private extras = 0;
  private unread = 0;
  private errorsUnread = 0;
  private poolReserved = 0;
  private poolMissing = 0; // allocated for fragments, and still to arrive
  private readonly reserving = new Set<Assembly>(); // waits for the pool, the oldest first
  private readonly ungranted = new Set<MachineCircuit>(); // consumed enough for a grant of its own
  private grantAt = Infinity;
  private low: number;
  private shares = false;
  private stallCheckAt = Infinity;
  private shortSince = 0;
  private smallGrants: TokenBucket;

  constructor(
    private readonly whole: Whole,
    private readonly output: Output,
    private readonly roundTrip: () => number,
    private readonly circuits: () => Iterable<MachineCircuit>,
  ) {
    this.window = Math.floor(whole.limits.trunkMemoryBytesMax / 2);
    this.pool = this.window;
    this.consumedBytes = this.window - this.receiveCredit;
    this.low = this.window / 2;
    this.smallGrants = new TokenBucket(1, 1);
    this.smallGrants.take();
  }

  /** Grants what our window is beyond the one that the far side assumes. */
  grantInitial(): void {
    if (this.consumedBytes <= 0) return;
    this.receiveCredit += this.consumedBytes;
    this.putCredit(0, this.consumedBytes, this.consumedBytes);
    this.consumedBytes = 0;
  }

  /** The far side shares the trunk's credit by what we say of each grant. It takes so many control frames a second. */
  share(controlFramesPerSecond: number): void {
    this.shares = true;
    const half = Math.max(1, controlFramesPerSecond / 2);
    this.smallGrants = new TokenBucket(half, half);
  }

  /** Received and not consumed. */
  get memoryBytes(): number {
    return this.unread + this.poolMissing;
  }

  // A data frame arrives.

  /** Uses up credit; false when there is too little, which has ended the trunk. */
  charge(circuit: MachineCircuit | undefined, cost: number): boolean {
    if (cost > this.receiveCredit || (circuit && cost > circuit.receiveCredit)) {
      const isTrunks = cost > this.receiveCredit;
      const credit = isTrunks
        ? `the trunk's credit ${this.receiveCredit}`
        : `the credit ${circuit!.receiveCredit} of circuit ${circuit!.id}`;
      this.whole.violate(reasons.flowControlViolated, `data frame that costs ${cost} exceeds ${credit}`);
      return false;
    }
    this.receiveCredit -= cost;
    if (circuit) circuit.receiveCredit -= cost;
    if (this.receiveCredit < this.low) this.onLow();
    return true;
  }

  /** What was charged is not kept: its credit goes back to the trunk. */
  skip(cost: number): void {
    this.consumed(undefined, cost, 0, 0);
  }

  deliver(circuit: MachineCircuit, queued: Queued): void {
    const isError = queued.fragment.err !== "";
    const queue = isError ? circuit.errors : circuit.reads;
    const wasEmpty = queue.length === 0;
    if (circuit.reads.length === 0 && circuit.errors.length === 0) circuit.consumedAt = this.whole.now;
    ++circuit.counters.fragmentsReceived;
    circuit.counters.bytesReceived += queued.fragment.payload.length;
    queue.push(queued);
    circuit.unread += queued.cost;
    if (isError) this.noteError(circuit, queued);
    if (wasEmpty) this.whole.emit({ kind: isError ? "errorReadable" : "readable", circuit });
  }

  /** A whole fragment in one frame, which was charged. */
  keep(circuit: MachineCircuit, queued: Queued): void {
    this.unread += queued.cost;
    this.deliver(circuit, queued);
  }

  // A fragment of several frames.

  beginAssembly(circuit: MachineCircuit, queued: Queued, total: number, first: Uint8Array): void {
    this.unread += queued.cost;
    const assembly: Assembly = {
      circuit,
      queued,
      total,
      arrived: first.length,
      reserved: 0,
      isShort: this.shares && first.length <= shortBeginningMax,
      whole: undefined,
      held: [first],
    };
    circuit.assembly = assembly;
    if (this.reserving.size === 0 && this.reserve(assembly)) return;
    this.reserving.add(assembly);
    this.watch(false);
  }

  /** True when the fragment is whole, and has been delivered. */
  continueAssembly(circuit: MachineCircuit, bytes: Uint8Array): void {
    const assembly = circuit.assembly!;
    const { queued } = assembly;
    if (assembly.whole) assembly.whole.set(bytes, assembly.arrived);
    else assembly.held.push(bytes);
    assembly.arrived += bytes.length;
    queued.cost += bytes.length;
    this.unread += bytes.length;
    if (assembly.reserved > queued.trunkExtra) {
      // now charged as arrived instead
      const moved = Math.min(bytes.length, assembly.reserved - queued.trunkExtra);
      assembly.reserved -= moved;
      this.poolReserved -= moved;
    }
    if (assembly.whole) {
      this.poolMissing -= bytes.length;
      if (this.stallCheckAt !== Infinity && !this.isUsedUp()) this.watch(true); // the memory is on its way round
    }
    this.serveReservations();
    if (assembly.arrived < assembly.total) return;
    circuit.assembly = undefined;
    if (!assembly.whole) {
      // all of it came within the window before the pool had room
      this.reserving.delete(assembly);
      this.fill(assembly);
      this.watch(true);
    }
    const begun = queued.fragment;
    queued.fragment = new Fragment({
      op: begun.op,
      part: begun.part,
      subject: begun.subject,
      args: begun.args,
      err: begun.err,
      payload: assembly.whole!,
    });
    queued.fragment.deadline = begun.deadline;
    this.deliver(circuit, queued);
    this.serveReservations();
  }

  private fill(assembly: Assembly): void {
    assembly.whole = new Uint8Array(assembly.total);
    let at = 0;
    for (const piece of assembly.held) {
      assembly.whole.set(piece, at);
      at += piece.length;
    }
    assembly.held = [];
  }

  dropAssembly(circuit: MachineCircuit): void {
    const assembly = circuit.assembly;
    if (!assembly) return;
    circuit.assembly = undefined;
    this.reserving.delete(assembly);
    this.unread -= assembly.queued.cost;
    this.poolReserved -= assembly.reserved;
    if (assembly.whole) this.poolMissing -= assembly.total - assembly.arrived;
    this.consumed(undefined, assembly.queued.cost, assembly.queued.extra, assembly.queued.trunkExtra);
    this.serveReservations();
    if (this.stallCheckAt !== Infinity) this.watch(false);
  }

  private poolFree(): number {
    // Negative: credit that the far side has beyond the window, and with it memory that it may still claim.
    const claimed = this.consumedBytes < 0 ? -this.consumedBytes : 0;
    return Math.max(0, this.pool - this.poolReserved - claimed);
  }

  /** Small fragments on circuits of which nothing was ever taken leave half of the pool to others. */
  private isRestricted(assembly: Assembly): boolean {
    return (
      this.shares && !assembly.circuit.isRead && assembly.total > shortBeginningMax && assembly.total <= this.pool / 8
    );
  }

  /** Sets aside what the fragment still misses, and grants it. False when the pool has too little now. */
  private reserve(assembly: Assembly): boolean {
    const { circuit, queued } = assembly;
    const missing = assembly.total - assembly.arrived;
    const left = this.poolFree() - missing;
    if (left < 0 || (this.isRestricted(assembly) && left < this.pool / 2)) return false;
    this.poolReserved += missing;
    this.poolMissing += missing;
    assembly.reserved = missing;
    this.fill(assembly);
    if (missing === 0) return true;
    if (missing > circuit.receiveCredit && circuit.consumed > 0) this.grantCircuit(circuit);
    const extra = Math.max(0, missing - circuit.receiveCredit);
    if (extra > 0) {
      queued.extra = extra;
      circuit.receiveCredit += extra;
      this.putCredit(circuit.id, extra, 0, circuit.id);
    }
    const isAmple = !assembly.isShort && this.receiveCredit - this.poolMissing >= this.window / 2;
    queued.trunkExtra = isAmple ? extra : missing;
    if (queued.trunkExtra === 0) return true;
    this.receiveCredit += queued.trunkExtra;
    this.extras += queued.trunkExtra;
    this.putCredit(0, queued.trunkExtra, 0, circuit.id);
    this.noteGranted();
    return true;
  }

  /** First come, first served; those that may have half of the pool only do not hold up the others. */
  private serveReservations(): void {
    let served = false;
    for (const restricted of [false, true]) {
      for (const assembly of this.reserving) {
        if (this.isRestricted(assembly) !== restricted) continue;
        if (!this.reserve(assembly)) break;
        this.reserving.delete(assembly);
        served = true;
      }
    }
    if (served) this.watch(true);
  }

  // The application takes.

  take(circuit: MachineCircuit, isError: boolean): Fragment | undefined {
    const queued = (isError ? circuit.errors : circuit.reads).shift();
    if (!queued) return undefined;
    circuit.consumedAt = this.whole.now;
    circuit.isRead = true;
    if (isError) this.takeFromErrors(circuit, queued);
    this.settle(circuit, queued, circuit);
    return queued.fragment;
  }

  /** Takes a delivered fragment out of the accounts. `granting`: its circuit when the far side may go on there. */
  private settle(circuit: MachineCircuit, queued: Queued, granting: MachineCircuit | undefined): void {
    this.unread -= queued.cost;
    circuit.unread -= queued.cost;
    this.poolReserved -= queued.trunkExtra;
    this.consumed(granting, queued.cost, queued.extra, queued.trunkExtra);
    if (this.stallCheckAt !== Infinity) this.serveReservations(); // somebody may wait for the pool
  }

  private consumed(circuit: MachineCircuit | undefined, cost: number, extra: number, trunkExtra: number): void {
    this.consumedBytes += cost - trunkExtra;
    this.extras -= trunkExtra;
    if (
      this.consumedBytes >= Math.min(this.receiveCredit, this.window) / 4 &&
      this.consumedBytes >= Math.min(this.worthGranting(), this.window / 4)
    )
      this.grantTrunk();
    if (circuit) this.consumedOf(circuit, cost - extra);
  }

  private isStillSentTo(circuit: MachineCircuit): boolean {
    return !circuit.ended && !circuit.finishedThere && !circuit.closedHere;
  }

  private consumedOf(circuit: MachineCircuit, bytes: number): void {
    if (!this.isStillSentTo(circuit)) return;
    circuit.consumed += bytes;
    if (circuit.consumed < this.worthGranting()) return;
    const isHalf = circuit.consumed >= circuit.receiveWindow / 2;
    const isScarce = this.shares && this.receiveCredit < this.window / 2;
    if (isHalf || (isScarce && 2 * circuit.consumed >= circuit.receiveWindow - circuit.receiveCredit)) {
      this.grantCircuit(circuit);
    } else {
      this.ungranted.add(circuit);
      if (this.grantAt === Infinity) this.grantAt = this.whole.now + grantAfterMs;
    }
  }

  /** Small grants count at the far side as control frames. */
  private worthGranting(): number {
    if (!this.shares || this.receiveCredit >= this.window / 16) return grantMin;
    this.smallGrants.refill(this.whole.now);
    return this.smallGrants.tokens >= 1 ? grantLeast : grantMin;
  }

  private putCredit(circuit: number, bytes: number, growth = 0, completes = 0): void {
    if (bytes < grantMin) this.smallGrants.take();
    this.output.putControl(FrameType.credit, encodeCredit(circuit, bytes, growth, completes));
  }

  /** A window of which half is consumed within two round trips holds its sender back, and doubles. */
  private grantCircuit(circuit: MachineCircuit): void {
    let bytes = circuit.consumed;
    let growth = 0;
    if (circuit.consumed >= circuit.receiveWindow / 2) {
      const windowMax = Math.min(this.whole.limits.circuitWindowBytesMax, this.window / 2);
      const waits = circuit.assembly !== undefined && !circuit.assembly.whole;
      if (
        circuit.receiveWindow < windowMax &&
        !waits &&
        this.whole.now - circuit.grantedAt <= 2 * this.roundTrip() + turnMs
      ) {
        growth = Math.min(circuit.receiveWindow, windowMax - circuit.receiveWindow);
        circuit.receiveWindow += growth;
        bytes += growth;
      }
      circuit.grantedAt = this.whole.now;
    }
    this.ungranted.delete(circuit);
    circuit.consumed = Math.min(0, bytes); // negative: an abandoned extra is still to be worked off
    if (bytes <= 0) return;
    circuit.receiveCredit += bytes;
    this.putCredit(circuit.id, bytes, growth);
    if (this.consumedBytes >= grantUsual) this.grantTrunk(); // a circuit's share is measured by what both have
  }

  private grantTrunk(): void {
    if (this.consumedBytes <= 0) return;
    this.receiveCredit += this.consumedBytes;
    this.putCredit(0, this.consumedBytes);
    this.consumedBytes = 0;
    this.noteGranted();
  }

  /** The trunk's credit has grown. */
  private noteGranted(): void {
    this.low = Math.max(this.receiveCredit / 2, usedUpBelow);
    if (this.stallCheckAt !== Infinity) this.watch(false);
  }

  private grantWhatIsDue(): void {
    this.grantAt = Infinity;
    for (const circuit of this.ungranted) {
      if (!this.isStillSentTo(circuit)) this.ungranted.delete(circuit);
      else if (circuit.consumed >= this.worthGranting()) this.grantCircuit(circuit);
      else this.grantAt = this.whole.now + grantAfterMs;
    }
    if (this.consumedBytes >= this.worthGranting()) this.grantTrunk();
  }

  /** The far side has half as much of the trunk's credit left as when it was last granted any. */
  private onLow(): void {
    this.grantWhatIsDue();
    this.low = this.isUsedUp() ? 0 : Math.max(this.receiveCredit / 2, usedUpBelow);
    if (this.isUsedUp()) this.watch(false);
  }

  /** The circuit is over for our side. */
  dropUnread(circuit: MachineCircuit): void {
    for (const queue of [circuit.reads, circuit.errors])
      for (let queued = queue.shift(); queued; queued = queue.shift()) this.settle(circuit, queued, undefined);
    this.errorsUnread -= circuit.errorsUnread;
    circuit.errorsUnread = 0;
    this.ungranted.delete(circuit);
  }

  // Error fragments: what lies unread of them has a bound of its own, and holds none of the circuit's credit.

  private noteError(circuit: MachineCircuit, latest: Queued): void {
    circuit.errorsUnread += latest.cost;
    this.errorsUnread += latest.cost;
    for (;;) {
      const part = this.window / 8;
      if (
        circuit.errorsUnread <= Math.min(this.whole.limits.errorsUnreadBytesMax, Math.max(0, part - this.errorsUnread))
      )
        break;
      const oldest = circuit.errors.peek()!;
      if (oldest === latest) break; // one is kept, however large it is
      circuit.errors.shift();
      this.takeFromErrors(circuit, oldest);
      ++circuit.counters.errorsDropped;
      ++this.whole.counters.errorsDropped;
      this.settle(circuit, oldest, circuit);
    }
    const credited = latest.cost - latest.extra;
    latest.extra = latest.cost;
    this.consumedOf(circuit, credited);
  }

  private takeFromErrors(circuit: MachineCircuit, queued: Queued): void {
    circuit.errorsUnread -= queued.cost;
    this.errorsUnread -= queued.cost;
  }

  // Readers that hold the memory that others need.

  private isUsedUp(): boolean {
    return this.receiveCredit < usedUpBelow;
  }
  private stallInterval(): number {
    return Math.max(this.whole.limits.stallDeadline / 4, 1);
  }

  private watch(progress: boolean): void {
    if (!this.isUsedUp() && this.reserving.size === 0) {
      this.stallCheckAt = Infinity;
    } else if (progress || this.stallCheckAt === Infinity) {
      this.shortSince = this.whole.now;
      this.stallCheckAt = this.whole.now + this.stallInterval();
    }
  }

  /** For a stallDeadline memory was wanted that there is not: the circuits that hold most and are not read lose it. */
  private checkStalledReaders(): void {
    const { now, limits } = this.whole;
    this.stallCheckAt = now + this.stallInterval();
    if (now < this.shortSince + limits.stallDeadline) return;
    const isPool = !this.isUsedUp();
    const holdsPool = (circuit: MachineCircuit): boolean =>
      [...circuit.reads, ...circuit.errors].some((each) => each.trunkExtra > 0);
    const holders = [...this.circuits()]
      .filter(
        (each) => each.unread > 0 && now >= each.consumedAt + limits.stallDeadline && (!isPool || holdsPool(each)),
      )
      .sort((a, b) => b.unread - a.unread);
    const [waits] = this.reserving;
    const isOver = (): boolean => (isPool ? waits === undefined || !this.reserving.has(waits) : !this.isUsedUp());
    for (const worst of holders) {
      if (isOver()) break;
      const why = isPool ? "a fragment waited for memory" : "the trunk's credit was used up";
      const reason = end(
        reasons.stalled,
        `${worst.unread} bytes lay unread for stallDeadline ${limits.stallDeadline} ms while ${why}`,
      );
      if (worst.ended) {
        worst.end = reason; // what it loses must not look like a clean end
        this.dropUnread(worst);
      } else {
        this.whole.resetCircuit(worst, reason);
      }
    }
    this.watch(isOver());
  }

  deadline(): number {
    return Math.min(this.stallCheckAt, this.grantAt);
  }
  tick(): void {
    if (this.whole.now >= this.grantAt) this.grantWhatIsDue();
    if (this.whole.now >= this.stallCheckAt) this.checkStalledReaders();
  }

  check(): void {
    invariant(
      this.receiveCredit + this.consumedBytes + this.unread === this.window + this.extras,
      "window: receiveCredit + consumed + unread == window + extras",
    );
    invariant(this.receiveCredit >= 0, "window: receiveCredit >= 0");
    invariant(this.extras >= 0 && this.extras <= this.poolReserved, "window: 0 <= extras <= poolReserved");
    invariant(this.poolMissing <= this.poolReserved, "window: poolMissing <= poolReserved");
    invariant(this.poolReserved <= this.pool, "window: poolReserved <= pool");
    invariant(
      (this.stallCheckAt !== Infinity) === (this.isUsedUp() || this.reserving.size > 0),
      "window: a clock runs exactly while memory is short",
    );
    let unread = 0;
    let errors = 0;
    for (const circuit of this.circuits()) {
      invariant(circuit.receiveCredit >= 0, "window: a circuit's receiveCredit >= 0");
      const delivered = [...circuit.reads, ...circuit.errors];
      invariant(
        circuit.unread === delivered.reduce((sum, each) => sum + each.cost, 0),
        "window: a circuit's unread == the sum of its queues",
      );
      unread += circuit.unread + (circuit.assembly?.queued.cost ?? 0);
      errors += circuit.errorsUnread;
      if (!this.isStillSentTo(circuit)) continue;
      const kept = circuit.assembly ? [...delivered, circuit.assembly.queued] : delivered;
      const extras = kept.reduce((sum, each) => sum + each.extra, 0);
      const left = circuit.receiveCredit + circuit.consumed + kept.reduce((sum, each) => sum + each.cost, 0);
      invariant(
        left <= circuit.receiveWindow + extras,
        "window: a circuit's receiveCredit + consumed + unread <= window + extras",
      );
    }
    invariant(unread === this.unread, "window: unread == the sum of the circuits'");
    invariant(errors === this.errorsUnread, "window: errorsUnread == the sum of the circuits'");
  }
}
