// Dialogues with one machine: what the far side says, what our side does, what comes out.
import { expect, test } from "vitest";
import { concat } from "../src/bytes.ts";
import { end, reasons } from "../src/end.ts";
import { Fragment } from "../src/fragment.ts";
import {
  assumedLimits,
  encodeAccept,
  encodeCredit,
  encodeDataHead,
  encodeEnding,
  encodeFragmentMetadata,
  encodeGoodbye,
  encodeNumber,
  encodeOpen,
  encodePeerMetadata,
  Flag,
  frame,
  FrameType,
  OpenMode,
  preface,
} from "../src/frames.ts";
import { Message, Writer } from "../src/protobuf.ts";
import type { MachineCircuit } from "../src/machine/circuit.ts";
import { Dialogue, framesIn, golden, hello, ids, Seeded, testSeed } from "./support.ts";

const none = new Uint8Array(0);
const openFrame = (circuit: number, over: object = {}): Uint8Array =>
  frame(
    FrameType.open,
    encodeOpen({
      circuit,
      mode: OpenMode.joinOrStart,
      fromPeer: ids(0x70),
      fromService: "far",
      toPeer: none,
      toService: "near",
      name: "",
      userString: "",
      wantsAnswer: false,
      remainingMs: 0,
      ...over,
    }),
  );
const finish = (circuit: number): Uint8Array => frame(FrameType.finish, encodeNumber(circuit));
const credit = (circuit: number, bytes: number): Uint8Array => frame(FrameType.credit, encodeCredit(circuit, bytes));
function data(circuit: number, payload: Uint8Array, fragment = new Fragment({ op: 1, payload })): Uint8Array {
  const metadata = encodeFragmentMetadata(fragment, 0);
  return concat([
    encodeDataHead(circuit, { fragment, metadata, total: payload.length }, payload.length, true),
    payload,
  ]);
}
function beginning(circuit: number, total: number, payload: Uint8Array): Uint8Array {
  const fragment = new Fragment({ op: 1 });
  return concat([encodeDataHead(circuit, { fragment, metadata: none, total }, payload.length, false), payload]);
}
function continuation(circuit: number, payload: Uint8Array, isLast: boolean): Uint8Array {
  return concat([encodeDataHead(circuit, null, payload.length, isLast), payload]);
}
const bytes = (size: number): Uint8Array => new Uint8Array(size).fill(7);

/** The far side has opened circuit 1, and a peer of ours has taken it. */
function withCircuit(options = {}, farHello = hello()): { dialogue: Dialogue; circuit: MachineCircuit } {
  const dialogue = new Dialogue(options, farHello);
  dialogue.hear(openFrame(1));
  const [opened] = dialogue.machine.takeEvents();
  if (opened?.kind !== "opened") throw new Error("no circuit was opened");
  dialogue.machine.accept(opened.circuit, { id: ids(0x20), service: "near" });
  dialogue.machine.leftBacklog(opened.circuit);
  return { dialogue, circuit: opened.circuit };
}

function openHere(dialogue: Dialogue): MachineCircuit {
  return dialogue.machine.open(
    { mode: OpenMode.start, from: { id: ids(0x20), service: "near" }, toPeer: ids(0x90), toService: "far" },
    undefined,
    dialogue.now,
  );
}

test("machine: preface, hello, open and first fragment leave before anything was heard", () => {
  const dialogue = new Dialogue({ dialled: true }, none);
  const machine = dialogue.machine;

  const circuit = machine.open(
    { mode: OpenMode.joinOrStart, from: { id: ids(1), service: "me" }, toService: "echo" },
    new Fragment({ payload: "hello" }),
    0,
  );

  expect(circuit.id).toBe(1);
  expect(dialogue.types()).toEqual([FrameType.open, FrameType.data]);
});

test("machine: the first output is a preface, a hello, the rest of the window, and a ping that times the round trip", async () => {
  const { Machine } = await import("../src/machine/machine.ts");
  const machine = new Machine({ dialled: true, nodeId: ids(1) }, 0);

  const output = machine.takeOutput(1 << 20, 0);

  expect(output.subarray(0, 8)).toEqual(preface);
  expect(framesIn(output).map((each) => each.type)).toEqual([FrameType.hello, FrameType.credit, FrameType.ping]);
});

