// A node in Node.js that serves what docs/browser.md says, over a real directory and a real port: what the page of
// `trunkline serve` is tried with where there is no C++ side.
import { mkdir, open, readFile, readdir, readlink, rename, rm, stat, lstat, utimes } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { WebSocketServer } from "ws";
import type { Circuit } from "../src/circuit.ts";
import { Node } from "../src/node.ts";
import { webSocketTransport, type WebSocketLike } from "../src/transport.ts";

const chunkBytes = 256 * 1024;
const watchMs = 100;
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
  "form-action 'none'; frame-ancestors 'none'";
const types: Record<string, string> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

async function refuse(circuit: Circuit, kind: string, err: string): Promise<void> {
  await circuit.send({ err, args: { kind } });
}

function place(root: string, path: string): string | undefined {
  const isSound = path === "" || path.split("/").every((each) => each !== "" && each !== "." && each !== "..");
  return isSound ? join(root, path) : undefined;
}

async function list(circuit: Circuit, at: string): Promise<void> {
  const said = new Map<string, string>();
  let isFirst = true;
  let isFinished = false;
  void circuit.receive().then(
    () => (isFinished = true),
    () => (isFinished = true),
  );
  while (circuit.isOpen) {
    const names = await readdir(at).catch(() => undefined);
    if (!names) return refuse(circuit, "missing", "the directory is gone");
    for (const name of names) {
      const seen = await lstat(join(at, name)).catch(() => undefined);
      if (!seen) continue;
      const type = seen.isDirectory() ? "directory" : seen.isFile() ? "file" : seen.isSymbolicLink() ? "symlink" : "special";
      const target = type === "symlink" ? await readlink(join(at, name)) : "";
      const state = `${type} ${seen.size} ${seen.mtimeMs}`;
      if (said.get(name) === state) continue;
      said.set(name, state);
      await circuit.send({
        op: 16,
        subject: name,
        part: type === "file" ? seen.size : 0,
        args: { type, modified: String(Math.floor(seen.mtimeMs)), target },
      });
    }
    for (const name of [...said.keys()]) {
      if (names.includes(name)) continue;
      said.delete(name);
      await circuit.send({ op: 18, subject: name });
    }
    if (isFirst) await circuit.send({ op: 17 });
    isFirst = false;
    if (isFinished) return;
    await new Promise((resolve) => setTimeout(resolve, watchMs));
  }
}

async function get(circuit: Circuit, at: string, offset: number): Promise<void> {
  const file = await open(at).catch(() => undefined);
  if (!file) return refuse(circuit, "missing", "no such file");
  try {
    const { size, mtimeMs } = await file.stat();
    await circuit.send({ op: 19, part: size, args: { modified: String(Math.floor(mtimeMs)) } });
    for (let from = offset; from < size; ) {
      const { bytesRead, buffer } = await file.read(new Uint8Array(Math.min(chunkBytes, size - from)), { position: from });
      if (bytesRead === 0) return await refuse(circuit, "changed", "the file has become shorter");
      await circuit.send({ op: 20, part: from, payload: buffer.subarray(0, bytesRead) });
      from += bytesRead;
    }
    circuit.finish();
    await circuit.finishAcknowledged();
  } finally {
    await file.close();
  }
}

async function mayReplace(circuit: Circuit, name: string): Promise<boolean> {
  const asked = circuit.newCircuit({ op: 1, subject: `Replace ${name}?` }, { name: "question", deadlineMs: 60_000 });
  try {
    asked.finish();
    return (await asked.receive())?.part === 1n;
  } catch {
    return false;
  }
}

async function put(circuit: Circuit, root: string, at: string, size: number, modified: number, replace: boolean): Promise<void> {
  const name = at.split("/").at(-1)!;
  const exists = await stat(at).catch(() => undefined);
  if (exists && !replace && !(await mayReplace(circuit, name))) return refuse(circuit, "exists", `there is a file "${name}" already`);
  const temporary = join(root, `.${Math.random().toString(36).slice(2)}`);
  const file = await open(temporary, "wx");
  let bytes = 0;
  try {
    for await (const said of circuit) {
      if (said.op !== 20) continue;
      await file.write(said.payload);
      bytes += said.payload.length;
    }
    if (bytes !== size) return await refuse(circuit, "invalid", `${bytes} bytes came, ${size} were announced`);
    await file.close();
    await utimes(temporary, modified / 1000, modified / 1000);
    await rename(temporary, at);
    await circuit.send({ op: 21, part: bytes });
  } finally {
    await file.close().catch(() => undefined);
    await rm(temporary, { force: true });
  }
}

