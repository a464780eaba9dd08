// Reads a list of { name, schema } from the file that is named last, and writes a list of texts: the
// TypeScript of each. Run by `cargo run -p schemas -- generate`.
import { readFileSync } from "node:fs";
import { compile } from "json-schema-to-typescript";

// Readers ignore what they do not know; to write it is a mistake.
const options = { additionalProperties: false, bannerComment: "" };
const schemas = JSON.parse(readFileSync(process.argv.at(-1), "utf8"));
const texts = [];
for (const { name, schema } of schemas) {
  texts.push(await compile(schema, name, options));
}
process.stdout.write(JSON.stringify(texts));
