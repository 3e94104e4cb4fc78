// Frames and the messages in them, byte by byte as docs/wire.md has them. Nothing here keeps a state.
import { decodeText, encodeText, noBytes, type Id } from "./bytes.ts";
import { Fragment } from "./fragment.ts";
import { fields, Malformed, Message, toNumber, varintSize, Writer } from "./protobuf.ts";

export const preface = Uint8Array.of(0x89, 0x54, 0x52, 0x4e, 0x4b, 0x0d, 0x0a, 0x01);
export const headerBytes = 5;
export const frameBytesMax = 73728;
export const chunkBytesMax = 65536;
export const controlBytesMax = 8192;
export const fragmentOverhead = 256;
export const circuitWindowInitial = 262144;
export const trunkWindowInitial = 1048576;
export const argsMax = 128;
const dataHeadBytesMax = 40; // no head of a data frame is longer, without its metadata

export const FrameType = {
  data: 0x01,
  hello: 0x02,
  open: 0x03,
  accept: 0x04,
  refuse: 0x05,
  credit: 0x06,
  finish: 0x07,
  finishAcknowledged: 0x08,
  close: 0x09,
  closeReceived: 0x0a,
  reset: 0x0b,
  peerMetadata: 0x0c,
  peerEnded: 0x0d,
  ping: 0x0e,
  pong: 0x0f,
  drain: 0x10,
  goodbye: 0x11,
} as const;

export const Flag = { metadata: 1, firstOfMore: 2, continues: 4, last: 8 } as const;

/** How an opener names the far side's peer. */
export const OpenMode = { join: 0, start: 1, joinOrStart: 2, startOnly: 3 } as const;
export type OpenMode = (typeof OpenMode)[keyof typeof OpenMode];

export function frame(type: number, body: Uint8Array, flags = 0): Uint8Array {
  const bytes = new Uint8Array(headerBytes + body.length);
  bytes[0] = body.length;
  bytes[1] = body.length >> 8;
  bytes[2] = body.length >> 16;
  bytes[3] = type;
  bytes[4] = flags;
  bytes.set(body, headerBytes);
  return bytes;
}

// Control messages.

/** What a side takes; what its Hello does not say is as here. */
export interface FarLimits {
  fragmentBytesMax: number;
  circuitsMax: number;
  nameBytesMax: number;
  userStringBytesMax: number;
  metadataBytesMax: number;
  remotePeersMax: number;
  remoteMetadataBytesMax: number;
  controlFramesPerSecondMax: number;
}

export const assumedLimits: Readonly<FarLimits> = {
  fragmentBytesMax: Infinity,
  circuitsMax: 131072,
  nameBytesMax: 128,
  userStringBytesMax: 1024,
  metadataBytesMax: 4096,
  remotePeersMax: 4096,
  remoteMetadataBytesMax: 4194304,
  controlFramesPerSecondMax: 10000,
};

/** The fields of Hello from 9 on, in their order. */
const limitFields = [
  "circuitsMax",
  "nameBytesMax",
  "userStringBytesMax",
  "metadataBytesMax",
  "remotePeersMax",
  "remoteMetadataBytesMax",
  "controlFramesPerSecondMax",
] as const satisfies readonly (keyof FarLimits)[];

export interface Hello {
  versionMin: number;
  versionMax: number;
  nodeId: Id;
  nodeName: string;
  addresses: readonly string[];
  features: readonly string[];
  mandatoryFeatures: readonly string[];
  takes: FarLimits;
  /** Proves on a TLS connection that the Hello was made for it. A page cannot have one, and takes none. */
  binding?: Uint8Array;
}

export function encodeHello(hello: Hello): Uint8Array {
  const into = new Writer()
    .number(1, hello.versionMin)
    .number(2, hello.versionMax)
    .field(3, hello.nodeId)
    .field(4, hello.nodeName);
  for (const each of hello.addresses) into.always(5, encodeText(each));
  for (const each of hello.features) into.always(6, encodeText(each));
  for (const each of hello.mandatoryFeatures) into.always(7, encodeText(each));
  if (Number.isFinite(hello.takes.fragmentBytesMax)) into.number(8, hello.takes.fragmentBytesMax);
  limitFields.forEach((name, i) => {
    // Explicit presence: a limit of zero is one.
    if (hello.takes[name] !== assumedLimits[name]) into.varint((9 + i) << 3).varint(hello.takes[name]);
  });
  if (hello.binding) into.varint((16 << 3) | 2).varint(hello.binding.length).raw(hello.binding);
  return into.done();
}

