// Whole nodes: services on either side, calls, endings, over memory, a socket and a WebSocket.
import { createServer, connect, type AddressInfo, type Server } from "node:net";
import { afterEach, expect, test } from "vitest";
import { WebSocketServer, WebSocket as NodeWebSocket } from "ws";
import { answerCalls, Caller } from "../src/calls.ts";
import type { Circuit } from "../src/circuit.ts";
import { end, reasons, TrunklineError } from "../src/end.ts";
import { ErrorReply } from "../src/local_peer.ts";
import { Node, type NodeOptions } from "../src/node.ts";
import { socketTransport } from "../src/node_socket.ts";
import { memoryTransports, webSocketTransport, type WebSocketLike } from "../src/transport.ts";
import type { Link } from "../src/link.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const each of closing.splice(0).reverse()) await each();
});

interface Pair {
  near: Node;
  far: Node;
  there: Link; // of near
  back: Link; // of far
}

async function pair(near: NodeOptions = {}, far: NodeOptions = {}): Promise<Pair> {
  const nodes = [
    new Node({ name: "near", checks: true, ...near }),
    new Node({ name: "far", checks: true, ...far }),
  ] as const;
  const [a, b] = memoryTransports();
  const there = nodes[0].attach(a, true);
  const back = nodes[1].attach(b, false);
  await Promise.all([there.opened, back.opened]);
  closing.push(() => Promise.all(nodes.map((each) => each.close())));
  return { near: nodes[0], far: nodes[1], there, back };
}

async function echo(circuit: Circuit): Promise<void> {
  for await (const fragment of circuit) await circuit.send(fragment);
}

const reasonOf = async (what: Promise<unknown>): Promise<number> =>
  what.then(
    () => -1,
    (failure: unknown) => (failure instanceof TrunklineError ? failure.reason : -2),
  );

test("node: either side serves, and either side opens", async () => {
  const { near, far, there, back } = await pair();
  for (const node of [near, far]) node.serve("echo", echo);

  for (const [node, link] of [
    [near, there],
    [far, back],
  ] as const) {
    const circuit = node
      .newPeer("asker")
      .joinOrStart(link, "echo", { op: 7, part: -3, subject: "θέμα", args: { key: "value" }, payload: "hello" });
    circuit.finish();
    const back = await circuit.receive();
    expect(back).toMatchObject({ op: 7, part: -3n, subject: "θέμα", args: [["key", "value"]] });
    expect(back?.text()).toBe("hello");
    expect(await circuit.receive()).toBeUndefined();
    expect((await circuit.closed).reason).toBe(reasons.clean);
    expect(circuit.remoteService).toBe("echo");
  }
});

test("circuit: everything that was sent before a finish arrives, in order", async () => {
  const { near, far, there } = await pair();
  let sum = 0n;
  far.serve("tally", async (circuit) => {
    for await (const fragment of circuit) sum += fragment.part * BigInt(fragment.payload.length);
    await circuit.send({ part: sum });
  });
  const circuit = near.newPeer("streamer").joinOrStart(there, "tally");
  let expected = 0n;
  for (let i = 0; i < 2000; ++i) {
    await circuit.send({ part: i, payload: new Uint8Array(i) });
    expected += BigInt(i) * BigInt(i);
  }
  circuit.finish();
  await circuit.finishAcknowledged();
  expect((await circuit.receive())?.part).toBe(expected);
});

test("circuit: sends that wait at once go out in the order of the calls", async () => {
  const { near, far, there } = await pair();
  const parts: bigint[] = [];
  far.serve("slow", async (circuit) => {
    for await (const fragment of circuit) parts.push(fragment.part);
  });
  const circuit = near.newPeer("me").joinOrStart(there, "slow");
  await Promise.all(Array.from({ length: 100 }, (_, i) => circuit.send({ part: i, payload: new Uint8Array(50_000) })));
  circuit.finish();
  await circuit.finishAcknowledged();
  expect(parts).toEqual(Array.from({ length: 100 }, (_, i) => BigInt(i)));
});

test("circuit: a stalled reader stalls no other circuit", async () => {
  const { near, far, there } = await pair();
  far.serve("stalled", async (circuit) => void (await circuit.closed));
  far.serve("echo", echo);
  const me = near.newPeer("me");
  const stalled = me.joinOrStart(there, "stalled");
  while (stalled.sendOneWay({ payload: new Uint8Array(60_000) }) === "queued");

  const circuit = me.joinOrStart(there, "echo");
  for (let i = 0; i < 50; ++i) {
    await circuit.send({ part: i, payload: new Uint8Array(100_000) });
    expect((await circuit.receive())?.part).toBe(BigInt(i));
  }

  expect(stalled.isOpen).toBe(true);
  stalled.reset();
  circuit.close();
});

