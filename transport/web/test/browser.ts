// What the tests of the page do with it, as somebody with a mouse would.
import type { Locator } from "playwright-core";

export async function dropFile(onto: Locator, name: string, text: string): Promise<void> {
  const dataTransfer = await onto.page().evaluateHandle(
    ([label, content]) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([content!], label!));
      return transfer;
    },
    [name, text],
  );
  await onto.dispatchEvent("drop", { dataTransfer });
}
