// The golden frames of tests/interop, which an implementation from outside has made: each is made here from the same
// values, and read back.
import { expect, test } from "vitest";
import { Fragment } from "../src/fragment.ts";
import * as frames from "../src/frames.ts";
import { Message } from "../src/protobuf.ts";
import { bytesOf, golden, ids } from "./support.ts";
import { concat, hex } from "../src/bytes.ts";

const node = ids(0x00);
const peer = ids(0x10);
const other = ids(0x20);
const { FrameType, frame, assumedLimits } = frames;
const takes = { ...assumedLimits, fragmentBytesMax: 4 << 20 };
const hello: frames.Hello = {
  versionMin: 1,
  versionMax: 1,
  nodeId: node,
  nodeName: "golden",
  addresses: ["tcp://0.0.0.0:7000"],
  features: [],
  mandatoryFeatures: [],
  takes,
};
const open: frames.Open = {
  circuit: 1,
  mode: frames.OpenMode.joinOrStart,
  fromPeer: peer,
  fromService: "client",
  toPeer: new Uint8Array(0),
  toService: "echo",
  name: "name",
  userString: "user",
  wantsAnswer: true,
  remainingMs: 0,
};

function data(fragment: Fragment, from = 0, size = fragment.payload.length - from): Uint8Array {
  const metadata = frames.encodeFragmentMetadata(fragment, 0);
  const total = fragment.payload.length;
  const head = frames.encodeDataHead(1, from === 0 ? { fragment, metadata, total } : null, size, from + size === total);
  return concat([head, fragment.payload.subarray(from, from + size)]);
}

const full = new Fragment({
  op: -(2 ** 31),
  part: 2n ** 63n - 1n,
  subject: "about",
  args: [
    ["key", "value"],
    ["#trace", "\0\udcff"],
  ], // a byte that is no UTF-8
  payload: "x",
  err: "only a note",
});
const cut = new Fragment({ op: 300, part: 2n ** 40n, subject: "cut", payload: "abcdefg" });
const call = new Fragment({ op: 7, part: 12, subject: "call", payload: "hello" });
call.deadline = 250;
const word = new Fragment({ part: 12 });
word.cancels = true;

const made: Record<string, Uint8Array> = {
  preface: frames.preface,
  hello: frame(FrameType.hello, frames.encodeHello(hello)),
  hello_with_features_and_limits: frame(
    FrameType.hello,
    frames.encodeHello({
      ...hello,
      addresses: [],
      features: ["calls", "shares"],
      takes: {
        fragmentBytesMax: 4 << 20,
        circuitsMax: 4096,
        nameBytesMax: 64,
        userStringBytesMax: 512,
        metadataBytesMax: 2048,
        remotePeersMax: 100,
        remoteMetadataBytesMax: 1 << 20,
        controlFramesPerSecondMax: 500,
      },
    }),
  ),
  open_with_deadline: frame(
    FrameType.open,
    frames.encodeOpen({ ...open, circuit: 3, name: "", userString: "", wantsAnswer: false, remainingMs: 1500 }),
  ),
  open: frame(FrameType.open, frames.encodeOpen(open)),
  accept: frame(FrameType.accept, frames.encodeAccept(1, other, "echo")),
  refuse: frame(
    FrameType.refuse,
    frames.encodeRefuse(1, 20, "no service", "tcp://10.0.0.7:7000/echo/ICEiIyQlJicoKSorLC0uLw"),
  ),
  data: data(new Fragment({ op: 7, part: -1, payload: "hello" })),
  data_with_metadata: data(full),
  data_empty: data(new Fragment()),
  data_with_deadline: data(call),
  data_that_cancels: data(word),
  data_first_of_more: data(cut, 0, 3),
  data_continues: data(cut, 3, 2),
  data_last: data(cut, 5, 2),
  credit_of_circuit: frame(FrameType.credit, frames.encodeCredit(1, 131072)),
  credit_of_trunk: frame(FrameType.credit, frames.encodeCredit(0, 7340032)),
  credit_that_widens: frame(FrameType.credit, frames.encodeCredit(1, 393216, 262144)),
  credit_that_completes: frame(FrameType.credit, frames.encodeCredit(0, 1048576, 0, 1)),
  finish: frame(FrameType.finish, frames.encodeNumber(1)),
  finish_acknowledged: frame(FrameType.finishAcknowledged, frames.encodeNumber(1)),
  close: frame(FrameType.close, frames.encodeEnding(1, 0, "")),
  close_with_reason: frame(FrameType.close, frames.encodeEnding(1, 25, "not yours")),
  close_received: frame(FrameType.closeReceived, frames.encodeNumber(1)),
  reset: frame(FrameType.reset, frames.encodeEnding(1, 3, "dropped")),
  peer_metadata: frame(FrameType.peerMetadata, frames.encodePeerMetadata(peer, new Map([["role", "leader"]]))),
  peer_ended: frame(FrameType.peerEnded, frames.encodePeerEnded(peer, 4, "")),
  ping: frame(FrameType.ping, frames.encodeNumber(4711)),
  pong: frame(FrameType.pong, frames.encodeNumber(4711)),
  drain: frame(FrameType.drain, new Uint8Array(0)),
  goodbye: frame(FrameType.goodbye, frames.encodeGoodbye(40, "why")),
};

