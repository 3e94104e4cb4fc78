// The few words that the page makes its elements with. Texts are set as texts, never as markup.

type Attributes = Record<string, string>;

export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export function button(text: string, label: string, action: () => void): HTMLButtonElement {
  const made = element("button", { type: "button", "aria-label": label }, text);
  made.addEventListener("click", action);
  return made;
}

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`no element "${id}"`);
  return found as T;
}

/** Said once to who listens to the page. */
export function announce(text: string): void {
  byId("announcer").textContent = text;
}

const units = ["B", "kB", "MB", "GB", "TB"];
export function size(bytes: number): string {
  let unit = 0;
  let left = bytes;
  while (left >= 1000 && unit < units.length - 1) {
    left /= 1000;
    ++unit;
  }
  return `${unit === 0 || left >= 100 ? Math.round(left) : left.toFixed(1)} ${units[unit]}`;
}

export function when(ms: number): string {
  return ms > 0 ? new Date(ms).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "";
}
