// A reporter for `node --test` that writes one JSON object a line (read by `reports/node.py`): `--test-reporter=…/patchwright_node.mjs`. Node 20 or newer.
//
// It runs in the process that starts the test files, not in theirs. A file that could not be loaded is a `collect`
// record; a file without any test, which Node counts as one that passed, is nothing.

import { existsSync } from "node:fs";
import { relative, resolve } from "node:path";

const ROOT = process.cwd();
const MESSAGE_CHARS = 1000;
const TEXT_CHARS = 4000;

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
        yield JSON.stringify(record) + "\n";
      }
    }
  }
  yield JSON.stringify({ kind: "end" }) + "\n";
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
