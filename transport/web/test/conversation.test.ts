// Two machines talk over pipes that cut and delay, and a seed chooses what both applications do. A model knows what was
// sent and asked for; in the end every circuit is held against it. Each machine checks its invariants after every
// input.
//
// TRUNKLINE_SEED=N replays one; TRUNKLINE_SEEDS says how many are run.
import { expect, test } from "vitest";
import { reasons } from "../src/end.ts";
import { Fragment } from "../src/fragment.ts";
import { OpenMode, type Open } from "../src/frames.ts";
import type { MachineCircuit } from "../src/machine/circuit.ts";
import { Machine } from "../src/machine/machine.ts";
import { ids, Seeded, testSeed } from "./support.ts";

interface Known {
  readonly key: string; // of both ends
  readonly circuit: MachineCircuit;
  readonly isReader: boolean; // takes what comes, sooner or later; the others pause
  sent: string[];
  taken: string[];
  errorsSent: string[];
  errorsTaken: string[];
  hasFinished: boolean; // by finish or close, after everything in `sent`
  hasGivenUp: boolean; // by reset, or by a close, which drops what the far side still sends
  sawEnd: boolean; // everything that came before a clean finish was taken
}

class Side {
  readonly machine: Machine;
  readonly known = new Map<MachineCircuit, Known>();
  inWire: Uint8Array[] = []; // bytes on their way to this side
  closed = "";

  constructor(
    readonly name: string,
    options: { dialled: boolean; old: boolean },
    readonly seeded: Seeded,
  ) {
    this.machine = new Machine(
      {
        dialled: options.dialled,
        nodeId: ids(options.dialled ? 1 : 0x80),
        nodeName: name,
        checks: true,
        limits: {
          trunkMemoryBytesMax: 2 << 20,
          fragmentBytesMax: 300_000,
          sendQueueBytesMax: 200_000,
          keepaliveInterval: 1e9,
          writeDeadline: 1e9,
          stallDeadline: 1e9,
        },
      },
      0,
    );
  }
}

const sizes = [0, 1, 5, 100, 300, 4000, 5000, 40_000, 65_536, 65_537, 150_000, 300_000];

class Conversation {
  now = 0;
  readonly seeded: Seeded;
  readonly sides: [Side, Side];
  readonly pairs = new Map<string, [Known | undefined, Known | undefined]>();
  isDraining = false;

  constructor(seed: number) {
    this.seeded = new Seeded(seed);
    this.sides = [
      new Side("a", { dialled: true, old: false }, this.seeded),
      new Side("b", { dialled: false, old: false }, this.seeded),
    ];
  }

  private index(side: Side): 0 | 1 {
    return side === this.sides[0] ? 0 : 1;
  }

  private add(side: Side, circuit: MachineCircuit): Known {
    const known: Known = {
      key: `${circuit.id}`,
      circuit,
      isReader: this.seeded.below(4) > 0,
      sent: [],
      taken: [],
      errorsSent: [],
      errorsTaken: [],
      hasFinished: false,
      hasGivenUp: false,
      sawEnd: false,
    };
    side.known.set(circuit, known);
    const pair = this.pairs.get(known.key) ?? [undefined, undefined];
    pair[this.index(side)] = known;
    this.pairs.set(known.key, pair);
    return known;
  }

  private fragment(known: Known, isFirst = false): Fragment {
    const size = isFirst ? this.seeded.one([0, 10, 5000, 100_000]) : this.seeded.one(sizes);
    const payload = new Uint8Array(size).fill(this.seeded.below(256));
    const isError = this.seeded.below(12) === 0;
    const fragment = new Fragment({
      op: 1 + this.seeded.below(100),
      part: known.sent.length + known.errorsSent.length,
      subject: this.seeded.below(3) === 0 ? "θ".repeat(this.seeded.below(50)) : "",
      args: this.seeded.below(5) === 0 ? [["k", "v".repeat(this.seeded.below(100))]] : [],
      payload: isError ? payload.subarray(0, 1000) : payload,
      err: isError ? "noted" : "",
    });
    return fragment;
  }

  private static text(fragment: Fragment): string {
    const { op, part, subject, args, payload, err } = fragment;
    return `${op} ${part} ${subject} ${args.join(";")} ${payload.length}x${payload[0] ?? ""}x${payload.at(-1) ?? ""} ${err}`;
  }

