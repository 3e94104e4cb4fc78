// A running instance of a service on this node: it takes circuits and opens circuits.
import { idText, type Id } from "./bytes.ts";
import { Circuit, type CircuitOptions } from "./circuit.ts";
import { cleanEnd, end, fail, reasons, TrunklineError, type End } from "./end.ts";
import { toFragment, type Fragment, type FragmentInit } from "./fragment.ts";
import { OpenMode, type Metadata } from "./frames.ts";
import { withResolvers, type Link } from "./link.ts";
import type { MachineCircuit, PeerName } from "./machine/circuit.ts";
import { metadataBytes } from "./machine/peers.ts";
import type { There } from "./node.ts";

/** The long form of a service: one call is the whole life of one peer, which takes circuits until it ends. */
export type Service = (peer: LocalPeer, circuits: AsyncIterable<Circuit>) => Promise<void>;
/** The short form: one call for each circuit. It is closed when the call returns, and reset when it throws. */
export type CircuitHandler = (circuit: Circuit, peer: LocalPeer) => Promise<void> | void;

export interface ServiceOptions {
  /** Instances at once; a start beyond it is refused, and names one that runs. Default: any number. */
  instancesMax?: number;
  /** Circuits that may wait for an instance; more are refused. Default: openBacklogMax. */
  queueMax?: number;
}

/** What a peer needs of its node. */
export interface PeerOwner {
  linkTo(there: There): Link;
  peerEnded(peer: LocalPeer, reason: End): void;
  log(line: string): void;
  randomId(): Id;
  urlOf(peer: LocalPeer): string;
  setMetadata(peer: LocalPeer): void;
}

export class LocalPeer implements PeerName {
  readonly id: Id;
  readonly service: string;
  private readonly owner: PeerOwner;
  private readonly inbox: Circuit[] = [];
  private readonly circuits = new Set<Circuit>();
  private readonly knownOn = new Set<Link>(); // their far sides have heard of this peer
  private inboxChanged = withResolvers<void>();
  private why: End | undefined;
  private over = withResolvers<void>();
  private isRunning = true;
  private readonly userMetadata = new Map<string, string>();
  private readonly ending = new AbortController();

  /** For the package's own use: Node makes peers. */
  constructor(owner: PeerOwner, id: Id, service: string) {
    this.owner = owner;
    this.id = id;
    this.service = service;
  }

  /** The URL by which the nodes that are connected to this one reach it. */
  get url(): string {
    return this.owner.urlOf(this);
  }
  get isEnding(): boolean {
    return this.why !== undefined;
  }
  /** Aborts when the peer ends. */
  get signal(): AbortSignal {
    return this.ending.signal;
  }
  /** Resolves when its service has returned. */
  get ended(): Promise<void> {
    return this.over.promise;
  }
  get circuitsCount(): number {
    return this.circuits.size;
  }

  // Opening. None of these waits: a refusal or a failed connection ends the circuit with its reason.

  /** Opens a circuit to the instance of a service that runs there, or to a new one when none does. */
  joinOrStart(there: There, service: string, first?: Fragment | FragmentInit, options: CircuitOptions = {}): Circuit {
    return this.open(this.owner.linkTo(there), OpenMode.joinOrStart, undefined, service, first, options);
  }
  /** Starts a new instance of a service there and opens a circuit to it in one flight. */
  start(there: There, service: string, first?: Fragment | FragmentInit, options: CircuitOptions = {}): Circuit {
    return this.open(this.owner.linkTo(there), OpenMode.start, this.owner.randomId(), service, first, options);
  }
  /** Opens a circuit to a running peer by its id. */
  join(there: There, peer: Id, first?: Fragment | FragmentInit, options: CircuitOptions = {}): Circuit {
    return this.open(this.owner.linkTo(there), OpenMode.join, peer, "", first, options);
  }
  /** Starts a new instance without a circuit to it, and returns its id once it runs. Throws the reason of a refusal. */
  async startOnly(there: There, service: string, options: CircuitOptions = {}): Promise<Id> {
    const circuit = this.open(
      this.owner.linkTo(there),
      OpenMode.startOnly,
      this.owner.randomId(),
      service,
      undefined,
      options,
    );
    await circuit.accepted();
    circuit.close();
    return circuit.state.remote.id;
  }

  /**
   * One request, one reply: opens a circuit, says all there is to say, takes the first fragment that comes back and
   * closes. An error fragment is thrown as an ErrorReply; anything else that goes wrong as the reason why the circuit
   * ended.
   */
  async request(
    there: There,
    service: string,
    fragment: Fragment | FragmentInit,
    options: CircuitOptions = {},
  ): Promise<Fragment> {
    const circuit = this.joinOrStart(there, service, fragment, options);
    try {
      circuit.finish();
      const reply = await circuit.receiveAny();
      if (!reply) fail(reasons.circuitClosed, `service "${service}" ended without a reply`);
      if (reply.err !== "") throw new ErrorReply(reply);
      circuit.close();
      return reply;
    } catch (failure) {
      if (options.signal?.aborted) throw options.signal.reason;
      throw failure;
    } finally {
      circuit[Symbol.dispose]();
    }
  }

