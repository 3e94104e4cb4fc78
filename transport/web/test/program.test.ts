// The page of `trunkline serve --web` in headless Chromium, against the program itself, which TRUNKLINE_PROGRAM names;
// without it, or without a browser, these are skipped. TRUNKLINE_CHROMIUM and TRUNKLINE_PAGE_MB as in page.test.ts, which
// says more of the page and less of the program.
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { mkdir, readdir, readFile, unlink, writeFile } from "node:fs/promises";
import { get } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium, type Browser, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dropFile } from "./browser.ts";
import { root } from "./support.ts";

const browserPath = process.env["TRUNKLINE_CHROMIUM"] ?? "/usr/bin/chromium";
const program = process.env["TRUNKLINE_PROGRAM"] ?? "";
const patience = 180_000;
const megabytes = Number(process.env["TRUNKLINE_PAGE_MB"] ?? 50);
const megabytesText = megabytes >= 100 ? `${megabytes} MB` : `${megabytes}.0 MB`;
const hash = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** A running `trunkline serve --web`. */
class Program {
  private constructor(
    private readonly process: ChildProcess,
    readonly url: string,
    readonly log: string[],
  ) {}

  static async start(served: string, ...more: string[]): Promise<Program> {
    const child = spawn(program, ["serve", "--root", served, ...more], { stdio: ["ignore", "pipe", "pipe"] });
    const log: string[] = [];
    createInterface({ input: child.stderr! }).on("line", (line) => log.push(line));
    for await (const line of createInterface({ input: child.stdout! })) {
      const [, url] = /^page at (\S+)$/.exec(line) ?? [];
      if (url) return new Program(child, url, log);
    }
    throw new Error(`the program has ended: ${log.join("\n")}`);
  }

  get port(): string {
    return new URL(this.url).port;
  }

  /** Nobody is told. */
  async kill(): Promise<void> {
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    if (this.process.exitCode !== null || !this.process.kill("SIGKILL")) return;
    await ended;
  }
}

