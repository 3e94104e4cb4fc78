// The handle of one circuit: an ordered two-way conversation between two peers.
import { idText } from "./bytes.ts";
import { cleanEnd, end, fail, reasons, TrunklineError, type End } from "./end.ts";
import { toFragment, type Fragment, type FragmentInit } from "./fragment.ts";
import type { Metadata } from "./frames.ts";
import { withResolvers, type Link } from "./link.ts";
import type { CircuitCounters, MachineCircuit } from "./machine/circuit.ts";

/** What an opener may state about a new circuit besides its destination. */
export interface CircuitOptions {
  /** Shown on both sides. */
  name?: string;
  /** For the user's own purposes. */
  userString?: string;
  /** Asks the far side to say that it accepted; needed for `accepted`. */
  wantsAnswer?: boolean;
  /** After so many milliseconds the circuit is reset on both sides, whatever it is doing. */
  deadlineMs?: number;
  /** The new circuit ends no later than this one. */
  inherit?: Circuit;
  /** When it aborts, the circuit is reset. */
  signal?: AbortSignal;
}

/** A wait that can be given up: a receive then took nothing, a send sent nothing. */
export interface WaitOptions {
  signal?: AbortSignal;
}

/**
 * An ordered two-way conversation between two peers. `for await (const fragment of circuit)` receives until the far
 * side has finished. Close or finish what you open, and take what comes: a circuit that its far side opened keeps its
 * place until it is closed, finished both ways or disposed of. A handler that `Node.serve` calls need not: its circuit
 * is closed when it returns, and reset when it throws.
 */
export class Circuit implements AsyncIterable<Fragment> {
  readonly link: Link;
  /** For the package's own use. */
  readonly state: MachineCircuit;
  private waiters: (() => void)[] = [];
  private sendLine: Promise<void> | undefined;
  private over: { promise: Promise<End>; resolve: (ended: End) => void } | undefined;
  private aborting: AbortController | undefined;
  // What had not been taken when a circuit of ours ended; the machine has let go of it then.
  private rest: { reads: Fragment[]; errors: Fragment[] } | undefined;
  private isSettled = false;

  private constructor(link: Link, state: MachineCircuit) {
    this.link = link;
    this.state = state;
    state.owner = this;
  }

  /** For the package's own use: the handle of a machine's circuit, if there is one. */
  static of(link: Link, state: MachineCircuit): Circuit | undefined {
    return state.owner instanceof Circuit && state.owner.link === link ? state.owner : undefined;
  }
  /** For the package's own use. */
  static wrap(link: Link, state: MachineCircuit, signal?: AbortSignal): Circuit {
    const circuit = new Circuit(link, state);
    if (signal) {
      const abort = (): void => circuit.reset();
      if (signal.aborted) abort();
      else {
        signal.addEventListener("abort", abort, { once: true });
        void circuit.closed.then(() => signal.removeEventListener("abort", abort));
      }
    }
    circuit.wake();
    return circuit;
  }

  /** For the package's own use: something about the circuit has changed. */
  wake(): void {
    if (this.state.ended && !this.isSettled) this.settle();
    const waiters = this.waiters;
    this.waiters = [];
    for (const each of waiters) each();
  }

  private settle(): void {
    this.isSettled = true;
    const { state, link } = this;
    if (state.openedHere) {
      const now = link.machine.now;
      this.rest = { reads: [], errors: [] };
      for (let each = link.machine.take(state, now); each; each = link.machine.take(state, now))
        this.rest.reads.push(each);
      for (let each = link.machine.takeError(state, now); each; each = link.machine.takeError(state, now))
        this.rest.errors.push(each);
    }
    this.releaseWhenDone();
    this.over?.resolve(this.ended!);
    const isGivenUp = !state.closedThere && this.ended!.reason !== reasons.clean;
    if (isGivenUp) this.aborting?.abort(new TrunklineError(this.ended!));
  }

  private releaseWhenDone(): void {
    const { state } = this;
    if (state.ended && !state.released && state.reads.length === 0 && state.errors.length === 0)
      this.link.machine.release(state);
  }

  private now(): number {
    return this.link.now();
  }