  private open(
    link: Link,
    mode: OpenMode,
    to: Id | undefined,
    service: string,
    first: Fragment | FragmentInit | undefined,
    options: CircuitOptions,
  ): Circuit {
    if (this.why) throw new TrunklineError(this.why);
    options.signal?.throwIfAborted();
    const now = link.now();
    const deadline = Math.min(
      options.deadlineMs === undefined ? Infinity : now + options.deadlineMs,
      options.inherit?.deadline ?? Infinity,
    );
    const state = link.machine.open(
      {
        mode,
        from: { id: this.id, service: this.service },
        ...(to ? { toPeer: to } : {}),
        toService: service,
        name: options.name ?? "",
        userString: options.userString ?? "",
        wantsAnswer: options.wantsAnswer ?? false,
        deadline,
      },
      first === undefined ? undefined : toFragment(first),
      now,
    );
    const circuit = this.own(Circuit.wrap(link, state, options.signal));
    if (this.userMetadata.size > 0) link.machine.setMetadata(this.id, new Map(this.userMetadata));
    link.schedulePump();
    return circuit;
  }

  private own(circuit: Circuit): Circuit {
    circuit.opener = (from, first, options) =>
      this.open(from.link, OpenMode.join, from.state.remote.id, from.state.remote.service, first, options);
    if (!circuit.isOpen) return circuit;
    for (const link of this.knownOn) if (!link.isOpen) this.knownOn.delete(link);
    this.knownOn.add(circuit.link);
    this.circuits.add(circuit);
    void circuit.closed.then(() => this.circuits.delete(circuit));
    return circuit;
  }

  // Taking.

  /** For the package's own use: a circuit that the far side opened. */
  deliver(link: Link, state: MachineCircuit): void {
    link.machine.accept(state, { id: this.id, service: this.service });
    if (this.userMetadata.size > 0) link.machine.setMetadata(this.id, new Map(this.userMetadata));
    this.inbox.push(this.own(Circuit.wrap(link, state)));
    this.inboxChanged.resolve();
  }
  /** For the package's own use. */
  get waiting(): number {
    return this.inbox.length;
  }

  private async *incoming(): AsyncGenerator<Circuit> {
    while (!this.why) {
      const circuit = this.inbox.shift();
      if (!circuit) {
        this.inboxChanged = withResolvers<void>();
        await this.inboxChanged.promise;
      } else if (circuit.isOpen || circuit.state.closedThere) {
        circuit.link.machine.leftBacklog(circuit.state);
        yield circuit;
      } else {
        circuit[Symbol.dispose](); // its opener gave it up: there is nothing to serve
      }
    }
  }

  /** For the package's own use: runs the service. */
  async run(service: Service): Promise<void> {
    let reason: End = cleanEnd;
    try {
      await service(this, this.incoming());
    } catch (failure) {
      reason = end(reasons.handlerFailed);
      if (!this.why) this.owner.log(`service "${this.service}" failed: ${String(failure)}`);
    }
    this.end(reason);
    this.isRunning = false;
    this.over.resolve();
  }

  /** For the package's own use: a peer without a service has nothing to wait for. */
  runNothing(): void {
    this.isRunning = false;
  }

  /** Runs a handler on a circuit as `Node.serve` does: closed when it returns, reset when it throws. */
  async handle(handler: CircuitHandler, circuit: Circuit): Promise<void> {
    try {
      await handler(circuit, this);
      circuit.close();
    } catch (failure) {
      const isItsOwnEnd = failure instanceof TrunklineError && failure.end === circuit.ended;
      if (!isItsOwnEnd && circuit.isOpen)
        this.owner.log(`service "${this.service}" failed on circuit ${circuit.id}: ${String(failure)}`);
      circuit.reset(end(reasons.handlerFailed));
    } finally {
      circuit[Symbol.dispose]();
    }
  }

  // Metadata, and the end.

  /** Sets an item of user metadata, which every node that this peer has a circuit with hears of. */
  setMetadata(key: string, value: string): void {
    const changed: Metadata = new Map(this.userMetadata).set(key, value);
    const bytes = metadataBytes(changed);
    if (bytes > 4096) throw new RangeError(`metadata of ${bytes} bytes exceeds metadataBytesMax 4096`);
    this.userMetadata.set(key, value);
    this.owner.setMetadata(this);
  }
  removeMetadata(key: string): void {
    if (this.userMetadata.delete(key)) this.owner.setMetadata(this);
  }
  /** For the package's own use. */
  get metadata(): Metadata {
    return new Map(this.userMetadata);
  }
  /** For the package's own use: metadata of a far peer has changed. */
  wakeOn(link: Link): void {
    for (const circuit of this.circuits) if (circuit.link === link) circuit.wake();
  }
  /** For the package's own use: the links whose far sides have heard of it. */
  links(): ReadonlySet<Link> {
    return this.knownOn;
  }

  /** Ends the peer: its circuits close with the reason, its service's loop ends. Does not wait; `ended` does. */
  close(reason: End = end(reasons.peerEnded)): void {
    this.end(reason);
    if (!this.isRunning) this.over.resolve();
  }

  private end(given: End): void {
    if (this.why) return;
    const reason = given.reason === reasons.clean ? end(reasons.peerEnded) : given;
    this.why = reason;
    for (const circuit of [...this.circuits])
      circuit.close(given.reason === reasons.clean ? end(reasons.peerEnded) : reason);
    for (const circuit of this.inbox.splice(0)) circuit[Symbol.dispose]();
    this.ending.abort(new TrunklineError(reason));
    this.inboxChanged.resolve();
    this.owner.peerEnded(this, reason);
  }

  toString(): string {
    return `${this.service}/${idText(this.id)}`;
  }
}

/** Thrown by a request that was answered with an error fragment. */
export class ErrorReply extends TrunklineError {
  constructor(readonly reply: Fragment) {
    super(end(reasons.handlerFailed, reply.err, true));
  }
}
