// How the page is built: small, without inline script, the same bytes from the same sources.
import { readFileSync } from "node:fs";
import { defineConfig } from "vitest/config";

/** The libraries whose code is in the bundle: their licences go with it. */
const BUNDLED = ["danmaku"];

/** Adds the bundled libraries' licences, which the page links to. */
function licences() {
  return {
    name: "licences",
    generateBundle(this: { emitFile(file: { type: "asset"; fileName: string; source: string }): void }) {
      const read = (path: string) =>
        readFileSync(new URL(`node_modules/${path}`, import.meta.url), "utf8").trim();
      const parts = BUNDLED.map((name) => {
        const { version, license } = JSON.parse(read(`${name}/package.json`));
        return `${name} ${version} (${license})\n\n${read(`${name}/LICENSE`)}\n`;
      });
      this.emitFile({ type: "asset", fileName: "licences.txt", source: parts.join("\n\n") });
    },
  };
}

export default defineConfig({
  plugins: [licences()],
  resolve: {
    alias: {
      "danmu-client": new URL("client/src/index.ts", import.meta.url).pathname,
      danmaku: new URL("node_modules/danmaku/dist/esm/danmaku.canvas.js", import.meta.url).pathname,
    },
  },
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: false },
  server: { proxy: { "/v1": { target: process.env.DANMU_URL ?? "http://127.0.0.1:8080", ws: true } } },
  test: { include: ["client/tests/**/*.test.ts"], environment: "node" },
});