  private changed(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const abort = (): void => {
        this.waiters = this.waiters.filter((each) => each !== done);
        reject(signal!.reason);
      };
      const done = (): void => {
        signal?.removeEventListener("abort", abort);
        resolve();
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.waiters.push(done);
    });
  }

  // Sending.

  /**
   * Sends without waiting. `no_credit`: `send` would wait; `closed`: nothing can be sent any more. Throws what is too
   * large.
   */
  sendOneWay(init: Fragment | FragmentInit): "queued" | "no_credit" | "closed" {
    if (this.sendLine) return "no_credit"; // others wait before it
    return this.sendNow(toFragment(init));
  }

  private sendNow(fragment: Fragment): "queued" | "no_credit" | "closed" {
    const why = this.link.machine.whyNot(fragment);
    if (why !== "") fail(reasons.fragmentTooLarge, why);
    const outcome = this.link.machine.send(this.state, fragment, this.now());
    if (outcome === "queued") this.link.schedulePump();
    return outcome;
  }

  /**
   * Sends after everything already sent on this circuit. Waits for credit and for room, never for a reply. Sends that
   * wait at once go out in the order of the calls. Leave the payload alone until the far side has taken it.
   */
  async send(init: Fragment | FragmentInit, options: WaitOptions = {}): Promise<void> {
    const fragment = toFragment(init);
    options.signal?.throwIfAborted();
    const before = this.sendLine;
    if (!before) {
      const outcome = this.sendNow(fragment);
      if (outcome === "queued") return;
      if (outcome === "closed") this.throwClosed();
    }
    const mine = this.sendInTurn(fragment, before, options.signal);
    const line = mine
      .catch(() => undefined)
      .then(() => {
        if (this.sendLine === line) this.sendLine = undefined;
      });
    this.sendLine = line;
    return mine;
  }

  private async sendInTurn(
    fragment: Fragment,
    before: Promise<void> | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    await before;
    for (;;) {
      signal?.throwIfAborted();
      const outcome = this.sendNow(fragment);
      if (outcome === "queued") return;
      if (outcome === "closed") this.throwClosed();
      await this.changed(signal);
    }
  }

  private throwClosed(): never {
    const ended = this.state.end;
    throw new TrunklineError(ended ?? end(reasons.circuitClosed, "nothing more can be sent"));
  }

  /** Says that nothing more comes from this side; everything sent before arrives first. Receiving goes on. */
  finish(): void {
    this.link.with((machine) => machine.finish(this.state));
  }

  /**
   * Waits until the far side's application has taken everything up to our finish. Throws the reason of an end before
   * that.
   */
  async finishAcknowledged(options: WaitOptions = {}): Promise<void> {
    if (!this.state.finishedHere) fail(reasons.handleMisused, "finishAcknowledged before a finish");
    while (this.state.out !== "acknowledged") {
      // It was closed, and that was answered.
      if (this.state.ended && this.state.closing === "answered" && !this.state.end) return;
      if (this.state.ended) this.throwClosed();
      await this.changed(options.signal);
    }
  }

  // Receiving.

  private takeRead(): Fragment | undefined {
    if (this.rest) return this.rest.reads.shift();
    const taken = this.link.machine.take(this.state, this.now());
    if (taken) this.noteTaken();
    return taken;
  }
  private takeErr(): Fragment | undefined {
    if (this.rest) return this.rest.errors.shift();
    const taken = this.link.machine.takeError(this.state, this.now());
    if (taken) this.noteTaken();
    return taken;
  }
  private noteTaken(): void {
    this.link.schedulePump(); // credit goes back
    this.releaseWhenDone();
  }

  /** The next fragment if it has arrived. */
  tryReceive(): Fragment | undefined {
    for (;;) {
      const fragment = this.takeRead();
      if (!fragment?.cancels) return fragment;
    }
  }

  /**
   * The next fragment, or undefined when the far side has finished. Throws the reason of an unclean end, after what had
   * arrived.
   */
  receive(options: WaitOptions = {}): Promise<Fragment | undefined> {
    return this.next(() => this.tryReceive(), options.signal);
  }
  /** The next fragment whose `err` is set; ends as `receive` does. Of errors that are not taken the latest are kept. */
  receiveError(options: WaitOptions = {}): Promise<Fragment | undefined> {
    return this.next(() => this.takeErr(), options.signal);
  }
  /** The next fragment of either queue, which have no order between them. */
  receiveAny(options: WaitOptions = {}): Promise<Fragment | undefined> {
    return this.next(() => this.tryReceive() ?? this.takeErr(), options.signal);
  }
  /** For answerCalls: as `receive`, and shows also the words about calls. */
  receiveWithWords(options: WaitOptions = {}): Promise<Fragment | undefined> {
    return this.next(() => this.takeRead(), options.signal);
  }

  private async next(take: () => Fragment | undefined, signal: AbortSignal | undefined): Promise<Fragment | undefined> {
    for (;;) {
      signal?.throwIfAborted();
      const fragment = take();
      if (fragment) return fragment;
      const { state } = this;
      if (state.end && (state.ended || state.closedHere)) throw new TrunklineError(state.end);
      if (state.ended || state.closedHere || state.finishedThere) return undefined;
      await this.changed(signal);
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Fragment> {
    for (let fragment = await this.receive(); fragment; fragment = await this.receive()) yield fragment;
  }

  // Ending.

  /**
   * Finishes both ways: everything sent before arrives, what the far side still sends is dropped. With a reason, the
   * far side's `receive` throws it.
   */
  close(reason: End = cleanEnd): void {
    this.link.with((machine) => machine.close(this.state, reason));
    this.wake();
  }
  /** Gives up now: fragments that are queued on either side may be lost. */
  reset(reason: End = end(reasons.circuitReset)): void {
    this.link.with((machine) => machine.reset(this.state, reason));
    this.wake();
  }
  /** Lets go: closed when it was finished or closed, and reset as abandoned otherwise. */
  [Symbol.dispose](): void {
    this.link.with((machine) => machine.release(this.state));
    this.wake();
  }
  /** The circuit is not served, and no handler has seen it. */
  refuse(reason: number, text: string): void {
    this.link.with((machine) => machine.refuse(this.state, reason, text));
    this.wake();
  }

  /** Resolves when nothing more crosses this circuit. */
  get closed(): Promise<End> {
    if (!this.over) {
      this.over = withResolvers<End>();
      if (this.state.ended) this.over.resolve(this.ended!);
    }
    return this.over.promise;
  }
  /** How it ended; undefined while it lives. */
  get ended(): End | undefined {
    return this.state.ended ? (this.state.end ?? cleanEnd) : undefined;
  }
  /**
   * Aborts when the circuit is given up: it was reset, its deadline passed, or its connection was lost. Not when the
   * far side closed it.
   */
  get signal(): AbortSignal {
    if (!this.aborting) {
      this.aborting = new AbortController();
      if (this.state.ended && !this.state.closedThere && this.state.end)
        this.aborting.abort(new TrunklineError(this.state.end));
    }
    return this.aborting.signal;
  }

  /** Waits until the far side has accepted. Throws the reason of a refusal. */
  async accepted(options: WaitOptions = {}): Promise<void> {
    if (this.state.answer === "unasked" || !this.state.openedHere)
      fail(reasons.handleMisused, "accepted on a circuit that asked for no answer");
    while (this.state.answer !== "given") {
      if (this.state.ended) throw new TrunklineError(this.state.end ?? end(reasons.circuitClosed));
      await this.changed(options.signal);
    }
  }

  /** Opens another circuit between the same two peers. */
  newCircuit(first?: Fragment | FragmentInit, options: CircuitOptions = {}): Circuit {
    const opener = this.opener;
    if (!opener) fail(reasons.handleMisused, "newCircuit of a circuit that no peer of this side has taken");
    return opener(this, first, { inherit: this, ...options });
  }
  /** For the package's own use. */
  opener: ((from: Circuit, first: Fragment | FragmentInit | undefined, options: CircuitOptions) => Circuit) | undefined;

  // Names and figures.

  /** Its number on the wire; 0: it never reached it. */
  get id(): number {
    return this.state.id;
  }
  get name(): string {
    return this.state.name;
  }
  get userString(): string {
    return this.state.userString;
  }
  get openedHere(): boolean {
    return this.state.openedHere;
  }
  get isOpen(): boolean {
    return !this.state.ended;
  }
  get localService(): string {
    return this.state.local?.service ?? "";
  }
  get remoteService(): string {
    return this.state.remote.service;
  }
  /** The far peer's id; empty before it is known. */
  get remotePeer(): string {
    return this.state.remote.id.length === 0 ? "" : idText(this.state.remote.id);
  }
  /** The far node's id, as its Hello says; empty before that. */
  get remoteNode(): string {
    return this.link.node ? idText(this.link.node) : "";
  }
  /**
   * When the circuit is reset because its opener gave it that long, by the clock of the node; undefined without such a
   * deadline.
   */
  get deadline(): number | undefined {
    return this.state.deadline === Infinity ? undefined : this.state.deadline;
  }
  /** What is left of the deadline, in milliseconds. */
  get remainingMs(): number | undefined {
    return this.deadline === undefined ? undefined : Math.max(0, this.deadline - this.now());
  }
  get counters(): Readonly<CircuitCounters> {
    return this.state.counters;
  }
  /** Bytes that may be sent now without waiting. */
  get creditBytes(): number {
    return this.link.machine.creditBytes(this.state);
  }
  /** The far peer's user metadata as last heard. */
  get remoteMetadata(): Metadata | undefined {
    return this.link.machine.remoteMetadata(this.state.remote.id);
  }
  /** Waits until the far peer's user metadata may differ from what it is now. */
  async metadataChanged(options: WaitOptions = {}): Promise<void> {
    const before = this.remoteMetadata;
    while (this.remoteMetadata === before) {
      if (this.state.ended) this.throwClosed();
      await this.changed(options.signal);
    }
  }
}
