// The service "files" of docs/browser.md, from the side that asks.
import type { Circuit, LocalPeer, There } from "../../../transport/web/src/index.ts";
import { Fragment, TrunklineError, end, reasons } from "../../../transport/web/src/index.ts";

const op = { list: 1, get: 2, put: 3, entry: 16, listed: 17, gone: 18, header: 19, data: 20, stored: 21 } as const;
const chunkBytes = 256 * 1024;

export interface Entry {
  readonly name: string;
  readonly type: string;
  readonly size: number;
  readonly modified: number;
  readonly target: string;
}

export type Change = { kind: "entry"; entry: Entry } | { kind: "gone"; name: string } | { kind: "listed" };

/** The answerer says why not. `kind` is one of the page's table. */
export class Refused extends Error {
  constructor(
    readonly kind: string,
    text: string,
  ) {
    super(text);
  }
}

/** Where a file that was interrupted goes on. */
export interface Partial {
  readonly parts: Uint8Array[];
  size: number;
  modified: string;
  bytes: number;
}

function judged(fragment: Fragment): Fragment {
  if (fragment.err !== "") throw new Refused(fragment.arg("kind") ?? "failed", fragment.err);
  return fragment;
}

export class Files {
  constructor(
    private readonly peer: LocalPeer,
    private readonly there: There,
  ) {}

  private open(
    what: "list" | "get" | "put",
    path: string,
    more: { part?: number; args?: Record<string, string> },
    signal: AbortSignal,
  ): Circuit {
    const name = `${what} ${path.slice(-24)}`;
    return this.peer.joinOrStart(this.there, "files", { op: op[what], subject: path, ...more }, { name, signal });
  }

  /** What is in a directory, then what changes there, until the signal aborts or the directory is gone. */
  async *list(path: string, signal: AbortSignal): AsyncGenerator<Change> {
    const circuit = this.open("list", path, {}, signal);
    try {
      for (let said = await circuit.receiveAny(); said; said = await circuit.receiveAny()) {
        const { op: code, subject: name, part } = judged(said);
        if (code === op.gone) yield { kind: "gone", name };
        if (code === op.listed) yield { kind: "listed" };
        if (code !== op.entry) continue;
        const arg = (key: string): string => said!.arg(key) ?? "";
        yield { kind: "entry", entry: { name, type: arg("type"), size: Number(part), modified: Number(arg("modified")), target: arg("target") } };
      }
    } finally {
      circuit.close();
    }
  }

  /** Gets the file, from where `file` ends. `file` is whole when this returns. */
  async get(path: string, file: Partial, progress: () => void, signal: AbortSignal): Promise<void> {
    const circuit = this.open("get", path, { part: file.bytes }, signal);
    try {
      circuit.finish();
      for (let said = await circuit.receiveAny(); said; said = await circuit.receiveAny()) {
        const { op: code, part, payload } = judged(said);
        if (code === op.header) {
          const modified = said.arg("modified") ?? "";
          if (file.bytes > 0 && (file.size !== Number(part) || file.modified !== modified)) {
            file.parts.length = 0;
            file.bytes = 0;
            circuit.close();
            return await this.get(path, file, progress, signal); // it is another file now
          }
          file.size = Number(part);
          file.modified = modified;
        } else if (code === op.data) {
          if (Number(part) !== file.bytes) throw new Refused("failed", `bytes from ${part} came, expected ${file.bytes}`);
          file.parts.push(payload);
          file.bytes += payload.length;
        }
        progress();
      }
      if (file.bytes !== file.size) throw new Refused("failed", `${file.bytes} bytes came, expected ${file.size}`);
    } finally {
      circuit.close();
    }
  }

  /** Stores the file there. Fails when there is one already, unless `replace`; then the node asks back first. */
  async put(path: string, file: Blob, modified: number, progress: (bytes: number) => void, signal: AbortSignal): Promise<void> {
    const circuit = this.open("put", path, { part: file.size, args: { modified: String(modified) } }, signal);
    let failure: unknown;
    const sending = this.send(circuit, file, progress).catch((caught: unknown) => {
      failure = caught;
      const isTheirs = caught instanceof TrunklineError;
      if (!isTheirs) circuit.reset(end(reasons.circuitAbandoned, "the file cannot be read"));
    });
    try {
      const answer = await circuit.receiveAny();
      if (!answer || judged(answer).op !== op.stored) throw failure ?? new Refused("failed", "the node has not stored it");
      await sending;
    } catch (caught) {
      throw caught instanceof Refused ? caught : (failure ?? caught);
    } finally {
      circuit.close();
    }
  }

  private async send(circuit: Circuit, file: Blob, progress: (bytes: number) => void): Promise<void> {
    for (let at = 0; at < file.size; at += chunkBytes) {
      const payload = new Uint8Array(await file.slice(at, at + chunkBytes).arrayBuffer());
      await circuit.send({ op: op.data, part: at, payload });
      progress(at + payload.length);
    }
    circuit.finish();
  }
}
