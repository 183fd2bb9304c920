/** The page: from the controls and the picture to what is shown. */
import { counted, showBytes, showLegend } from "./bytes.js";
import { Models, commandLine, encodeOptions } from "./options.js";
import { Pad } from "./pad.js";
import { DIGIT_SIDE, psnr, readImage, show, toGrey } from "./picture.js";
import { greyPng } from "./png.js";
import { codeLossy, codePng } from "./rivals.js";
import { Caller } from "./caller.js";

const FIRST = "digit-3";
const BARE_CHECK_BITS = 8;
const BUSY_AFTER = 250; // milliseconds
const FILE_MAX = 2 ** 26; // bytes

const find = (selector, within = document) => within.querySelector(selector);
const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];

const files = Object.fromEntries(findAll("script[data-file]").map((element) => [element.dataset.file, bytesOf(element)]));
const models = new Models(Object.keys(files));
const worker = new Caller(find("#worker").textContent, say);
const pad = new Pad(find("#pad"), find("#brush"), changed);
const form = find("#controls");
const state = { name: "digit", coded: null };

function bytesOf(element) {
  const text = atob(element.textContent);
  element.remove(); // its memory is free again
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

// ---- What is shown ----

/** Bytes of a picture, and how near it is to the original. */
function fillTile(id, { bytes, picture, note }, original) {
  const tile = find(`#${id}`);
  tile.classList.remove("busy");
  const number = document.createElement("b");
  number.textContent = bytes.toLocaleString("en");
  find(".bytes", tile).replaceChildren(number, bytes === 1 ? " byte" : " bytes");
  tile.dataset.bytes = bytes;
  if (!picture) return;
  show(find("canvas", tile), picture);
  find(".detail", tile).replaceChildren(...details(bytes, picture, original));
  find(".note", tile).textContent = note;
}

/** Lines break between them only. */
function details(bytes, picture, original) {
  return [decibels(picture, original), `${(8 * bytes / original.pixels.length).toFixed(2)} bits per pixel`].map((text) => {
    const part = document.createElement("span");
    part.textContent = text;
    return part;
  });
}

function decibels(picture, original) {
  const value = psnr(picture, original);
  return value === Infinity ? "every pixel kept" : `${value.toFixed(1)} dB`;
}

/** The bars under the pictures: bytes, as a share of the largest one's. */
function fillBars() {
  const tiles = findAll(".tile");
  const largest = Math.max(...tiles.map((tile) => Number(tile.dataset.bytes ?? 0)));
  for (const tile of tiles) find(".bar i", tile).style.width = `${100 * Number(tile.dataset.bytes ?? 0) / largest}%`;
}

function noteOf({ mode, model, method, quality, maxError }) {
  if (mode === "stored") return method === "raw" ? "stored as it is" : "stored, deflated";
  const how = mode === "lossy" ? `quality ${quality}` : mode === "bounded" ? `within ${counted(maxError, "level")}` : "lossless";
  return `${how}, model ${model}`;
}

function fillFile({ file, info }) {
  find("#file-says").textContent = counted(file.length, "byte");
  showBytes(find("#file-bytes"), file, info.ranges);
  showLegend(find("#file-legend"), info);
}

function fillBare(stream) {
  find("#bare-says").textContent = stream
    ? `${counted(stream.length, "byte")}: no header, ${BARE_CHECK_BITS} bits of check. Both ends agree on model, quality and size.`
    : "Only lossy files can be bare.";
  if (stream) showBytes(find("#bare-bytes"), stream);
  else find("#bare-bytes").replaceChildren();
}

function fillPacket(element, room, { stream, quality, picture, least }, original, model) {
  const used = stream ? stream.length : 0;
  find(".cells", element).replaceChildren(...Array.from({ length: room }, (_, k) => {
    const cell = document.createElement("i");
    if (k < used) cell.className = "used";
    return cell;
  }));
  find(".frame", element).classList.toggle("none", !stream);
  if (stream) show(find("canvas", element), picture);
  find(".detail", element).textContent = stream ? `${counted(used, "byte")} · ${decibels(picture, original)}` : "It does not fit.";
  find(".note", element).textContent = stream ? `quality ${quality}, model ${model}` : `The least is ${counted(least, "byte")}, at quality 1.`;
}

// ---- From the picture to the page ----

function controls() {
  const data = new FormData(form);
  const numbers = Object.fromEntries(["quality", "effort", "maxError"].map((name) => [name, Number(data.get(name))]));
  return { ...numbers, keep: data.get("keep"), model: data.get("model") };
}

let wanted = 0;
let running = false;

/** The picture or a control has changed. While an update runs, only the newest change waits. */
function changed() {
  wanted++;
  find("#undo").disabled = !pad.canUndo;
  if (!running) run();
}

async function run() {
  running = true;
  for (let turn = 0; turn !== wanted;) {
    turn = wanted;
    try {
      await update(() => turn === wanted);
    } catch (error) {
      say(`This picture cannot be coded: ${error.message}.`);
    }
  }
  running = false;
  document.body.dataset.shown = wanted; // for tests: all that is shown is of this change
}

async function update(isNewest) {
  const original = { ...pad.picture, pixels: pad.picture.pixels.slice() };
  const chosen = controls();
  const options = encodeOptions(models.modelFor(original, chosen), chosen);
  fillTile("original", { bytes: original.pixels.length });
  const waiting = setTimeout(() => find("#mnistzip").classList.add("busy"), BUSY_AFTER);
  const coded = await worker.call("code", original, options).finally(() => clearTimeout(waiting));
  const { file, info, picture } = coded;
  state.coded = coded;
  fillTile("mnistzip", { bytes: file.length, picture, note: noteOf(info) }, original);
  fillFile(coded);
  find("#command").textContent = commandLine(state.name, options);
  for (const id of ["save", "save-png"]) find(`#${id}`).disabled = false;
  await fillRivals(original, file.length);
  if (!isNewest()) return;
  fillBare(info.mode === "lossy" ? await worker.call("bare", original, { model: info.model, quality: info.quality, effort: options.effort }) : null);
  find("#status").textContent = `${counted(file.length, "byte")}, ${decibels(picture, original)}`;
  const lossy = info.mode === "lossy" ? info.model : "mnist";
  const model = options.model === "auto" ? lossy : options.model; // both ends of a bare stream name one
  for (const element of findAll(".packet")) {
    if (!isNewest()) return;
    const room = Number(element.dataset.bytes);
    fillPacket(element, room, await worker.call("packet", original, { model, effort: options.effort }, room), original, model);
  }
}

async function fillRivals(original, room) {
  const [webp, jpeg, png] = await Promise.all([
    codeLossy(original, "image/webp", room), codeLossy(original, "image/jpeg", room), codePng(original),
  ]);
  for (const [id, result] of Object.entries({ webp, jpeg })) {
    if (!result) find(".note", find(`#${id}`)).textContent = "This browser does not write it.";
    else fillTile(id, { ...result, note: result.least ? "quality 0, its least" : `quality ${result.quality}, no more bytes than mnistzip` }, original);
  }
  fillTile("png", { ...png, note: "8-bit grey" }, original);
  fillBars();
}

/** Say an error in the page. */
function say(text) {
  find("#error p").textContent = text;
  find("#error").hidden = false;
}

// ---- Files ----

function take(picture, name) {
  state.name = name;
  find("#error").hidden = true;
  mark(null);
  pad.set(picture);
}

/** A file's name without suffix, fit for a command line. */
function plainName(name) {
  return name.replace(/\.[^.]*$/, "").replace(/[^\w.-]+/g, "-").replace(/^[-.]+/, "") || "picture";
}

async function openFile(file) {
  try {
    if (file.size > FILE_MAX) throw new Error("it is too large for this page");
    const bytes = new Uint8Array(await file.arrayBuffer());
    if (bytes[0] === 0xca || /\.cae$/i.test(file.name)) await openCae(file.name, bytes);
    else take(await readImage(file), plainName(file.name));
  } catch (error) {
    say(`${file.name} cannot be opened: ${error.message}.`);
  }
}

async function openCae(name, bytes) {
  const { info, picture, archive } = await worker.call("open", bytes);
  find("#opened-title").textContent = name;
  find("#opened-says").textContent = archive
    ? `An archive of ${counted(archive.count, "image")} in ${counted(archive.bytes, "byte")}. Click one to take it.`
    : `${counted(bytes.length, "byte")}, ${info.width}×${info.height} pixels, ${noteOf(info)}. The picture is the original now.`;
  find("#opened-bytes").hidden = find("#opened-legend").hidden = Boolean(archive);
  find("#opened-sheet").replaceChildren(...(archive?.pictures ?? []).map((each, number) => sheetButton(each, number, name)));
  if (!archive) {
    showBytes(find("#opened-bytes"), bytes, info.ranges);
    showLegend(find("#opened-legend"), info);
  }
  find("#opened").hidden = false;
  if (archive) find("#opened").scrollIntoView({ block: "nearest" });
  const first = picture ?? archive.pictures[0];
  if (first) take(first, plainName(name));
}

function sheetButton(picture, number, name) {
  const button = document.createElement("button");
  const canvas = document.createElement("canvas");
  button.type = "button";
  button.setAttribute("aria-label", `Image ${number}`);
  show(canvas, picture);
  button.append(canvas);
  button.addEventListener("click", () => take(picture, `${plainName(name)}-${number}`));
  return button;
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function mark(chosen) {
  for (const button of findAll("[data-sample]")) button.setAttribute("aria-pressed", button === chosen);
}

async function takeSample(button) {
  const image = find("img", button);
  await image.decode();
  take(toGrey(image, image.naturalWidth, image.naturalHeight), button.dataset.sample.split("-")[0]);
  mark(button);
}

// ---- Events ----

form.addEventListener("input", () => {
  const { keep } = controls();
  for (const row of findAll("[data-keep]")) row.hidden = row.dataset.keep !== keep;
  for (const output of findAll("output", form)) output.textContent = find(`#${output.htmlFor}`).value;
  changed();
});
form.addEventListener("submit", (event) => event.preventDefault());
for (const button of findAll("[data-sample]")) button.addEventListener("click", () => takeSample(button));
for (const type of ["pointerdown", "keydown"]) find("#pad").addEventListener(type, () => mark(null));
find("#undo").addEventListener("click", () => pad.undo());
find("#clear").addEventListener("click", () => take({ width: DIGIT_SIDE, height: DIGIT_SIDE, pixels: new Uint8Array(DIGIT_SIDE ** 2) }, "digit"));
find("#choose").addEventListener("click", () => find("#file").click());
find("#file").addEventListener("change", async ({ target }) => {
  for (const file of target.files) await openFile(file);
  target.value = ""; // the same file can be chosen again
});
find("#save").addEventListener("click", () => save(new Blob([state.coded.file]), `${state.name}.cae`));
find("#save-png").addEventListener("click", async () => save(await greyPng(pad.picture), `${state.name}.png`));
find("#close-opened").addEventListener("click", () => (find("#opened").hidden = true));
find("#error button").addEventListener("click", () => (find("#error").hidden = true));
find("#copy").addEventListener("click", async ({ target }) => {
  try {
    await navigator.clipboard.writeText(find("#command").textContent);
    target.textContent = "Copied";
    setTimeout(() => (target.textContent = "Copy"), 1500);
  } catch {
    getSelection().selectAllChildren(find("#command")); // a page from a file may lack the clipboard
  }
});

let over = 0; // dragenter and dragleave of nested elements
addEventListener("dragenter", () => document.body.classList.toggle("dragging", ++over > 0));
addEventListener("dragleave", () => document.body.classList.toggle("dragging", --over > 0));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", async (event) => {
  event.preventDefault();
  over = 0;
  document.body.classList.remove("dragging");
  for (const file of event.dataTransfer.files) await openFile(file);
});
addEventListener("paste", async ({ clipboardData }) => {
  for (const file of clipboardData.files) await openFile(file);
});

// ---- Start ----

for (const name of models.names) find("#model").append(new Option(name));
find("#model-hint").textContent = models.rule;
worker.call("start", files);
takeSample(find(`[data-sample="${FIRST}"]`));
