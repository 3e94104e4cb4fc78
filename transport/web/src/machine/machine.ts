// The protocol of one connection without I/O: bytes and a point in time in; bytes, events and a deadline out. It reads
// no clock, draws no random number, and throws on nothing that a peer sent. docs/wire.md says what each frame means.
import { cut, decodeText, encodeText, equal, idBytes, idText, printable, type Id } from "../bytes.ts";
import { cleanEnd, describe, end, reasons, type End } from "../end.ts";
import { Fragment } from "../fragment.ts";
import {
  argsMax,
  assumedLimits,
  chunkBytesMax,
  controlBytesMax,
  decodeData,
  decodeFragment,
  decodeHello,
  decodeOpen,
  decodePeerMetadata,
  encodeAccept,
  encodeEnding,
  encodeGoodbye,
  encodeHello,
  encodeNumber,
  encodeOpen,
  encodeRefuse,
  Flag,
  flagsAreSound,
  fragmentOverhead,
  frameBytesMax,
  FrameType,
  headerBytes,
  metadataSize,
  OpenMode,
  preface,
  remainingMs,
  type Hello,
  type Metadata,
} from "../frames.ts";
import { Malformed, Message } from "../protobuf.ts";
import { MachineCircuit, type PeerName } from "./circuit.ts";
import { Closings } from "./closings.ts";
import { FloodGuard } from "./flood_guard.ts";
import { Keepalive } from "./keepalive.ts";
import { checkedLimits, taken, type Limits } from "./limits.ts";
import { Output } from "./output.ts";
import { FarPeers, LocalPeers, metadataBytes } from "./peers.ts";
import { Scheduler } from "./scheduler.ts";
import { invariant, type Counters, type MachineEvent, type Whole } from "./whole.ts";
import { Window } from "./window.ts";

const version = 1;
const remainingMsMax = 2 ** 32; // more is as good as no deadline
const creditTiny = 1024; // smaller grants count as control frames
const cancelledWithinMs = 1000;

export interface MachineOptions {
  /** Our side opened the connection. */
  dialled: boolean;
  nodeId: Id;
  nodeName?: string;
  /** Where others may reach this node. */
  addresses?: readonly string[];
  limits?: Partial<Limits>;
  /** As texts of errors name the far end. */
  farEnd?: string;
  /** Checks every invariant after every input: for tests. */
  checks?: boolean;
}

export interface OpenRequest {
  mode: OpenMode;
  from: PeerName;
  toPeer?: Id;
  toService?: string;
  name?: string;
  userString?: string;
  wantsAnswer?: boolean;
  /** When the circuit is reset, by the clock that the machine is given. */
  deadline?: number;
}

export class Machine implements Whole {
  now: number;
  readonly limits: Limits;
  readonly counters: Counters = {
    roundTrip: 0,
    framesReceived: 0,
    framesForForgottenCircuits: 0,
    unknownFrames: 0,
    circuitsOpened: 0,
    circuitsRefused: 0,
    circuitsLost: 0,
    opensCancelled: 0,
    readingPauses: 0,
    metadataDropped: 0,
    errorsDropped: 0,
    bytesReceived: 0,
    bytesSent: 0,
  };

  private readonly options: MachineOptions;
  private events: MachineEvent[] = [];
  private readonly output = new Output();
  private readonly farPeers: FarPeers;
  private readonly localPeers: LocalPeers;
  private readonly keepalive: Keepalive;
  private readonly floodGuard: FloodGuard;
  private readonly window: Window;
  private readonly scheduler: Scheduler;
  private readonly closings: Closings;

  // Circuits.
  private readonly live = new Map<number, MachineCircuit>();
  private readonly held = new Set<MachineCircuit>(); // over, but not released
  private nextHere: number;
  private nextThere: number;
  private openedHere = 0;
  private openedThere = 0; // live or held
  private stringsThere = 0;
  private readonly deadlines = new Set<MachineCircuit>();
  private firstDeadline = Infinity;

  // Reading.
  private prefaceSeen = 0;
  private carry = new Uint8Array(0); // room for the beginning of a frame
  private carried = 0; // bytes of it that have arrived
  private skipLeft = 0;

  // The end.
  private state: "running" | "goodbyeSaid" | "over" = "running";
  private drainingHere = false;
  private drainingThere = false;
  private drainDeadline = Infinity;
  private writeBy = Infinity;
  private overAt = Infinity;

  constructor(options: MachineOptions, now: number) {
    this.options = options;
    this.now = now;
    this.limits = checkedLimits(options.limits);
    this.nextHere = options.dialled ? 1 : 2;
    this.nextThere = options.dialled ? 2 : 1;
    this.farPeers = new FarPeers(this);
    this.localPeers = new LocalPeers(this, this.output, this.farPeers);
    this.keepalive = new Keepalive(this, this.output, () => this.farPeers.hello !== undefined);
    this.floodGuard = new FloodGuard(this);
    this.closings = new Closings(this, this.keepalive);
    this.scheduler = new Scheduler(this, this.output, this.closings);
    this.window = new Window(
      this,
      this.output,
      () => this.keepalive.roundTrip,
      () => this.all(),
    );

    this.output.putPreface();
    let addressBytes = 0;
    this.output.putControl(
      FrameType.hello,
      encodeHello({
        versionMin: version,
        versionMax: version,
        nodeId: options.nodeId,
        nodeName: cut(options.nodeName ?? "", this.limits.nameBytesMax),
        addresses: (options.addresses ?? []).filter(
          (each) => (addressBytes += encodeText(each).length + 4) < controlBytesMax / 2,
        ),
        features: ["calls", "shares"],
        mandatoryFeatures: [],
        takes: taken(this.limits),
      }),
    );
    this.window.grantInitial();
    this.keepalive.putPing(); // times the round trip
  }

  /** An input of ours: the time, then the input, then the invariants. */
  private input<T>(now: number, body: () => T): T {
    this.now = Math.max(this.now, now);
    const result = body();
    if (this.options.checks) this.check();
    return result;
  }

  emit(event: MachineEvent): void {
    this.events.push(event);
  }

  private from(): string {
    return this.options.farEnd ? `, from ${this.options.farEnd}` : "";
  }

  // Outputs.

  /** The events since the last call, in order. */
  takeEvents(): MachineEvent[] {
    const taken = this.events;
    this.events = [];
    return taken;
  }

