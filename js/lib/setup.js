/** Where the engine and the models come from. */
import { OptionError, asBytes, requireKnown } from "./errors.js";
import { Engine } from "./engine.js";
import { Models } from "./models.js";

const sources = {}; // what configure said
let loading = null;

/**
 * Say where the engine and the models come from, before anything is coded.
 *
 * wasm: an address, the bytes of mnistzip.wasm, or a WebAssembly.Module.
 * models: the address of the folder of the packed models, or a function from the name of a file to its bytes.
 */
export function configure(options) {
  requireKnown(options, ["wasm", "models"]);
  for (const key of ["wasm", "models"]) {
    if (options[key] !== undefined) sources[key] = typeof options[key] === "string" ? address(options[key], key) : options[key];
  }
  loading = null;
}

function address(text, what) {
  try {
    return new URL(text, globalThis.location?.href);
  } catch (cause) {
    throw new OptionError(`${what} is ${text}: give an address`, { cause });
  }
}

/** The engine and the models, loaded once. */
export function setUp() {
  if (!loading) {
    loading = open();
    loading.catch(() => {
      loading = null; // the next call tries again
    });
  }
  return loading;
}

async function open() {
  const wasm = sources.wasm ?? new URL("../mnistzip.wasm", import.meta.url);
  const models = sources.models ?? new URL("../models/", import.meta.url);
  const engine = await Engine.from(wasm instanceof URL ? await fetchBytes(wasm) : wasm);
  const fetchFile = async (name) => {
    if (typeof models === "function") return asBytes(await models(name), `the file ${name}`);
    const folder = models.href.endsWith("/") ? models : new URL(`${models.href}/`);
    return fetchBytes(new URL(name, folder));
  };
  return { engine, models: new Models(engine, fetchFile) };
}

async function fetchBytes(url) {
  if (url.protocol === "file:" && globalThis.process?.versions?.node) {
    const { readFile } = await import("node:fs/promises");
    return readFile(url);
  }
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.href}: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** Add a packed file of a model that does not ship; a model has up to three. Returns the name of the model. */
export async function addModel(packed) {
  return (await setUp()).models.add(packed);
}