export function decodeHello(body: Uint8Array): Hello {
  const message = new Message(body);
  const takes: FarLimits = { ...assumedLimits };
  if (message.number(8) > 0) takes.fragmentBytesMax = message.number(8);
  limitFields.forEach((name, i) => {
    if (message.has(9 + i)) takes[name] = message.number(9 + i);
  });
  return {
    versionMin: message.uint32(1),
    versionMax: message.uint32(2),
    nodeId: message.bytes(3),
    nodeName: message.text(4),
    addresses: message.all(5).map(decodeText),
    features: message.all(6).map(decodeText),
    mandatoryFeatures: message.all(7).map(decodeText),
    takes,
    ...(message.all(16).length > 0 ? { binding: message.bytes(16) } : {}),
  };
}

export interface Open {
  circuit: number;
  mode: number;
  fromPeer: Id;
  fromService: string;
  toPeer: Id; // empty for joinOrStart
  toService: string;
  name: string;
  userString: string;
  wantsAnswer: boolean;
  remainingMs: number; // 0: no deadline
}

export function encodeOpen(open: Open): Uint8Array {
  return new Writer()
    .number(1, open.circuit)
    .number(2, open.mode)
    .field(3, open.fromPeer)
    .field(4, open.fromService)
    .field(5, open.toPeer)
    .field(6, open.toService)
    .field(7, open.name)
    .field(8, open.userString)
    .number(9, open.wantsAnswer)
    .number(10, open.remainingMs)
    .done();
}

export function decodeOpen(body: Uint8Array): Open {
  const message = new Message(body);
  return {
    circuit: message.number(1),
    mode: Number(BigInt.asIntN(32, message.big(2))),
    fromPeer: message.bytes(3),
    fromService: message.text(4),
    toPeer: message.bytes(5),
    toService: message.text(6),
    name: message.text(7),
    userString: message.text(8),
    wantsAnswer: message.flag(9),
    remainingMs: message.number(10),
  };
}

/** The messages that are about a circuit, or have the shape of one: fields 1 to 4 as their message has them. */
export const encodeAccept = (circuit: number, peer: Id, service: string): Uint8Array =>
  new Writer().number(1, circuit).field(2, peer).field(3, service).done();
export const encodeRefuse = (circuit: number, reason: number, text: string, existingUrl: string): Uint8Array =>
  new Writer().number(1, circuit).number(2, reason).field(3, text).field(4, existingUrl).done();
export const encodeCredit = (circuit: number, bytes: number, growth = 0, completes = 0): Uint8Array =>
  new Writer().number(1, circuit).number(2, bytes).number(3, growth).number(4, completes).done();
/** FINISH, FINISH_ACKNOWLEDGED and CLOSE_RECEIVED; PING and PONG. */
export const encodeNumber = (number: number | bigint): Uint8Array => new Writer().number(1, number).done();
/** CLOSE and RESET. */
export const encodeEnding = (circuit: number, reason: number, text: string): Uint8Array =>
  new Writer().number(1, circuit).number(2, reason).field(3, text).done();
export const encodePeerEnded = (peer: Id, reason: number, text: string): Uint8Array =>
  new Writer().field(1, peer).number(2, reason).field(3, text).done();
export const encodeGoodbye = (reason: number, text: string): Uint8Array =>
  new Writer().number(1, reason).field(2, text).done();

export type Metadata = ReadonlyMap<string, string>;

const encodeItem = (key: string, value: string): Uint8Array => new Writer().field(1, key).field(2, value).done();

export function encodePeerMetadata(peer: Id, metadata: Metadata): Uint8Array {
  const into = new Writer().field(1, peer);
  for (const [key, value] of metadata) into.always(2, encodeItem(key, value));
  return into.done();
}

export function decodePeerMetadata(body: Uint8Array): { peer: Id; metadata: Map<string, string>; bytes: number } {
  const message = new Message(body);
  const metadata = new Map<string, string>();
  let bytes = 0;
  for (const each of message.all(2)) {
    const item = new Message(each);
    bytes += item.bytes(1).length + item.bytes(2).length;
    metadata.set(item.text(1), item.text(2));
  }
  return { peer: message.bytes(1), metadata, bytes };
}

// Data frames.

export function encodeFragmentMetadata(fragment: Fragment, now: number): Uint8Array {
  if (fragment.cancels) return new Writer().number(5, true).done();
  const into = new Writer().field(1, fragment.subject);
  for (const [key, value] of fragment.args) into.always(2, encodeItem(key, value));
  into.field(3, fragment.err);
  if (fragment.deadline !== undefined) into.fixed32(4, remainingMs(fragment.deadline, now));
  return into.done();
}

/** What is left of a deadline, as the wire says it: at least 1, because 0 is none. */
export function remainingMs(deadline: number, now: number): number {
  return Math.min(Math.max(1, Math.ceil(deadline - now)), 0xffffffff);
}

