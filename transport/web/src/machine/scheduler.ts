// Which circuit sends next, and with which credit: deficit round robin over the circuits that have something to send
// and credit for it, both their own and the trunk's.
//
// A fragment of several frames uses the trunk's credit over a while, and the far side grants none again before it is
// complete and taken. So it begins only when there is credit for as much of it as its circuit's credit covers, and that
// much is promised to it: 0 <= promised <= credit. Otherwise beginnings could use up the credit that completes them.
//
// Nor may circuits whose readers pause use up the trunk's credit. One half of it goes to the circuit that comes first.
// Of the rest, a fragment takes credit only while n times what its circuit then holds is at most what is free then,
// where n circuits hold anything (docs/wire.md, Shares). All this needs a far side that grants early; with another one,
// circuits begin while there is credit.
import { reasons } from "../end.ts";
import type { Fragment } from "../fragment.ts";
import {
  chunkBytesMax,
  encodeDataHead,
  encodeEnding,
  encodeFragmentMetadata,
  encodeNumber,
  firstChunkMax,
  fragmentOverhead,
  FrameType,
  trunkWindowInitial,
} from "../frames.ts";
import type { MachineCircuit, Queued } from "./circuit.ts";
import type { Output } from "./output.ts";
import { invariant, type Whole } from "./whole.ts";

const chunkBytesMin = 16 * 1024; // credit for less than this is not worth a frame
const quantumBytes = 16 * 1024;
const passedAtOnceMax = 64; // waiting circuits, each time that credit comes
const passedByMax = 16; // times that credit came and was too little for the first that waits
const circuitCreditMax = 2 ** 31 - 1;
const trunkCreditMax = 2 ** 40;
const smallShare = 512; // whatever the others hold
const heldLittle = 1024; // less does not make a circuit a holder
const shortBeginningMax = 4096;
const shortBeginningMin = 256;

interface Chunk {
  size: number;
  cost: number;
  isShort: boolean;
}

/** What `credit` pays for of the fragment; undefined when it pays for too little. */
function nextChunk(queued: Queued, sent: number, credit: number): Chunk | undefined {
  const payload = queued.fragment.payload.length;
  const fixed = sent === 0 ? queued.cost - payload : 0;
  const sizeMax = sent === 0 ? firstChunkMax(fixed - fragmentOverhead) : chunkBytesMax;
  const forPayload = credit - fixed;
  const left = payload - sent;
  if (forPayload < 0) return undefined;
  const size = Math.min(left, sizeMax, forPayload);
  const isEnough = sent === 0 && payload <= sizeMax ? size === left : size >= Math.min(left, chunkBytesMin);
  return isEnough ? { size, cost: size + fixed, isShort: false } : undefined;
}

export class Scheduler {
  private credit = trunkWindowInitial;
  private window = trunkWindowInitial;
  private half = 0; // of the window, once it is shared
  private promised = 0;
  private holders = 0;
  private counted = 0; // the sum of the circuits' `counted`
  private begunCount = 0;
  private passedBy = 0;
  private shares = false;
  private readonly begun = new Map<number, MachineCircuit>(); // the oldest first
  private readonly sendable = new Set<MachineCircuit>();
  private readonly blocked = new Set<MachineCircuit>(); // by the trunk's credit, or its share of it
  private readonly waiting = new Set<MachineCircuit>(); // want room in the send queue
  /** When the trunk's credit came last, or something was sent. */
  movedAt = -Infinity;

  constructor(
    private readonly whole: Whole,
    private readonly output: Output,
    /** Something of a circuit that we closed has moved, or its close has been said. */
    private readonly closings: {
      add(circuit: MachineCircuit): void;
      noteProgress(circuit: MachineCircuit): void;
      remove(circuit: MachineCircuit): void;
    },
  ) {}

  /** The far side's Hello says that it grants as fair sharing needs it. */
  share(): void {
    this.shares = true;
    this.half = this.window / 2;
    this.passedBy = 0;
    const waited = [...this.blocked];
    this.blocked.clear();
    for (const circuit of waited) this.place(circuit);
    for (const circuit of waited) this.count(circuit);
  }

  send(circuit: MachineCircuit, fragment: Fragment, metadataBytes: number): "queued" | "no_credit" {
    const hasRoom = circuit.sendCredit > circuit.queued && !this.waitsForShare(circuit);
    if (!hasRoom || this.queueIsFull()) {
      circuit.wantsCredit = true;
      if (hasRoom) this.waiting.add(circuit);
      return "no_credit";
    }
    this.enqueue(circuit, fragment, metadataBytes);
    return "queued";
  }

