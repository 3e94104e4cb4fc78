// One open connection of a node: a machine, the transport that carries its bytes, and a timer.
import { cut, idText, type Id } from "./bytes.ts";
import { Circuit } from "./circuit.ts";
import type { Clock } from "./clock.ts";
import { cleanEnd, end, reasons, type End } from "./end.ts";
import type { Open } from "./frames.ts";
import type { MachineCircuit } from "./machine/circuit.ts";
import { Machine, type MachineOptions } from "./machine/machine.ts";
import type { MachineEvent } from "./machine/whole.ts";
import type { Transport } from "./transport.ts";

const writeBytes = 256 * 1024;

/** What a node wants to know of its links. */
export interface LinkOwner {
  readonly clock: Clock;
  opened(link: Link, circuit: MachineCircuit, open: Open): void;
  changed(link: Link): void;
  metadataChanged(link: Link, peer: string): void;
}

export interface LinkInfo {
  /** Of the far side, as its Hello says; empty before. */
  readonly node: string;
  readonly name: string;
  readonly remote: string;
  readonly dialled: boolean;
  readonly draining: boolean;
  readonly roundTripMs: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly circuits: readonly CircuitInfo[];
}

export interface CircuitInfo {
  readonly number: number;
  readonly openedHere: boolean;
  readonly name: string;
  readonly service: string;
  readonly remoteService: string;
  readonly fragmentsSent: number;
  readonly fragmentsReceived: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Bytes that may be sent on it at once. */
  readonly credit: number;
}

export class Link {
  /** Our side opened the connection. */
  readonly dialled: boolean;
  readonly remote: string;
  /** Of an address that was dialled. */
  readonly address: string;
  /** For the package's own use. */
  readonly machine: Machine;
  private readonly owner: LinkOwner;
  private transport: Transport | undefined;
  private cancelTimer: (() => void) | undefined;
  private timerAt = Infinity;
  private isWriting = false;
  private isPumping = false;
  private isScheduled = false;
  private isEnded = false;
  private heldInput: Uint8Array[] = [];
  private heldBytes = 0;
  private isPaused = false;
  private hello: { resolve: () => void; promise: Promise<void> };
  private over: { resolve: (ended: End) => void; promise: Promise<End> };
  private why: End | undefined;

  constructor(owner: LinkOwner, options: MachineOptions, remote: string, address: string) {
    this.owner = owner;
    this.dialled = options.dialled;
    this.remote = remote;
    this.address = address;
    this.machine = new Machine({ ...options, farEnd: cut(remote, 200) }, owner.clock.now());
    this.hello = withResolvers<void>();
    this.over = withResolvers<End>();
  }

  /** Why it is over; undefined while it is not. */
  get end(): End | undefined {
    return this.why;
  }
  /** Resolves when the far side has said Hello, or the link is over. */
  get opened(): Promise<void> {
    return this.hello.promise;
  }
  /** Resolves when it is over. */
  get closed(): Promise<End> {
    return this.over.promise;
  }
  get isOpen(): boolean {
    return this.machine.running;
  }
  get node(): Id | undefined {
    return this.machine.remote?.nodeId;
  }

  info(): LinkInfo {
    const { machine } = this;
    return {
      node: machine.remote ? idText(machine.remote.nodeId) : "",
      name: machine.remote?.nodeName ?? "",
      remote: this.remote,
      dialled: this.dialled,
      draining: machine.draining,
      roundTripMs: machine.counters.roundTrip,
      bytesSent: machine.counters.bytesSent,
      bytesReceived: machine.counters.bytesReceived,
      circuits: machine.circuits().map((each) => ({
        number: each.id,
        openedHere: each.openedHere,
        name: each.name,
        service: each.local?.service ?? "",
        remoteService: each.remote.service,
        ...each.counters,
        credit: machine.creditBytes(each),
      })),
    };
  }

  /** The connection is there. */
  attach(transport: Transport): void {
    this.transport = transport;
    transport.start({
      bytes: (bytes) => this.arrived(bytes),
      written: () => {
        this.isWriting = false;
        this.with((machine) => machine.written(this.now()));
      },
      progressed: () => this.with((machine) => machine.writeProgressed(this.now())),
      ended: (trouble) => this.lost(trouble === "" ? undefined : end(reasons.trunkLost, trouble)),
    });
    this.pump();
  }