test("circuit: a send that is given up has sent nothing, and a receive took nothing", async () => {
  const { near, far, there } = await pair();
  const heard: bigint[] = [];
  let read = (): void => undefined;
  const mayRead = new Promise<void>((resolve) => (read = resolve));
  far.serve("late", async (circuit) => {
    await mayRead;
    for await (const fragment of circuit) heard.push(fragment.part);
    await circuit.send({ op: 1 });
  });
  const circuit = near.newPeer("me").joinOrStart(there, "late");
  let part = 0;
  while (circuit.sendOneWay({ part, payload: new Uint8Array(60_000) }) === "queued") ++part;
  const giveUp = new AbortController();
  const send = circuit.send({ part: 99, payload: new Uint8Array(60_000) }, { signal: giveUp.signal });
  const receive = circuit.receive({ signal: giveUp.signal });
  giveUp.abort(new Error("enough"));
  await expect(send).rejects.toThrow("enough");
  await expect(receive).rejects.toThrow("enough");
  read();
  await circuit.send({ part: 100 });
  circuit.finish();
  expect((await circuit.receive())?.op).toBe(1);
  expect(heard).toEqual([...Array.from({ length: part }, (_, i) => BigInt(i)), 100n]);
});

test("circuit: a fragment larger than every window arrives whole", async () => {
  const { near, far, there } = await pair();
  far.serve("echo", echo);
  const payload = Uint8Array.from({ length: 3_500_000 }, (_, i) => i * 31);
  const back = await near.newPeer("me").request(there, "echo", { payload });
  expect(back.payload.length).toBe(payload.length);
  expect(Buffer.compare(back.payload, payload)).toBe(0);
});

test("circuit: one that is too large is refused here, and the circuit goes on", async () => {
  const { near, far, there } = await pair();
  far.serve("echo", echo);
  const circuit = near.newPeer("me").joinOrStart(there, "echo");
  expect(await reasonOf(circuit.send({ payload: new Uint8Array(5 << 20) }))).toBe(reasons.fragmentTooLarge);
  expect(await reasonOf(circuit.send({ subject: "s".repeat(9000) }))).toBe(reasons.fragmentTooLarge);
  await circuit.send({ op: 5 });
  expect((await circuit.receive())?.op).toBe(5);
  circuit.close();
});

test("circuit: a close carries its reason behind the data, a reset at once", async () => {
  const { near, far, there } = await pair();
  far.serve("closes", async (circuit) => {
    await circuit.send({ op: 1 });
    circuit.close(end(reasons.accessDenied, "not yours"));
  });
  far.serve("resets", (circuit) => circuit.reset(end(reasons.stalled, "enough")));
  far.serve("throws", () => Promise.reject(new Error("a secret")));
  const me = near.newPeer("me");

  const closes = me.joinOrStart(there, "closes");
  expect((await closes.receive())?.op).toBe(1);
  await expect(closes.receive()).rejects.toThrow("the far side says: access denied: not yours");
  const resets = me.joinOrStart(there, "resets");
  expect(await reasonOf(resets.receive())).toBe(reasons.stalled);
  const throws = me.joinOrStart(there, "throws");
  await expect(throws.receive()).rejects.toThrow(/^the far side says: handler failed$/);
});

test("node: an unknown service is refused by name, and nothing else ends", async () => {
  const { near, far, there } = await pair();
  far.serve("echo", echo);
  const circuit = near.newPeer("me").joinOrStart(there, "ehco", { op: 1 });
  await expect(circuit.receive()).rejects.toThrow(/no service "ehco" on node far; it serves echo/);
  expect(there.isOpen).toBe(true);
});