  /** Queues it, whatever the credit: the first fragment of an open. */
  enqueue(circuit: MachineCircuit, fragment: Fragment, metadataBytes: number): void {
    const payload = fragment.payload.length;
    ++circuit.counters.fragmentsSent;
    circuit.counters.bytesSent += payload;
    const cost = payload + metadataBytes + fragmentOverhead;
    circuit.sending.push({ fragment, cost, extra: 0, trunkExtra: 0 });
    circuit.queued += cost;
    this.update(circuit);
  }

  /** Puts the circuit where its queue and its credit say. */
  private update(circuit: MachineCircuit): void {
    const can = this.canSend(circuit);
    if (can !== this.isPlaced(circuit)) {
      if (can) {
        this.place(circuit);
      } else {
        this.displace(circuit);
        circuit.deficit = 0;
      }
    }
    this.count(circuit);
  }

  private canSend(circuit: MachineCircuit): boolean {
    const head = circuit.sending.peek();
    return head !== undefined && nextChunk(head, circuit.headSent, circuit.sendCredit) !== undefined;
  }

  /** What is queued and covered counts against the send queue; what waits for a share does not. */
  private count(circuit: MachineCircuit): void {
    const counts = this.isPlaced(circuit) && !this.waitsForShare(circuit) ? circuit.queued : 0;
    this.counted += counts - circuit.counted;
    circuit.counted = counts;
  }

  private isPlaced(circuit: MachineCircuit): boolean {
    return this.sendable.has(circuit) || this.blocked.has(circuit);
  }
  private waitsForShare(circuit: MachineCircuit): boolean {
    return this.shares && this.blocked.has(circuit);
  }
  private place(circuit: MachineCircuit): void {
    (this.covered(circuit) ? this.sendable : this.blocked).add(circuit);
  }
  private displace(circuit: MachineCircuit): void {
    this.sendable.delete(circuit);
    this.blocked.delete(circuit);
  }
  private queueIsFull(): boolean {
    return this.counted >= this.whole.limits.sendQueueBytesMax;
  }

  // Shares.

  private free(): number {
    return this.credit - this.promised;
  }
  private holdersWith(circuit: MachineCircuit): number {
    return this.holders + (circuit.isHolder ? 0 : 1);
  }

  private hasShare(circuit: MachineCircuit, cost: number): boolean {
    const free = this.free();
    if (cost <= free - this.half) return true;
    const held = Math.max(0, circuit.outstanding) + cost;
    return held * this.holdersWith(circuit) <= free - cost - this.half / 8 || (held <= smallShare && cost <= free);
  }

  /** How the first fragment may begin; undefined when it has to wait. */
  private begins(circuit: MachineCircuit): Chunk | undefined {
    const head = circuit.sending.peek()!;
    const needed = Math.min(head.cost, circuit.sendCredit);
    if (this.hasShare(circuit, needed)) return nextChunk(head, 0, circuit.sendCredit);

    // A short beginning, when that is all that its share will ever be enough for.
    const payload = head.fragment.payload.length;
    const fixed = head.cost - payload;
    const shared = this.free() - this.half / 8;
    const holders = this.holdersWith(circuit);
    if (needed * (holders + 1) <= shared) return undefined; // it fits when what the circuit has sent is read
    const held = Math.max(0, circuit.outstanding);
    const credit = Math.max(
      Math.floor((shared - held * holders) / (holders + 1)),
      Math.min(smallShare - held, this.free()),
    );
    const size = Math.min(shortBeginningMax, payload - 1, Math.min(credit, circuit.sendCredit) - fixed);
    return size < shortBeginningMin ? undefined : { size, cost: size + fixed, isShort: true };
  }

  private noteHeld(circuit: MachineCircuit): void {
    if (circuit.isHolder || circuit.outstanding <= heldLittle) return;
    circuit.isHolder = true;
    ++this.holders;
  }

  private noteGranted(circuit: MachineCircuit): void {
    if (!circuit.isHolder || (!circuit.ended && circuit.outstanding > heldLittle)) return;
    circuit.isHolder = false;
    --this.holders;
  }

  // The trunk's credit.

