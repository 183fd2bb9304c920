/**
 * Makes <img src="digit.cae"> work: load this module with one script tag.
 *
 *     <script type="module" src="node_modules/mnistzip/img.js"></script>
 *
 * Images that end in .cae, now and later, are fetched and decoded, and get the address of a PNG in memory. The address of the file stays
 * in data-cae. If a file cannot be decoded, the image fires the event "error", as for any other image, and the console says why.
 */
import { decode } from "./mnistzip.js";

const SELECTOR = "img[src]";
const decoded = new Map(); // address of a .cae file -> promise of the address of its PNG

function isCae(address) {
  return new URL(address, document.baseURI).pathname.toLowerCase().endsWith(".cae");
}

async function show(image) {
  const source = image.getAttribute("src");
  if (!source || !isCae(source)) return;
  const address = new URL(source, document.baseURI).href;
  image.dataset.cae = source;
  try {
    const png = await pngOf(address);
    if (image.getAttribute("src") === source) image.src = png;
  } catch (error) {
    console.error(`${address}: ${error.message}`);
    image.dispatchEvent(new ErrorEvent("error", { message: error.message, error }));
  }
}

/** The address of the decoded image, made once for each file. */
function pngOf(address) {
  if (!decoded.has(address)) {
    const making = makePng(address);
    decoded.set(address, making);
    making.catch(() => decoded.delete(address));
  }
  return decoded.get(address);
}

async function makePng(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
  const { width, height, pixels } = await decode(await response.arrayBuffer());
  const rgba = new Uint8ClampedArray(4 * pixels.length).fill(255);
  pixels.forEach((grey, k) => rgba.fill(grey, 4 * k, 4 * k + 3));
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), 0, 0);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!blob) throw new Error("the browser cannot draw an image of this size");
  return URL.createObjectURL(blob);
}

function look(node) {
  if (node.nodeType !== Node.ELEMENT_NODE) return;
  if (node.matches(SELECTOR)) show(node);
  node.querySelectorAll(SELECTOR).forEach(show);
}

new MutationObserver((changes) => {
  for (const change of changes) {
    if (change.type === "attributes") look(change.target);
    else change.addedNodes.forEach(look);
  }
}).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["src"] });
look(document.documentElement);