test("node: instances, joining by id, limits of a service, and start only", async () => {
  const { near, far, there } = await pair();
  far.register(
    "store",
    async (_, circuits) => {
      let count = 0n;
      for await (const circuit of circuits) {
        await circuit.send({ part: ++count });
        circuit.close();
      }
    },
    { instancesMax: 1 },
  );
  const me = near.newPeer("me");
  const id = await me.startOnly(there, "store");
  expect((await me.join(there, id).receive())?.part).toBe(1n);
  expect((await me.joinOrStart(there, "store").receive())?.part).toBe(2n);
  const refused = me.start(there, "store");
  expect(await reasonOf(refused.receive())).toBe(reasons.serviceLimitReached);
  expect(refused.ended?.existingUrl).toMatch(/^node:\/\/.*\/store\//);
  expect(await reasonOf(me.join(there, me.id).receive())).toBe(reasons.noPeer);
});

test("circuit: another one to the same peer, and one back to the opener's", async () => {
  const { near, far, there } = await pair();
  far.serve("call back", async (circuit) => {
    await circuit.receive();
    const back = circuit.newCircuit({ subject: "from there" }, { name: "back" });
    back.finish();
    expect((await back.receive())?.subject).toBe("answered");
  });
  near.register("page", async (peer, circuits) => {
    for await (const circuit of circuits) {
      expect(circuit.name).toBe("back");
      expect((await circuit.receive())?.subject).toBe("from there");
      await circuit.send({ subject: "answered" });
      circuit.close();
      peer.close();
    }
  });
  const me = near.newPeer("page");
  const circuit = me.joinOrStart(there, "call back", { op: 1 });
  await me.ended;
  expect((await circuit.closed).reason).toBe(reasons.peerEnded);
});

test("request: a reply, an error reply, a deadline that aborts the handler, and a signal", async () => {
  const { near, far, there } = await pair();
  const aborted: unknown[] = [];
  far.serve("answer", async (circuit) => {
    const question = await circuit.receive();
    if (question?.subject === "bad") await circuit.send({ err: "no such thing" });
    else if (question?.subject === "slow")
      await new Promise((_, reject) =>
        circuit.signal.addEventListener(
          "abort",
          () => (aborted.push(circuit.signal.reason), reject(circuit.signal.reason as Error)),
        ),
      );
    else await circuit.send({ subject: `${question?.subject} ${circuit.remainingMs !== undefined}` });
  });
  const me = near.newPeer("me");
  expect((await me.request(there, "answer", { subject: "good" }, { deadlineMs: 5000 })).subject).toBe("good true");
  await expect(me.request(there, "answer", { subject: "bad" })).rejects.toThrow(ErrorReply);
  expect(await reasonOf(me.request(there, "answer", { subject: "slow" }, { deadlineMs: 20 }))).toBe(
    reasons.deadlinePassed,
  );
  const giveUp = new AbortController();
  const given = me.request(there, "answer", { subject: "slow" }, { signal: giveUp.signal });
  queueMicrotask(() => giveUp.abort(new Error("never mind")));
  await expect(given).rejects.toThrow("never mind");
  await expect.poll(() => aborted.length).toBeGreaterThanOrEqual(1);
});

test("calls: any number over one circuit, answered in any order, with deadlines and cancellation", async () => {
  const { near, far, there } = await pair();
  const given: bigint[] = [];
  let later = (): void => undefined;
  far.serve("calc", async (circuit) => {
    await answerCalls(circuit, async (call, signal) => {
      if (call.subject === "wait")
        await new Promise((_, reject) =>
          signal.addEventListener("abort", () => (given.push(call.part), reject(signal.reason as Error))),
        );
      if (call.subject === "later") await new Promise<void>((resolve) => (later = resolve));
      if (call.subject === "now") later();
      if (call.subject === "bad") throw new Error("no");
      return { subject: call.subject.toUpperCase() };
    });
  });
  const circuit = near.newPeer("me").joinOrStart(there, "calc");
  const caller = new Caller(circuit);
  const first = caller.call({ subject: "later" });
  const second = caller.call({ subject: "now" });
  expect((await second).subject).toBe("NOW");
  expect((await first).subject).toBe("LATER");
  await expect(caller.call({ subject: "bad" })).rejects.toThrow(/the call failed/);
  expect(await reasonOf(caller.call({ subject: "wait" }, { deadlineMs: 20 }))).toBe(reasons.deadlinePassed);
  const giveUp = new AbortController();
  const waits = caller.call({ subject: "wait" }, { signal: giveUp.signal });
  waits.catch(() => undefined);
  expect((await caller.call({ subject: "ok" })).subject).toBe("OK");
  giveUp.abort(new Error("enough"));
  await expect(waits).rejects.toThrow("enough");
  expect((await caller.call({ subject: "ok" })).subject).toBe("OK");
  await expect.poll(() => given.length).toBe(2);
  circuit.close();
});

test("peer: metadata reaches the other side, changes and goes", async () => {
  const { near, far, there } = await pair();
  const seen: (string | undefined)[] = [];
  far.serve("watch", async (circuit) => {
    for (let i = 0; i < 3; ++i) {
      await circuit.metadataChanged().catch(() => undefined);
      seen.push(circuit.remoteMetadata?.get("role"));
      await circuit.send({ part: i });
    }
  });
  const me = near.newPeer("me");
  const circuit = me.joinOrStart(there, "watch", { op: 1 });
  await circuit.accepted();
  me.setMetadata("role", "leader");
  await circuit.receive();
  me.setMetadata("role", "follower");
  await circuit.receive();
  me.removeMetadata("role");
  await circuit.receive();
  expect(seen).toEqual(["leader", "follower", undefined]);
});

test("node: a drain lets what runs end, and both sides part in peace", async () => {
  const { near, far, there, back } = await pair();
  far.serve("echo", echo);
  const circuit = near.newPeer("me").joinOrStart(there, "echo", { op: 1 });
  await circuit.receive();
  const drained = far.drain(5000);
  await expect.poll(() => there.machine.draining).toBe(true);
  expect(await reasonOf(near.newPeer("other").joinOrStart(there, "echo").receive())).toBe(reasons.draining);
  await circuit.send({ op: 2 });
  expect((await circuit.receive())?.op).toBe(2);
  circuit.close();
  await drained;
  expect((await there.closed).reason).toBe(reasons.clean);
  expect((await back.closed).reason).toBe(reasons.clean);
});

test("node: closing ends circuits with its reason, and a node that is lost with trunk lost", async () => {
  const first = await pair();
  first.far.serve("echo", echo);
  const circuit = first.near.newPeer("me").joinOrStart(first.there, "echo", { op: 1 });
  await circuit.receive();
  await first.far.close();
  expect((await circuit.closed).reason).toBe(reasons.nodeClosed);
  const second = await pair();
  second.far.serve("echo", echo);
  const other = second.near.newPeer("me").joinOrStart(second.there, "echo", { op: 1 });
  await other.receive();
  second.there.lost(end(reasons.trunkLost, "unplugged"));
  expect((await other.closed).text).toBe("unplugged");
});

// Real connections.

async function listen(node: Node): Promise<{ server: Server; port: number }> {
  const server = createServer((socket) => node.attach(socketTransport(socket), false));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => server.close());
  return { server, port: (server.address() as AddressInfo).port };
}