test("machine: a far side that opens a circuit, sends and finishes is acknowledged when everything was taken", () => {
  const { dialogue, circuit } = withCircuit();
  dialogue.hear(data(1, bytes(10)), finish(1));
  expect(dialogue.events()).toEqual(["readable 1", "readable 1", "errorReadable 1"]);
  expect(dialogue.types()).toEqual([]);

  const taken = dialogue.machine.take(circuit, dialogue.now);

  expect(taken?.payload).toEqual(bytes(10));
  expect(dialogue.types()).toEqual([FrameType.finishAcknowledged]);
  dialogue.machine.finish(circuit);
  expect(dialogue.types()).toEqual([FrameType.finish]);
  dialogue.hear(frame(FrameType.finishAcknowledged, encodeNumber(1)));
  expect(dialogue.events()).toEqual(["finished 1", "ended 1: clean"]);
});

test("machine: an error fragment comes on the queue for errors, and the latest are kept", () => {
  const { dialogue, circuit } = withCircuit({ limits: { errorsUnreadBytesMax: 2000 } });
  for (let part = 0; part < 10; ++part)
    dialogue.hear(data(1, none, new Fragment({ part, err: "note", payload: none })));

  const kept = Array.from({ length: 20 }, () => dialogue.machine.takeError(circuit, dialogue.now)?.part).filter(
    (part) => part !== undefined,
  );

  expect(kept.at(-1)).toBe(9n);
  expect(kept.length).toBeLessThan(8);
  expect(circuit.counters.errorsDropped).toBe(10 - kept.length);
});

test("machine: a fragment of several frames is whole when its last one has come", () => {
  const { dialogue, circuit } = withCircuit();
  dialogue.hear(beginning(1, 100_000, bytes(50_000)), continuation(1, bytes(30_000), false));
  expect(dialogue.events()).toEqual([]);

  dialogue.hear(continuation(1, bytes(20_000), true));

  expect(dialogue.events()).toEqual(["readable 1"]);
  expect(dialogue.machine.take(circuit, dialogue.now)?.payload.length).toBe(100_000);
});

test("machine: a fragment larger than the window is granted what is missing", () => {
  const { dialogue } = withCircuit();
  dialogue.out();

  dialogue.hear(beginning(1, 1_000_000, bytes(60_000)));

  const grants = dialogue.out().map((each) => new Message(each.body));
  const ofCircuit = grants.find((each) => each.number(1) === 1);
  expect(ofCircuit?.number(2)).toBe(1_000_000 - 60_000 - (262_144 - 60_000 - 256));
  expect(ofCircuit?.number(4)).toBe(1);
});

test("machine: credit goes back when the application takes, not when data arrives", () => {
  const { dialogue, circuit } = withCircuit();
  dialogue.out();
  for (let i = 0; i < 3; ++i) dialogue.hear(data(1, bytes(60_000)));
  expect(dialogue.out()).toEqual([]);

  for (let i = 0; i < 3; ++i) dialogue.machine.take(circuit, dialogue.now);

  const grants = dialogue
    .out()
    .filter((each) => each.type === FrameType.credit)
    .map((each) => new Message(each.body));
  expect(grants.some((each) => each.number(1) === 1 && each.number(2) >= 131_072)).toBe(true);
});

test("machine: a send waits for the circuit's credit, and hears once that there is some", () => {
  const dialogue = new Dialogue();
  const circuit = openHere(dialogue);
  const send = (): string => dialogue.machine.send(circuit, new Fragment({ payload: bytes(60_000) }), dialogue.now);
  while (send() === "queued");
  dialogue.out();
  expect(dialogue.events()).toEqual([]);

  dialogue.hear(credit(circuit.id, 131_072));

  expect(dialogue.events()).toEqual(["writable 2"]);
  expect(send()).toBe("queued");
});

test("machine: control frames overtake data, a finish does not", () => {
  const dialogue = new Dialogue();
  const circuit = openHere(dialogue);
  dialogue.machine.send(circuit, new Fragment({ payload: bytes(1000) }), dialogue.now);
  dialogue.machine.finish(circuit);
  dialogue.hear(frame(FrameType.ping, encodeNumber(5)));

  expect(dialogue.types()).toEqual([FrameType.open, FrameType.pong, FrameType.data, FrameType.finish]);
});

