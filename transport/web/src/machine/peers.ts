// What each side tells the other about its peers: metadata, and their ends.
import { cut, encodeText, idText, type Id } from "../bytes.ts";
import type { End } from "../end.ts";
import {
  assumedLimits,
  encodePeerEnded,
  encodePeerMetadata,
  FrameType,
  type FarLimits,
  type Hello,
  type Metadata,
} from "../frames.ts";
import type { Output } from "./output.ts";
import { invariant, TokenBucket, type Whole } from "./whole.ts";

export function metadataBytes(metadata: Metadata): number {
  let bytes = 0;
  for (const [key, value] of metadata) bytes += encodeText(key).length + encodeText(value).length;
  return bytes;
}

/** What it counts as in memory. */
const metadataMemory = (metadata: Metadata): number => metadataBytes(metadata) + 128 * metadata.size;

/** The far side's node, and its peers' metadata. */
export class FarPeers {
  hello: Hello | undefined;
  private readonly metadata = new Map<string, Metadata>();
  private bytes = 0;
  private mayEnd = 0; // circuits were opened: so many peers may end without being a flood

  constructor(private readonly whole: Whole) {}

  get takes(): Readonly<FarLimits> {
    return this.hello?.takes ?? assumedLimits;
  }
  metadataOf(peer: Id): Metadata | undefined {
    return this.metadata.get(idText(peer));
  }

  keep(peer: string, metadata: Metadata): void {
    const { limits } = this.whole;
    this.forget(peer);
    if (metadata.size === 0) return;
    const bytes = metadataMemory(metadata);
    const isTooMuch =
      metadataBytes(metadata) > limits.metadataBytesMax ||
      this.metadata.size >= limits.remotePeersMax ||
      this.bytes + bytes > limits.remoteMetadataBytesMax;
    if (isTooMuch) {
      ++this.whole.counters.metadataDropped;
      return;
    }
    this.bytes += bytes;
    this.metadata.set(peer, metadata);
  }
  forget(peer: string): void {
    const known = this.metadata.get(peer);
    if (!known) return;
    this.bytes -= metadataMemory(known);
    this.metadata.delete(peer);
  }

  noteOpened(): void {
    ++this.mayEnd;
  }
  endIsExpected(): boolean {
    if (this.mayEnd === 0) return false;
    --this.mayEnd;
    return true;
  }

  check(): void {
    let bytes = 0;
    for (const each of this.metadata.values()) bytes += metadataMemory(each);
    invariant(bytes === this.bytes, "far peers: bytes == the sum of the peers'");
    invariant(bytes <= this.whole.limits.remoteMetadataBytesMax, "far peers: bytes <= remoteMetadataBytesMax");
  }
}

interface Told {
  readonly id: Id;
  metadata: Metadata;
  isDue: boolean;
  isKnown: boolean; // the far side has metadata of it
}

/** What the far side is told of ours. Of several values between two writes it hears the last. */
export class LocalPeers {
  private readonly peers = new Map<string, Told>();
  private rate = LocalPeers.rateOf(assumedLimits);

  constructor(
    private readonly whole: Whole,
    private readonly output: Output,
    private readonly far: FarPeers,
  ) {}

  /** Half: what was said within a second here may arrive within half of one. */
  private static rateOf(takes: Readonly<FarLimits>): TokenBucket {
    const half = Math.max(1, takes.controlFramesPerSecondMax / 2);
    return new TokenBucket(half, half);
  }
  hearLimits(): void {
    this.rate = LocalPeers.rateOf(this.far.takes);
  }

  set(id: Id, metadata: Metadata): void {
    const key = idText(id);
    const known = this.peers.get(key);
    if (!known && metadata.size === 0) return;
    if (known) {
      known.metadata = metadata;
      known.isDue = true;
    } else {
      this.peers.set(key, { id, metadata, isDue: true, isKnown: false });
    }
  }

  /** Those that the far side takes, as many as its limits and its rate allow now. */
  private *due(): Generator<Told> {
    const { takes } = this.far;
    let peers = 0;
    let bytes = 0;
    for (const each of this.peers.values()) {
      if (!each.isKnown) continue;
      ++peers;
      bytes += metadataMemory(each.metadata);
    }
    for (const each of this.peers.values()) {
      if (!each.isDue) continue;
      if (each.metadata.size > 0 && !each.isKnown) {
        const memory = metadataMemory(each.metadata);
        if (
          metadataBytes(each.metadata) > takes.metadataBytesMax ||
          peers >= takes.remotePeersMax ||
          bytes + memory > takes.remoteMetadataBytesMax
        )
          continue;
        ++peers;
        bytes += memory;
      }
      yield each;
    }
  }

  put(): void {
    for (const each of this.due()) {
      this.rate.refill(this.whole.now);
      if (this.rate.tokens < 1) return;
      this.rate.take();
      each.isDue = false;
      const isTooMuch = metadataBytes(each.metadata) > this.far.takes.metadataBytesMax;
      const said: Metadata = isTooMuch ? new Map() : each.metadata; // nothing rather than what is not true any more
      each.isKnown = said.size > 0;
      this.output.putControl(FrameType.peerMetadata, encodePeerMetadata(each.id, said));
      if (!each.isKnown) this.peers.delete(idText(each.id));
    }
  }
  hasOutput(): boolean {
    if (this.due().next().done) return false;
    this.rate.refill(this.whole.now);
    return this.rate.tokens >= 1;
  }
  deadline(): number {
    return this.due().next().done || this.rate.tokens >= 1 ? Infinity : this.rate.when(1);
  }

  /** `hadCircuits`: the far side knows the peer from an OPEN or an ACCEPT. */
  end(id: Id, hadCircuits: boolean, reason: End): void {
    const key = idText(id);
    const known = this.peers.get(key);
    this.peers.delete(key);
    if (!hadCircuits && !known?.isKnown) return;
    if (!hadCircuits) this.rate.take(); // there it counts as a control frame
    this.output.putControl(
      FrameType.peerEnded,
      encodePeerEnded(id, reason.reason, cut(reason.text, this.whole.limits.reasonBytesMax)),
    );
  }
}
