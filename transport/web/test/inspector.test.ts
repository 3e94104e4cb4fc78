// The inspector of a program's admin port in headless Chromium, against the program itself, which TRUNKLINE_PROGRAM names;
// without it, or without a browser, these are skipped. A client that is stopped in the middle of a sync makes circuits
// that do not move.
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium, type Browser, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const browserPath = process.env["TRUNKLINE_CHROMIUM"] ?? "/usr/bin/chromium";
const program = process.env["TRUNKLINE_PROGRAM"] ?? "";
const patience = 180_000;

interface Circuits {
  circuits: { link: number; waits_for?: string | null }[];
}

describe.skipIf(!existsSync(program) || !existsSync(browserPath))("inspector of the program", () => {
  const here = mkdtempSync(join(tmpdir(), "trunkline-inspector-"));
  const started: ChildProcess[] = [];
  const complaints: string[] = [];
  let address = "";
  let admin = "";
  let server: ChildProcess;
  let browser: Browser;
  let page: Page;

  function start(...words: string[]): ChildProcess {
    const child = spawn(program, words, { stdio: ["ignore", "pipe", "ignore"] });
    started.push(child);
    return child;
  }

  const ended = async (child: ChildProcess): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) await new Promise((resolve) => child.once("exit", resolve));
  };

  async function open(scheme: "light" | "dark"): Promise<Page> {
    const context = await browser.newContext({ colorScheme: scheme, viewport: { width: 1280, height: 800 } });
    const made = await context.newPage();
    made.setDefaultTimeout(patience / 2);
    made.on("pageerror", (failure) => complaints.push(String(failure)));
    await made.goto(admin);
    await made.getByRole("status").getByText("ready", { exact: true }).waitFor();
    return made;
  }

  beforeAll(async () => {
    mkdirSync(join(here, "root"));
    for (let i = 0; i < 4; ++i) writeFileSync(join(here, "root", `file${i}`), randomBytes(20_000_000));
    server = start("serve", "--root", join(here, "root"), "--listen", "tcp://127.0.0.1:0", "--admin", "127.0.0.1:0");
    for await (const line of createInterface({ input: server.stdout! })) {
      if (line.startsWith("listening on ")) address = line.slice("listening on ".length);
      if (!line.startsWith("admin at ")) continue;
      admin = line.slice("admin at ".length);
      break;
    }
    browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"], timeout: patience });
    page = await open("light");
  }, 2 * patience);
  afterAll(async () => {
    await browser?.close();
    for (const child of started) {
      child.kill("SIGKILL");
      await ended(child);
    }
    rmSync(here, { recursive: true, force: true });
  });

  const rows = (of: string) => page.locator(`#${of} tr`);

  test("inspector: without links it says so, and who the program is", async () => {
    expect(await page.locator("#name").textContent()).toBe(`serve ${join(here, "root")}`);
    expect(await page.locator("#node").textContent()).toContain(address);
    await page.getByText("No link is open.").waitFor();
    await page.getByText("No circuit is open.").waitFor();
    await page.getByText("None since the program began.").waitFor();
  }, patience);

  test("inspector: a circuit that does not move is shown with its reason", async () => {
    const client = start("sync", `${address}/`, join(here, "to"));
    const bytesSent = async (): Promise<number> => {
      const said = (await (await fetch(`${admin}links`)).json()) as { links: { bytes_sent: number }[] };
      return Math.max(0, ...said.links.map((link) => link.bytes_sent));
    };
    await expect.poll(bytesSent, { timeout: patience / 2, interval: 5 }).toBeGreaterThan(500_000);
    client.kill("SIGSTOP");
    const waiting = async (): Promise<number> => {
      const said = (await (await fetch(`${admin}circuits`)).json()) as Circuits;
      return said.circuits.filter((circuit) => circuit.waits_for).length;
    };
    await expect.poll(waiting, { timeout: patience / 2 }).toBeGreaterThan(0);
    await rows("links").filter({ hasText: "tcp://127.0.0.1:" }).waitFor();
    const reason = page.locator("#circuits tr.waits td.reason").first();
    await reason.waitFor();
    expect(["the far side's credit", "the trunk's credit", "the writer"]).toContain(await reason.textContent());
    expect(await rows("circuits").filter({ hasText: "sync" }).count()).toBeGreaterThan(0);
  }, patience);

  test("inspector: the plot has a line each way, with what went in the last second", async () => {
    await expect.poll(() => page.locator("#plot polyline").count(), { timeout: patience / 2 }).toBe(2);
    const points = async (): Promise<number> => ((await page.locator("#plot polyline").first().getAttribute("points")) ?? "").split(" ").length;
    await expect.poll(points, { timeout: patience / 2 }).toBeGreaterThan(2);
    expect(await page.locator("#scale").textContent()).toMatch(/^full height: [\d.]+ \w+\/s$/);
  }, patience);

  test("inspector: the keyboard reaches the filter and the links, and sees where it is", async () => {
    const focused = (): Promise<string> => page.evaluate(() => document.activeElement?.id || document.activeElement?.textContent || "");
    const outlined = (): Promise<boolean> => page.evaluate(() => getComputedStyle(document.activeElement!).outlineStyle !== "none");
    const seen: string[] = [];
    for (let i = 0; i < 10; ++i) {
      await page.keyboard.press("Tab");
      seen.push(await focused());
      if (["waiting", "metrics", "links", "circuits"].includes(seen.at(-1)!)) expect(await outlined()).toBe(true);
      if (seen.at(-1) === "waiting") {
        await page.keyboard.press("Space");
        await expect.poll(() => page.locator("#circuits tr:not(.waits)").count(), { timeout: patience / 2 }).toBe(0);
        expect(await page.locator("#circuits tr.waits").count()).toBeGreaterThan(0);
        await page.keyboard.press("Space");
      }
    }
    expect(seen).toContain("waiting");
    expect(seen).toContain("metrics");
  }, patience);

  test("inspector: in the dark it is dark, and everything is told from what is behind it", async () => {
    const dark = await open("dark");
    const channels = (color: string): number[] => (color.match(/[\d.]+/g) ?? []).slice(0, 3).map(Number);
    const luminance = (color: string): number => {
      const [red, green, blue] = channels(color).map((value) => {
        const part = value / 255;
        return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
      }) as [number, number, number];
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    for (const each of [page, dark]) {
      await each.locator("#circuits tr.waits").first().waitFor();
      const colors = await each.evaluate(() => {
        const ground = getComputedStyle(document.body).backgroundColor;
        return [...document.querySelectorAll("h1, h2, th, td, #state, figcaption, figcaption b, footer a, h2 label")].map((element) => {
          const row = element.closest("tr.waits");
          return [element.tagName, getComputedStyle(element).color, row ? getComputedStyle(row).backgroundColor : ground];
        });
      });
      for (const [tag, ink, ground] of colors) {
        const [light, low] = [luminance(ink!), luminance(ground!)].toSorted((one, other) => other - one);
        expect((light! + 0.05) / (low! + 0.05), `${tag}: ${ink} on ${ground}`).toBeGreaterThan(4.5);
      }
      expect(luminance(colors[0]![2]!) < 0.1).toBe(each === dark);
    }
  }, patience);

  test("inspector: on a narrow screen the page itself does not scroll sideways", async () => {
    await page.setViewportSize({ width: 420, height: 800 });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(420);
  }, patience);

  test("inspector: when the program is gone it says so, and nothing on the page has failed", async () => {
    server.kill("SIGKILL");
    await page.getByRole("status").getByText("no answer").waitFor();
    expect(complaints).toEqual([]);
  }, patience);
});