test("golden: there is a frame of ours for each, and none of another name", () => {
  expect(Object.keys(made).sort()).toEqual(Object.keys(golden()).sort());
});

test.each(Object.keys(golden()))("golden: %s is made byte for byte", (name) => {
  expect(hex(made[name]!)).toBe(hex(golden()[name]!));
});

function body(name: string): Uint8Array {
  return golden()[name]!.subarray(5);
}
function flags(name: string): number {
  return golden()[name]![4]!;
}

test("golden: a hello is read as it was meant", () => {
  expect(frames.decodeHello(body("hello"))).toEqual(hello);
  const read = frames.decodeHello(body("hello_with_features_and_limits"));
  expect(read.features).toEqual(["calls", "shares"]);
  expect(read.takes.controlFramesPerSecondMax).toBe(500);
  expect(read.takes.nameBytesMax).toBe(64);
});

test("golden: an open is read as it was meant", () => {
  expect(frames.decodeOpen(body("open"))).toEqual(open);
  expect(frames.decodeOpen(body("open_with_deadline")).remainingMs).toBe(1500);
});

test("golden: data frames are read as they were meant", () => {
  const read = (name: string): Fragment => {
    const head = frames.decodeData(body(name), flags(name));
    return frames.decodeFragment(head, head.payload.slice(), 1000);
  };
  expect(read("data")).toMatchObject({ op: 7, part: -1n, subject: "", err: "" });
  expect(read("data").text()).toBe("hello");
  const back = read("data_with_metadata");
  expect(back).toEqual(full);
  expect(read("data_with_deadline").deadline).toBe(1250);
  expect(read("data_that_cancels")).toMatchObject({ cancels: true, part: 12n });
  expect(frames.decodeData(body("data_first_of_more"), flags("data_first_of_more"))).toMatchObject({
    op: 300,
    part: 2n ** 40n,
    total: 7,
  });
  expect(frames.decodeData(body("data_last"), flags("data_last")).payload).toEqual(bytesOf("6667"));
});

test("golden: the other messages are read as they were meant", () => {
  const refuse = new Message(body("refuse"));
  expect([refuse.number(1), refuse.uint32(2), refuse.text(3)]).toEqual([1, 20, "no service"]);
  const credit = new Message(body("credit_that_widens"));
  expect([credit.number(1), credit.number(2), credit.number(3), credit.number(4)]).toEqual([1, 393216, 262144, 0]);
  expect(new Message(body("credit_that_completes")).number(4)).toBe(1);
  const metadata = frames.decodePeerMetadata(body("peer_metadata"));
  expect(metadata.peer).toEqual(peer);
  expect([...metadata.metadata]).toEqual([["role", "leader"]]);
  expect(new Message(body("ping")).big(1)).toBe(4711n);
  expect(new Message(body("goodbye")).text(2)).toBe("why");
});