async function status(node: Node, circuit: Circuit): Promise<void> {
  for await (const ask of circuit) {
    const { part } = ask;
    await circuit.send({ op: 2, part, args: { name: node.name, links: String(node.links.length) } });
    for (const [i, link] of node.links.entries()) {
      const info = link.info();
      const yours = link === circuit.link ? { yours: "1" } : {};
      await circuit.send({
        op: 3,
        part: i,
        args: {
          name: info.name,
          id: info.node,
          remote: info.remote,
          round_trip_us: String(Math.round(info.roundTripMs * 1000)),
          bytes_sent: String(info.bytesSent),
          bytes_received: String(info.bytesReceived),
          ...yours,
        },
      });
      for (const each of info.circuits)
        await circuit.send({
          op: 4,
          part: each.number,
          args: {
            service: each.service,
            remote_service: each.remoteService,
            name: each.name,
            fragments_sent: String(each.fragmentsSent),
            fragments_received: String(each.fragmentsReceived),
            bytes_sent: String(each.bytesSent),
            bytes_received: String(each.bytesReceived),
            credit: String(each.credit),
          },
        });
    }
    await circuit.send({ op: 5, part });
  }
}

export class MockNode {
  readonly node: Node;
  readonly url: string;
  private constructor(
    node: Node,
    url: string,
    private readonly stopServer: () => Promise<void>,
  ) {
    this.node = node;
    this.url = url;
  }

  /** `pages`: directories whose files are served, the first that has one. */
  static async start(root: string, pages: readonly string[], port = 0): Promise<MockNode> {
    await mkdir(root, { recursive: true });
    const node = new Node({ name: "mock" });
    node.serve("files", async (circuit) => {
      const asked = await circuit.receive();
      const at = asked && place(root, asked.subject);
      if (!asked || at === undefined) return refuse(circuit, "invalid", "a path that leads out of the root");
      if (asked.op === 1) return list(circuit, at);
      if (asked.op === 2) return get(circuit, at, Number(asked.part));
      if (asked.op === 3) return put(circuit, root, at, Number(asked.part), Number(asked.arg("modified") ?? 0), asked.arg("replace") === "1");
      return refuse(circuit, "invalid", `no request ${asked.op}`);
    });
    node.serve("status", (circuit) => status(node, circuit));
    node.serve("echo", async (circuit) => {
      for await (const fragment of circuit) await circuit.send(fragment);
    });
    node.serve("stalls", async (circuit) => void (await circuit.closed));

    const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      const name = request.url === "/" ? "index.html" : request.url!.slice(1).split("?")[0]!;
      for (const each of pages) {
        const content = /^[a-z0-9_-]+\.[a-z]+$/.test(name) ? await readFile(join(each, name)).catch(() => undefined) : undefined;
        if (!content) continue;
        response.writeHead(200, { "Content-Type": types[name.split(".")[1]!] ?? "text/plain", "Content-Security-Policy": policy });
        response.end(content);
        return;
      }
      response.writeHead(404, { "Content-Type": "text/plain" });
      response.end("a trunkline node: there is nothing of this name\n");
    };
    const server = createServer((request, response) => void answer(request, response));
    const sockets = new WebSocketServer({ server, handleProtocols: () => "trunkline" });
    sockets.on("connection", (socket) => node.attach(webSocketTransport(socket as unknown as WebSocketLike, "a page"), false));
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    const stop = async (): Promise<void> => {
      for (const each of sockets.clients) each.terminate();
      sockets.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    };
    return new MockNode(node, `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop);
  }

  /** As when the process is killed: nobody is told. */
  async kill(): Promise<void> {
    await this.stopServer();
    await this.node.close();
  }
}
