// Builds the package, or the page of `trunkline serve --web`, and prints what they weigh.
//   node build.mjs OUT           the library and its declarations
//   node build.mjs --page OUT    the script of the page that the program serves
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "vite";

const here = dirname(fileURLToPath(import.meta.url));
const isPage = process.argv.includes("--page");
const out = resolve(process.argv.slice(2).find((each) => each !== "--page") ?? join(here, "dist"));

const common = { configFile: false, root: here, logLevel: "warn", publicDir: false };

async function bundle(entry, name, outDir) {
  await build({
    ...common,
    build: {
      outDir,
      emptyOutDir: false,
      target: "es2022",
      minify: "esbuild",
      modulePreload: false,
      // Not Vite's library mode, which leaves white space in: what is measured is what a page loads.
      rollupOptions: {
        input: entry,
        external: [/^node:/],
        preserveEntrySignatures: "strict",
        output: { format: "es", entryFileNames: name },
      },
    },
  });
}

function weigh(file) {
  const bytes = readFileSync(file);
  console.log(`${file.split("/").at(-1)}: ${bytes.length} bytes, ${gzipSync(bytes).length} compressed`);
}

if (isPage) {
  const page = resolve(here, "../../cli/web/page");
  if (!existsSync(page)) throw new Error(`${page} is missing`);
  mkdirSync(out, { recursive: true });
  await bundle(join(page, "main.ts"), "page.js", out);
  // A last line that ends, as in every file here.
  writeFileSync(join(out, "page.js"), `${readFileSync(join(out, "page.js"), "utf8").trimEnd()}\n`);
  for (const each of readdirSync(out)) weigh(join(out, each));
} else {
  rmSync(out, { recursive: true, force: true });
  await bundle(join(here, "src/index.ts"), "trunkline-web.js", out);
  await bundle(join(here, "src/node_socket.ts"), "trunkline-web-node.js", out);
  const tsc = join(here, "node_modules/typescript/bin/tsc");
  const options = [
    "--noEmit",
    "false",
    "--emitDeclarationOnly",
    "--declaration",
    "--outDir",
    out,
    "--rootDir",
    join(here, "src"),
  ];
  execFileSync(process.execPath, [tsc, "-p", join(here, "tsconfig.build.json"), ...options], { stdio: "inherit" });
  for (const each of ["trunkline-web.js", "trunkline-web-node.js"]) weigh(join(out, each));
}
