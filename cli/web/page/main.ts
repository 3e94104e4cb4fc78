// The page of `trunkline serve --web`: a node that shows what another one serves.
import { describe, Node, printable, type Link } from "../../../transport/web/src/index.ts";
import { byId } from "./dom.ts";
import { Files } from "./files.ts";
import { servePage } from "./questions.ts";
import { Status } from "./status.ts";
import { Transfers } from "./transfers.ts";
import { Directory, moveByArrows } from "./tree.ts";

const there = new URL("trunkline", location.href.replace(/^http/, "ws")).href;
const waiting = new Set<() => void>();

const node = new Node({ name: "page", onLink: (link) => changed(link) });
node.serve("page", servePage);
const me = node.newPeer("page");
const files = new Files(me, there);
const status = new Status(me, there);
const transfers = new Transfers(files, connected);
const root = new Directory(files, "", "The served directory", {
  download: (path, entry) => void transfers.download(path, entry),
  upload: (directory, dropped) => void upload(directory, dropped),
  pick,
});

let isConnected = false;

function changed(link: Link): void {
  const line = byId("connection");
  const isOpen = link.isOpen && link.info().node !== "" && !link.info().draining;
  if (isOpen && !isConnected) {
    isConnected = true;
    line.textContent = `Connected to ${printable(link.info().name, 64) || "a node"}`;
    line.className = "good";
    // Not from within the change: what is opened now changes the link.
    queueMicrotask(() => {
      if (root.isOpen) root.refresh();
      else root.open();
      status.start();
      for (const each of waiting) each();
      waiting.clear();
    });
  } else if (!isOpen && !node.links.some((each) => each.isOpen && each.info().node !== "")) {
    isConnected = false;
    const why = link.end && link.end.reason !== 0 ? `: ${describe(link.end)}` : "";
    line.textContent = printable(`Not connected${why}. Trying again …`, 300);
    line.className = "bad";
  }
}

function connected(signal: AbortSignal): Promise<void> {
  if (isConnected) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    waiting.add(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    });
  });
}

async function upload(directory: string, chosen: Iterable<File>): Promise<void> {
  for (const each of [...chosen]) void transfers.upload(directory, each);
}

let pickedFor = "";
function pick(directory: string): void {
  pickedFor = directory;
  byId("picker").click();
}

const picker = byId<HTMLInputElement>("picker");
picker.addEventListener("change", () => {
  void upload(pickedFor, picker.files ?? []);
  picker.value = "";
});
// A file that is dropped beside a directory must not replace the page.
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());

byId("tree").append(root.item);
moveByArrows(byId("tree"));
node.keepConnected(there);
