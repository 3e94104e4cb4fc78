// The page of `trunkline serve` in headless Chromium, against mock_node.ts. TRUNKLINE_CHROMIUM names the browser; without
// one these are skipped. TRUNKLINE_SCREENSHOTS names a directory for pictures of it. TRUNKLINE_PAGE_MB says how large the
// large file is (50).
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { mkdir, readFile, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { chromium, type Browser, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MockNode } from "./mock_node.ts";
import { dropFile } from "./browser.ts";
import { root } from "./support.ts";

const program = process.env["TRUNKLINE_CHROMIUM"] ?? "/usr/bin/chromium";
const hasPage = existsSync(join(root, "cli/web/page"));
const built = join(root, "cli/web/static");
const written = join(root, "cli/web/page");
const here = mkdtempSync(join(tmpdir(), "trunkline-page-"));
const served = join(here, "served");
const patience = 180_000;
const megabytes = Number(process.env["TRUNKLINE_PAGE_MB"] ?? 50);
const megabytesText = megabytes >= 100 ? `${megabytes} MB` : `${megabytes}.0 MB`;

afterAll(() => rmSync(here, { recursive: true, force: true }));

test.skipIf(!hasPage)("page: what is committed is what its sources give", () => {
  execFileSync(process.execPath, ["build.mjs", "--page", join(here, "page")], { cwd: join(root, "transport/web") });
  const [committed, made] = [built, join(here, "page")].map((place) => readFileSync(join(place, "page.js"), "utf8"));
  expect(committed === made, "page.js: node build.mjs --page ../../cli/web/static").toBe(true);
}, patience);

describe.skipIf(!hasPage || !existsSync(program))("page in a browser", () => {
  let browser: Browser;
  let mock: MockNode;
  let pages: string[];
  let page: Page;
  const complaints: string[] = [];
  const requests: string[] = [];
  const hash = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
  const large = randomBytes(megabytes * 1_000_000);

  beforeAll(async () => {
    await mkdir(join(served, "pictures"), { recursive: true });
    await writeFile(join(served, "hello.txt"), "hello\n");
    await writeFile(join(served, "large.bin"), large);
    await writeFile(join(served, "pictures", "a cat & <b>.jpg"), randomBytes(70_000));
    const library = join(here, "library");
    execFileSync(process.execPath, ["build.mjs", library], { cwd: join(root, "transport/web") });
    await writeFile(join(library, "empty.html"), "<!doctype html><title>empty</title>");
    pages = [built, written, library];
    mock = await MockNode.start(served, pages);
    browser = await chromium.launch({ executablePath: program, args: ["--no-sandbox"] });
    page = await open({});
  }, 4 * patience);
  afterAll(async () => {
    await browser?.close();
    await mock?.kill();
  });

  async function open(options: object, path = "/"): Promise<Page> {
    const context = await browser.newContext({ acceptDownloads: true, ...options });
    const made = await context.newPage();
    made.setDefaultTimeout(patience / 2);
    made.on("pageerror", (failure) => complaints.push(String(failure)));
    if (path === "/") made.on("console", (message) => void (message.type() === "error" && complaints.push(message.text())));
    made.on("request", (request) => requests.push(request.url()));
    await made.goto(mock.url + path);
    if (path === "/") await made.getByText("Connected to mock").waitFor();
    return made;
  }

  const row = (of: Page, name: string) => of.locator("#tree .row").filter({ hasText: name });

  test("page: it shows the tree, and what changes in it while it looks", async () => {
    await row(page, "hello.txt").waitFor();
    expect(await page.locator("#tree .row .name").allTextContents()).toEqual(["The served directory", "pictures", "hello.txt", "large.bin"]);
    await writeFile(join(served, "new.txt"), "new");
    await row(page, "new.txt").waitFor();
    await writeFile(join(served, "new.txt"), "longer than it was");
    await row(page, "new.txt").getByText("18 B").waitFor();
    await unlink(join(served, "new.txt"));
    await row(page, "new.txt").waitFor({ state: "detached" });
    await page.getByRole("button", { name: "pictures", exact: true }).click();
    await row(page, "a cat & <b>.jpg").waitFor();
  }, patience);

  test("page: a large file comes down with a progress bar, and is the same", async () => {
    const waits = page.waitForEvent("download", { timeout: 2 * patience });
    await page.getByRole("button", { name: /^Download large.bin/ }).click();
    const file = await (await waits).path();
    expect(hash(await readFile(file))).toBe(hash(large));
    await page.getByText(`saved, ${megabytesText}`, { exact: true }).waitFor();
  }, 4 * patience);

  test("page: a large file goes up, and is the same", async () => {
    const chooser = page.waitForEvent("filechooser");
    await page.getByRole("button", { name: "Upload into pictures" }).click();
    await writeFile(join(here, "up.bin"), large);
    await (await chooser).setFiles(join(here, "up.bin"));
    await page.getByText(`stored, ${megabytesText}`, { exact: true }).waitFor({ timeout: 2 * patience });
    expect(hash(await readFile(join(served, "pictures", "up.bin")))).toBe(hash(large));
    await row(page, "up.bin").waitFor();
  }, 4 * patience);

  test("page: a file is uploaded by drop, and the node asks before it replaces one", async () => {
    const drop = (text: string): Promise<void> => dropFile(row(page, "The served directory"), "dropped.txt", text);
    await drop("first");
    await expect.poll(() => readFile(join(served, "dropped.txt"), "utf8").catch(() => "")).toBe("first");
    await drop("second");
    await page.getByText("Replace dropped.txt?").waitFor();
    await shoot("question", page);
    await page.getByRole("button", { name: "No" }).click();
    await page.getByText('there is a file "dropped.txt" already', { exact: true }).waitFor();
    expect(await readFile(join(served, "dropped.txt"), "utf8")).toBe("first");
    await drop("third");
    await page.getByRole("button", { name: "Yes" }).click();
    await expect.poll(() => readFile(join(served, "dropped.txt"), "utf8")).toBe("third");
  }, patience);

  test("page: everything can be reached and done by keyboard", async () => {
    await page.getByRole("button", { name: "The served directory", exact: true }).focus();
    await page.keyboard.press("ArrowDown");
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("pictures");
    await page.keyboard.press("ArrowLeft");
    await row(page, "a cat & <b>.jpg").waitFor({ state: "detached" });
    await page.keyboard.press("ArrowRight");
    await row(page, "a cat & <b>.jpg").waitFor();
    await page.keyboard.press("ArrowDown");
    const waits = page.waitForEvent("download");
    await page.keyboard.press("Enter");
    expect((await waits).suggestedFilename()).toContain("a cat");
  }, patience);

  test("page: the links and circuits of the node are shown with their credit", async () => {
    const table = page.locator("#links table").filter({ hasText: "this page" });
    await table.getByRole("row").filter({ hasText: "files" }).first().waitFor();
    expect(await table.getByRole("columnheader").allTextContents()).toContain("Credit");
    expect(await table.innerText()).toMatch(/\d kB/);
  }, patience);

  test("page: a note of the node is shown", async () => {
    const [link] = mock.node.links;
    const circuit = mock.node.newPeer("operator").joinOrStart(link!, "page", { op: 3, subject: "going down at noon" });
    await page.getByRole("log").getByText("going down at noon").waitFor();
    circuit.close();
  }, patience);

  test("page: it comes back after the node was restarted, and a download goes on from where it was", async () => {
    const port = Number(new URL(mock.url).port);
    const waits = page.waitForEvent("download", { timeout: 2 * patience });
    await page.getByRole("button", { name: /^Download large.bin/ }).click();
    await page.locator("#transfers progress").first().waitFor();
    await mock.kill();
    await page.getByText("Not connected").waitFor();
    mock = await MockNode.start(served, pages, port);
    await page.getByText("Connected to mock").waitFor();
    expect(hash(await readFile(await (await waits).path()))).toBe(hash(large));
    await writeFile(join(served, "after.txt"), "after");
    await row(page, "after.txt").waitFor();
  }, 4 * patience);

  test("page: a tab that is closed in the middle of an upload leaves nothing behind", async () => {
    const other = await open({});
    const chooser = other.waitForEvent("filechooser");
    await other.getByRole("button", { name: "Upload into The served directory" }).click();
    await (await chooser).setFiles(join(here, "up.bin"));
    await other.locator("#transfers li").waitFor();
    await other.context().close();
    await expect.poll(() => mock.node.links.length, { timeout: patience }).toBe(1);
    expect(existsSync(join(served, "up.bin")) && readFileSync(join(served, "up.bin")).length !== large.length).toBe(false);
  }, patience);

  test("page: it looks like a page, light and dark, wide and narrow", async () => {
    for (const colorScheme of ["light", "dark"] as const) {
      const shown = await open({ colorScheme, viewport: { width: 1100, height: 800 } });
      await shown.getByRole("button", { name: "pictures", exact: true }).click();
      await row(shown, "a cat & <b>.jpg").waitFor();
      await shown.getByRole("button", { name: /^Download hello.txt/ }).click();
      await shown.getByText("saved, 6 B", { exact: true }).waitFor();
      await shown.locator("#links table").first().waitFor();
      await shoot(colorScheme, shown);
      await shown.context().close();
    }
    const narrow = await open({ viewport: { width: 380, height: 800 } });
    await row(narrow, "hello.txt").waitFor();
    await shoot("narrow", narrow);
    expect(await narrow.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(380);
    await narrow.context().close();
  }, 4 * patience);

  test("package: twenty circuits at once, a stalled one that stalls no other, and a service that the node calls", async () => {
    const empty = await open({ bypassCSP: true }, "/empty.html");
    const module = "/trunkline-web.js";
    const outcome = await empty.evaluate(async (library) => {
      // Not a plain import: what transforms this file would take it for one of its own.
      const load = new Function("name", "return import(name)") as (name: string) => Promise<typeof import("../src/index.ts")>;
      const { Node } = await load(library);
      const node = new Node({ name: "in a browser" });
      node.serve("greet", async (circuit) => {
        for await (const question of circuit) await circuit.send({ subject: `hello, ${question.subject}` });
      });
      const there = `ws://${location.host}/trunkline`;
      const me = node.newPeer("asker");
      const stalled = me.joinOrStart(there, "stalls");
      while (stalled.sendOneWay({ payload: new Uint8Array(60_000) }) === "queued");
      const all = await Promise.all(
        Array.from({ length: 20 }, (_, i) => me.request(there, "echo", { part: i, payload: new Uint8Array(300_000).fill(i) })),
      );
      return { parts: all.map((each) => Number(each.part)), same: all.every((each, i) => each.payload[299_999] === i), stalled: stalled.isOpen };
    }, module);
    expect(outcome).toEqual({ parts: Array.from({ length: 20 }, (_, i) => i), same: true, stalled: true });
    const link = mock.node.links.find((each) => each.info().name === "in a browser");
    expect((await mock.node.newPeer("caller").request(link!, "greet", { subject: "page" })).subject).toBe("hello, page");
    await empty.context().close();
  }, 4 * patience);

  test("page: nothing outside was asked for, and nothing was complained about", () => {
    expect(requests.filter((each) => !/^(http|ws|blob:http):\/\/127\.0\.0\.1:/.test(each))).toEqual([]);
    const own = complaints.filter((each) => !/WebSocket|ERR_CONNECTION_REFUSED/.test(each)); // of the restart
    expect(own).toEqual([]);
  });

  async function shoot(name: string, of: Page): Promise<void> {
    const directory = process.env["TRUNKLINE_SCREENSHOTS"];
    if (directory) await of.screenshot({ path: join(directory, `${name}.png`), fullPage: true });
  }
});
