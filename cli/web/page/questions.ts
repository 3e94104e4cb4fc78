// The service "page" of docs/browser.md: what the node asks and notes, on circuits that it opens.
import { printable, type Circuit } from "../../../transport/web/src/index.ts";
import { byId, element } from "./dom.ts";

const op = { question: 1, answer: 2, note: 3 } as const;
const notesMax = 100;

let line: Promise<void> = Promise.resolve(); // one question is shown at a time

export async function servePage(circuit: Circuit): Promise<void> {
  for await (const said of circuit) {
    if (said.op === op.note) note(said.subject);
    if (said.op !== op.question) continue;
    const asked = line.then(() => (circuit.isOpen ? ask(said.subject, circuit.signal) : false));
    line = asked.then(
      () => undefined,
      () => undefined,
    );
    const isYes = await asked;
    await circuit.send({ op: op.answer, part: isYes ? 1 : 0 });
  }
}

function note(text: string): void {
  const notes = byId("notes");
  const time = element("span", { class: "facts" }, `${new Date().toLocaleTimeString()} `);
  notes.append(element("li", {}, time, printable(text, 1000)));
  while (notes.childElementCount > notesMax) notes.firstElementChild!.remove();
}

/** Shows the question until it is answered, or nobody waits for the answer any more. */
function ask(text: string, signal: AbortSignal): Promise<boolean> {
  const dialog = byId<HTMLDialogElement>("question");
  byId("question-text").textContent = printable(text, 1000);
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    const takeAway = (): void => dialog.close("no");
    signal.addEventListener("abort", takeAway, { once: true });
    dialog.addEventListener(
      "close",
      () => {
        signal.removeEventListener("abort", takeAway);
        resolve(dialog.returnValue === "yes");
      },
      { once: true },
    );
  });
}