test("machine: large fragments of two circuits take turns", () => {
  const dialogue = new Dialogue();
  const circuits = [openHere(dialogue), openHere(dialogue)];
  for (const each of circuits) dialogue.machine.send(each, new Fragment({ payload: bytes(200_000) }), dialogue.now);

  const numbers = dialogue
    .out()
    .filter((each) => each.type === FrameType.data)
    .map((each) => each.body[0]);

  expect(numbers.slice(0, 4)).toEqual([2, 4, 2, 4]);
});

test("machine: a deadline crosses the wire, and resets the circuit on both sides", () => {
  const { dialogue, circuit } = withCircuit();
  dialogue.hear(openFrame(3, { remainingMs: 500 }));
  const [opened] = dialogue.machine.takeEvents();
  const timed = (opened as { circuit: MachineCircuit }).circuit;
  expect(timed.deadline).toBe(dialogue.now + 500);
  expect(dialogue.machine.deadline()).toBe(dialogue.now + 500);

  dialogue.pass(500);

  expect(dialogue.events()).toEqual([`ended 3: deadline passed`]);
  expect(circuit.ended).toBe(false);
  const ours = dialogue.machine.open(
    {
      mode: OpenMode.start,
      from: { id: ids(1), service: "me" },
      toPeer: ids(2),
      toService: "x",
      deadline: dialogue.now + 250,
    },
    undefined,
    dialogue.now,
  );
  expect(new Message(dialogue.out().find((each) => each.type === FrameType.open)!.body).number(10)).toBe(250);
  dialogue.pass(251);
  expect(ours.end?.reason).toBe(reasons.deadlinePassed);
});

test("machine: a call's deadline and the word that gives it up are read", () => {
  const { dialogue, circuit } = withCircuit();
  const call = new Fragment({ op: 4, part: 9, payload: bytes(3) });
  call.deadline = 700;
  dialogue.hear(data(1, bytes(3), call));
  const word = new Fragment({ part: 9 });
  word.cancels = true;
  dialogue.hear(data(1, none, word));

  expect(dialogue.machine.take(circuit, dialogue.now)?.deadline).toBe(dialogue.now + 700);
  expect(dialogue.machine.take(circuit, dialogue.now)?.cancels).toBe(true);
});

test("machine: a drain refuses what is opened later, lets the rest end, and says goodbye", () => {
  const { dialogue, circuit } = withCircuit();
  dialogue.out();
  dialogue.machine.drain(dialogue.now + 10_000);
  expect(dialogue.types()).toEqual([FrameType.drain]);
  dialogue.hear(openFrame(3));
  expect(dialogue.types()).toEqual([FrameType.refuse]);
  dialogue.hear(frame(FrameType.drain, none));
  expect(dialogue.types()).toEqual([]);

  dialogue.machine.close(circuit);
  dialogue.hear(frame(FrameType.closeReceived, encodeNumber(1)));

  expect(dialogue.types()).toEqual([FrameType.close, FrameType.goodbye]);
  expect(dialogue.machine.over).toBe(false);
  dialogue.hear(frame(FrameType.goodbye, encodeGoodbye(0, "")));
  expect(dialogue.machine.over).toBe(true);
});

test("machine: after the deadline of a drain what is left is reset", () => {
  const { dialogue, circuit } = withCircuit();
  dialogue.machine.drain(dialogue.now + 1000);
  dialogue.out();

  dialogue.pass(1000);

  expect(circuit.end?.reason).toBe(reasons.draining);
  expect(dialogue.types()).toEqual([FrameType.reset, FrameType.goodbye]);
});

test("machine: silence is broken by a ping, and twice the interval of it ends the trunk", () => {
  const dialogue = new Dialogue();
  dialogue.hear(frame(FrameType.pong, encodeNumber(1)));
  dialogue.pass(15_000);
  expect(dialogue.types()).toEqual([FrameType.ping]);

  dialogue.pass(14_999);
  expect(dialogue.ended()).toBe("");
  dialogue.pass(1);

  expect(dialogue.ended()).toMatch(/^keepalive timeout/);
});

test("machine: without a hello the trunk ends after the handshake deadline", () => {
  const dialogue = new Dialogue({}, none);
  dialogue.pass(5000);
  expect(dialogue.ended()).toMatch(/^handshake timeout: no hello within handshakeDeadline 5000 ms/);
});

