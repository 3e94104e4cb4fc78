// The little of protobuf that the wire needs: varints, fixed32 and fields by length. Unknown fields are skipped.
import { decodeText, encodeText } from "./bytes.ts";

/** Thrown by what reads bytes of the far side, and caught by the machine, which ends the trunk with the text. */
export class Malformed extends Error {
  override readonly name = "Malformed";
}

const numberMax = Number.MAX_SAFE_INTEGER;

/** Writes varints and fields one after another. */
export class Writer {
  private bytes = new Uint8Array(64);
  private size = 0;

  private room(count: number): void {
    if (this.size + count <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.bytes.length, this.size + count));
    larger.set(this.bytes.subarray(0, this.size));
    this.bytes = larger;
  }

  varint(value: number | bigint): this {
    this.room(10);
    if (typeof value === "bigint") {
      let left = BigInt.asUintN(64, value);
      while (left >= 0x80n) {
        this.bytes[this.size++] = Number(left & 0x7fn) | 0x80;
        left >>= 7n;
      }
      this.bytes[this.size++] = Number(left);
      return this;
    }
    let left = value;
    while (left >= 0x80) {
      this.bytes[this.size++] = (left % 0x80) | 0x80;
      left = Math.floor(left / 0x80);
    }
    this.bytes[this.size++] = left;
    return this;
  }

  /** The zigzag form. */
  svarint(value: bigint): this {
    return this.varint((value << 1n) ^ (value >> 63n));
  }

  raw(bytes: Uint8Array): this {
    this.room(bytes.length);
    this.bytes.set(bytes, this.size);
    this.size += bytes.length;
    return this;
  }

  /** A number or a bool; left out when it is zero. */
  number(field: number, value: number | bigint | boolean): this {
    const number = typeof value === "boolean" ? Number(value) : value;
    return number === 0 || number === 0n ? this : this.varint(field << 3).varint(number);
  }

  fixed32(field: number, value: number): this {
    this.varint((field << 3) | 5).room(4);
    new DataView(this.bytes.buffer).setUint32(this.size, value, true);
    this.size += 4;
    return this;
  }

  /** Left out when it is empty. */
  field(field: number, value: Uint8Array | string): this {
    const bytes = typeof value === "string" ? encodeText(value) : value;
    return bytes.length === 0 ? this : this.always(field, bytes);
  }

  /** A field by length that is there even when it is empty: an item of a repeated one. */
  always(field: number, bytes: Uint8Array): this {
    return this.varint((field << 3) | 2)
      .varint(bytes.length)
      .raw(bytes);
  }

  done(): Uint8Array {
    return this.bytes.slice(0, this.size);
  }
}

export function varintSize(value: number): number {
  let size = 1;
  for (let left = value; left >= 0x80; left = Math.floor(left / 0x80)) ++size;
  return size;
}

/** One field of a message as it was read. `number` is for wire types 0 and 5, `bytes` for wire type 2. */
export interface Field {
  field: number;
  wire: number;
  number: bigint;
  bytes: Uint8Array;
}

function readVarint(bytes: Uint8Array, at: number): { value: bigint; next: number } {
  let value = 0n;
  let small = 0; // as long as it fits 28 bits, no bigint is needed
  for (let i = 0; i < 10; ++i) {
    const byte = bytes[at + i];
    if (byte === undefined) throw new Malformed("a varint ends too early");
    if (i < 4) small |= (byte & 0x7f) << (7 * i);
    else value |= BigInt(byte & 0x7f) << BigInt(7 * i);
    if (byte < 0x80) return { value: BigInt.asUintN(64, value | BigInt(small)), next: at + i + 1 };
  }
  throw new Malformed("a varint has more than 10 bytes");
}

/** The fields of a message, in order. Throws Malformed. */
export function* fields(bytes: Uint8Array): Generator<Field> {
  let at = 0;
  const skip = (count: number): Uint8Array => {
    if (count > bytes.length - at) throw new Malformed("a field reaches beyond its message");
    const from = at;
    at += count;
    return bytes.subarray(from, at);
  };
  while (at < bytes.length) {
    const tag = readVarint(bytes, at);
    at = tag.next;
    if (tag.value >> 3n === 0n || tag.value > 0xffffffffn) throw new Malformed("a field without a number");
    const found: Field = {
      field: Number(tag.value >> 3n),
      wire: Number(tag.value & 7n),
      number: 0n,
      bytes: bytes.subarray(0, 0),
    };
    if (found.wire === 0) {
      const read = readVarint(bytes, at);
      found.number = read.value;
      at = read.next;
    } else if (found.wire === 1) {
      skip(8);
    } else if (found.wire === 2) {
      const size = readVarint(bytes, at);
      at = size.next;
      if (size.value > BigInt(bytes.length)) throw new Malformed("a field reaches beyond its message");
      found.bytes = skip(Number(size.value));
    } else if (found.wire === 5) {
      const four = skip(4);
      found.number = BigInt(new DataView(four.buffer, four.byteOffset, 4).getUint32(0, true));
    } else {
      throw new Malformed(`a field of wire type ${found.wire}`);
    }
    yield found;
  }
}

/** As a number; beyond what a number counts exactly, the largest that it does. */
export function toNumber(value: bigint): number {
  return value > BigInt(numberMax) ? numberMax : Number(value);
}

/** A message as the fields that a decoder asks for: the last value of each, or all of a repeated one. */
export class Message {
  private readonly numbers = new Map<number, bigint>();
  private readonly blobs = new Map<number, Uint8Array[]>();

  constructor(bytes: Uint8Array) {
    for (const each of fields(bytes)) {
      if (each.wire === 0) this.numbers.set(each.field, each.number);
      if (each.wire !== 2) continue;
      const known = this.blobs.get(each.field);
      if (known) known.push(each.bytes);
      else this.blobs.set(each.field, [each.bytes]);
    }
  }

  has(field: number): boolean {
    return this.numbers.has(field);
  }
  big(field: number): bigint {
    return this.numbers.get(field) ?? 0n;
  }
  number(field: number): number {
    return toNumber(this.big(field));
  }
  uint32(field: number): number {
    return Number(BigInt.asUintN(32, this.big(field)));
  }
  flag(field: number): boolean {
    return this.big(field) !== 0n;
  }
  all(field: number): readonly Uint8Array[] {
    return this.blobs.get(field) ?? [];
  }
  bytes(field: number): Uint8Array {
    return this.blobs.get(field)?.at(-1)?.slice() ?? new Uint8Array(0);
  }
  text(field: number): string {
    return decodeText(this.blobs.get(field)?.at(-1) ?? new Uint8Array(0));
  }
}