  /** About `bytesMax` to write; empty when there is nothing. `written` follows. */
  takeOutput(bytesMax: number, now: number): Uint8Array {
    return this.input(now, () => {
      if (this.over) return new Uint8Array(0);
      this.keepalive.connected();
      this.keepalive.putPong();
      if (this.state === "running") this.localPeers.put();
      this.scheduler.fill(bytesMax);
      const bytes = this.output.collect();
      this.scheduler.wakeWaiting();
      if (bytes.length > 0) {
        this.keepalive.writeBegan();
        this.counters.bytesSent += bytes.length;
      }
      return bytes;
    });
  }
  /** More of the output has left: its deadline begins anew. */
  writeProgressed(now: number): void {
    this.input(now, () => this.keepalive.writeProgressed());
  }
  /** All of it has left. */
  written(now: number): void {
    this.input(now, () => this.keepalive.written());
  }

  hasOutput(): boolean {
    if (this.over) return false;
    if (this.output.bytes > 0 || this.keepalive.hasPong) return true;
    return this.state === "running" && (this.localPeers.hasOutput() || this.scheduler.hasOutput());
  }

  /** When `tick` must be called at the latest. */
  deadline(): number {
    if (this.over) return Infinity;
    if (this.state === "goodbyeSaid")
      return this.isUnwritten() ? this.writeBy : this.overAt === Infinity ? this.now : this.overAt;
    return Math.min(
      this.keepalive.deadline(),
      this.drainDeadline,
      this.closings.deadline(),
      this.window.deadline(),
      this.firstDeadline,
      this.floodGuard.deadline(),
      this.localPeers.deadline(),
    );
  }

  /** Nothing more will be read or written. */
  get over(): boolean {
    return this.state === "over";
  }
  /** Still carries circuits: no goodbye was said or heard. */
  get running(): boolean {
    return this.state === "running";
  }
  /** False while the far side says too much too fast. */
  get wantsInput(): boolean {
    return !this.floodGuard.paused;
  }
  get remote(): Hello | undefined {
    return this.farPeers.hello;
  }
  get draining(): boolean {
    return this.drainingHere || this.drainingThere;
  }
  get circuitsCount(): number {
    return this.live.size;
  }
  get memoryBytes(): number {
    return this.window.memoryBytes + this.carried;
  }
  get farKnowsCalls(): boolean {
    return this.remote?.features.includes("calls") ?? false;
  }
  get fragmentBytesMax(): number {
    return Math.min(this.limits.fragmentBytesMax, this.farPeers.takes.fragmentBytesMax);
  }
  /** The circuits that have not ended, in the order of their numbers. */
  circuits(): MachineCircuit[] {
    return [...this.live.values()];
  }
  /** Bytes that may be sent on it at once. */
  creditBytes(circuit: MachineCircuit): number {
    return circuit.ended || circuit.finishedHere ? 0 : Math.max(0, circuit.sendCredit - circuit.queued);
  }
  remoteMetadata(peer: Id): Metadata | undefined {
    return this.farPeers.metadataOf(peer);
  }

  private *all(): Generator<MachineCircuit> {
    yield* this.live.values();
    yield* this.held;
  }

  // Our side: circuits.

  open(request: OpenRequest, first: Fragment | undefined, now: number): MachineCircuit {
    return this.input(now, () => {
      const names = {
        local: request.from,
        remote: { id: request.toPeer ?? new Uint8Array(0), service: request.toService ?? "" },
        name: request.name ?? "",
        userString: request.userString ?? "",
      };
      const why = this.whyNotOpen(request, first);
      if (why) {
        // It never reaches the wire: its end is all there is to it.
        const stillborn = new MachineCircuit(0, true, this.now, names);
        this.held.add(stillborn);
        this.endCircuit(stillborn, why);
        return stillborn;
      }
      const id = this.nextHere;
      this.nextHere += 2;
      ++this.openedHere;
      ++this.counters.circuitsOpened;
      this.farPeers.noteOpened();
      const wantsAnswer =
        request.wantsAnswer === true || request.mode === OpenMode.joinOrStart || request.mode === OpenMode.startOnly;
      const circuit = new MachineCircuit(id, true, this.now, names);
      circuit.answer = wantsAnswer ? "awaited" : "unasked";
      circuit.deadline = request.deadline ?? Infinity;
      this.live.set(id, circuit);
      this.addDeadline(circuit);
      this.output.putControl(
        FrameType.open,
        encodeOpen({
          circuit: id,
          mode: request.mode,
          fromPeer: request.from.id,
          fromService: request.from.service,
          toPeer: names.remote.id,
          toService: names.remote.service,
          name: names.name,
          userString: names.userString,
          wantsAnswer,
          remainingMs: circuit.deadline === Infinity ? 0 : remainingMs(circuit.deadline, this.now),
        }),
      );
      if (first) this.scheduler.enqueue(circuit, first, metadataSize(first));
      return circuit;
    });
  }

  private whyNotOpen(request: OpenRequest, first: Fragment | undefined): End | undefined {
    if (!this.running) return end(reasons.trunkLost, `the trunk is closed${this.from()}`);
    if (this.draining) return end(reasons.draining, `the trunk takes no new circuits${this.from()}`);
    if (request.deadline !== undefined && request.deadline <= this.now)
      return end(reasons.deadlinePassed, "before the circuit was opened");
    const why = first && this.whyNot(first);
    if (why) return end(reasons.fragmentTooLarge, `first ${why}`);
    const { takes } = this.farPeers;
    const nameMax = Math.min(this.limits.nameBytesMax, takes.nameBytesMax);
    const userMax = Math.min(this.limits.userStringBytesMax, takes.userStringBytesMax);
    const service = encodeText(request.toService ?? "").length;
    const name = Math.max(encodeText(request.name ?? "").length, encodeText(request.from.service).length);
    const user = encodeText(request.userString ?? "").length;
    if (service > nameMax)
      return end(reasons.noService, `no service has a name of ${service} bytes: nameBytesMax is ${nameMax}`);
    if (name > nameMax || user > userMax)
      return end(
        reasons.protocolViolationOnCircuit,
        `name of ${name} bytes or user string of ${user} exceeds nameBytesMax ${nameMax} or userStringBytesMax ${userMax}`,
      );
    if (this.openedHere >= takes.circuitsMax)
      return end(
        reasons.circuitLimitReached,
        `there are ${this.openedHere} circuits of this side, circuitsMax of the far side is ${takes.circuitsMax}`,
      );
    if (this.output.bytes > this.limits.trunkMemoryBytesMax)
      return end(
        reasons.circuitLimitReached,
        `${this.output.bytes} bytes of output wait to be written, trunkMemoryBytesMax is ${this.limits.trunkMemoryBytesMax}`,
      );
    return undefined;
  }