test("machine: output that is not written ends the trunk", () => {
  const dialogue = new Dialogue();
  openHere(dialogue);
  dialogue.machine.takeOutput(1 << 20, dialogue.now);
  dialogue.pass(20_000);
  expect(dialogue.ended()).toMatch(/^write timeout/);
});

test("machine: a close that is not answered is reset as stalled when the far side answers pings", () => {
  const dialogue = new Dialogue();
  dialogue.hear(frame(FrameType.pong, encodeNumber(1)));
  const circuit = openHere(dialogue);
  dialogue.machine.close(circuit);
  for (let i = 0; i < 60 && !circuit.ended; ++i) {
    for (const each of dialogue.out())
      if (each.type === FrameType.ping) dialogue.hear(frame(FrameType.pong, each.body));
    dialogue.pass(5000).hear(frame(FrameType.ping, encodeNumber(i)));
  }
  expect(circuit.end?.reason).toBe(reasons.stalled);
});

test("machine: metadata of a peer is kept, replaced and forgotten", () => {
  const dialogue = new Dialogue();
  const metadata = (items: [string, string][]): Uint8Array =>
    frame(FrameType.peerMetadata, encodePeerMetadata(ids(0x70), new Map(items)));
  dialogue.hear(metadata([["role", "leader"]]));
  expect(dialogue.machine.remoteMetadata(ids(0x70))?.get("role")).toBe("leader");
  dialogue.hear(metadata([["role", "follower"]]));
  expect(dialogue.machine.remoteMetadata(ids(0x70))?.get("role")).toBe("follower");
  dialogue.hear(metadata([]));
  expect(dialogue.machine.remoteMetadata(ids(0x70))).toBeUndefined();
});

test("machine: our metadata is said once with its latest value, and its end when the peer ends", () => {
  const dialogue = new Dialogue();
  openHere(dialogue);
  dialogue.machine.setMetadata(ids(0x20), new Map([["a", "1"]]));
  dialogue.machine.setMetadata(ids(0x20), new Map([["a", "2"]]));
  expect(dialogue.types()).toEqual([FrameType.open, FrameType.peerMetadata]);

  dialogue.machine.endPeer(ids(0x20), true, end(reasons.peerEnded));

  expect(dialogue.types()).toEqual([FrameType.peerEnded]);
});

test("machine: readers that pause leave credit to circuits that are read, where the far side shares", () => {
  const dialogue = new Dialogue({}, hello({ features: ["shares"] }));
  const unread = Array.from({ length: 32 }, () => openHere(dialogue));
  for (const each of unread)
    while (dialogue.machine.send(each, new Fragment({ payload: bytes(30_000) }), dialogue.now) === "queued");
  dialogue.out();

  const read = openHere(dialogue);
  dialogue.machine.send(read, new Fragment({ payload: bytes(1000) }), dialogue.now);

  expect(dialogue.types()).toEqual([FrameType.open, FrameType.data]);
});

test("machine: a trunk whose peer does not share gives all its credit away, and waits", () => {
  const dialogue = new Dialogue();
  const circuits = Array.from({ length: 6 }, () => openHere(dialogue));
  for (const each of circuits)
    while (dialogue.machine.send(each, new Fragment({ payload: bytes(60_000) }), dialogue.now) === "queued");
  const sent = dialogue
    .out()
    .filter((each) => each.type === FrameType.data)
    .reduce((sum, each) => sum + each.body.length, 0);
  expect(sent).toBeGreaterThan(900_000);

  dialogue.hear(credit(0, 500_000));

  expect(dialogue.out().some((each) => each.type === FrameType.data)).toBe(true);
});

// What no honest far side says.

