/** Where the tests find their files. MNISTZIP_MODELS names another folder of packed models than the package's own. */
import { readFile, readdir } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { addModel, configure } from "../mnistzip.js";

const TESTS = new URL("../../tests/", import.meta.url);
const FOLDERS = ["vectors/valid", "vectors/own", "fuzz/corpus/single", "fuzz/corpus/archive", "fuzz/corpus/bare", "fuzz/corpus/model"];
const models = process.env.MNISTZIP_MODELS ? pathToFileURL(`${process.env.MNISTZIP_MODELS}/`) : new URL("../models/", import.meta.url);

configure({ models });

export const read = async (path) => new Uint8Array(await readFile(new URL(path, TESTS)));

export async function listNames() {
  return Object.fromEntries(await Promise.all(FOLDERS.map(async (folder) => [folder, await readdir(new URL(folder, TESTS))])));
}

/** The model of the golden files in tests/vectors/own, which does not ship; its packed file is built like the others. */
export async function addOwnModel() {
  return addModel(await readFile(new URL("own.model", models)));
}

/** What Python encodes: a file that tests/js/test_js.py writes. */
export async function pythonEncodings() {
  return process.env.MNISTZIP_ENCODINGS ? JSON.parse(await readFile(process.env.MNISTZIP_ENCODINGS, "utf8")) : null;
}