  /** The peer `local` takes the circuit. */
  accept(circuit: MachineCircuit, local: PeerName): void {
    this.input(this.now, () => {
      circuit.local = local;
      const isAwaited = circuit.answer === "awaited";
      circuit.answer = "given";
      if (circuit.ended || !isAwaited) return;
      this.output.putControl(FrameType.accept, encodeAccept(circuit.id, local.id, local.service));
    });
  }

  /** The circuit is not served, and no handler has seen it. Releases it. */
  refuse(circuit: MachineCircuit, reason: number, text: string, existingUrl = ""): void {
    this.input(this.now, () => {
      if (!circuit.ended) {
        this.putRefuse(circuit.id, reason, text, existingUrl);
        this.endCircuit(circuit, end(reason, text));
      }
      this.releaseNow(circuit);
    });
  }

  private putRefuse(id: number, reason: number, text: string, existingUrl: string): void {
    ++this.counters.circuitsRefused;
    this.output.putControl(
      FrameType.refuse,
      encodeRefuse(id, reason, cut(text, this.limits.reasonBytesMax), cut(existingUrl, controlBytesMax / 4)),
    );
  }

  /** A service has taken the circuit: from now on a reset by its opener is one that has cost work. */
  leftBacklog(circuit: MachineCircuit): void {
    circuit.inBacklog = false;
  }

  /** Why the fragment can never cross, on whatever circuit; empty when it can. */
  whyNot(fragment: Fragment): string {
    const payload = fragment.payload.length;
    if (payload > this.fragmentBytesMax)
      return `fragment of ${payload} bytes exceeds fragmentBytesMax ${this.fragmentBytesMax}`;
    const metadata = metadataSize(fragment);
    if (metadata <= controlBytesMax && fragment.args.length <= argsMax) return "";
    return `fragment with subject, err and ${fragment.args.length} args of ${metadata} bytes exceeds ${argsMax} args or ${controlBytesMax} bytes`;
  }

  /** `closed` also for a fragment that can never cross. */
  send(circuit: MachineCircuit, fragment: Fragment, now: number): "queued" | "no_credit" | "closed" {
    return this.input(now, () => {
      if (circuit.ended || circuit.finishedHere || this.whyNot(fragment) !== "") return "closed";
      return this.scheduler.send(circuit, fragment, metadataSize(fragment));
    });
  }

  /** The next fragment, if there is one. Taking is consuming: credit goes back to the sender. */
  take(circuit: MachineCircuit, now: number): Fragment | undefined {
    return this.takeFrom(circuit, false, now);
  }
  takeError(circuit: MachineCircuit, now: number): Fragment | undefined {
    return this.takeFrom(circuit, true, now);
  }
  private takeFrom(circuit: MachineCircuit, isError: boolean, now: number): Fragment | undefined {
    if ((isError ? circuit.errors : circuit.reads).length === 0) return undefined;
    return this.input(now, () => {
      const fragment = this.window.take(circuit, isError);
      if (circuit.finishedThere) this.acknowledgeFinish(circuit);
      return fragment;
    });
  }

  /** Nothing more comes from this side; everything sent before arrives first. */
  finish(circuit: MachineCircuit): void {
    this.input(this.now, () => {
      if (circuit.ended || circuit.finishedHere) return;
      circuit.out = "finishing";
      this.scheduler.endSending(circuit);
    });
  }

  /** Everything sent before arrives first, then both directions end with this reason. */
  close(circuit: MachineCircuit, reason: End = cleanEnd): void {
    this.input(this.now, () => this.closeNow(circuit, reason));
  }
  private closeNow(circuit: MachineCircuit, reason: End): void {
    if (circuit.ended || circuit.closedHere) return;
    if (circuit.out === "open") circuit.out = "finishing";
    circuit.closing = "asked";
    if (reason.reason !== reasons.clean)
      circuit.end = { ...reason, text: cut(reason.text, this.limits.reasonBytesMax) };
    this.window.dropUnread(circuit);
    this.window.dropAssembly(circuit);
    this.scheduler.endSending(circuit);
  }

  /** Gives up at once: what was queued is dropped. */
  reset(circuit: MachineCircuit, reason: End = end(reasons.circuitReset)): void {
    this.input(this.now, () => this.resetCircuit(circuit, reason));
  }
  resetCircuit(circuit: MachineCircuit, given: End): void {
    if (circuit.ended) return;
    const reason = given.reason === reasons.clean ? end(reasons.circuitReset) : given;
    this.output.putControl(
      FrameType.reset,
      encodeEnding(circuit.id, reason.reason, cut(reason.text, this.limits.reasonBytesMax)),
    );
    this.window.dropUnread(circuit);
    this.endCircuit(circuit, reason);
  }

  /** Nobody asks for the circuit any more: it is closed when it was finished, and reset as abandoned otherwise. */
  release(circuit: MachineCircuit): void {
    this.input(this.now, () => this.releaseNow(circuit));
  }
  private releaseNow(circuit: MachineCircuit): void {
    if (circuit.released) return;
    circuit.released = true;
    this.window.dropUnread(circuit);
    if (circuit.ended) return this.bury(circuit);
    if (circuit.closedHere) return;
    if (circuit.finishedHere) this.closeNow(circuit, cleanEnd);
    else this.resetCircuit(circuit, end(reasons.circuitAbandoned));
  }

  private bury(circuit: MachineCircuit): void {
    if (!this.held.delete(circuit) || circuit.openedHere) return;
    --this.openedThere;
    this.stringsThere -= circuit.strings;
  }

  /** The one place where a circuit leaves the wire. */
  private endCircuit(circuit: MachineCircuit, reason: End): void {
    if (circuit.ended) return;
    circuit.ended = true;
    if (reason.reason !== reasons.clean) circuit.end = reason;
    if (circuit.id !== 0) {
      this.live.delete(circuit.id);
      this.held.add(circuit);
      if (circuit.openedHere) --this.openedHere;
    }
    this.removeDeadline(circuit);
    this.window.dropAssembly(circuit);
    this.scheduler.drop(circuit);
    this.emit({ kind: "ended", circuit });
    if (circuit.released) {
      const isWhole = circuit.closing === "answered" || circuit.out === "acknowledged";
      if (circuit.closedHere && !isWhole && circuit.counters.fragmentsSent > 0) {
        ++this.counters.circuitsLost;
        this.emit({ kind: "lost", circuit });
      }
      this.bury(circuit);
    }
    this.goodbyeWhenDrained();
  }