  /** There is no connection, or none any more. */
  lost(cause: End | undefined): void {
    this.transport = undefined;
    this.with((machine) => machine.disconnected(cause, this.now()));
  }

  /** Says goodbye; circuits end with the reason. */
  close(reason: End = cleanEnd): void {
    this.with((machine) => (this.transport ? machine.closeTrunk(reason) : machine.disconnected(reason, this.now())));
  }

  /** By the node's clock. */
  now(): number {
    return this.owner.clock.now();
  }

  /** Calls the action after so long by the node's clock, unless it is cancelled. */
  after(ms: number, action: () => void): () => void {
    return this.owner.clock.after(ms, action);
  }

  private arrived(bytes: Uint8Array): void {
    if (this.machine.wantsInput && this.heldBytes === 0) return this.with((machine) => machine.feed(bytes, this.now()));
    this.heldInput.push(bytes);
    this.heldBytes += bytes.length;
    const { heldInputBytesMax } = this.machine.limits;
    if (this.heldBytes <= heldInputBytesMax) return;
    this.dropHeld();
    const text = `${heldInputBytesMax} bytes arrived while more control frames were being held back: heldInputBytesMax`;
    this.with((machine) => machine.violate(reasons.tooManyControlFrames, text));
  }

  private dropHeld(): void {
    this.heldInput = [];
    this.heldBytes = 0;
  }

  /** Gives the machine an input and handles what it causes: state first, then whoever waits. */
  with<T>(input: (machine: Machine) => T): T {
    const result = input(this.machine);
    this.pump();
    return result;
  }

  /** For sends: what they cause leaves together, at the end of this turn. */
  schedulePump(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    queueMicrotask(() => {
      this.isScheduled = false;
      this.pump();
    });
  }

  private pump(): void {
    if (this.isPumping) return;
    this.isPumping = true;
    try {
      for (;;) {
        const events = this.machine.takeEvents();
        for (const event of events) this.dispatch(event);
        this.feedHeld();
        this.write();
        if (events.length === 0) break;
      }
    } finally {
      this.isPumping = false;
    }
    this.setTimer();
    if (this.machine.over) this.finish();
  }

  private feedHeld(): void {
    while (this.heldBytes > 0 && this.machine.wantsInput && this.machine.running) {
      const bytes = this.heldInput.shift()!;
      this.heldBytes -= bytes.length;
      this.machine.feed(bytes, this.now());
    }
    if (!this.machine.running) this.dropHeld();
    const wants = this.machine.wantsInput || !this.machine.running;
    if (this.isPaused === !wants) return;
    this.isPaused = !wants;
    if (wants) this.transport?.resume();
    else this.transport?.pause();
  }

  private write(): void {
    while (this.transport && !this.isWriting && this.machine.hasOutput()) {
      const bytes = this.machine.takeOutput(writeBytes, this.now());
      if (bytes.length === 0) return;
      this.isWriting = true;
      this.transport.write(bytes);
    }
  }

  private setTimer(): void {
    const at = this.machine.deadline();
    if (at === this.timerAt) return;
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    this.timerAt = at;
    if (at === Infinity) return;
    this.cancelTimer = this.owner.clock.after(at - this.now(), () => {
      this.timerAt = Infinity;
      this.cancelTimer = undefined;
      this.with((machine) => machine.tick(this.now()));
    });
  }

  private finish(): void {
    if (this.isEnded) return;
    this.isEnded = true;
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    this.timerAt = Infinity;
    this.transport?.end();
    this.transport = undefined;
    this.hello.resolve();
    this.over.resolve(this.why ?? cleanEnd);
    this.owner.changed(this);
  }

  private dispatch(event: MachineEvent): void {
    switch (event.kind) {
      case "hello":
        this.hello.resolve();
        return this.owner.changed(this);
      case "opened":
        return this.owner.opened(this, event.circuit, event.open);
      case "draining":
        return this.owner.changed(this);
      case "metadata":
        return this.owner.metadataChanged(this, event.peer);
      case "peerEnded":
      case "lost":
        return;
      case "closed":
        this.why = event.end;
        this.hello.resolve();
        return this.owner.changed(this);
      default:
        return Circuit.of(this, event.circuit)?.wake();
    }
  }
}

/** Promise.withResolvers, which Node.js 20 lacks. */
export function withResolvers<T>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (failure: unknown) => void;
} {
  let resolve!: (value: T) => void;
  let reject!: (failure: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
