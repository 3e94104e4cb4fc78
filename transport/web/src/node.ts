// One endpoint: it dials, holds the services, and owns the links. Both sides of a connection have the same type.
import { idText, parseId, printable, randomId, systemRandom, type Id, type Random } from "./bytes.ts";
import { systemClock, type Clock } from "./clock.ts";
import { describe, end, fail, reasons, TrunklineError, type End } from "./end.ts";
import { OpenMode, type Open } from "./frames.ts";
import { Link, type LinkInfo } from "./link.ts";
import { LocalPeer, type CircuitHandler, type Service, type ServiceOptions } from "./local_peer.ts";
import type { MachineCircuit } from "./machine/circuit.ts";
import { checkedLimits, type Limits } from "./machine/limits.ts";
import { webSocketTransport, type Transport, type WebSocketLike } from "./transport.ts";

/**
 * Where a circuit goes: a link, an address (`ws://host:port/path`, `wss://...`), or a node that is connected
 * (`node://ID`).
 */
export type There = Link | string;

export interface NodeOptions {
  /** Shown to the far side. */
  name?: string;
  /** 16 bytes; drawn unless given. */
  id?: Id;
  limits?: Partial<Limits>;
  /** Hears a line about each refusal, failed service and lost link. */
  log?: (line: string) => void;
  /** Called when a link has opened, drains or is over. */
  onLink?: (link: Link) => void;
  /** Makes the connection to an address. Default: a WebSocket with the subprotocol `trunkline`. */
  connect?: (address: string) => Transport | Promise<Transport>;
  clock?: Clock;
  random?: Random;
  /** For tests: machines check their invariants after every input. */
  checks?: boolean;
}

export interface KeepOptions {
  initialMs?: number;
  maximumMs?: number;
  multiplier?: number;
  /** A pause is longer by up to so much of it, at random. */
  jitter?: number;
}

interface Registered {
  readonly name: string;
  readonly service: Service;
  readonly options: ServiceOptions;
  readonly running: Set<LocalPeer>;
}

export class Node {
  readonly id: Id;
  readonly name: string;
  readonly clock: Clock;
  private readonly options: NodeOptions;
  private readonly limits: Limits;
  private readonly random: Random;
  private readonly services = new Map<string, Registered>();
  private readonly peers = new Map<string, LocalPeer>();
  private readonly allLinks = new Set<Link>();
  private readonly kept = new Map<string, { stop: () => void }>();
  private isClosed = false;

  constructor(options: NodeOptions = {}) {
    this.options = options;
    this.limits = checkedLimits(options.limits);
    this.clock = options.clock ?? systemClock;
    this.random = options.random ?? systemRandom;
    this.id = options.id ?? randomId(this.random);
    this.name = options.name ?? "";
  }

  /** `node://` and its id: how nodes that are connected to this one name it. */
  get url(): string {
    return `node://${idText(this.id)}`;
  }

  // Services.

  /**
   * Registers a service that answers one circuit per call of `handler`. One instance runs, started by the first
   * circuit.
   */
  serve(name: string, handler: CircuitHandler, options: ServiceOptions = {}): void {
    const service: Service = async (peer, circuits) => {
      for await (const circuit of circuits) void peer.handle(handler, circuit);
    };
    this.register(name, service, { ...options, instancesMax: 1 });
  }
  /** Registers a service in its long form. */
  register(name: string, service: Service, options: ServiceOptions = {}): void {
    if (name === "") throw new RangeError("a service needs a name");
    if (this.services.has(name)) fail(reasons.alreadyRegistered, `service "${name}"`);
    this.services.set(name, { name, service, options, running: new Set() });
  }
  /**
   * Makes a peer that opens circuits and accepts none; when a service of this name is registered, an instance of it.
   */
  newPeer(name: string): LocalPeer {
    if (this.isClosed) throw new TrunklineError(end(reasons.nodeClosed));
    const registered = this.services.get(name);
    if (registered) return this.start(registered, randomId(this.random));
    const peer = new LocalPeer(this.peerOwner, randomId(this.random), name);
    peer.runNothing();
    this.peers.set(idText(peer.id), peer);
    return peer;
  }

  private start(registered: Registered, id: Id): LocalPeer {
    const { instancesMax } = registered.options;
    if (instancesMax !== undefined && registered.running.size >= instancesMax) {
      const [first] = registered.running;
      throw new TrunklineError(
        end(
          reasons.serviceLimitReached,
          `${registered.running.size} instances of service "${registered.name}" run`,
          false,
          first?.url ?? "",
        ),
      );
    }
    const peer = new LocalPeer(this.peerOwner, id, registered.name);
    registered.running.add(peer);
    this.peers.set(idText(id), peer);
    void peer.run(registered.service);
    return peer;
  }

