// The served tree, live: each directory that is open has a circuit that says what changes in it.
import { printable, TrunklineError } from "../../../transport/web/src/index.ts";
import { announce, button, element, size, when } from "./dom.ts";
import { Refused, type Change, type Entry, type Files } from "./files.ts";

export interface TreeActions {
  download(path: string, entry: Entry): void;
  upload(directory: string, files: Iterable<File>): void;
  /** Lets the user choose files for this directory. */
  pick(directory: string): void;
}

const join = (directory: string, name: string): string => (directory === "" ? name : `${directory}/${name}`);

const rank = (entry: Entry): string => `${entry.type === "directory" ? 0 : 1}${entry.name}`;

export class Directory {
  readonly item: HTMLLIElement;
  private readonly toggle: HTMLButtonElement;
  private readonly list = element("ul", { hidden: "" });
  private readonly trouble = element("p", { class: "hint bad" });
  private readonly items = new Map<string, { rank: string; item: HTMLLIElement; directory: Directory | undefined }>();
  private listing: AbortController | undefined;
  private isListed = false;

  constructor(
    private readonly files: Files,
    private readonly path: string,
    name: string,
    private readonly actions: TreeActions,
  ) {
    const shown = printable(name);
    this.toggle = element("button", { type: "button", class: "name", "aria-expanded": "false" }, shown);
    this.toggle.addEventListener("click", () => (this.isOpen ? this.close() : this.open()));
    const upload = button("Upload", `Upload into ${shown}`, () => actions.pick(path));
    const row = element("div", { class: "row" }, this.toggle, upload);
    this.item = element("li", {}, row, this.list);
    this.toggle.addEventListener("keydown", (event) => {
      if (event.key === "ArrowRight" && !this.isOpen) this.open();
      else if (event.key === "ArrowLeft" && this.isOpen) this.close();
      else return;
      event.preventDefault();
    });
    this.acceptDrops(row);
  }

  private acceptDrops(row: HTMLElement): void {
    const carriesFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
    row.addEventListener("dragover", (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      row.classList.add("over");
    });
    row.addEventListener("dragleave", () => row.classList.remove("over"));
    row.addEventListener("drop", (event) => {
      row.classList.remove("over");
      if (!carriesFiles(event)) return;
      event.preventDefault();
      this.actions.upload(this.path, event.dataTransfer!.files);
    });
  }

  get isOpen(): boolean {
    return this.listing !== undefined;
  }

  open(): void {
    this.toggle.setAttribute("aria-expanded", "true");
    this.list.hidden = false;
    this.watch();
  }

  close(): void {
    this.listing?.abort();
    this.listing = undefined;
    this.toggle.setAttribute("aria-expanded", "false");
    this.list.hidden = true;
    this.clear();
  }

  private clear(): void {
    for (const each of this.items.values()) each.directory?.close();
    this.items.clear();
    this.list.replaceChildren();
  }

  /** The connection is there again: everything that is open is listed anew. */
  refresh(): void {
    if (!this.isOpen) return;
    this.watch();
    for (const each of this.items.values()) each.directory?.refresh();
  }

  private watch(): void {
    this.listing?.abort();
    const listing = new AbortController();
    this.listing = listing;
    this.isListed = false;
    this.trouble.remove();
    void this.follow(listing);
  }

  private async follow(listing: AbortController): Promise<void> {
    const before = new Set(this.items.keys()); // what is not said again is gone
    try {
      for await (const change of this.files.list(this.path, listing.signal)) {
        if (change.kind === "entry") before.delete(change.entry.name);
        this.note(change);
        if (change.kind === "listed") for (const name of before) this.remove(name);
      }
    } catch (failure) {
      if (listing.signal.aborted) return;
      if (failure instanceof TrunklineError) return; // the connection line says it, and the list comes again
      const text = failure instanceof Refused ? failure.message : String(failure);
      this.trouble.textContent = printable(text);
      this.list.before(this.trouble);
    }
  }

  private note(change: Change): void {
    if (change.kind === "gone") return this.remove(change.name);
    if (change.kind === "listed") {
      this.isListed = true;
      if (this.items.size === 0) this.list.replaceChildren(element("li", { class: "hint" }, "Empty."));
      return;
    }
    const { entry } = change;
    const known = this.items.get(entry.name);
    if (known?.directory && entry.type === "directory") return; // nothing about it is shown
    if (this.items.size === 0) this.list.replaceChildren();
    const made = this.make(entry);
    if (this.isListed) made.item.classList.add("fresh");
    if (known) {
      const hadFocus = known.item.contains(document.activeElement);
      known.item.replaceWith(made.item);
      if (hadFocus) made.item.querySelector<HTMLElement>("button")?.focus();
    } else {
      const next = [...this.items.values()].find((each) => each.rank > made.rank);
      this.list.insertBefore(made.item, next?.item ?? null);
    }
    this.items.set(entry.name, made);
    if (!known) this.sort();
    if (this.isListed) announce(`${printable(entry.name)} ${known ? "has changed" : "is new"}`);
  }

  /** The map has the order of the list, so that the next name finds its place. */
  private sort(): void {
    if (!this.isListed && this.items.size > 1000) return; // many at once: their order is that of their coming
    const sorted = [...this.items].sort(([, a], [, b]) => (a.rank < b.rank ? -1 : 1));
    this.items.clear();
    for (const [name, each] of sorted) this.items.set(name, each);
  }

  private remove(name: string): void {
    const known = this.items.get(name);
    if (!known) return;
    known.directory?.close();
    known.item.remove();
    this.items.delete(name);
    if (this.items.size === 0) this.list.replaceChildren(element("li", { class: "hint" }, "Empty."));
    if (this.isListed) announce(`${printable(name)} is gone`);
  }

  private make(entry: Entry): { rank: string; item: HTMLLIElement; directory: Directory | undefined } {
    const path = join(this.path, entry.name);
    if (entry.type === "directory") {
      const directory = new Directory(this.files, path, entry.name, this.actions);
      return { rank: rank(entry), item: directory.item, directory };
    }
    const shown = printable(entry.name);
    const name = entry.type === "symlink" ? `${shown} → ${printable(entry.target)}` : shown;
    const row = element("div", { class: "row" }, element("span", { class: "name" }, name));
    row.append(element("span", { class: "facts" }, entry.type === "file" ? size(entry.size) : entry.type));
    row.append(element("span", { class: "facts" }, when(entry.modified)));
    if (entry.type === "file") row.append(button("Download", `Download ${shown}, ${size(entry.size)}`, () => this.actions.download(path, entry)));
    return { rank: rank(entry), item: element("li", {}, row), directory: undefined };
  }
}

/** Up and down move between the rows of a tree. */
export function moveByArrows(tree: HTMLElement): void {
  tree.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const rows = [...tree.querySelectorAll<HTMLElement>(".row")].filter((each) => each.offsetParent !== null);
    const at = rows.findIndex((each) => each.contains(document.activeElement));
    const step = event.key === "ArrowDown" ? 1 : -1;
    for (let next = at + step; next >= 0 && next < rows.length; next += step) {
      const target = rows[next]!.querySelector<HTMLElement>("button");
      if (!target) continue;
      target.focus();
      event.preventDefault();
      return;
    }
  });
}