const hostile: [string, (dialogue: Dialogue) => void, RegExp][] = [
  ["a second hello", (d) => d.hear(hello()), /^protocol error: a second hello/],
  [
    "a frame that is too long",
    (d) => d.hear(Uint8Array.of(0x01, 0x20, 0x01, FrameType.data, 0)),
    /^frame too large: frame of 73729 bytes exceeds frame_bytes_max 73728/,
  ],
  [
    "a control frame that is too long",
    (d) => d.hear(Uint8Array.of(0x01, 0x20, 0x00, FrameType.open, 0)),
    /^frame too large: frame of 8193 bytes exceeds control_bytes_max 8192/,
  ],
  ["an unknown mandatory type", (d) => d.hear(frame(0x71, none)), /unknown mandatory type 0x71/],
  ["flags that are not sound", (d) => d.hear(frame(FrameType.data, none, Flag.last)), /flags 0x8 are not valid/],
  ["flags on a control frame", (d) => d.hear(frame(FrameType.ping, none, 1)), /flags 0x1 are not valid/],
  [
    "a circuit that was never opened",
    (d) => d.hear(finish(5)),
    /frame type 0x07 for circuit 5, which was never opened/,
  ],
  ["data for circuit 0", (d) => d.hear(data(0, bytes(3))), /frame type 0x01 for circuit 0/],
  [
    "a circuit of our side that was never opened",
    (d) => d.hear(data(2, bytes(3))),
    /circuit 2, which was never opened/,
  ],
  ["an open out of order", (d) => d.hear(openFrame(5)), /open of circuit 5, expected 3/],
  ["an open of an even number", (d) => d.hear(openFrame(2)), /open of circuit 2, expected 3/],
  [
    "an open with a peer id of three bytes",
    (d) => d.hear(openFrame(3, { fromPeer: bytes(3) })),
    /malformed peer id or mode/,
  ],
  ["an open in an unknown mode", (d) => d.hear(openFrame(3, { mode: 9 })), /malformed peer id or mode/],
  ["a credit of nothing", (d) => d.hear(credit(1, 0)), /^flow control violated: credit of 0 bytes/],
  [
    "credit beyond what a circuit can have",
    (d) => d.hear(credit(1, 2 ** 31 - 262144), credit(1, 1)),
    /credit of 2147221504 bytes overflows circuit 1/,
  ],
  [
    "credit beyond what a trunk can have",
    (d) => d.hear(credit(0, 2 ** 40)),
    /credit of 1099511627776 bytes overflows the trunk's/,
  ],
  [
    "credit of 64 bits",
    (d) => d.hear(frame(FrameType.credit, new Writer().number(2, 2n ** 64n - 1n).done())),
    /overflows the trunk's/,
  ],
  [
    "data beyond the circuit's credit",
    (d) => {
      for (let i = 0; i < 6; ++i) d.hear(data(1, bytes(60_000)));
    },
    /^flow control violated: data frame that costs 60256 exceeds the credit/,
  ],
  [
    "a continuation without a beginning",
    (d) => d.hear(continuation(1, bytes(3), true)),
    /a continuation without a beginning/,
  ],
  [
    "a fragment inside another",
    (d) => d.hear(beginning(1, 100, bytes(50)), data(1, bytes(3))),
    /a fragment begins inside another/,
  ],
  [
    "a continuation that is too long",
    (d) => d.hear(beginning(1, 100, bytes(50)), continuation(1, bytes(60), true)),
    /continuation of 60 bytes, the last, where 50 are missing/,
  ],
  [
    "a last one that is too short",
    (d) => d.hear(beginning(1, 100, bytes(50)), continuation(1, bytes(20), true)),
    /continuation of 20 bytes, the last, where 50 are missing/,
  ],
  [
    "an end that is not said to be the last",
    (d) => d.hear(beginning(1, 100, bytes(50)), continuation(1, bytes(50), false)),
    /continuation of 50 bytes where 50 are missing/,
  ],
  ["a beginning of nothing", (d) => d.hear(beginning(1, 100, none)), /first of more with 0 of 100 bytes/],
  [
    "an accept of what nobody opened here",
    (d) => d.hear(frame(FrameType.accept, encodeAccept(1, ids(3), "x"))),
    /accept of circuit 1, which waits for none/,
  ],
  [
    "a refuse by the opener",
    (d) => d.hear(frame(FrameType.refuse, encodeEnding(1, 20, ""))),
    /refuse of circuit 1 by its opener/,
  ],
  [
    "an acknowledgement of a finish that was not sent",
    (d) => d.hear(frame(FrameType.finishAcknowledged, encodeNumber(1))),
    /an unsent finish is acknowledged/,
  ],
  [
    "an answer to a close that was not sent",
    (d) => d.hear(frame(FrameType.closeReceived, encodeNumber(1))),
    /an unsent close is answered/,
  ],
  [
    "an open after its drain",
    (d) => d.hear(frame(FrameType.drain, none), openFrame(3)),
    /open of circuit 3 after drain/,
  ],
  [
    "a message that ends too early",
    (d) => d.hear(frame(FrameType.open, Uint8Array.of(0x1a, 0x10, 1, 2))),
    /a field reaches beyond its message/,
  ],
  [
    "a field by length of 2^63 bytes",
    (d) =>
      d.hear(
        frame(
          FrameType.open,
          new Writer()
            .varint(0x1a)
            .varint(2n ** 63n)
            .done(),
        ),
      ),
    /a field reaches beyond its message/,
  ],
  [
    "a varint of eleven bytes",
    (d) => d.hear(frame(FrameType.ping, Uint8Array.of(0x08, ...Array<number>(10).fill(0x80), 1))),
    /more than 10 bytes/,
  ],
  ["a field of an unknown wire type", (d) => d.hear(frame(FrameType.ping, Uint8Array.of(0x0b))), /wire type 3/],
  ["a data frame without a circuit", (d) => d.hear(frame(FrameType.data, none)), /malformed circuit number/],
  [
    "a padded varint in a data frame",
    (d) => d.hear(frame(FrameType.data, Uint8Array.of(0x81, 0x00, 0, 0))),
    /malformed circuit number/,
  ],
  [
    "an op beyond 32 bits",
    (d) => d.hear(frame(FrameType.data, Uint8Array.of(1, 0x80, 0x80, 0x80, 0x80, 0x10, 0))),
    /op of a data frame beyond 32 bits/,
  ],
  [
    "metadata beyond the end of its frame",
    (d) => d.hear(frame(FrameType.data, Uint8Array.of(1, 0, 0, 200, 1), Flag.metadata)),
    /metadata of a data frame beyond its end/,
  ],
  [
    "metadata that is no message",
    (d) => d.hear(frame(FrameType.data, Uint8Array.of(1, 0, 0, 2, 0x0a, 9), Flag.metadata)),
    /malformed fragment metadata/,
  ],
  [
    "129 args",
    (d) =>
      d.hear(data(1, none, new Fragment({ args: Array.from({ length: 129 }, () => ["k", "v"] as [string, string]) }))),
    /more than 128 args/,
  ],
  [
    "metadata of a peer that is too much",
    (d) => d.hear(frame(FrameType.peerMetadata, encodePeerMetadata(ids(1), new Map([["k", "v".repeat(5000)]])))),
    /exceeds metadataBytesMax 4096/,
  ],
  [
    "metadata of a peer id of two bytes",
    (d) => d.hear(frame(FrameType.peerMetadata, encodePeerMetadata(bytes(2), new Map()))),
    /malformed peer id/,
  ],
  [
    "101 pings in a second",
    (d) => {
      for (let i = 0; i < 101; ++i) d.hear(frame(FrameType.ping, encodeNumber(i)));
    },
    /^too many control frames: more than pingsPerSecondMax 100/,
  ],
  [
    "101 optional frames of an unknown type in a minute",
    (d) => {
      for (let i = 0; i < 101; ++i) d.hear(frame(0x91, bytes(3)));
    },
    /^too many control frames: more than unknownFramesPerMinuteMax 100/,
  ],
];