  private readonly peerOwner = {
    linkTo: (there: There): Link => this.linkTo(there),
    log: (line: string): void => this.options.log?.(line),
    randomId: (): Id => randomId(this.random),
    urlOf: (peer: LocalPeer): string => `${this.url}/${peer.service}/${idText(peer.id)}`,
    setMetadata: (peer: LocalPeer): void => {
      for (const link of peer.links()) link.with((machine) => machine.setMetadata(peer.id, peer.metadata));
    },
    peerEnded: (peer: LocalPeer, reason: End): void => {
      this.peers.delete(idText(peer.id));
      this.services.get(peer.service)?.running.delete(peer);
      const links = peer.links();
      for (const link of this.allLinks) link.with((machine) => machine.endPeer(peer.id, links.has(link), reason));
    },
  };

  // Links.

  /** Dials an address, or gives the link that there is. Resolves when the far side has said Hello. */
  async dial(address: string): Promise<Link> {
    const link = this.linkTo(address);
    await link.opened;
    if (link.end) throw new TrunklineError(link.end);
    return link;
  }

  /** A connection that was made elsewhere. `dialled`: by this side. Both sides must not say the same. */
  attach(transport: Transport, dialled: boolean): Link {
    const link = this.newLink(dialled, transport.remote, "");
    link.attach(transport);
    return link;
  }

  /** The links that are not over, in the order in which they were made. */
  get links(): Link[] {
    return [...this.allLinks];
  }
  info(): LinkInfo[] {
    return this.links.map((each) => each.info());
  }

  private newLink(dialled: boolean, remote: string, address: string): Link {
    if (this.isClosed) throw new TrunklineError(end(reasons.nodeClosed));
    const link = new Link(
      { clock: this.clock, ...this.linkEvents },
      { dialled, nodeId: this.id, nodeName: this.name, limits: this.limits, checks: this.options.checks ?? false },
      remote,
      address,
    );
    this.allLinks.add(link);
    return link;
  }

  private linkTo(there: There): Link {
    if (typeof there !== "string") return there;
    const usable = this.links.filter((each) => each.isOpen && !each.machine.draining);
    const id = there.startsWith("node://") ? parseId(there.slice("node://".length).split("/")[0]!) : undefined;
    if (there.startsWith("node://")) {
      const link = usable.find((each) => id && each.node && idText(each.node) === idText(id));
      return link ?? this.failed(there, `no connection with ${printable(there, 64)}`);
    }
    return usable.find((each) => each.address === there) ?? this.connect(there);
  }

  /** A link that is over already: what is opened on it says why. */
  private failed(address: string, text: string): Link {
    const link = this.newLink(true, address, address);
    link.lost(end(reasons.connectFailed, text));
    return link;
  }

  private connect(address: string): Link {
    const link = this.newLink(true, address, address);
    const connect = this.options.connect ?? connectWebSocket;
    void Promise.resolve()
      .then(() => connect(address))
      .then(
        (transport) => (link.isOpen ? link.attach(transport) : transport.end()),
        (failure: unknown) =>
          link.lost(end(reasons.connectFailed, failure instanceof Error ? failure.message : String(failure))),
      );
    return link;
  }

  /** Dials the address, and again whenever there is no link to it, with a pause that grows while it fails. */
  keepConnected(address: string, options: KeepOptions = {}): void {
    if (this.kept.has(address)) return;
    const { initialMs = 100, maximumMs = 10000, multiplier = 2, jitter = 0.25 } = options;
    let pause = initialMs;
    let isStopped = false;
    let cancel: (() => void) | undefined;
    this.kept.set(address, {
      stop: () => {
        isStopped = true;
        cancel?.();
      },
    });
    const attempt = async (): Promise<void> => {
      if (isStopped || this.isClosed) return;
      const link = this.linkTo(address);
      await link.opened;
      if (!link.end) pause = initialMs;
      await link.closed;
      const byte = new Uint8Array(1);
      this.random(byte);
      const wait = pause * (1 + (jitter * byte[0]!) / 255);
      pause = Math.min(maximumMs, pause * multiplier);
      if (!isStopped) cancel = this.clock.after(wait, () => void attempt());
    };
    void attempt();
  }
  stopKeepingConnected(address: string): void {
    this.kept.get(address)?.stop();
    this.kept.delete(address);
  }