  /** What the fragment that the circuit has begun still needs, as far as its circuit's credit covers it. */
  private wanted(circuit: MachineCircuit): number {
    const head = circuit.sending.peek();
    return head ? Math.min(Math.max(0, circuit.sendCredit), head.fragment.payload.length - circuit.headSent) : 0;
  }

  /** Credit that the circuit's next frame may use. */
  private available(circuit: MachineCircuit): number {
    if (circuit.begun === 0) return Math.min(circuit.sendCredit, this.credit);
    return Math.min(
      circuit.sendCredit,
      this.shares ? circuit.promised : this.credit - (this.promised - circuit.promised),
    );
  }

  /** The circuit's next frame, when the trunk's credit lets it send one. */
  private next(circuit: MachineCircuit): Chunk | undefined {
    if (this.shares && circuit.begun === 0) return this.begins(circuit);
    const head = circuit.sending.peek()!;
    const chunk = nextChunk(head, circuit.headSent, this.available(circuit));
    if (!chunk || circuit.begun !== 0) return chunk;
    const first = this.blocked.values().next().value;
    if (this.passedBy > passedByMax && first !== undefined && first !== circuit) return undefined;
    if (this.begun.size === 0) return chunk;
    const needed = chunk.size === head.fragment.payload.length ? chunk.cost : Math.min(head.cost, circuit.sendCredit);
    return needed <= this.free() ? chunk : undefined;
  }

  private covered(circuit: MachineCircuit): boolean {
    return this.next(circuit) !== undefined;
  }

  /** The trunk's credit has grown, or less of it is promised: as many circuits go on as it is enough for. */
  private unblock(): void {
    if (this.blocked.size === 0) {
      this.passedBy = 0;
      return;
    }
    let left = this.free();
    let passed = 0;
    // Where it is shared, those that hold least come first. A fragment that has begun waits for what is promised to it.
    const line = this.shares
      ? [...this.blocked]
          .filter((each) => each.begun === 0)
          .sort((a, b) => Math.max(0, a.outstanding) - Math.max(0, b.outstanding))
      : this.blocked;
    for (const circuit of line) {
      if (passed >= passedAtOnceMax) break;
      const isBegun = circuit.begun !== 0;
      if ((!isBegun && left <= 0) || !this.covered(circuit)) {
        ++passed;
        continue;
      }
      if (!isBegun) left -= circuit.sending.peek()!.cost;
      this.blocked.delete(circuit);
      this.sendable.add(circuit);
      this.count(circuit);
    }
  }

  private promise(circuit: MachineCircuit, bytes: number): void {
    this.promised += bytes - circuit.promised;
    circuit.promised = bytes;
  }

  /** Promises what is free to the fragments that have begun, the oldest first. */
  private promiseMore(): void {
    for (const circuit of this.begun.values()) {
      const free = this.free();
      if (free <= 0) return;
      this.promise(circuit, Math.min(this.wanted(circuit), circuit.promised + free));
      if (this.waitsForShare(circuit)) this.goOn(circuit);
    }
  }

  private goOn(circuit: MachineCircuit): void {
    if (!this.covered(circuit)) return;
    this.blocked.delete(circuit);
    this.sendable.add(circuit);
    this.count(circuit);
  }

  /** A frame of the circuit's first fragment has gone out: the fragment begins, goes on or is complete. */
  private noteSent(circuit: MachineCircuit, cost: number): void {
    if (circuit.headSent === 0) {
      if (circuit.begun === 0) return; // it was whole
      circuit.begunShort = false;
      this.begun.delete(circuit.begun);
      circuit.begun = 0;
      this.promise(circuit, 0);
    } else if (circuit.begun === 0) {
      circuit.begun = ++this.begunCount;
      if (circuit.begunShort) return; // it gets its credit with the far side's memory
      this.begun.set(circuit.begun, circuit);
      this.promise(circuit, Math.min(Math.max(0, this.free()), this.wanted(circuit)));
      return;
    } else {
      this.promise(circuit, Math.min(this.wanted(circuit), Math.max(0, circuit.promised - cost)));
    }
    this.promiseMore();
  }

  // Sending.

  /** Moves queued frames into the output, in turns, until it has `bytesMax`. */
  fill(bytesMax: number): void {
    do {
      for (;;) {
        const circuit = this.first();
        if (!circuit || this.output.bytes >= bytesMax) break;
        this.takeTurn(circuit, bytesMax);
      }
      this.blockUncovered();
      if (this.sendable.size === 0) this.unblock();
    } while (this.sendable.size > 0 && this.output.bytes < bytesMax);
  }