test("sockets: twenty circuits at once over TCP", async () => {
  const far = new Node({ name: "far" });
  const near = new Node({ name: "near" });
  closing.push(() => Promise.all([near.close(), far.close()]));
  far.serve("echo", echo);
  const { port } = await listen(far);
  const link = near.attach(socketTransport(connect(port, "127.0.0.1"), `tcp://127.0.0.1:${port}`), true);
  const me = near.newPeer("me");
  const back = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      me.request(link, "echo", { part: i, payload: new Uint8Array(200_000).fill(i) }),
    ),
  );
  expect(back.map((each) => each.payload[199_999])).toEqual(Array.from({ length: 20 }, (_, i) => i));
});

async function webSocketServer(node: Node): Promise<string> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: () => "trunkline" });
  await new Promise((resolve) => server.once("listening", resolve));
  server.on("connection", (socket) =>
    node.attach(webSocketTransport(socket as unknown as WebSocketLike, "a page"), false),
  );
  closing.push(() => {
    for (const each of server.clients) each.terminate();
    server.close();
  });
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const overWebSocket = (address: string) =>
  webSocketTransport(new NodeWebSocket(address, "trunkline") as unknown as WebSocketLike, address);

test("websocket: an open, and what is sent on it, waits for the connection and goes through it", async () => {
  const far = new Node({ name: "far" });
  const near = new Node({ name: "near", connect: overWebSocket });
  closing.push(() => Promise.all([near.close(), far.close()]));
  far.serve("echo", echo);
  const address = await webSocketServer(far);
  const payload = Uint8Array.from({ length: 3_000_000 }, (_, i) => i * 7);
  const back = await near.newPeer("me").request(address, "echo", { payload });
  expect(Buffer.compare(back.payload, payload)).toBe(0);
  expect(near.links.length).toBe(1);
});

test("websocket: an address where nobody listens ends what was opened, and a kept one comes back", async () => {
  const near = new Node({ connect: overWebSocket });
  closing.push(() => near.close());
  expect(await reasonOf(near.newPeer("me").request("ws://127.0.0.1:1", "echo", {}))).toBe(reasons.trunkLost);
  const far = new Node({ name: "far" });
  closing.push(() => far.close());
  far.serve("echo", echo);
  const address = await webSocketServer(far);
  near.keepConnected(address, { initialMs: 5 });
  expect((await near.newPeer("me").request(address, "echo", { op: 1 })).op).toBe(1);
  const [link] = near.links.filter((each) => each.address === address);
  for (const each of far.links) each.close(end(reasons.nodeClosed, "for a moment"));
  await link!.closed;
  await expect
    .poll(
      async () =>
        (
          await near
            .newPeer("me")
            .request(address, "echo", { op: 2 })
            .catch(() => undefined)
        )?.op,
    )
    .toBe(2);
});