  private readonly linkEvents = {
    opened: (link: Link, circuit: MachineCircuit, open: Open): void => this.answer(link, circuit, open),
    changed: (link: Link): void => {
      if (link.machine.over) {
        this.allLinks.delete(link);
        if (link.end && link.end.reason !== reasons.clean)
          this.options.log?.(`link with ${link.remote} is over: ${describe(link.end)}`);
      }
      this.options.onLink?.(link);
    },
    metadataChanged: (link: Link): void => {
      for (const peer of this.peers.values()) peer.wakeOn(link);
    },
  };

  /** Gives a circuit that the far side opened to the peer that it asks for, or refuses it. */
  private answer(link: Link, circuit: MachineCircuit, open: Open): void {
    const refuse = (reason: number, text: string, existing = ""): void => {
      this.options.log?.(`circuit from ${link.remote} refused: ${text}`);
      link.machine.refuse(circuit, reason, text, existing);
    };
    if (circuit.ended) return link.machine.release(circuit); // in the same packet: there is nothing to serve
    const found = this.findOrStart(open);
    if (!(found instanceof LocalPeer)) return refuse(found.reason, found.text, found.existingUrl);
    const peer = found;
    if (open.mode === OpenMode.startOnly) {
      link.machine.accept(circuit, peer);
      link.machine.close(circuit);
      return link.machine.release(circuit);
    }
    const queueMax = this.services.get(peer.service)?.options.queueMax ?? this.limits.openBacklogMax;
    if (peer.waiting >= queueMax)
      return refuse(
        reasons.openBacklogFull,
        `${peer.waiting} circuits wait for service "${peer.service}" on node ${this.name}`,
      );
    peer.deliver(link, circuit);
  }

  private findOrStart(open: Open): LocalPeer | End {
    const service = printable(open.toService, 64);
    const registered = this.services.get(open.toService);
    if (open.mode === OpenMode.join) {
      const peer = this.peers.get(idText(open.toPeer));
      const isMeant =
        peer !== undefined &&
        this.services.has(peer.service) &&
        (open.toService === "" || open.toService === peer.service);
      return isMeant ? peer : end(reasons.noPeer, `no peer ${idText(open.toPeer)} on node ${this.name}`);
    }
    if (!registered) {
      const names = [...this.services.keys()].slice(0, 8).join(", ") || "nothing";
      return end(reasons.noService, `no service "${service}" on node ${this.name}; it serves ${names}`);
    }
    if (open.mode === OpenMode.joinOrStart) {
      const [running] = registered.running;
      if (running) return running;
    }
    const id = open.mode === OpenMode.joinOrStart ? randomId(this.random) : open.toPeer;
    if (id.length === 0 || this.peers.has(idText(id)))
      return end(reasons.noPeer, "an id that is in use, or none, for a new peer");
    try {
      return this.start(registered, id);
    } catch (failure) {
      return failure instanceof TrunklineError ? failure.end : end(reasons.handlerFailed);
    }
  }

  // The end.

  /**
   * Takes no new circuits either way and waits until the running ones have ended; resets what is left at the deadline.
   */
  async drain(deadlineMs: number): Promise<void> {
    for (const address of [...this.kept.keys()]) this.stopKeepingConnected(address);
    const deadline = this.clock.now() + deadlineMs;
    await Promise.all(
      this.links.map((link) => {
        link.with((machine) => machine.drain(deadline));
        return link.closed;
      }),
    );
  }

  /** Ends peers and links, and waits until they are gone. */
  async close(reason: End = end(reasons.nodeClosed)): Promise<void> {
    this.isClosed = true;
    for (const address of [...this.kept.keys()]) this.stopKeepingConnected(address);
    const links = this.links;
    for (const link of links) link.close(reason);
    const peers = [...this.peers.values()];
    for (const peer of peers) peer.close(reason);
    await Promise.all([...links.map((each) => each.closed), ...peers.map((each) => each.ended)]);
  }
}

function connectWebSocket(address: string): Transport {
  if (!/^wss?:\/\//.test(address)) throw new Error(`no medium for ${printable(address, 64)}: expected ws:// or wss://`);
  if (typeof WebSocket === "undefined") throw new Error("there is no WebSocket here: give NodeOptions.connect");
  return webSocketTransport(new WebSocket(address, "trunkline") as unknown as WebSocketLike, address);
}
