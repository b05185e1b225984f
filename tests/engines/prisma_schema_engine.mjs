#!/usr/bin/env node
// Prisma's own schema engine, as it comes in WebAssembly through npm, behind the command line of the native one, which is
// a download from elsewhere: JSON-RPC, a line a message.
import fs from "node:fs";
import readline from "node:readline";
import { createRequire } from "node:module";
const require = createRequire(`${process.env.PRISMA_MODULES}/x.js`);
const place = `${process.env.PRISMA_MODULES}/@prisma/schema-engine-wasm`;
const glue = await import(`${place}/schema_engine_bg.js`);
const { instance } = await WebAssembly.instantiate(
  fs.readFileSync(`${place}/schema_engine_bg.wasm`), { "./schema_engine_bg.js": glue },
);
glue.__wbg_set_wasm(instance.exports);
instance.exports.__wbindgen_start();
const { SchemaEngine } = glue;
const { PrismaPg } = require("@prisma/adapter-pg");
const { bindMigrationAwareSqlAdapterFactory } = require("@prisma/driver-adapter-utils");
const pg = require("pg");

const words = process.argv.slice(2);
const after = name => words[words.indexOf(name) + 1];
const { url } = JSON.parse(after("--datasource"));
if (words.includes("can-connect-to-database")) {
  const client = new pg.Client({ connectionString: url });
  try { await client.connect(); await client.end(); console.log("Connection successful"); process.exit(0); }
  catch (error) {
    const code = error.code === "28P01" ? "P1000" : error.code === "3D000" ? "P1003" : "P1001";
    console.error(JSON.stringify({ is_panic: false, message: error.message, error_code: code, meta: {} }));
    process.exit(1);
  }
}
const schema = after("--datamodels");
const adapter = bindMigrationAwareSqlAdapterFactory(new PrismaPg({ connectionString: url }));
const engine = await SchemaEngine.new({ datamodels: [[schema, fs.readFileSync(schema, "utf8")]] }, () => {}, adapter);
for await (const line of readline.createInterface({ input: process.stdin })) {
  if (!line.trim()) continue;
  const { id, method, params } = JSON.parse(line);
  let answer;
  try { answer = { jsonrpc: "2.0", id, result: (await engine[method](params)) ?? null }; }
  catch (error) {
    const code = error.code ?? "";
    answer = { jsonrpc: "2.0", id, error: { code: 4466, message: "An error happened. Check the data field for details.",
      data: { is_panic: false, message: String(error.message ?? error), error_code: code || undefined, meta: error.meta ?? {} } } };
  }
  console.log(JSON.stringify(answer));
}