  private note(known: Known, fragment: Fragment): void {
    (fragment.err === "" ? known.sent : known.errorsSent).push(Conversation.text(fragment));
  }

  private act(side: Side): void {
    const { machine } = side;
    const all = [...side.known.values()].filter((each) => !each.circuit.released);
    const known = all.length > 0 ? this.seeded.one(all) : undefined;
    const what = this.seeded.below(100);
    if (what < 6 && all.length < 24 && !machine.draining) {
      const first =
        this.seeded.below(2) === 0 ? this.fragment({ sent: [], errorsSent: [] } as unknown as Known, true) : undefined;
      const circuit = machine.open(
        {
          mode: OpenMode.joinOrStart,
          from: { id: ids(0x20), service: side.name },
          toService: "any",
          name: "n",
          wantsAnswer: false,
        },
        first,
        this.now,
      );
      const opened = this.add(side, circuit);
      if (first) this.note(opened, first);
    } else if (!known) {
      return;
    } else if (what < 45) {
      const fragment = this.fragment(known);
      const wasOpen = !known.circuit.ended && !known.circuit.finishedHere;
      const outcome = machine.send(known.circuit, fragment, this.now);
      if (outcome === "queued") this.note(known, fragment);
      expect(outcome === "closed").toBe(!wasOpen);
    } else if (what < 85) {
      if (known.isReader) this.take(side, known, 1 + this.seeded.below(5));
    } else if (what < 91) {
      machine.finish(known.circuit);
      known.hasFinished = true;
    } else if (what < 93) {
      known.hasFinished = true;
      known.hasGivenUp = true;
      machine.close(known.circuit);
    } else if (what < 95) {
      known.hasGivenUp = true;
      machine.reset(known.circuit);
    } else if (what < 97) {
      if (known.circuit.ended) this.take(side, known, Infinity);
      known.hasGivenUp = true;
      known.hasFinished ||= known.circuit.finishedHere;
      machine.release(known.circuit);
    } else {
      this.now += this.seeded.below(1500);
      machine.tick(this.now);
    }
  }

  private take(side: Side, known: Known, most: number): void {
    for (let i = 0; i < most; ++i) {
      const fragment =
        this.seeded.below(3) === 0
          ? (side.machine.takeError(known.circuit, this.now) ?? side.machine.take(known.circuit, this.now))
          : side.machine.take(known.circuit, this.now);
      if (!fragment) break;
      (fragment.err === "" ? known.taken : known.errorsTaken).push(Conversation.text(fragment));
    }
  }

  /** Bytes move, cut anywhere. */
  private move(side: Side): void {
    const other = this.sides[1 - this.index(side)]!;
    const bytes = side.machine.takeOutput(1 + this.seeded.below(200_000), this.now);
    if (bytes.length > 0) other.inWire.push(bytes);
    side.machine.written(this.now);
    const arrived = side.inWire[0];
    if (!arrived) return;
    const size = this.seeded.below(3) === 0 ? 1 + this.seeded.below(arrived.length) : arrived.length;
    side.machine.feed(arrived.subarray(0, size), this.now);
    if (size === arrived.length) side.inWire.shift();
    else side.inWire[0] = arrived.subarray(size);
    this.hear(side);
  }

  private hear(side: Side): void {
    for (const event of side.machine.takeEvents()) {
      if (event.kind === "closed") side.closed = `${event.end.reason} ${event.end.text}`;
      if (event.kind !== "opened") continue;
      if (event.circuit.ended) {
        side.machine.release(event.circuit);
        continue;
      }
      if (this.seeded.below(15) === 0) {
        side.machine.refuse(event.circuit, reasons.noService, "not here");
        continue;
      }
      this.opened(side, event.circuit, event.open);
    }
  }

  private opened(side: Side, circuit: MachineCircuit, open: Open): void {
    expect(open.name).toBe("n");
    side.machine.accept(circuit, { id: ids(0x60), service: "any" });
    side.machine.leftBacklog(circuit);
    this.add(side, circuit);
  }

  run(steps: number): void {
    for (let i = 0; i < steps; ++i) {
      const side = this.seeded.one(this.sides);
      if (this.seeded.below(2) === 0) this.act(side);
      else this.move(side);
      this.hear(side);
    }
    this.settle();
  }