test.each(hostile)("hostile: %s breaks the trunk in words", (_, say, words) => {
  const { dialogue } = withCircuit();
  dialogue.out();

  say(dialogue);

  const said = dialogue.out().find((each) => each.type === FrameType.goodbye);
  expect(dialogue.ended()).toMatch(words);
  expect(new Message(said!.body).text(2).length).toBeGreaterThan(5);
  expect(dialogue.machine.running).toBe(false);
  expect(dialogue.machine.circuitsCount).toBe(0);
});

const strangers: [string, Uint8Array, RegExp][] = [
  [
    "HTTP",
    new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"),
    /^not trunkline: expected a trunkline preface, saw an HTTP request/,
  ],
  ["TLS", Uint8Array.of(0x16, 0x03, 0x01, 0x02), /saw a TLS client hello/],
  [
    "another generation",
    Uint8Array.of(...preface.subarray(0, 7), 9),
    /^version mismatch: here wire generation 1 is spoken, there 9/,
  ],
];

test.each(strangers)("hostile: %s is turned away without a word", (_, seen, words) => {
  const dialogue = new Dialogue({}, none);
  dialogue.hear(seen);
  expect(dialogue.ended()).toMatch(words);
  expect(dialogue.machine.over).toBe(true);
  expect(dialogue.out()).toEqual([]);
});