  private first(): MachineCircuit | undefined {
    return this.sendable.values().next().value;
  }

  hasOutput(): boolean {
    const circuit = this.first();
    return circuit !== undefined && this.covered(circuit);
  }

  /** Afterwards the first of the sendable is one that really can send: hasOutput() looks no further. */
  private blockUncovered(): void {
    for (let circuit = this.first(); circuit && !this.covered(circuit); circuit = this.first()) {
      this.sendable.delete(circuit);
      this.blocked.add(circuit);
      this.count(circuit);
    }
  }

  private takeTurn(circuit: MachineCircuit, bytesMax: number): void {
    if (circuit.deficit <= 0) circuit.deficit += quantumBytes;
    let sent = true;
    while (sent && circuit.deficit > 0 && this.output.bytes < bytesMax && this.sendable.has(circuit))
      sent = this.sendChunk(circuit);
    if (!this.sendable.has(circuit)) return;
    if (!sent) {
      this.sendable.delete(circuit);
      this.blocked.add(circuit);
      this.count(circuit);
    } else if (circuit.deficit <= 0) {
      this.sendable.delete(circuit);
      this.sendable.add(circuit); // to the end
    }
  }

  /** Moves one frame into the output. False when the trunk's credit is too small. */
  private sendChunk(circuit: MachineCircuit): boolean {
    const chunk = this.next(circuit);
    if (!chunk) return false;
    if (circuit.begun === 0) circuit.begunShort = chunk.isShort;
    const head = circuit.sending.peek()!;
    const payload = head.fragment.payload;
    const sent = circuit.headSent;
    const first =
      sent === 0
        ? {
            fragment: head.fragment,
            metadata: encodeFragmentMetadata(head.fragment, this.whole.now),
            total: payload.length,
          }
        : null;
    const isLast = sent + chunk.size === payload.length;
    this.output.putData(
      encodeDataHead(circuit.id, first, chunk.size, isLast),
      payload.subarray(sent, sent + chunk.size),
    );
    circuit.sendCredit -= chunk.cost;
    this.credit -= chunk.cost;
    circuit.queued -= chunk.cost;
    circuit.deficit -= chunk.cost;
    this.noteHeld(circuit);
    circuit.headSent = isLast ? 0 : sent + chunk.size;
    if (isLast) circuit.sending.shift();
    const isCompleted = circuit.begun !== 0 && circuit.headSent === 0;
    this.noteSent(circuit, chunk.cost);
    this.update(circuit);
    this.closings.noteProgress(circuit);
    this.movedAt = this.whole.now;
    if (isCompleted) this.unblock(); // less is promised: no credit need come to let the others go on
    if (circuit.sending.length > 0) return true;
    // It waited for its share.
    if (this.shares && circuit.wantsCredit && !this.waiting.has(circuit)) this.wakeSender(circuit);
    this.endSending(circuit);
    return true;
  }

  /** Finish or close was asked for: it goes out now, or when the queue is empty. */
  endSending(circuit: MachineCircuit): void {
    if (circuit.closing === "asked") this.closings.add(circuit);
    if (circuit.sending.length > 0) return;
    if (circuit.closing === "asked") {
      circuit.closing = "said";
      if (circuit.out === "finishing") circuit.out = "finished";
      const reason = circuit.end;
      this.output.putInLine(
        FrameType.close,
        encodeEnding(circuit.id, reason?.reason ?? 0, reason?.text ?? ""),
        !circuit.openedHere,
      );
    } else if (circuit.closing === "no" && circuit.out === "finishing") {
      circuit.out = "finished";
      this.output.putInLine(FrameType.finish, encodeNumber(circuit.id), !circuit.openedHere);
    }
  }

  /** The circuit has ended. */
  drop(circuit: MachineCircuit): void {
    this.waiting.delete(circuit);
    while (circuit.sending.length > 0) circuit.sending.shift();
    this.displace(circuit);
    circuit.queued = 0;
    circuit.headSent = 0;
    this.count(circuit);
    this.noteSent(circuit, 0);
    this.noteGranted(circuit);
    this.unblock();
    this.blockUncovered();
    this.wakeWaiting();
    this.closings.remove(circuit);
  }

  // The far side grants.

