/** The bytes of a file in hex, by what they are. */

const SHOWN = 100; // bytes
const PARTS = { header: "Header", stream: "Stream", check: "Check" };

/** Fill an element with the bytes of a file; `ranges` are those of mnistzip's info, or none for a bare stream. */
export function showBytes(element, file, ranges = { stream: [0, file.length] }) {
  const groups = Object.keys(PARTS).filter((part) => ranges[part]?.[1] > ranges[part]?.[0]).map((part) => {
    const [start, end] = ranges[part];
    const group = document.createElement("span");
    group.className = `part ${part}`;
    for (const byte of file.subarray(start, Math.min(end, SHOWN))) {
      const cell = document.createElement("span");
      cell.textContent = byte.toString(16).padStart(2, "0");
      group.append(cell, " ");
    }
    return group;
  });
  element.replaceChildren(...groups);
  if (file.length > SHOWN) element.append(`and ${(file.length - SHOWN).toLocaleString("en")} more bytes`);
}

/** Say how many bytes each part has. */
export function showLegend(list, { ranges, checkBits, mode, width, height, quality }) {
  const size = ([start, end]) => counted(end - start, "byte");
  const says = {
    header: `${size(ranges.header)}: ${describe(mode, quality)}, ${width}×${height}`,
    stream: `${size(ranges.stream)}: the picture`,
    check: ranges.check ? `${size(ranges.check)}: finds damage` : `${checkBits} bits or more inside the stream: finds damage`,
  };
  list.replaceChildren(...Object.entries(says).map(([part, text]) => {
    const item = document.createElement("li");
    const name = document.createElement("b");
    name.className = `key ${part}`;
    name.textContent = PARTS[part];
    item.append(name, text);
    return item;
  }));
}

function describe(mode, quality) {
  return mode === "lossy" ? `quality ${quality}` : mode === "bounded" ? "bounded error" : "every pixel kept";
}

/** A number with its noun. */
export function counted(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}