const hellos: [string, Uint8Array, RegExp][] = [
  [
    "of a version that nobody speaks",
    hello({ versionMin: 1000, versionMax: 1001 }),
    /^version mismatch: here versions 1 to 1 are spoken, there 1000 to 1001/,
  ],
  ["with a node id of zeros", hello({ nodeId: new Uint8Array(16) }), /not all zero/],
  ["of this very node", hello({ nodeId: ids(0x10) }), /^dialled self/],
  [
    "that demands what nobody knows",
    hello({ mandatoryFeatures: ["telepathy"] }),
    /^mandatory feature unknown: the far side demands "telepathy"/,
  ],
  [
    "that was made for TLS",
    hello({ binding: new Uint8Array(32).fill(1) }),
    /^not proven: a hello that was made for a connection over TLS/,
  ],
  ["that is no hello", frame(FrameType.ping, none), /expected a hello first, saw frame type 0x0e/],
];

test.each(hellos)("hostile: a hello %s breaks the trunk in words", (_, said, words) => {
  const dialogue = new Dialogue({}, none);
  dialogue.hear(preface, said);
  expect(dialogue.ended()).toMatch(words);
});

test("hostile: data after a finish, a second finish and too many empty fragments reset the circuit alone", () => {
  for (const say of [
    [finish(1), data(1, bytes(1))],
    [finish(1), finish(1)],
    Array<Uint8Array>(11).fill(frame(FrameType.data, Uint8Array.of(1, 0, 0))),
  ]) {
    const { dialogue, circuit } = withCircuit();
    dialogue.out();
    dialogue.hear(...say);
    expect(circuit.end?.reason).toBe(reasons.protocolViolationOnCircuit);
    expect(dialogue.types()).toContain(FrameType.reset);
    expect(dialogue.machine.running).toBe(true);
  }
});

test("hostile: a fragment that is larger than we take resets its circuit", () => {
  const { dialogue, circuit } = withCircuit();
  dialogue.hear(beginning(1, 5 << 20, bytes(100)));
  expect(circuit.end?.reason).toBe(reasons.fragmentTooLarge);
  expect(dialogue.machine.memoryBytes).toBe(0);
});

test("hostile: names that are too long, and circuits beyond the limit, are refused", () => {
  const dialogue = new Dialogue({ limits: { circuitsMax: 2 } });
  dialogue.hear(openFrame(1, { toService: "x".repeat(129) }), openFrame(3, { name: "x".repeat(129) }));
  dialogue.hear(openFrame(5), openFrame(7), openFrame(9));
  const refusals = dialogue
    .out()
    .filter((each) => each.type === FrameType.refuse)
    .map((each) => new Message(each.body).uint32(2));
  expect(refusals).toEqual([reasons.noService, reasons.protocolViolationOnCircuit, reasons.circuitLimitReached]);
});

test("hostile: beginnings of large fragments on many circuits cost no more than the trunk's memory", () => {
  const dialogue = new Dialogue({}, hello({ features: ["shares"] }));
  const limit = dialogue.machine.limits.trunkMemoryBytesMax;
  for (let circuit = 1; circuit < 500 && dialogue.machine.running; circuit += 2) {
    dialogue.hear(openFrame(circuit), beginning(circuit, 4 << 20, bytes(4096)));
    expect(dialogue.machine.memoryBytes).toBeLessThanOrEqual(limit);
  }
  expect(dialogue.machine.memoryBytes).toBeGreaterThan(4 << 20); // as many as fit have their memory
});

test("hostile: a far side that reads none of our answers is not answered for ever", () => {
  const dialogue = new Dialogue({ checks: false, limits: { fragmentBytesMax: 1000, trunkMemoryBytesMax: 2 << 20 } });
  let circuit = 1;
  while (dialogue.machine.running && circuit < 400_000) {
    dialogue.hear(openFrame(circuit, { name: "x".repeat(129) }));
    circuit += 2;
  }
  expect(dialogue.ended()).toMatch(/bytes of answers are not read/);
}, 120_000);

test("hostile: many small grants hold the reading back for a while, and no longer", () => {
  const { dialogue } = withCircuit({ limits: { controlFramesPerSecondMax: 100 } });
  for (let i = 0; i < 150; ++i) dialogue.hear(credit(1, 1));
  expect(dialogue.machine.wantsInput).toBe(false);
  expect(dialogue.machine.running).toBe(true);

  dialogue.pass(501);

  expect(dialogue.machine.wantsInput).toBe(true);
});

