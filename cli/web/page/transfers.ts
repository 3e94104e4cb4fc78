// Downloads and uploads: a line each, with a progress bar and a button that gives it up.
import { printable, reasons, TrunklineError } from "../../../transport/web/src/index.ts";
import { announce, button, byId, element, size } from "./dom.ts";
import { Refused, type Entry, type Files, type Partial } from "./files.ts";

/** Resolves when there is a connection, or rejects when the signal aborts. */
export type Connected = (signal: AbortSignal) => Promise<void>;

class Line {
  readonly giveUp = new AbortController();
  private readonly item: HTMLLIElement;
  private readonly bar: HTMLProgressElement;
  private readonly facts = element("p", { class: "facts" });
  private readonly cancel: HTMLButtonElement;
  private readonly began = performance.now();
  private shownAt = 0;

  constructor(readonly name: string) {
    this.bar = element("progress", { max: "1", value: "0", "aria-label": name });
    this.cancel = button("Cancel", `Cancel: ${name}`, () => this.giveUp.abort(new Error("cancelled")));
    const top = element("div", { class: "top" }, element("span", { class: "name" }, name), this.cancel);
    this.item = element("li", {}, top, this.bar, this.facts);
    byId("no-transfers").hidden = true;
    byId("transfers").prepend(this.item);
  }

  show(bytes: number, total: number): void {
    const now = performance.now();
    if (now - this.shownAt < 100 && bytes < total) return;
    this.shownAt = now;
    this.bar.value = total === 0 ? 1 : bytes / total;
    const rate = (bytes * 1000) / Math.max(1, now - this.began);
    this.facts.textContent = `${size(bytes)} of ${size(total)}, ${size(rate)}/s`;
  }
  say(text: string): void {
    this.facts.textContent = text;
  }
  done(text: string, isBad: boolean): void {
    this.cancel.remove();
    if (isBad) this.bar.remove();
    this.facts.textContent = text;
    this.facts.className = `facts ${isBad ? "bad" : "good"}`;
    this.item.dataset["state"] = isBad ? "failed" : "done";
    announce(`${this.name}: ${text}`);
  }
}

const isLost = (failure: unknown): boolean => {
  const lost: number[] = [reasons.trunkLost, reasons.nodeClosed, reasons.draining, reasons.peerEnded];
  return failure instanceof TrunklineError && lost.includes(failure.reason);
};

const words = (failure: unknown): string => {
  if (failure instanceof Refused) return printable(failure.message);
  return printable(failure instanceof Error ? failure.message : String(failure));
};

export class Transfers {
  constructor(
    private readonly files: Files,
    private readonly connected: Connected,
  ) {}

  async download(path: string, entry: Entry): Promise<void> {
    const line = new Line(`Download ${printable(entry.name)}`);
    const file: Partial = { parts: [], size: entry.size, modified: "", bytes: 0 };
    const { signal } = line.giveUp;
    try {
      for (;;) {
        try {
          await this.files.get(path, file, () => line.show(file.bytes, file.size), signal);
          break;
        } catch (failure) {
          if (!isLost(failure) || signal.aborted) throw failure;
          line.say(`waits for the connection, at ${size(file.bytes)}`);
          await this.connected(signal); // and goes on from where it was
        }
      }
      save(printable(entry.name), new Blob(file.parts as Uint8Array<ArrayBuffer>[]));
      line.show(file.bytes, file.size);
      line.done(`saved, ${size(file.size)}`, false);
    } catch (failure) {
      line.done(signal.aborted ? "cancelled" : words(failure), true);
    }
  }

  async upload(directory: string, file: File): Promise<void> {
    const line = new Line(`Upload ${printable(file.name)}`);
    const path = directory === "" ? file.name : `${directory}/${file.name}`;
    const { signal } = line.giveUp;
    try {
      line.show(0, file.size);
      await this.files.put(path, file, file.lastModified, (bytes) => line.show(bytes, file.size), signal);
      line.show(file.size, file.size);
      line.done(`stored, ${size(file.size)}`, false);
    } catch (failure) {
      line.done(signal.aborted ? "cancelled" : words(failure), true);
    }
  }
}

function save(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const link = element("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the browser may still read it
}
