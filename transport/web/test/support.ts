// What the tests share: bytes, seeds, machines that talk to each other.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { hex, type Random } from "../src/bytes.ts";
import { describe, type End } from "../src/end.ts";
import { encodeHello, assumedLimits, frame, FrameType, preface, type Hello } from "../src/frames.ts";
import { Machine, type MachineOptions } from "../src/machine/machine.ts";
import type { MachineEvent } from "../src/machine/whole.ts";

export const root = fileURLToPath(new URL("../../../", import.meta.url));

export function golden(): Record<string, Uint8Array> {
  const file = JSON.parse(readFileSync(`${root}tests/interop/frames.json`, "utf8")) as Record<string, string>;
  return Object.fromEntries(Object.entries(file).map(([name, text]) => [name, bytesOf(text)]));
}

export const bytesOf = (text: string): Uint8Array =>
  Uint8Array.from(text.match(/../g) ?? [], (each) => parseInt(each, 16));
export const ids = (start: number): Uint8Array => Uint8Array.from({ length: 16 }, (_, i) => start + i);

/** The same numbers for the same seed. */
export class Seeded {
  private state: number;
  constructor(readonly seed: number) {
    this.state = seed >>> 0 || 1;
  }
  next(): number {
    // mulberry32
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  }
  below(count: number): number {
    return this.next() % count;
  }
  one<T>(of: readonly T[]): T {
    return of[this.below(of.length)]!;
  }
  get random(): Random {
    return (bytes) => {
      for (let i = 0; i < bytes.length; ++i) bytes[i] = this.below(256);
    };
  }
}

export const testSeed = Number(process.env["TRUNKLINE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

export const hello = (over: Partial<Hello> = {}): Uint8Array =>
  frame(
    FrameType.hello,
    encodeHello({
      versionMin: 1,
      versionMax: 1,
      nodeId: ids(0x40),
      nodeName: "far",
      addresses: [],
      features: [],
      mandatoryFeatures: [],
      takes: { ...assumedLimits, fragmentBytesMax: 4 << 20 },
      ...over,
    }),
  );

export interface Seen {
  type: number;
  flags: number;
  body: Uint8Array;
}

/** The frames in bytes that a machine has put out; the preface is left out. */
export function framesIn(bytes: Uint8Array): Seen[] {
  const found: Seen[] = [];
  let at = hex(bytes.subarray(0, 8)) === hex(preface) ? 8 : 0;
  while (at < bytes.length) {
    const length = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
    found.push({ type: bytes[at + 3]!, flags: bytes[at + 4]!, body: bytes.subarray(at + 5, at + 5 + length) });
    at += 5 + length;
  }
  return found;
}

/** A machine whose far side is the test: it has introduced itself, and its first output is taken. */
export class Dialogue {
  readonly machine: Machine;
  now = 1000;

  constructor(options: Partial<MachineOptions> = {}, farHello: Uint8Array = hello()) {
    this.machine = new Machine(
      { dialled: false, nodeId: ids(0x10), nodeName: "near", checks: true, ...options },
      this.now,
    );
    this.out();
    if (farHello.length > 0) this.hear(preface, farHello);
    this.machine.takeEvents();
    this.out();
  }

  hear(...pieces: Uint8Array[]): this {
    for (const piece of pieces) this.machine.feed(piece, this.now);
    return this;
  }
  events(): string[] {
    return this.machine.takeEvents().map(eventText);
  }
  /** What it says now. */
  out(): Seen[] {
    const bytes = this.machine.takeOutput(1 << 20, this.now);
    this.machine.written(this.now);
    return framesIn(bytes);
  }
  types(): number[] {
    return this.out().map((each) => each.type);
  }
  /** The end that it has come to. */
  ended(): string {
    const closed = this.machine.takeEvents().find((each) => each.kind === "closed");
    return closed ? describe((closed as { end: End }).end) : "";
  }
  pass(ms: number): this {
    this.now += ms;
    this.machine.tick(this.now);
    return this;
  }
}

export function eventText(event: MachineEvent): string {
  switch (event.kind) {
    case "hello":
    case "draining":
      return event.kind;
    case "closed":
      return `closed: ${describe(event.end)}`;
    case "metadata":
    case "peerEnded":
      return `${event.kind} ${event.peer}`;
    case "ended":
      return `ended ${event.circuit.id}: ${event.circuit.end ? describe(event.circuit.end) : "clean"}`;
    default:
      return `${event.kind} ${event.circuit.id}`;
  }
}
