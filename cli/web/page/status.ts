// The node's links and circuits, asked for once a second while the page can be seen.
import { printable, type Circuit, type Fragment, type LocalPeer, type There } from "../../../transport/web/src/index.ts";
import { byId, element, size } from "./dom.ts";

const op = { ask: 1, node: 2, link: 3, circuit: 4, done: 5 } as const;
const pauseMs = 1000;

interface LinkSeen {
  link: Fragment;
  circuits: Fragment[];
}

function cell(text: string, isNumber: boolean): HTMLTableCellElement {
  return element("td", isNumber ? { class: "number" } : {}, text);
}

const columns = ["Circuit", "Service", "Its peer's", "Name", "Fragments out, in", "Sent", "Received", "Credit"];

function table({ link, circuits }: LinkSeen): HTMLTableElement {
  const arg = (of: Fragment, key: string): string => printable(of.arg(key) ?? "", 64);
  const bytes = (of: Fragment, key: string): string => size(Number(of.arg(key) ?? 0));
  const who = arg(link, "name") || arg(link, "id").slice(0, 8) || "a node without a name";
  const facts = [
    arg(link, "dialled") === "1" ? "dialled by the node" : "dialled there",
    ...(arg(link, "draining") === "1" ? ["draining"] : []),
    `${(Number(link.arg("round_trip_us") ?? 0) / 1000).toFixed(1)} ms`,
    `${bytes(link, "bytes_sent")} sent`,
    `${bytes(link, "bytes_received")} received`,
  ];
  const made = element("table", {}, element("caption", {}));
  made.caption!.append(
    element("strong", {}, arg(link, "yours") === "1" ? `${who} (this page)` : who),
    ` at ${arg(link, "remote")} `,
    element("span", { class: "facts" }, facts.join(", ")),
  );
  const head = columns.map((each, i) => element("th", i === 0 || i > 3 ? { scope: "col", class: "number" } : { scope: "col" }, each));
  made.append(element("thead", {}, element("tr", {}, ...head)));
  const rows = circuits.map((each) =>
    element(
      "tr",
      {},
      cell(`${each.part}`, true),
      cell(arg(each, "service"), false),
      cell(arg(each, "remote_service"), false),
      cell(arg(each, "name"), false),
      cell(`${arg(each, "fragments_sent")}, ${arg(each, "fragments_received")}`, true),
      cell(bytes(each, "bytes_sent"), true),
      cell(bytes(each, "bytes_received"), true),
      cell(bytes(each, "credit"), true),
    ),
  );
  const none = element("tr", {}, element("td", { colspan: `${columns.length}` }, "no circuits"));
  made.append(element("tbody", {}, ...(rows.length > 0 ? rows : [none])));
  return made;
}

export class Status {
  private circuit: Circuit | undefined;

  constructor(
    private readonly peer: LocalPeer,
    private readonly there: There,
  ) {}

  /** The connection is there: asks until it is lost. */
  start(): void {
    this.circuit?.close();
    const circuit = this.peer.joinOrStart(this.there, "status", undefined, { name: "status" });
    this.circuit = circuit;
    void this.ask(circuit).catch((failure: unknown) => {
      const isGone = circuit !== this.circuit;
      if (!isGone) byId("no-links").textContent = printable(`Not known: ${failure instanceof Error ? failure.message : String(failure)}`);
      if (!isGone) byId("no-links").hidden = false;
    });
  }

  private async ask(circuit: Circuit): Promise<void> {
    for (let part = 1; circuit.isOpen; ++part) {
      await circuit.send({ op: op.ask, part });
      const links: LinkSeen[] = [];
      let node: Fragment | undefined;
      for (;;) {
        const said = await circuit.receive();
        if (!said) return;
        if (said.op === op.node) node = said;
        else if (said.op === op.link) links.push({ link: said, circuits: [] });
        else if (said.op === op.circuit) links.at(-1)?.circuits.push(said);
        else if (said.op === op.done && said.part === BigInt(part)) break;
      }
      this.show(node, links);
      await pause();
    }
  }

  private show(node: Fragment | undefined, links: LinkSeen[]): void {
    byId("node").textContent = node ? printable(node.arg("name") ?? "", 64) : "";
    byId("no-links").hidden = links.length > 0;
    byId("no-links").textContent = "None.";
    byId("links").replaceChildren(...links.map(table));
  }
}

/** A second, and as long as nobody looks. */
async function pause(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, pauseMs));
  if (document.visibilityState === "visible") return;
  await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
}

