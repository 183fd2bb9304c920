/**
 * The picture to draw on, by mouse, touch, pen or keyboard.
 *
 * The pen is round with a soft edge, like the strokes of MNIST's digits. Its grey levels follow from distances alone, so that they are the
 * same in every browser.
 */
import { DIGIT_SIDE, emptyPicture, show } from "./picture.js";

const PEN = 1.15; // radius in pixels of a digit; larger pictures have a larger pen
const EDGE = 1.5; // width of the soft edge
const UNDO_MAX = 50;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pad {
  #canvas;
  #cursor;
  #changed;
  #undo = [];
  #last = null; // where the pen is down
  #brush = [DIGIT_SIDE / 2 + 0.5, DIGIT_SIDE / 2 + 0.5]; // where the keyboard's brush is
  #penDown = false; // the keyboard's

  /** `cursor` is an element that shows the keyboard's brush; `changed` is called after each change. */
  constructor(canvas, cursor, changed) {
    this.#canvas = canvas;
    this.#cursor = cursor;
    this.#changed = changed;
    this.picture = emptyPicture();
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, () => (this.#last = null));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("focus", () => this.#showBrush());
    canvas.addEventListener("blur", () => this.#liftPen());
  }

  get canUndo() {
    return this.#undo.length > 0;
  }

  /** Take another picture. */
  set(picture) {
    this.#remember();
    this.#take(picture);
  }

  clear() {
    this.set(emptyPicture());
  }

  undo() {
    if (this.canUndo) this.#take(this.#undo.pop());
  }

  #take(picture) {
    this.picture = picture;
    this.#brush = this.#brush.map((at, axis) => Math.min(at, [picture.width, picture.height][axis] - 0.5));
    this.#refresh();
  }

  #remember() {
    this.#undo.push({ ...this.picture, pixels: this.picture.pixels.slice() });
    if (this.#undo.length > UNDO_MAX) this.#undo.shift();
  }

  #refresh() {
    show(this.#canvas, this.picture);
    this.#showBrush();
    this.#changed();
  }

  /** Draw a line with the pen. */
  #draw([x0, y0], [x1, y1]) {
    const { width, height, pixels } = this.picture;
    const unit = Math.max(width, height) / DIGIT_SIDE;
    const reach = (PEN + EDGE / 2) * unit;
    const [dx, dy] = [x1 - x0, y1 - y0];
    const length = dx * dx + dy * dy || 1;
    const range = (a, b, size) => [Math.max(0, Math.floor(Math.min(a, b) - reach)), Math.min(size, Math.ceil(Math.max(a, b) + reach))];
    const [left, right] = range(x0, x1, width);
    const [top, bottom] = range(y0, y1, height);
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const [px, py] = [x + 0.5 - x0, y + 0.5 - y0];
        const along = Math.min(1, Math.max(0, (px * dx + py * dy) / length));
        const distance = Math.hypot(px - along * dx, py - along * dy) / unit;
        const level = Math.round(255 * Math.min(1, Math.max(0, (PEN - distance) / EDGE + 0.5)));
        if (level > pixels[y * width + x]) pixels[y * width + x] = level;
      }
    }
  }

  // ---- Pointers ----

  /** Where an event is, in pixels of the picture, which lies in the middle of the canvas. */
  #at(event) {
    const box = this.#canvas.getBoundingClientRect();
    const { width, height } = this.picture;
    const scale = Math.min(box.width / width, box.height / height);
    return [(event.clientX - box.left - box.width / 2) / scale + width / 2, (event.clientY - box.top - box.height / 2) / scale + height / 2];
  }

  #press(event) {
    if (event.button !== 0 || !event.isPrimary) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#remember();
    this.#last = this.#at(event);
    this.#draw(this.#last, this.#last);
    this.#refresh();
  }

  #move(event) {
    if (!this.#last || !event.isPrimary) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) {
      const at = this.#at(each);
      this.#draw(this.#last, at);
      this.#last = at;
    }
    this.#refresh();
  }

  // ---- The keyboard ----

  #key(event) {
    if (event.ctrlKey || event.metaKey) {
      if (event.key !== "z") return;
      this.undo();
    } else if (event.key === "c") this.clear();
    else if (event.key === " ") this.#togglePen();
    else if (ARROWS[event.key]) this.#step(ARROWS[event.key]);
    else return;
    event.preventDefault();
  }

  #togglePen() {
    this.#penDown = !this.#penDown;
    if (!this.#penDown) return this.#showBrush();
    this.#remember();
    this.#draw(this.#brush, this.#brush);
    return this.#refresh();
  }

  #step(by) {
    const { width, height } = this.picture;
    const unit = Math.max(1, Math.round(Math.max(width, height) / DIGIT_SIDE));
    const from = this.#brush;
    this.#brush = from.map((at, axis) => Math.min([width, height][axis] - 0.5, Math.max(0.5, at + unit * by[axis])));
    if (!this.#penDown) return this.#showBrush();
    this.#draw(from, this.#brush);
    return this.#refresh();
  }

  #liftPen() {
    this.#penDown = false;
    this.#showBrush();
  }

  #showBrush() {
    const { width, height } = this.picture;
    const side = Math.max(width, height);
    const share = ([at, size]) => `${100 * ((at - size / 2) / side + 0.5)}%`;
    this.#cursor.style.left = share([this.#brush[0], width]);
    this.#cursor.style.top = share([this.#brush[1], height]);
    this.#cursor.classList.toggle("down", this.#penDown);
  }
}