  addTrunkCredit(bytes: number, growth: number, completes: MachineCircuit | undefined): void {
    if (bytes > trunkCreditMax - Math.max(0, this.credit))
      return this.whole.violate(reasons.flowControlViolated, `credit of ${bytes} bytes overflows the trunk's`);
    this.credit += bytes;
    this.window = Math.min(this.window + Math.min(growth, bytes), trunkCreditMax);
    if (this.shares) this.half = this.window / 2;
    this.movedAt = this.whole.now;
    const first = this.blocked.values().next().value;
    if (completes && completes.begun !== 0) this.complete(completes, bytes);
    this.promiseMore();
    this.unblock();
    this.blockUncovered();
    this.passedBy = first !== undefined && this.blocked.values().next().value === first ? this.passedBy + 1 : 0;
  }

  /**
   * The far side has set memory aside for all of the circuit's first fragment, and this credit is for the rest of it.
   */
  private complete(circuit: MachineCircuit, credit: number): void {
    if (circuit.begunShort) this.begun.set(circuit.begun, circuit);
    circuit.begunShort = false;
    const more = Math.min(this.wanted(circuit), circuit.promised + credit, circuit.promised + this.free());
    this.promise(circuit, Math.max(circuit.promised, more));
    this.closings.noteProgress(circuit);
    if (this.waitsForShare(circuit)) this.goOn(circuit);
  }

  addCredit(circuit: MachineCircuit, bytes: number, growth: number): void {
    if (bytes > circuitCreditMax - Math.max(0, circuit.sendCredit))
      return this.whole.violate(
        reasons.flowControlViolated,
        `credit of ${bytes} bytes overflows circuit ${circuit.id}`,
      );
    circuit.sendCredit += bytes;
    circuit.sendWindow = Math.min(circuit.sendWindow + Math.min(growth, bytes), circuitCreditMax);
    this.noteGranted(circuit);
    if (circuit.sending.length > 0) this.closings.noteProgress(circuit);
    this.promiseMore();
    if (this.waitsForShare(circuit)) this.displace(circuit); // it needs less now
    this.update(circuit);
    this.unblock();
    this.blockUncovered();
    if (circuit.wantsCredit) this.wakeSender(circuit);
  }

  /** Credit has come for a circuit of which a send was refused. */
  private wakeSender(circuit: MachineCircuit): void {
    if (circuit.sendCredit <= circuit.queued || this.waitsForShare(circuit)) return;
    if (this.queueIsFull()) {
      this.waiting.add(circuit);
      return;
    }
    circuit.wantsCredit = false;
    this.whole.emit({ kind: "writable", circuit });
  }

  /** Senders that were refused for lack of room in the queue try again, the oldest first. */
  wakeWaiting(): void {
    if (this.waiting.size === 0 || this.counted > this.whole.limits.sendQueueBytesMax / 2) return;
    for (const circuit of this.waiting) {
      circuit.wantsCredit = false;
      this.whole.emit({ kind: "writable", circuit });
    }
    this.waiting.clear();
  }

  /** Whether a circuit that was closed waits for what other circuits hold. */
  waitsForOthers(circuit: MachineCircuit): boolean {
    return circuit.queued > 0 && (this.isPlaced(circuit) || circuit.begun !== 0);
  }

  check(circuits: Iterable<MachineCircuit>): void {
    invariant(this.promised >= 0 && this.promised <= Math.max(0, this.credit), "scheduler: 0 <= promised <= credit");
    let promised = 0;
    let counted = 0;
    let holders = 0;
    for (const circuit of circuits) {
      promised += circuit.promised;
      counted += circuit.counted;
      holders += circuit.isHolder ? 1 : 0;
      invariant(circuit.sendCredit >= 0, "scheduler: a circuit's credit >= 0");
      invariant(
        this.isPlaced(circuit) === (!circuit.ended && this.canSend(circuit)),
        "scheduler: what can send is placed",
      );
      const queued = [...circuit.sending].reduce((sum, each) => sum + each.cost, 0);
      const gone =
        circuit.headSent === 0
          ? 0
          : circuit.headSent + circuit.sending.peek()!.cost - circuit.sending.peek()!.fragment.payload.length;
      invariant(circuit.queued === queued - gone, "scheduler: queued == the sum of the queue, less what is out");
    }
    invariant(promised === this.promised, "scheduler: promised == the sum of the circuits'");
    invariant(counted === this.counted, "scheduler: counted == the sum of the circuits'");
    invariant(holders === this.holders, "scheduler: holders == the circuits that hold more than a little");
  }
}
