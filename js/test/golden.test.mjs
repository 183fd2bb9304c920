/** What was written once decodes to the same pixels for ever, and each fault gives its own error. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import * as golden from "./golden.mjs";
import { addOwnModel, listNames, pythonEncodings, read } from "./setup.mjs";

let names;
before(async () => {
  await addOwnModel();
  names = await listNames();
});

test("golden files decode to their pixels", async () => assert.deepEqual(await golden.checkFiles(read, names), []));
test("golden bare streams decode to their pixels", async () => assert.deepEqual(await golden.checkBareStreams(read), []));
test("golden archives hold what they held", async () => assert.deepEqual(await golden.checkArchives(read), []));
test("faults are named", async () => assert.deepEqual(await golden.checkFaults(read), []));
test("faults of archives are named", async () => assert.deepEqual(await golden.checkFaultsOfArchives(read), []));
test("no input of the fuzz corpus breaks a parser", async () => assert.deepEqual(await golden.checkFuzzCorpus(read, names), []));
test("encoders write the bytes of Python", async (context) => {
  const cases = await pythonEncodings();
  if (!cases) return context.skip("MNISTZIP_ENCODINGS names no file: tests/js/test_js.py writes it");
  assert.ok(cases.length > 100);
  assert.deepEqual(await golden.checkEncodings(cases), []);
});