test("hostile: circuits that are given up unanswered hold the reading back", () => {
  const dialogue = new Dialogue({ limits: { cancelledOpensPerSecondMax: 10 } });
  let circuit = 1;
  for (; circuit < 200; circuit += 2) {
    dialogue.hear(openFrame(circuit));
    for (const event of dialogue.machine.takeEvents())
      if (event.kind === "opened") dialogue.machine.leftBacklog(event.circuit);
    dialogue.hear(frame(FrameType.reset, encodeEnding(circuit, 2, "")));
  }
  expect(dialogue.machine.wantsInput).toBe(false);
  expect(dialogue.machine.running).toBe(true);
});

test("framing: bytes cut at any position cause the same events and answers", () => {
  const whole = concat([
    preface,
    hello(),
    openFrame(1),
    data(1, bytes(300)),
    beginning(1, 20, bytes(12)),
    continuation(1, bytes(8), true),
    frame(0x91, bytes(9)),
    finish(1),
    frame(FrameType.ping, encodeNumber(9)),
    credit(1, 5000),
  ]);
  const judge = (cuts: Uint8Array[]): string => {
    const dialogue = new Dialogue({}, none);
    dialogue.hear(...cuts);
    return JSON.stringify([dialogue.events(), dialogue.out().map((each) => [each.type, [...each.body]])]);
  };
  const expected = judge([whole]);
  expect(expected).toContain("readable 1");
  for (let at = 1; at < whole.length; ++at) expect(judge([whole.subarray(0, at), whole.subarray(at)])).toBe(expected);
  expect(judge([...whole].map((each) => Uint8Array.of(each)))).toBe(expected);
});

test(`framing: broken copies of what is honest never hurt (TRUNKLINE_SEED=${testSeed})`, () => {
  const seeded = new Seeded(testSeed);
  const honest = [
    openFrame(1),
    openFrame(3),
    data(1, bytes(300)),
    beginning(3, 70_000, bytes(5000)),
    continuation(3, bytes(65_000), true),
    finish(1),
    credit(0, 70_000),
    credit(1, 70_000),
    ...Object.values(golden()).slice(1),
  ];
  for (let run = 0; run < 3000; ++run) {
    const dialogue = new Dialogue();
    const said = Array.from({ length: 1 + seeded.below(8) }, () => seeded.one(honest).slice());
    for (const each of said) {
      for (let flips = seeded.below(4); flips > 0; --flips) each[seeded.below(each.length)] = seeded.below(256);
      dialogue.hear(seeded.below(10) === 0 ? each.subarray(0, seeded.below(each.length)) : each);
      for (const event of dialogue.machine.takeEvents())
        if (event.kind === "opened" && !event.circuit.ended)
          dialogue.machine.accept(event.circuit, { id: ids(1), service: "near" });
    }
    dialogue.pass(100);
    dialogue.out();
    expect(dialogue.machine.memoryBytes).toBeLessThan(dialogue.machine.limits.trunkMemoryBytesMax);
  }
});

test("check: a part that miscounts is noticed", () => {
  const tamper: [string, (parts: Record<string, Record<string, number>>) => void][] = [
    ["window", (parts) => void (parts["window"]!["unread"]! += 1)],
    ["window's credit", (parts) => void (parts["window"]!["receiveCredit"]! -= 1)],
    ["scheduler", (parts) => void (parts["scheduler"]!["counted"]! += 1)],
    ["promises", (parts) => void (parts["scheduler"]!["promised"]! += 1)],
    ["output", (parts) => void (parts["output"]!["bytes"]! += 1)],
  ];
  for (const [part, miscount] of tamper) {
    const { dialogue } = withCircuit();
    miscount(dialogue.machine as unknown as Record<string, Record<string, number>>);
    expect(() => dialogue.machine.check(), part).toThrow(/invariant broken/);
  }
});

test("limits: a value that cannot work is refused by name", () => {
  expect(() => new Dialogue({ limits: { nameBytesMax: 4000 } })).toThrow(/nameBytesMax is 4000, expected 0 to 128/);
  expect(assumedLimits.circuitsMax).toBe(131072);
});