  private endAll(reason: End): void {
    for (const circuit of [...this.live.values()]) this.endCircuit(circuit, reason);
  }

  // Deadlines of circuits.

  private addDeadline(circuit: MachineCircuit): void {
    if (circuit.deadline === Infinity) return;
    this.deadlines.add(circuit);
    this.firstDeadline = Math.min(this.firstDeadline, circuit.deadline);
  }
  private removeDeadline(circuit: MachineCircuit): void {
    if (this.deadlines.delete(circuit) && circuit.deadline <= this.firstDeadline) this.findFirstDeadline();
  }
  private findFirstDeadline(): void {
    this.firstDeadline = Infinity;
    for (const each of this.deadlines) this.firstDeadline = Math.min(this.firstDeadline, each.deadline);
  }

  // Our side: peers, and the end of the trunk.

  /** Tells the far side about one of our peers. */
  setMetadata(local: Id, metadata: Metadata): void {
    this.input(this.now, () => {
      if (!this.running || metadata.size > argsMax || metadataBytes(metadata) > controlBytesMax / 2) return;
      this.localPeers.set(local, metadata);
    });
  }
  /** Tells the far side that one of our peers ended, if it knows it. Its circuits are closed by the caller. */
  endPeer(local: Id, hadCircuits: boolean, reason: End): void {
    this.input(this.now, () => this.localPeers.end(local, hadCircuits, reason));
  }

  /** No new circuits either way; says goodbye when none is left, and resets what is left at the deadline. */
  drain(deadline: number): void {
    this.input(this.now, () => {
      if (!this.running) return;
      this.drainDeadline = Math.min(this.drainDeadline, deadline);
      if (!this.draining) this.output.putControl(FrameType.drain, new Uint8Array(0));
      this.drainingHere = true;
      this.goodbyeWhenDrained();
    });
  }

  private goodbyeWhenDrained(): void {
    // A side that has heard DRAIN has said it, too.
    if (this.drainingThere && this.running && this.live.size === 0) this.sayGoodbye(cleanEnd);
  }

  private sayGoodbye(reason: End): void {
    this.state = "goodbyeSaid";
    this.writeBy = this.now + this.limits.writeDeadline;
    this.overAt = Infinity;
    this.output.putGoodbye(encodeGoodbye(reason.reason, cut(reason.text, this.limits.reasonBytesMax)));
    this.emit({ kind: "closed", end: reason });
  }

  /** Says goodbye and ends every circuit with this reason. */
  closeTrunk(reason: End): void {
    this.input(this.now, () => {
      if (!this.running) return;
      this.state = "goodbyeSaid"; // ends of circuits must not say another goodbye
      // A close that was said is still written.
      for (const circuit of this.live.values()) if (circuit.closing === "said") circuit.closing = "answered";
      this.endAll(reason.reason === reasons.clean ? end(reasons.trunkLost, "the trunk was closed") : reason);
      this.sayGoodbye(reason);
    });
  }

  violate(reason: number, text: string): void {
    if (!this.running) return;
    const cause = end(reason, text + this.from());
    this.state = "goodbyeSaid";
    this.endAll(end(reasons.trunkLost, describe(cause)));
    this.sayGoodbye(cause);
  }

  /** It is no trunk: nothing is said. */
  private refuseConnection(reason: number, text: string): void {
    const cause = end(reason, text + this.from());
    this.endNow();
    this.endAll(end(reasons.trunkLost, describe(cause)));
    this.emit({ kind: "closed", end: cause });
  }

  private endNow(): void {
    this.state = "over";
    this.output.stop();
    this.dropCarry();
  }
  private dropCarry(): void {
    this.carry = new Uint8Array(0);
    this.carried = 0;
  }

  /** The connection is gone. `cause` undefined: the far side has finished sending, in order. */
  disconnected(cause: End | undefined, now: number): void {
    this.input(now, () => {
      if (this.over) return;
      const wasRunning = this.running;
      this.endNow();
      if (!wasRunning) return;
      const given = cause ?? end(reasons.trunkLost, "the far side closed the connection");
      const reason =
        given.reason === reasons.connectFailed || given.reason === reasons.trunkLost
          ? given
          : end(reasons.trunkLost, describe(given));
      this.endAll(reason);
      this.emit({ kind: "closed", end: reason });
    });
  }

  private isUnwritten(): boolean {
    return this.output.bytes > 0 || this.keepalive.writing;
  }

  tick(now: number): void {
    this.input(now, () => {
      if (this.over) return;
      if (this.state === "goodbyeSaid") {
        if (this.isUnwritten()) {
          if (this.now >= this.writeBy) this.endNow();
          return;
        }
        if (this.overAt === Infinity) this.overAt = this.now + this.limits.goodbyeDeadline; // from when it was written
        if (this.now >= this.overAt) this.endNow();
        return;
      }
      if (this.floodGuard.paused) this.keepalive.heard(); // what it says lies unread, for that is our doing
      const dead = this.keepalive.tick();
      if (dead) return this.violate(dead.reason, dead.text);
      this.closings.tick(this.scheduler);
      this.window.tick();
      for (const circuit of [...this.deadlines])
        if (circuit.deadline <= this.now) this.resetCircuit(circuit, end(reasons.deadlinePassed));
      this.floodGuard.tick();
      if (this.now >= this.drainDeadline) this.endDrain();
    });
  }

  private endDrain(): void {
    this.drainDeadline = Infinity;
    for (const circuit of [...this.live.values()])
      this.resetCircuit(circuit, end(reasons.draining, "the drain deadline has passed"));
    if (this.running) this.sayGoodbye(cleanEnd);
  }

  // Bytes arrive.

