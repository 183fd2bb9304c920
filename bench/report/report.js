"use strict";
(() => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);

  // Dark and light: the setting of the system until the button changes it.
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const label = () => { byId("theme").textContent = isDark() ? "Light" : "Dark"; };
  byId("theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("mnistzip-theme", root.dataset.theme); } catch (error) { /* no storage: for this visit only */ }
    label();
  });
  system.addEventListener("change", label);
  label();

  // The table: sorts by number, rows without one at the end; equal rows keep their order.
  const heads = [...document.querySelectorAll("#rows thead th")];
  const body = document.querySelector("#rows tbody:not(.failed)");
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    const isNumber = head.classList.contains("number");
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
    const value = (row) => row.cells[column].dataset.v;
    const rows = [...body.rows];
    rows.sort((a, b) => {
      const x = value(a), y = value(b);
      if (x === y) return 0;
      if (x === "" || y === "") return x === "" ? 1 : -1;
      return way * (isNumber ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true }));
    });
    body.append(...rows);
  }));

  // Values of a mark: under the pointer, near it, or with the focus of the keyboard.
  const tip = byId("tip");
  let shown = null;
  const hide = () => {
    if (shown) shown.classList.remove("on");
    shown = null;
    tip.hidden = true;
  };
  const put = () => { // next to its mark, within the window
    if (!shown) return;
    const box = shown.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left + box.width / 2 - own.width / 2), innerWidth - own.width - 8);
    const above = box.top - own.height - 10;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${above > 8 ? above : box.bottom + 10}px`;
  };
  const show = (mark) => {
    if (mark === shown) return;
    hide();
    shown = mark;
    mark.classList.add("on");
    tip.textContent = mark.dataset.tip;
    tip.hidden = false;
    put();
  };
  const NEAR = 18; // pixels of the screen
  document.querySelectorAll("svg.chart").forEach((chart) => {
    const marks = [...chart.querySelectorAll(".tip")];
    const nearest = (event) => {
      let best = event.target.closest(".tip"), least = NEAR;
      if (best) return best;
      for (const mark of marks) {
        const box = mark.getBoundingClientRect();
        const away = Math.hypot(box.left + box.width / 2 - event.clientX, box.top + box.height / 2 - event.clientY);
        if (away < least) [best, least] = [mark, away];
      }
      return best;
    };
    const point = (event) => {
      const mark = nearest(event);
      if (mark) show(mark); else hide();
    };
    chart.addEventListener("pointermove", point);
    chart.addEventListener("pointerdown", point);
    chart.addEventListener("pointerleave", hide);
    chart.addEventListener("focusin", (event) => show(event.target));
    chart.addEventListener("focusout", hide);
    chart.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const at = marks.indexOf(event.target);
      if (!step || at < 0) return;
      event.preventDefault();
      const next = marks[(at + step + marks.length) % marks.length];
      marks[at].tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
  });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  addEventListener("scroll", put, { passive: true, capture: true }); // charts may be scrolled sideways, too

  // Pictures: the slider steps through the settings of a codec.
  const { images, codecs, equal } = JSON.parse(byId("pictures").textContent);
  const pane = (side, first) => {
    const controls = byId(`pane-${side}`), strip = byId(`strip-${side}`);
    const [choice, slider, output] = ["select", "input", "output"].map((name) => controls.querySelector(name));
    const draw = () => {
      const codec = codecs[choice.value];
      strip.hidden = !codec;
      slider.disabled = !codec || codec.settings.length < 2;
      if (!codec) { output.textContent = ""; return; }
      const setting = codec.settings[slider.value];
      const name = `${codec.label} ${setting.setting}`.trim();
      output.textContent = setting.setting ? `${setting.setting}: ${setting.figures}` : setting.figures;
      slider.setAttribute("aria-valuetext", output.textContent);
      strip.querySelector("h3").textContent = name;
      strip.querySelectorAll("figure").forEach((figure, at) => {
        figure.firstElementChild.src = setting.uris[at];
        figure.firstElementChild.alt = name;
        figure.lastElementChild.textContent = setting.captions[at];
      });
    };
    const choose = () => {
      const codec = codecs[choice.value];
      slider.max = codec ? codec.settings.length - 1 : 0;
      slider.value = codec ? equal[choice.value] : 0;
      draw();
    };
    choice.addEventListener("change", choose);
    slider.addEventListener("input", draw);
    choice.value = first;
    choose();
  };
  if (codecs.length) {
    const peer = codecs.findIndex((codec) => !codec.ours);
    pane("a", "0");
    pane("b", peer > 0 ? `${peer}` : "");
    document.querySelectorAll("[data-original]").forEach((image) => { image.src = images[image.dataset.original].uri; });
    document.querySelectorAll("[data-picture]").forEach((image) => {
      const [codec, setting, at] = image.dataset.picture.split(",").map(Number);
      image.src = codecs[codec].settings[setting].uris[at];
    });
  }

  // Budgets: only the selected one is shown; all of them are printed.
  const budget = byId("budget");
  if (budget) {
    const choose = () => document.querySelectorAll(".budget").forEach((each) => { each.hidden = each.dataset.bytes !== budget.value; });
    budget.addEventListener("change", choose);
    choose();
  }
})();