  /** Nobody pauses any more: everything that was sent arrives, every circuit is finished, and both sides drain. */
  private settle(): void {
    this.moveAll();
    if (this.endWhatBothHaveClosed()) this.moveAll();
    for (const side of this.sides) {
      expect(side.closed, `${side.name} was closed`).toBe("");
      expect(
        side.machine
          .circuits()
          .map((each) => `${each.id} ${each.out} ${each.in} ${each.closing} queued ${each.queued}`),
        side.name,
      ).toEqual([]);
    }
    for (const [a, b] of this.pairs.values()) {
      this.compare(a, b);
      this.compare(b, a);
    }
    this.drain();
  }

  /**
   * A side that has closed grants no more, so two that have closed while more was queued than the windows hold wait for
   * stallDeadline, which no conversation lasts for.
   */
  private endWhatBothHaveClosed(): boolean {
    const isStuck = (known: Known | undefined): boolean => known?.circuit.closing === "asked" && known.circuit.queued > 0;
    const stuck = [...this.pairs.values()].filter(([a, b]) => isStuck(a) && isStuck(b));
    for (const [known] of stuck) this.sides[0].machine.reset(known!.circuit);
    return stuck.length > 0;
  }

  private moveAll(): void {
    for (let round = 0; round < 4000; ++round) {
      let isQuiet = true;
      for (const side of this.sides) {
        this.now += 20;
        side.machine.tick(this.now);
        this.hear(side);
        for (const known of side.known.values()) {
          if (known.circuit.released) continue;
          this.take(side, known, Infinity);
          for (
            let each = side.machine.takeError(known.circuit, this.now);
            each;
            each = side.machine.takeError(known.circuit, this.now)
          )
            known.errorsTaken.push(Conversation.text(each));
          if (!known.circuit.finishedHere && !known.circuit.ended) {
            side.machine.finish(known.circuit);
            known.hasFinished = true;
          }
        }
        const before = side.inWire.length + this.sides[1 - this.index(side)]!.inWire.length;
        this.move(side);
        if (before > 0 || side.machine.hasOutput() || side.machine.circuitsCount > 0) isQuiet = false;
      }
      if (isQuiet) break;
    }
  }

  private compare(sender: Known | undefined, receiver: Known | undefined): void {
    if (!sender || !receiver) return; // refused, or given up before it was taken
    const words = `circuit ${sender.key}`;
    // In order, each at most once.
    expect(receiver.taken, words).toEqual(sender.sent.slice(0, receiver.taken.length));
    let at = 0;
    for (const each of receiver.errorsTaken) {
      at = sender.errorsSent.indexOf(each, at) + 1;
      expect(at, `${words}: an error fragment that was sent, in order`).toBeGreaterThan(0);
    }
    // Nothing is lost before a finish, unless somebody gave up.
    const isWhole = sender.circuit.out === "acknowledged" || (!sender.hasGivenUp && !receiver.hasGivenUp);
    if (isWhole && sender.hasFinished) expect(receiver.taken.length, `${words}: all of it`).toBe(sender.sent.length);
  }

  private drain(): void {
    const [a, b] = this.sides;
    this.seeded.one(this.sides).machine.drain(this.now + 1000);
    for (let round = 0; round < 40 && !(a.machine.over && b.machine.over); ++round) {
      for (const side of this.sides) {
        this.now += 10;
        this.move(side);
        side.machine.tick(this.now);
        if (side.machine.over) this.sides[1 - this.index(side)]!.machine.disconnected(undefined, this.now);
      }
    }
    for (const side of this.sides) {
      expect(side.closed).toMatch(/^0 /);
      expect(side.machine.over).toBe(true);
      for (const known of side.known.values()) side.machine.release(known.circuit);
      expect(side.machine.memoryBytes, "nothing is left").toBe(0);
    }
  }
}

const seeds = Number(process.env["TRUNKLINE_SEEDS"] ?? 40);
const first = testSeed;
const count = process.env["TRUNKLINE_SEED"] === undefined ? seeds : 1;

test.each(Array.from({ length: count }, (_, i) => (first + i) % 2 ** 31))(
  "conversation: random operations on both sides keep order, credit, memory and every ending (TRUNKLINE_SEED=%i)",
  (seed) => {
    new Conversation(seed).run(3000);
  },
);
