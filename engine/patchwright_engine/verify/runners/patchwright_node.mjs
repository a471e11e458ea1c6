// A reporter for `node --test` that writes one sealed JSON object a line (read by `seals.py`, then `reports/node.py`): `--test-reporter=…/patchwright_node.mjs --test-reporter-destination=REPORT`. Node 20 or newer.
//
// It runs in the process that starts the test files, not in theirs. A file that could not be loaded is a `collect`
// record; a file without any test, which Node counts as one that passed, is nothing.
//
// The first key lies beside the report and is deleted before any test file is started; after each record its hash takes
// its place. So what tested code writes into the report shows.

import { createHash, createHmac } from "node:crypto";
import { existsSync, readFileSync, unlinkSync } from "node:fs";
import { relative, resolve } from "node:path";

const ROOT = process.cwd();
const MESSAGE_CHARS = 1000;
const TEXT_CHARS = 4000;
const seal = sealer();

export default async function* report(source) {
  const titles = [];
  const badBelow = new Set();
  for await (const { type, data } of source) {
    if (type === "test:start") {
      titles.length = data.nesting;
      titles[data.nesting] = data.name;
    } else if (type === "test:pass" || type === "test:fail") {
      const path = [...titles.slice(0, data.nesting), data.name];
      for (const record of records(type === "test:pass", data, path, badBelow)) {
        yield seal(JSON.stringify(record)) + "\n";
      }
    }
  }
  yield seal(JSON.stringify({ kind: "end" })) + "\n";
}

function sealer() {
  const option = "--test-reporter-destination=";
  const report = process.execArgv.find((argument) => argument.startsWith(option)).slice(option.length);
  let key = readFileSync(`${report}.key`);
  unlinkSync(`${report}.key`);
  return (line) => {
    const made = createHmac("sha256", key).update(line).digest("hex").slice(0, 32);
    key = createHash("sha256").update(key).digest();
    return `${made} ${line}`;
  };
}

function* records(passed, data, path, badBelow) {
  const named = resolve(data.name);
  const isFile = data.nesting === 0 && existsSync(named) && (!data.file || data.file === named);
  const file = relative(ROOT, isFile ? named : data.file ?? "");
  const failure = passed ? null : describe(data.details?.error);
  if (isFile) {
    if (!passed) {
      yield { kind: "collect", name: file, file, suite: "", failure };
    }
    return;
  }
  const suite = path.slice(0, -1).join(" > ");
  const skipped = data.skip !== undefined || data.todo !== undefined;
  if (!passed && !skipped) {
    for (let above = 1; above < path.length; above += 1) {
      badBelow.add(JSON.stringify([data.file, ...path.slice(0, above)]));
    }
  }
  if (data.details?.type === "suite" && !skipped) {
    // A suite fails with its tests; on its own it does when a hook of it failed.
    if (!passed && !badBelow.has(JSON.stringify([data.file, ...path]))) {
      yield { kind: "collect", name: data.name, file, suite, failure };
    }
    return;
  }
  const outcome = skipped ? "skipped" : passed ? "passed" : "failed";
  const seconds = (data.details?.duration_ms ?? 0) / 1000;
  yield { kind: "test", name: data.name, file, suite, outcome, seconds, failure: skipped ? null : failure };
}

function describe(error) {
  const cause = error?.cause instanceof Error ? error.cause : error;
  const message = String(cause?.message ?? cause ?? "").slice(0, MESSAGE_CHARS);
  return { message, text: String(cause?.stack ?? message).slice(0, TEXT_CHARS) };
}