describe.skipIf(!existsSync(program) || !existsSync(browserPath))("page of the program", () => {
  const here = mkdtempSync(join(tmpdir(), "trunkline-program-"));
  const served = join(here, "served");
  const large = randomBytes(megabytes * 1_000_000);
  const started: Program[] = [];
  const complaints: string[] = [];
  let browser: Browser;
  let serve: Program;
  let page: Page;

  beforeAll(async () => {
    await mkdir(join(served, "pictures"), { recursive: true });
    await writeFile(join(served, "hello.txt"), "hello\n");
    await writeFile(join(served, "large.bin"), large);
    await writeFile(join(here, "up.bin"), large);
    serve = await start("--web", "127.0.0.1:0");
    browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
    page = await open(serve.url);
  }, 4 * patience);
  afterAll(async () => {
    await browser?.close();
    for (const each of started) await each.kill();
    rmSync(here, { recursive: true, force: true });
  });

  async function start(...more: string[]): Promise<Program> {
    const made = await Program.start(served, ...more);
    started.push(made);
    return made;
  }

  async function open(url: string, options: object = {}): Promise<Page> {
    const context = await browser.newContext({ acceptDownloads: true, ...options });
    const made = await context.newPage();
    made.setDefaultTimeout(patience / 2);
    made.on("pageerror", (failure) => complaints.push(String(failure)));
    await made.goto(url);
    await made.getByText("Connected to serve").waitFor();
    return made;
  }

  const row = (of: Page, name: string) => of.locator("#tree .row").filter({ hasText: name });
  const temporaries = async (): Promise<string[]> => (await readdir(served)).filter((name) => name.includes(".trunkline-"));

  async function choose(of: Page, directory: string): Promise<void> {
    const chooser = of.waitForEvent("filechooser");
    await of.getByRole("button", { name: `Upload into ${directory}` }).click();
    await (await chooser).setFiles(join(here, "up.bin"));
  }

  test("program: it shows the tree, and what changes in it", async () => {
    await row(page, "hello.txt").waitFor();
    expect(await page.locator("#tree .row .name").allTextContents()).toEqual(["The served directory", "pictures", "hello.txt", "large.bin"]);
    expect(await page.locator("#node").textContent()).toBe("serve");
    await writeFile(join(served, "new.txt"), "new");
    await row(page, "new.txt").waitFor();
    await unlink(join(served, "new.txt"));
    await row(page, "new.txt").waitFor({ state: "detached" });
  }, patience);

  test("program: a large file comes down whole", async () => {
    const waits = page.waitForEvent("download", { timeout: 2 * patience });
    await page.getByRole("button", { name: /^Download large.bin/ }).click();
    expect(hash(await readFile(await (await waits).path()))).toBe(hash(large));
    await page.getByText(`saved, ${megabytesText}`, { exact: true }).waitFor();
  }, 4 * patience);

  test("program: a large file goes up whole", async () => {
    await page.getByRole("button", { name: "pictures", exact: true }).click();
    await choose(page, "pictures");
    await page.getByText(`stored, ${megabytesText}`, { exact: true }).waitFor({ timeout: 2 * patience });
    expect(hash(await readFile(join(served, "pictures", "up.bin")))).toBe(hash(large));
    await row(page, "up.bin").waitFor();
  }, 4 * patience);

  test("program: it calls the page back before it replaces a file, and heeds both answers", async () => {
    const drop = (text: string): Promise<void> => dropFile(row(page, "The served directory"), "dropped.txt", text);
    const stored = (): string => (existsSync(join(served, "dropped.txt")) ? readFileSync(join(served, "dropped.txt"), "utf8") : "");
    await drop("first");
    await expect.poll(stored, { timeout: patience / 2 }).toBe("first");
    await drop("second");
    await page.getByText("Replace dropped.txt?").waitFor();
    await page.getByRole("button", { name: "No" }).click();
    await page.getByText("there is a file of this name", { exact: true }).waitFor();
    expect(stored()).toBe("first");
    await drop("third");
    await page.getByRole("button", { name: "Yes" }).click();
    await expect.poll(stored, { timeout: patience / 2 }).toBe("third");
  }, patience);

  test("program: its links and circuits are shown with their credit", async () => {
    const table = page.locator("#links table").filter({ hasText: "this page" });
    await table.getByRole("row").filter({ hasText: "files" }).first().waitFor();
    expect(await table.getByRole("columnheader").allTextContents()).toContain("Credit");
    expect(await table.innerText()).toMatch(/\d [kM]B/);
  }, patience);

  test("program: the page comes back after a restart, and a download goes on from where it was", async () => {
    const waits = page.waitForEvent("download", { timeout: 2 * patience });
    await page.getByRole("button", { name: /^Download large.bin/ }).click();
    await page.locator("#transfers li").first().locator("progress").waitFor();
    await serve.kill();
    await page.getByText("Not connected").waitFor();
    serve = await start("--web", `127.0.0.1:${serve.port}`);
    await page.getByText("Connected to serve").waitFor();
    expect(hash(await readFile(await (await waits).path()))).toBe(hash(large));
    await writeFile(join(served, "after.txt"), "after");
    await row(page, "after.txt").waitFor();
  }, 4 * patience);

  test("program: a tab that is closed in the middle of an upload leaves nothing behind", async () => {
    const other = await open(serve.url);
    await choose(other, "The served directory");
    await expect.poll(async () => (await temporaries()).length, { timeout: patience, interval: 2 }).toBe(1);
    await other.context().close();
    await expect.poll(async () => (await temporaries()).length, { timeout: patience }).toBe(0);
    // The last byte may have been faster than the tab's end.
    const there = existsSync(join(served, "up.bin")) ? hash(await readFile(join(served, "up.bin"))) : "nothing";
    expect(["nothing", hash(large)]).toContain(there);
  }, 2 * patience);

  test("program: twenty circuits of one page at once, and a stalled one that stalls no other", async () => {
    const library = join(here, "library");
    execFileSync(process.execPath, ["build.mjs", library], { cwd: join(root, "transport/web") });
    await writeFile(join(library, "empty.html"), "<!doctype html><title>empty</title>");
    await writeFile(join(served, "medium.bin"), large.subarray(0, 1_000_000));
    const other = await start("--web", "127.0.0.1:0", "--web-directory", library);
    const context = await browser.newContext({ bypassCSP: true });
    const empty = await context.newPage();
    await empty.goto(`${other.url}empty.html`);
    const outcome = await empty.evaluate(async () => {
      // Not a plain import: what transforms this file would take it for one of its own.
      const load = new Function("name", "return import(name)") as (name: string) => Promise<typeof import("../src/index.ts")>;
      const { Node } = await load("/trunkline-web.js");
      const me = new Node({ name: "in a browser" }).newPeer("asker");
      const there = `ws://${location.host}/trunkline`;
      const ask = (subject: string) => me.joinOrStart(there, "files", { op: 2, subject });
      const stalled = ask("large.bin");
      const whole = async (): Promise<string> => {
        const circuit = ask("medium.bin");
        circuit.finish();
        const parts: Uint8Array<ArrayBuffer>[] = [];
        for await (const said of circuit) if (said.op === 20) parts.push(said.payload as Uint8Array<ArrayBuffer>);
        const digest = await crypto.subtle.digest("SHA-256", await new Blob(parts).arrayBuffer());
        return [...new Uint8Array(digest)].map((each) => each.toString(16).padStart(2, "0")).join("");
      };
      const all = await Promise.all(Array.from({ length: 20 }, whole));
      return { all, isStalledOpen: stalled.isOpen };
    });
    expect(outcome).toEqual({ all: Array(20).fill(hash(large.subarray(0, 1_000_000))), isStalledOpen: true });
    await context.close();
  }, 2 * patience);

  test("program: with a certificate the same port is https and wss", async () => {
    const [chain, key] = [join(here, "chain.pem"), join(here, "key.pem")];
    const words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=test"];
    execFileSync("openssl", [...words, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", chain], { stdio: "ignore" });
    const secure = await start("--web", "127.0.0.1:0", "--web-certificate", chain, "--web-key", key);
    expect(secure.url).toMatch(/^https:/);
    const status = await new Promise((resolve, reject) => {
      get(secure.url, { ca: readFileSync(chain) }, (response) => resolve(response.resume().statusCode)).on("error", reject);
    });
    expect(status).toBe(200);
    const shown = await open(secure.url, { ignoreHTTPSErrors: true });
    const waits = shown.waitForEvent("download");
    await shown.getByRole("button", { name: /^Download hello.txt/ }).click();
    expect(await readFile(await (await waits).path(), "utf8")).toBe("hello\n");
    await shown.getByText("wss://127.0.0.1").first().waitFor(); // where the page is, in the table of links
    await shown.context().close();
  }, patience);

  test("program: the page has complained of nothing", () => expect(complaints).toEqual([]));
});