  /** Takes bytes that arrived, any number, cut anywhere. */
  feed(bytes: Uint8Array, now: number): void {
    this.input(now, () => {
      if (bytes.length === 0 || this.over) return;
      this.keepalive.heard();
      this.counters.bytesReceived += bytes.length;
      try {
        // A plain view: what slice() means differs for Node.js' Buffer, which keeps the bytes where they are.
        this.read(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length));
      } catch (failure) {
        if (!(failure instanceof Malformed)) throw failure;
        this.violate(reasons.protocolError, failure.message);
      }
      if (this.over) this.dropCarry();
    });
  }

  private read(arrived: Uint8Array): void {
    let bytes = arrived;
    if (this.prefaceSeen < preface.length) bytes = this.readPreface(bytes);
    while (bytes.length > 0 && !this.over) {
      if (this.running && this.output.answersBytes > this.limits.trunkMemoryBytesMax / 2) {
        const { answersBytes } = this.output;
        return this.violate(
          reasons.tooManyControlFrames,
          `${answersBytes} bytes of answers are not read, more than half of trunkMemoryBytesMax ${this.limits.trunkMemoryBytesMax}`,
        );
      }
      if (this.skipLeft > 0) {
        const size = Math.min(this.skipLeft, bytes.length);
        this.skipLeft -= size;
        bytes = bytes.subarray(size);
      } else if (this.carried === 0) {
        const consumed = this.readFrame(bytes);
        bytes = consumed === 0 ? this.carryOver(bytes) : bytes.subarray(consumed);
      } else {
        bytes = this.carryOver(bytes);
        const consumed = this.readFrame(this.carry.subarray(0, this.carried));
        if (consumed > 0) {
          if (!this.running) this.skipLeft = Math.max(0, this.skipLeft - (this.carried - consumed));
          this.dropCarry();
        }
      }
    }
  }

  /** Keeps what the frame that has begun still lacks. Returns the rest. */
  private carryOver(bytes: Uint8Array): Uint8Array {
    // The head alone comes first: a frame that is too long is never given its memory.
    const { carry, carried } = this;
    const size = carried < headerBytes ? headerBytes : headerBytes + (carry[0]! | (carry[1]! << 8) | (carry[2]! << 16));
    if (carry.length < size) {
      this.carry = new Uint8Array(size);
      this.carry.set(carry.subarray(0, carried));
    }
    const added = Math.min(bytes.length, size - carried);
    this.carry.set(bytes.subarray(0, added), carried);
    this.carried += added;
    return bytes.subarray(added);
  }

  private readPreface(bytes: Uint8Array): Uint8Array {
    const size = Math.min(bytes.length, preface.length - this.prefaceSeen);
    const seen = bytes.subarray(0, size);
    if (equal(seen, preface.subarray(this.prefaceSeen, this.prefaceSeen + size))) {
      this.prefaceSeen += size;
      return bytes.subarray(size);
    }
    const all = new Uint8Array([...preface.subarray(0, this.prefaceSeen), ...seen]);
    const isOther = all.length === preface.length && equal(all.subarray(0, 7), preface.subarray(0, 7));
    if (isOther) this.refuseConnection(reasons.versionMismatch, `here wire generation 1 is spoken, there ${all[7]}`);
    else this.refuseConnection(reasons.notTrunkline, `expected a trunkline preface, saw ${inWords(all)}`);
    return bytes.subarray(bytes.length);
  }

  /** Reads one frame from the beginning of `bytes`. Returns how many bytes that took; 0 when they are too few. */
  private readFrame(bytes: Uint8Array): number {
    if (bytes.length < headerBytes) return 0;
    const length = bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16);
    const type = bytes[3]!;
    const flags = bytes[4]!;
    const isKnown = type >= FrameType.data && type <= FrameType.goodbye;
    const lengthMax = type === FrameType.data || !isKnown ? frameBytesMax : controlBytesMax;
    const all = bytes.length;
    if (!this.running) return this.readAfterGoodbye(type, length, lengthMax);
    if (length > lengthMax) {
      const name = lengthMax === frameBytesMax ? "frame_bytes_max" : "control_bytes_max";
      this.violate(reasons.frameTooLarge, `frame of ${length} bytes exceeds ${name} ${lengthMax}`);
      return all;
    }
    if (!this.farPeers.hello && type !== FrameType.hello) {
      this.violate(
        reasons.protocolError,
        `expected a hello first, saw frame type 0x${type.toString(16).padStart(2, "0")}`,
      );
      return all;
    }
    if (!isKnown) {
      if ((type & 0x80) === 0) {
        this.violate(reasons.protocolError, `frame of unknown mandatory type 0x${type.toString(16).padStart(2, "0")}`);
        return all;
      }
      ++this.counters.unknownFrames;
      if (!this.floodGuard.countUnknownFrame()) return all;
      this.skipLeft = length;
      return headerBytes;
    }
    if (!flagsAreSound(type, flags)) {
      this.violate(
        reasons.protocolError,
        `flags 0x${flags.toString(16)} are not valid on frame type 0x${type.toString(16).padStart(2, "0")}`,
      );
      return all;
    }
    if (bytes.length < headerBytes + length) return 0;
    ++this.counters.framesReceived;
    const body = bytes.subarray(headerBytes, headerBytes + length);
    if (type === FrameType.data) this.onData(body, flags);
    else this.onControl(type, body);
    return headerBytes + length;
  }

  /** We have said goodbye: nothing counts any more but the far side's own, after which nothing is left to wait for. */
  private readAfterGoodbye(type: number, length: number, lengthMax: number): number {
    if (type === FrameType.goodbye || length > lengthMax) this.endNow();
    this.skipLeft = length;
    return headerBytes;
  }

  /** The live circuit that a frame is for; undefined for one that is over, and when the trunk has ended for it. */
  private find(type: number, id: number): MachineCircuit | undefined {
    const circuit = this.live.get(id);
    if (circuit) return circuit;
    const next = (id & 1) === (this.nextHere & 1) ? this.nextHere : this.nextThere;
    if (id !== 0 && id < next) ++this.counters.framesForForgottenCircuits;
    else
      this.violate(
        reasons.protocolError,
        `frame type 0x${type.toString(16).padStart(2, "0")} for circuit ${id}, which was never opened`,
      );
    return undefined;
  }

  private onData(body: Uint8Array, flags: number): void {
    const head = decodeData(body, flags);
    const continues = (flags & Flag.continues) !== 0;
    const size = head.payload.length;
    const cost = size + head.metadata.length + (continues ? 0 : fragmentOverhead);
    if (size > chunkBytesMax)
      return this.violate(
        reasons.frameTooLarge,
        `data frame with ${size} payload bytes exceeds chunk_bytes_max ${chunkBytesMax}`,
      );
    if (head.metadata.length > controlBytesMax)
      return this.violate(
        reasons.frameTooLarge,
        `fragment metadata of ${head.metadata.length} bytes exceeds control_bytes_max ${controlBytesMax}`,
      );
    const circuit = this.find(FrameType.data, head.circuit);
    if (!this.running) return;
    if (!this.window.charge(circuit, cost)) return;
    if (!circuit) return this.window.skip(cost);
    if (circuit.finishedThere) {
      this.window.skip(cost);
      return this.resetProvoked(circuit, end(reasons.protocolViolationOnCircuit, "data after finish"));
    }
    if (circuit.closedHere) return this.window.skip(cost);
    if (continues !== (circuit.assembly !== undefined)) {
      this.window.skip(cost);
      const what = continues ? "a continuation without a beginning" : "a fragment begins inside another";
      return this.violate(reasons.protocolError, `circuit ${circuit.id}: ${what}`);
    }
    const isEmpty = size === 0 && head.metadata.length === 0 && head.op === 0 && head.part === 0n;
    circuit.emptyFrames = isEmpty && !continues ? circuit.emptyFrames + 1 : 0;
    if (circuit.emptyFrames > this.limits.emptyFramesMax) {
      this.window.skip(cost);
      return this.resetProvoked(
        circuit,
        end(
          reasons.protocolViolationOnCircuit,
          `more than emptyFramesMax ${this.limits.emptyFramesMax} empty fragments in a row`,
        ),
      );
    }
    if (continues) {
      const assembly = circuit.assembly!;
      const left = assembly.total - assembly.arrived;
      const isLast = (flags & Flag.last) !== 0;
      if (size === 0 || size > left || isLast !== (size === left)) {
        this.window.skip(cost);
        return this.violate(
          reasons.protocolError,
          `circuit ${circuit.id}: continuation of ${size} bytes${isLast ? ", the last," : ""} where ${left} are missing`,
        );
      }
      return this.window.continueAssembly(circuit, head.payload.slice());
    }
    const isBeginning = (flags & Flag.firstOfMore) !== 0;
    if (isBeginning && head.total > this.limits.fragmentBytesMax) {
      this.window.skip(cost);
      return this.resetProvoked(
        circuit,
        end(
          reasons.fragmentTooLarge,
          `fragment of ${head.total} bytes exceeds fragmentBytesMax ${this.limits.fragmentBytesMax}`,
        ),
      );
    }
    if (isBeginning && (size === 0 || head.total <= size)) {
      this.window.skip(cost);
      return this.violate(
        reasons.protocolError,
        `circuit ${circuit.id}: first of more with ${size} of ${head.total} bytes`,
      );
    }
    const payload = head.payload.slice();
    let fragment: Fragment;
    try {
      fragment = decodeFragment(head, isBeginning ? new Uint8Array(0) : payload, this.now);
    } catch (failure) {
      this.window.skip(cost);
      if (!(failure instanceof Malformed)) throw failure;
      return this.violate(
        reasons.protocolError,
        `circuit ${circuit.id}: malformed fragment metadata: ${failure.message}`,
      );
    }
    const queued = { fragment, cost, extra: 0, trunkExtra: 0 };
    if (isBeginning) this.window.beginAssembly(circuit, queued, head.total, payload);
    else this.window.keep(circuit, queued);
  }

  private onControl(type: number, body: Uint8Array): void {
    switch (type) {
      case FrameType.hello:
        return this.onHello(decodeHello(body));
      case FrameType.open:
        return this.onOpen(body);
      case FrameType.accept:
        return this.onAccept(new Message(body));
      case FrameType.refuse:
        return this.onRefuse(new Message(body));
      case FrameType.credit:
        return this.onCredit(new Message(body));
      case FrameType.finish:
        return this.onFinish(new Message(body));
      case FrameType.finishAcknowledged:
        return this.onFinishAcknowledged(new Message(body));
      case FrameType.close:
        return this.onClose(new Message(body));
      case FrameType.closeReceived:
        return this.onCloseReceived(new Message(body));
      case FrameType.reset:
        return this.onReset(new Message(body));
      case FrameType.peerMetadata:
        return this.onPeerMetadata(body);
      case FrameType.peerEnded:
        return this.onPeerEnded(new Message(body));
      case FrameType.ping:
        return this.onPing(new Message(body));
      case FrameType.pong:
        this.floodGuard.countControlFrame();
        return this.keepalive.heardPong(new Message(body).big(1));
      case FrameType.drain:
        return this.onDrain(body);
      case FrameType.goodbye:
        return this.onGoodbye(new Message(body));
    }
  }

  private onHello(hello: Hello): void {
    if (this.farPeers.hello) return this.violate(reasons.protocolError, "a second hello");
    if (hello.nodeId.length !== idBytes || hello.nodeId.every((byte) => byte === 0))
      return this.violate(
        reasons.protocolError,
        `node id of ${hello.nodeId.length} bytes in hello, expected 16 that are not all zero`,
      );
    if (hello.versionMin > version || hello.versionMax < version)
      return this.violate(
        reasons.versionMismatch,
        `here versions 1 to 1 are spoken, there ${hello.versionMin} to ${hello.versionMax}`,
      );
    const demanded = hello.mandatoryFeatures[0];
    if (demanded !== undefined)
      return this.violate(reasons.mandatoryFeatureUnknown, `the far side demands "${printable(demanded, 128)}"`);
    if (hello.binding && hello.binding.length > 0)
      return this.violate(reasons.notProven, "a hello that was made for a connection over TLS, on one without");
    if (equal(hello.nodeId, this.options.nodeId))
      return this.violate(reasons.dialledSelf, "the far side is this node itself");
    this.farPeers.hello = { ...hello, nodeName: cut(hello.nodeName, this.limits.nameBytesMax) };
    if (hello.features.includes("shares")) {
      this.window.share(hello.takes.controlFramesPerSecondMax);
      this.scheduler.share();
    }
    this.localPeers.hearLimits();
    this.emit({ kind: "hello" });
  }

  private onOpen(body: Uint8Array): void {
    const open = decodeOpen(body);
    if (open.circuit !== this.nextThere)
      return this.violate(reasons.protocolError, `open of circuit ${open.circuit}, expected ${this.nextThere}`);
    const isSound = open.fromPeer.length === idBytes && (open.toPeer.length === idBytes || open.toPeer.length === 0);
    if (!isSound || open.mode < OpenMode.join || open.mode > OpenMode.startOnly)
      return this.violate(reasons.protocolError, `open of circuit ${open.circuit} with a malformed peer id or mode`);
    if (this.drainingThere) return this.violate(reasons.protocolError, `open of circuit ${open.circuit} after drain`);
    this.nextThere += 2;
    this.farPeers.noteOpened();
    const sizes = [open.name, open.fromService, open.userString, open.toService].map((each) => encodeText(each).length);
    const [name, fromService, userString, toService] = sizes as [number, number, number, number];
    const strings = name + fromService + userString;
    const why = this.whyNotOpened(Math.max(name, fromService), userString, toService, strings);
    if (why) return this.putRefuse(open.circuit, why.reason, why.text, "");
    const circuit = new MachineCircuit(open.circuit, false, this.now, {
      local: undefined,
      remote: { id: open.fromPeer, service: open.fromService },
      name: open.name,
      userString: open.userString,
    });
    circuit.strings = strings;
    circuit.inBacklog = true;
    circuit.answer = open.wantsAnswer ? "awaited" : "unasked";
    if (open.remainingMs !== 0) circuit.deadline = this.now + Math.min(open.remainingMs, remainingMsMax);
    ++this.openedThere;
    this.stringsThere += strings;
    this.live.set(circuit.id, circuit);
    this.addDeadline(circuit);
    this.emit({ kind: "opened", circuit, open });
  }

  private whyNotOpened(name: number, userString: number, service: number, strings: number): End | undefined {
    const { nameBytesMax, userStringBytesMax, circuitsMax, circuitStringsBytesMax } = this.limits;
    if (name > nameBytesMax || userString > userStringBytesMax)
      return end(
        reasons.protocolViolationOnCircuit,
        `name of ${name} bytes or user string of ${userString} exceeds nameBytesMax ${nameBytesMax} or userStringBytesMax ${userStringBytesMax}`,
      );
    if (service > nameBytesMax)
      return end(reasons.noService, `no service has a name of ${service} bytes, nameBytesMax is ${nameBytesMax}`);
    if (this.drainingHere) return end(reasons.draining, "this node takes no new circuits");
    if (this.openedThere >= circuitsMax) return end(reasons.circuitLimitReached, `circuitsMax ${circuitsMax} reached`);
    if (this.stringsThere + strings > circuitStringsBytesMax)
      return end(reasons.circuitLimitReached, `circuitStringsBytesMax ${circuitStringsBytesMax} reached`);
    return undefined;
  }

  private reasonIn(message: Message, otherwise: number): End {
    return end(message.uint32(2) || otherwise, cut(message.text(3), this.limits.reasonBytesMax), true);
  }

  private onAccept(message: Message): void {
    const circuit = this.find(FrameType.accept, message.number(1));
    if (!circuit) return;
    const service = message.bytes(3);
    if (service.length > this.limits.nameBytesMax)
      return this.violate(
        reasons.protocolError,
        `accept of circuit ${circuit.id} by a service with a name of ${service.length} bytes`,
      );
    const peer = message.bytes(2);
    if (!circuit.openedHere || circuit.answer !== "awaited" || peer.length !== idBytes)
      return this.violate(reasons.protocolError, `accept of circuit ${circuit.id}, which waits for none`);
    circuit.answer = "given";
    circuit.remote = { id: peer, service: decodeText(service) };
    this.emit({ kind: "answered", circuit });
  }

  private onRefuse(message: Message): void {
    const circuit = this.find(FrameType.refuse, message.number(1));
    if (!circuit) return;
    if (!circuit.openedHere)
      return this.violate(reasons.protocolError, `refuse of circuit ${circuit.id} by its opener`);
    const reason = this.reasonIn(message, reasons.accessDenied);
    this.endCircuit(circuit, { ...reason, existingUrl: cut(message.text(4), controlBytesMax / 4) });
  }

  private onCredit(message: Message): void {
    const bytes = message.number(2);
    if (bytes === 0) return this.violate(reasons.flowControlViolated, "credit of 0 bytes");
    if (bytes < creditTiny) this.floodGuard.countControlFrame();
    const id = message.number(1);
    if (id === 0) return this.scheduler.addTrunkCredit(bytes, message.number(3), this.live.get(message.number(4)));
    const circuit = this.find(FrameType.credit, id);
    if (circuit) this.scheduler.addCredit(circuit, bytes, message.number(3));
  }

  private onFinish(message: Message): void {
    const circuit = this.find(FrameType.finish, message.number(1));
    if (!circuit) return;
    if (circuit.finishedThere || circuit.assembly)
      return this.resetProvoked(
        circuit,
        end(reasons.protocolViolationOnCircuit, circuit.assembly ? "finish inside a fragment" : "a second finish"),
      );
    circuit.in = "finished";
    this.emit({ kind: "readable", circuit });
    this.emit({ kind: "errorReadable", circuit });
    this.acknowledgeFinish(circuit);
  }

  private onFinishAcknowledged(message: Message): void {
    const circuit = this.find(FrameType.finishAcknowledged, message.number(1));
    if (!circuit) return;
    const wasSaid = circuit.out === "finished" || circuit.closedHere;
    if (!wasSaid || circuit.out === "acknowledged")
      return this.violate(reasons.protocolError, `circuit ${circuit.id}: an unsent finish is acknowledged`);
    circuit.out = "acknowledged";
    this.emit({ kind: "finished", circuit });
    this.endWhenDone(circuit);
  }

  private onClose(message: Message): void {
    const circuit = this.find(FrameType.close, message.number(1));
    if (!circuit) return;
    if (circuit.assembly)
      return this.resetProvoked(circuit, end(reasons.protocolViolationOnCircuit, "close inside a fragment"));
    if (circuit.in === "open") circuit.in = "finished";
    circuit.closedThere = true;
    const wasSaid = circuit.closing === "said";
    if (circuit.closedHere) circuit.closing = "answered";
    let reason = message.uint32(2) === reasons.clean ? cleanEnd : this.reasonIn(message, reasons.clean);
    if (wasSaid) {
      // each is the answer to the other
      if (circuit.end) reason = circuit.end;
    } else {
      this.output.putControl(FrameType.closeReceived, encodeNumber(circuit.id));
    }
    this.endCircuit(circuit, reason);
  }

  private onCloseReceived(message: Message): void {
    const circuit = this.find(FrameType.closeReceived, message.number(1));
    if (!circuit) return;
    if (circuit.closing !== "said")
      return this.violate(reasons.protocolError, `circuit ${circuit.id}: an unsent close is answered`);
    circuit.closing = "answered";
    this.endCircuit(circuit, circuit.end ?? cleanEnd);
  }

  private onReset(message: Message): void {
    const circuit = this.find(FrameType.reset, message.number(1));
    if (!circuit) return;
    this.noteCancelled(circuit);
    if (circuit.closedHere) circuit.closing = "answered";
    this.endCircuit(circuit, this.reasonIn(message, reasons.circuitReset));
  }

  /** Something that no far side does for no reason makes our side reset the circuit. */
  private resetProvoked(circuit: MachineCircuit, reason: End): void {
    this.noteCancelled(circuit);
    this.resetCircuit(circuit, reason);
  }

  /** The far side gives up a circuit that it had opened just before, and that got no answer: work for nothing. */
  private noteCancelled(circuit: MachineCircuit): void {
    if (circuit.openedHere) return;
    const isAnswered = circuit.counters.fragmentsSent > 0 || circuit.finishedHere;
    if (isAnswered || this.now - circuit.openedAt >= cancelledWithinMs) return;
    ++this.counters.opensCancelled;
    if (circuit.inBacklog) this.floodGuard.countControlFrame();
    else this.floodGuard.countCancelledOpen();
  }

  /** Once, when everything before the far side's finish was taken; error fragments hold up nothing. */
  private acknowledgeFinish(circuit: MachineCircuit): void {
    if (circuit.in !== "finished" || circuit.ended || circuit.closedHere || circuit.reads.length > 0) return;
    circuit.in = "acknowledged";
    this.output.putControl(FrameType.finishAcknowledged, encodeNumber(circuit.id));
    this.endWhenDone(circuit);
  }

  /** Both directions finished, and both sides know that everything was taken: over without another word. */
  private endWhenDone(circuit: MachineCircuit): void {
    if (circuit.out !== "acknowledged" || circuit.in !== "acknowledged") return;
    if (circuit.closing === "no") {
      this.endCircuit(circuit, cleanEnd);
    } else if (circuit.closing === "said") {
      circuit.closing = "answered";
      this.endCircuit(circuit, circuit.end ?? cleanEnd);
    }
  }

  private onPeerMetadata(body: Uint8Array): void {
    this.floodGuard.countControlFrame();
    const { peer, metadata, bytes } = decodePeerMetadata(body);
    if (peer.length !== idBytes) return this.violate(reasons.protocolError, "metadata of a malformed peer id");
    // A side may say as much as is assumed before it has heard of our limits: what there is no room for is dropped.
    const bytesMax = assumedLimits.metadataBytesMax;
    if (bytes > bytesMax || metadata.size > argsMax)
      return this.violate(
        reasons.protocolError,
        `metadata of ${bytes} bytes in ${metadata.size} items exceeds metadataBytesMax ${bytesMax} or ${argsMax} items`,
      );
    this.farPeers.keep(idText(peer), metadata);
    this.emit({ kind: "metadata", peer: idText(peer) });
  }

  private onPeerEnded(message: Message): void {
    if (!this.farPeers.endIsExpected()) this.floodGuard.countControlFrame();
    const peer = message.bytes(1);
    if (peer.length !== idBytes) return this.violate(reasons.protocolError, "the end of a malformed peer id");
    this.farPeers.forget(idText(peer));
    this.emit({ kind: "peerEnded", peer: idText(peer), end: this.reasonIn(message, reasons.clean) });
  }

  private onPing(message: Message): void {
    if (!this.floodGuard.countPing()) return;
    const isDeferred = !this.keepalive.hasPongDue && !this.floodGuard.countPong();
    this.keepalive.heardPing(message.big(1), isDeferred);
  }

  private onDrain(body: Uint8Array): void {
    this.floodGuard.countControlFrame();
    void new Message(body);
    if (this.drainingThere) return;
    // Our own says that no OPEN of ours is under way any more.
    if (!this.draining) this.output.putControl(FrameType.drain, new Uint8Array(0));
    this.drainingThere = true;
    this.emit({ kind: "draining" });
    this.goodbyeWhenDrained();
  }

  private onGoodbye(message: Message): void {
    const reason = message.uint32(1);
    const text = printable(cut(message.text(2), this.limits.reasonBytesMax));
    const cause = end(reason, text, reason !== reasons.clean);
    this.endNow();
    const isBroken = reason >= reasons.protocolError && reason < reasons.fragmentTooLarge;
    if (reason === reasons.clean) this.endAll(end(reasons.draining, "the far side has drained"));
    else this.endAll(isBroken ? end(reasons.trunkLost, describe(cause)) : cause);
    this.emit({ kind: "closed", end: cause });
  }

  /** Throws when a part miscounts. Looks at everything: for tests. */
  check(): void {
    this.output.check();
    this.window.check();
    this.scheduler.check(this.all());
    this.farPeers.check();
    let here = 0;
    let there = 0;
    let strings = 0;
    for (const circuit of this.all()) {
      if (circuit.openedHere) here += circuit.ended ? 0 : 1;
      else ++there;
      strings += circuit.strings;
      invariant(
        circuit.ended !== this.live.has(circuit.id) || circuit.id === 0,
        "circuits: what has not ended is live",
      );
      invariant(!circuit.closedHere || circuit.finishedHere, "circuits: a close finishes");
    }
    invariant(here === this.openedHere, "circuits: openedHere == our live circuits");
    invariant(there === this.openedThere, "circuits: openedThere == the far side's circuits");
    invariant(strings === this.stringsThere, "circuits: strings == the sum of the circuits'");
    invariant(this.carry.length <= headerBytes + frameBytesMax, "reader: carried bytes < a frame");
  }
}

function inWords(seen: Uint8Array): string {
  if (seen[0] === 0x16 && seen[1] === 0x03) return "a TLS client hello; this end speaks plain trunkline";
  const text = decodeText(seen);
  if (/^(GET |POST|HEAD|PUT |PRI |HTTP|OPTI|CONN|DELE)/.test(text)) return "an HTTP request or answer";
  if (text.startsWith("SSH-")) return "an SSH banner";
  return `"${printable(text, 8)}"`;
}
