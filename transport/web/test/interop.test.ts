// Against the C++ node of tests/interop, over TCP: echo_node, whose path TRUNKLINE_ECHO_NODE says. Most of it shares
// one trunk, as circuits do.
import { spawn, type ChildProcess } from "node:child_process";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { concat } from "../src/bytes.ts";
import { Caller } from "../src/calls.ts";
import type { Circuit } from "../src/circuit.ts";
import { reasons, TrunklineError } from "../src/end.ts";
import { encodeDataHead, encodeNumber, encodeOpen, frame, FrameType, OpenMode, preface } from "../src/frames.ts";
import { Fragment } from "../src/fragment.ts";
import type { Link } from "../src/link.ts";
import { Node } from "../src/node.ts";
import { socketTransport } from "../src/node_socket.ts";
import { Message } from "../src/protobuf.ts";
import { framesIn, hello, ids } from "./support.ts";

const program = process.env["TRUNKLINE_ECHO_NODE"] ?? "";

describe.skipIf(program === "")("interop", () => {
  let process: ChildProcess;
  let port = 0;
  let node: Node;
  let link: Link;
  const me = () => node.newPeer("page");

  beforeAll(async () => {
    process = spawn(program, { stdio: ["ignore", "pipe", "ignore"] });
    const [address] = (await new Promise<string[]>((resolve) =>
      createInterface({ input: process.stdout! }).once("line", (line) => resolve([line])),
    )) as [string];
    port = Number(address.split(":").at(-1));
    node = new Node({ name: "typescript", checks: true });
    link = node.attach(socketTransport(connect(port, "127.0.0.1"), address), true);
    await link.opened;
  });
  afterAll(async () => {
    await node.close();
    process.kill("SIGKILL");
  });

  test("interop: the hello of the C++ node is understood", () => {
    expect(link.info().name).toBe("echo_node");
    expect(link.machine.remote?.features).toEqual(expect.arrayContaining(["calls", "shares"]));
    expect(link.machine.remote?.addresses[0]).toBe(`tcp://127.0.0.1:${port}`);
  });

  test("interop: subject, args, bytes that are no text, and numbers of either sign come back as they went", async () => {
    const circuit = me().joinOrStart(link, "echo");
    const sent = [
      new Fragment({
        op: -1,
        part: -(2n ** 63n),
        subject: "θέμα",
        args: [
          ["k", "v"],
          ["#s", "\udcff\0"],
          ["e", ""],
        ],
        payload: "p",
      }),
      new Fragment({ op: 2 ** 31 - 1, part: 2n ** 63n - 1n }),
      new Fragment({ op: -(2 ** 31), subject: "s".repeat(5000), payload: new Uint8Array(65536).fill(1) }),
      new Fragment({ subject: "s".repeat(8185), payload: new Uint8Array(65536).fill(2) }),
      new Fragment({ op: 5, payload: new Uint8Array(200_001).fill(3) }),
    ];
    for (const each of sent) {
      await circuit.send(each);
      const back = (await circuit.receive())!;
      expect({ ...back, payload: "" }).toEqual({ ...each, payload: "" });
      expect(Buffer.compare(back.payload, each.payload)).toBe(0); // at once: the far side's keepalive is a second
    }
    await circuit.send({ op: 3, err: "only a note", payload: "x" });
    expect((await circuit.receiveError())?.err).toBe("only a note");
    circuit.finish();
    expect(await circuit.receive()).toBeUndefined();
    expect((await circuit.closed).reason).toBe(reasons.clean);
  });

  test("interop: a fragment larger than every window waits for credit and arrives", async () => {
    const payload = Uint8Array.from({ length: 3 << 20 }, (_, i) => i * 13);
    const back = await me().request(link, "echo", { op: 6, payload });
    expect(Buffer.compare(back.payload, payload)).toBe(0);
  });

  test("interop: many small fragments pass far more bytes than the windows hold, and the windows keep their size", async () => {
    const circuit = me().joinOrStart(link, "echo");
    for (let batch = 0; batch < 100; ++batch) {
      for (let part = 0; part < 100; ++part) await circuit.send({ part, payload: `${part}`.padStart(64) });
      for (let part = 0; part < 100; ++part) expect((await circuit.receive())?.part).toBe(BigInt(part));
    }
    expect(circuit.creditBytes).toBeGreaterThan(131_072);
    circuit.close();
    expect((await circuit.closed).reason).toBe(reasons.clean);
  });

  test("interop: twenty circuits at once, each with a megabyte", async () => {
    const peer = me();
    // The windows hold less than what each sends: the echoes have to be taken meanwhile.
    await Promise.all(Array.from({ length: 20 }, (_, i) => pumped(peer.joinOrStart(link, "echo"), i)));

    async function pumped(circuit: Circuit, i: number): Promise<void> {
      const sending = (async () => {
        for (let part = 0; part < 16; ++part) await circuit.send({ part, payload: new Uint8Array(65_536).fill(i) });
        circuit.finish();
      })();
      let part = 0;
      for await (const fragment of circuit) {
        expect(fragment.part).toBe(BigInt(part++));
        expect(fragment.payload[65_535]).toBe(i);
      }
      await sending;
      expect(part).toBe(16);
    }
  });

  test("interop: the C++ side opens a circuit back to us, and everything works the other way", async () => {
    const heard: string[] = [];
    node.serve("called", async (circuit) => {
      expect([circuit.name, circuit.userString, circuit.remoteService]).toEqual(["back", "for the user", "call_back"]);
      const note = circuit.receiveError();
      for await (const fragment of circuit) heard.push(`${fragment.op} ${fragment.payload.length}`);
      heard.push((await note)!.err);
      await circuit.send({ op: 5, payload: new Uint8Array(300_000) });
      await circuit.send({ op: 6, payload: new Uint8Array(123) });
      circuit.finish();
      await circuit.finishAcknowledged();
    });
    const circuit = node.newPeer("called").joinOrStart(link, "call_back", { op: 1, part: 700_000 });
    const report = await circuit.receive();
    expect(report).toMatchObject({ op: 4, part: 300_123n, subject: "report" });
    expect(heard).toEqual(["1 5", "2 700000", "only a note"]);
  });

  test("interop: an unknown service is refused by name, an unknown peer too, and credit of what is dropped comes back", async () => {
    for (let i = 0; i < 30; ++i) {
      const circuit = me().joinOrStart(link, "ehco", { payload: new Uint8Array(250_000) });
      await expect(circuit.receive()).rejects.toThrow(/no service "ehco".*echo/);
    }
    await expect(me().join(link, ids(9)).receive()).rejects.toThrow(/no peer/);
    expect((await me().request(link, "echo", { op: 13 })).op).toBe(13);
  });

  test("interop: an accept says who took the circuit, and a second circuit joins it", async () => {
    const first = me().joinOrStart(link, "echo", { op: 1 });
    await first.accepted();
    const second = first.newCircuit({ op: 9 });
    expect((await second.receive())?.op).toBe(9);
    expect(second.remotePeer).toBe(first.remotePeer);
    first.close();
    second.reset();
    expect((await me().request(link, "echo", { op: 2 })).op).toBe(2);
  });

  test("interop: calls over one circuit, some given up, leave it working", async () => {
    const circuit = me().joinOrStart(link, "echo"); // the echo of a call is its reply
    const caller = new Caller(circuit);
    const replies = await Promise.all(
      Array.from({ length: 50 }, (_, i) => caller.call({ op: i }, { deadlineMs: 10_000 })),
    );
    expect(replies.map((each) => each.op)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    circuit.close();
  });

  test("interop: a deadline ends the circuit on both sides", async () => {
    const circuit = me().joinOrStart(link, "echo", { op: 1 }, { deadlineMs: 100 });
    expect((await circuit.receive())?.op).toBe(1);
    await expect(circuit.receive()).rejects.toThrow(/deadline passed/);
  });

  test("interop: silence is broken by pings of both sides, and the trunk lives", async () => {
    const before = link.machine.counters.framesReceived;
    await expect
      .poll(() => link.machine.counters.framesReceived - before, { timeout: 10_000 })
      .toBeGreaterThanOrEqual(2);
    expect((await me().request(link, "echo", { op: 8 })).op).toBe(8);
  });

  /** What the C++ node says to bytes that break a rule: its goodbye's reason. */
  async function goodbye(...said: Uint8Array[]): Promise<number> {
    const socket: Socket = connect(port, "127.0.0.1");
    const heard: Uint8Array[] = [];
    socket.on("data", (bytes: Uint8Array) => heard.push(bytes));
    socket.on("error", () => undefined);
    socket.write(concat([preface, ...said]));
    await new Promise((resolve) => socket.once("close", resolve));
    const last = framesIn(concat(heard)).find((each) => each.type === FrameType.goodbye);
    return last ? new Message(last.body).uint32(1) : -1;
  }

  test("interop: what breaks a trunk here breaks it there, with the same reasons", async () => {
    const open = frame(
      FrameType.open,
      encodeOpen({
        circuit: 1,
        mode: OpenMode.joinOrStart,
        fromPeer: ids(3),
        fromService: "x",
        toPeer: new Uint8Array(0),
        toService: "call_back",
        name: "",
        userString: "",
        wantsAnswer: false,
        remainingMs: 0,
      }),
    );
    const chunk = concat([
      encodeDataHead(1, { fragment: new Fragment(), metadata: new Uint8Array(0), total: 60_000 }, 60_000, true),
      new Uint8Array(60_000),
    ]);
    expect(await goodbye(hello(), frame(FrameType.finish, encodeNumber(5)))).toBe(reasons.protocolError);
    expect(await goodbye(hello(), hello())).toBe(reasons.protocolError);
    expect(await goodbye(hello({ versionMin: 1000, versionMax: 1001 }))).toBe(reasons.versionMismatch);
    expect(await goodbye(hello({ nodeId: link.node! }))).toBe(reasons.dialledSelf);
    expect(await goodbye(hello(), open, ...Array<Uint8Array>(6).fill(chunk))).toBe(reasons.flowControlViolated);
    expect(await goodbye(hello(), frame(0x91, ids(1)), frame(0x71, ids(1)))).toBe(reasons.protocolError);
  });

  test("interop: a node that closes says goodbye, and we hear why", async () => {
    const other = new Node();
    const lost = other.attach(socketTransport(connect(port, "127.0.0.1")), true);
    const circuit = other.newPeer("me").joinOrStart(lost, "echo", { op: 1 });
    await circuit.receive();
    const ended = new Promise((resolve) => process.once("exit", resolve));
    process.kill("SIGTERM");
    await expect(circuit.receive()).rejects.toThrow(/node closed/);
    await ended;
    expect(() => {
      throw new TrunklineError(lost.end!);
    }).toThrow(/node closed/);
  });
});
