import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 60_000,
    pool: "threads",
    maxWorkers: 2,
  },
  cacheDir: process.env["TRUNKLINE_WEB_CACHE"] ?? "node_modules/.vite",
});