/** The head of a fragment's first frame, or of one that goes on with it (`first` is null). */
export function encodeDataHead(
  circuit: number,
  first: { fragment: Fragment; metadata: Uint8Array; total: number } | null,
  payloadBytes: number,
  isLast: boolean,
): Uint8Array {
  const into = new Writer().varint(circuit);
  let flags = 0;
  if (first) {
    into.svarint(BigInt(first.fragment.op)).svarint(first.fragment.part);
    if (payloadBytes < first.total) {
      flags |= Flag.firstOfMore;
      into.varint(first.total);
    }
    if (first.metadata.length > 0) {
      flags |= Flag.metadata;
      into.varint(first.metadata.length).raw(first.metadata);
    }
  } else {
    flags = Flag.continues | (isLast ? Flag.last : 0);
  }
  const body = into.done();
  const head = frame(FrameType.data, body, flags);
  const length = body.length + payloadBytes;
  head[0] = length;
  head[1] = length >> 8;
  head[2] = length >> 16;
  return head;
}

/** Payload bytes that fit one frame beside this much metadata. */
export function firstChunkMax(metadataBytes: number): number {
  return Math.min(chunkBytesMax, frameBytesMax - dataHeadBytesMax - metadataBytes);
}

export interface DataFrame {
  circuit: number;
  op: number;
  part: bigint;
  total: number;
  metadata: Uint8Array;
  payload: Uint8Array; // a view of the frame
}

export function flagsAreSound(type: number, flags: number): boolean {
  if (type !== FrameType.data) return flags === 0;
  if ((flags & ~15) !== 0) return false;
  return flags & Flag.continues ? (flags & (Flag.metadata | Flag.firstOfMore)) === 0 : (flags & Flag.last) === 0;
}

/** Throws Malformed. */
export function decodeData(body: Uint8Array, flags: number): DataFrame {
  let at = 0;
  const varint = (name: string): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = body[at++];
      if (byte === undefined) throw new Malformed(`malformed ${name} of a data frame`);
      if (shift === 63n && byte > 1) throw new Malformed(`malformed ${name} of a data frame`);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte >= 0x80) continue;
      if (byte === 0 && shift !== 0n) throw new Malformed(`malformed ${name} of a data frame`); // padded
      return value;
    }
  };
  const unzigzag = (value: bigint): bigint => BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n));
  const read: DataFrame = {
    circuit: toNumber(varint("circuit number")),
    op: 0,
    part: 0n,
    total: 0,
    metadata: noBytes,
    payload: noBytes,
  };
  if (!(flags & Flag.continues)) {
    const op = varint("op");
    if (op > 0xffffffffn) throw new Malformed("malformed op of a data frame beyond 32 bits");
    read.op = Number(unzigzag(op));
    read.part = unzigzag(varint("part"));
    if (flags & Flag.firstOfMore) read.total = toNumber(varint("total"));
    if (flags & Flag.metadata) {
      const size = varint("metadata size");
      if (size > BigInt(body.length - at)) throw new Malformed("malformed metadata of a data frame beyond its end");
      read.metadata = body.subarray(at, at + Number(size));
      at += Number(size);
    }
  }
  read.payload = body.subarray(at);
  return read;
}

/** A fragment without its payload. Throws Malformed. */
export function decodeFragment(head: DataFrame, payload: Uint8Array, now: number): Fragment {
  if (head.metadata.length === 0) return new Fragment({ op: head.op, part: head.part, payload });
  let subject = "";
  let err = "";
  let deadline: number | undefined;
  let cancels = false;
  const args: [string, string][] = [];
  for (const each of fields(head.metadata)) {
    if (each.field === 1 && each.wire === 2) subject = decodeText(each.bytes);
    else if (each.field === 3 && each.wire === 2) err = decodeText(each.bytes);
    else if (each.field === 4 && each.wire === 5) deadline = each.number === 0n ? undefined : now + Number(each.number);
    else if (each.field === 5 && each.wire === 0) cancels = each.number !== 0n;
    else if (each.field === 2 && each.wire === 2) {
      if (args.length === argsMax) throw new Malformed(`more than ${argsMax} args`);
      const item = new Message(each.bytes);
      args.push([item.text(1), item.text(2)]);
    }
  }
  if (cancels) {
    const word = new Fragment({ part: head.part, op: head.op });
    word.cancels = true;
    return word;
  }
  const fragment = new Fragment({ op: head.op, part: head.part, subject, args, payload, err });
  fragment.deadline = deadline;
  return fragment;
}

/** Bytes of the metadata that the fragment is sent with. */
export function metadataSize(fragment: Fragment): number {
  if (fragment.cancels) return 2;
  let size = fragment.deadline === undefined ? 0 : 5;
  const field = (text: string): number => {
    const bytes = text === "" ? 0 : encodeText(text).length;
    return bytes === 0 ? 0 : 1 + varintSize(bytes) + bytes;
  };
  size += field(fragment.subject) + field(fragment.err);
  for (const [key, value] of fragment.args) {
    const inner = field(key) + field(value);
    size += 1 + varintSize(inner) + inner;
  }
  return size;
}
