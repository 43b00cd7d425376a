"use strict";
// Links the charts and the table of each experiment: a trial that is pointed at, stepped to by
// keyboard or focused in the table is marked everywhere. What belongs to whom is read from the
// charts themselves: each path's data-t names the trial of each of its pieces.

// How many pixels from the pointer a trial may be, and the table's columns before hyperparameters.
const NEAR = 28, FACTS = 7;
const card = document.querySelector(".card");
const said = document.getElementById("said");

// A chart: its pieces as {trial, kind, d, places}, places being x, y pairs in its own units.
function readChart(svg) {
  const pieces = [];
  for (const path of svg.querySelectorAll("path[data-t]")) {
    const trials = path.dataset.t.split(" ");
    const parts = path.getAttribute("d").split("M").slice(1);
    const kind = path.classList[0];
    parts.forEach((part, i) => {
      const places = part.split("h")[0].replace("z", "").split("L").map((p) => p.split(" ").map(Number));
      pieces.push({ trial: trials[i], kind, d: "M" + part, places });
    });
  }
  const byTrial = new Map();
  for (const piece of pieces) {
    if (!byTrial.has(piece.trial)) byTrial.set(piece.trial, []);
    byTrial.get(piece.trial).push(piece);
  }
  return { svg, pieces, byTrial, marked: svg.querySelector(".marked") };
}

// How far a place in pixels is from a piece.
function distance(piece, x, y, across, up) {
  const at = piece.places.map(([a, b]) => [a * across, b * up]);
  if (piece.kind === "points") return Math.hypot(at[0][0] - x, at[0][1] - y);
  if (piece.kind === "areas") {
    const xs = at.map((p) => p[0]), ys = at.map((p) => p[1]);
    const dx = Math.max(Math.min(...xs) - x, 0, x - Math.max(...xs));
    const dy = Math.max(Math.min(...ys) - y, 0, y - Math.max(...ys));
    return Math.hypot(dx, dy);
  }
  let nearest = Infinity;
  for (let i = 1; i < at.length; i++) {
    const [ax, ay] = at[i - 1], dx = at[i][0] - ax, dy = at[i][1] - ay;
    const along = Math.max(0, Math.min(1, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1)));
    nearest = Math.min(nearest, Math.hypot(ax + along * dx - x, ay + along * dy - y));
  }
  return nearest;
}

function nearestTrial(chart, event) {
  const box = chart.svg.getBoundingClientRect();
  const x = event.clientX - box.left, y = event.clientY - box.top;
  let best = null, least = NEAR;
  for (const piece of chart.pieces) {
    const far = distance(piece, x, y, box.width / 1000, box.height / 1000);
    if (far < least) [best, least] = [piece.trial, far];
  }
  return best;
}

function draw(chart, trial) {
  chart.marked.replaceChildren();
  for (const piece of chart.byTrial.get(trial) || []) {
    for (const look of ["halo", "core"]) {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("class", `${piece.kind} ${look}`);
      path.setAttribute("d", piece.d);
      chart.marked.append(path);
    }
  }
}

// Dotted names and values of a config, in its own order.
function flatten(value, label, found) {
  if (value !== null && typeof value === "object" && Object.keys(value).length) {
    for (const [name, child] of Object.entries(value)) flatten(child, label ? `${label}.${name}` : name, found);
  } else {
    found.push([label, typeof value === "string" ? value : JSON.stringify(value)]);
  }
  return found;
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  said.textContent = "Copied the config";
  setTimeout(() => (button.textContent = before), 1200);
}

// Moves the marks of a chart to the other of its two vertical axes, and back.
function switchAxis(chart, button) {
  const { svg } = chart, frame = svg.closest(".frame");
  const [[low, high, isLog], [first, last, toLog]] = JSON.parse(svg.dataset.scales);
  const isSwitched = frame.classList.toggle("switched");
  const moved = (text) => {
    const up = 1 - Number(text) / 1000;
    if (up <= 0 || up >= 1) return text; // clipped
    const value = isLog ? low * (high / low) ** up : low + up * (high - low);
    const share = toLog ? Math.log(value / first) / Math.log(last / first) : (value - first) / (last - first);
    return (1000 * (1 - Math.max(0, Math.min(1, value <= 0 && toLog ? 0 : share)))).toFixed(1);
  };
  for (const path of svg.querySelectorAll("path:not(.fixed)")) {
    path.original ??= path.getAttribute("d");
    path.setAttribute("d", isSwitched ? path.original.replace(/([\d.]+) ([\d.]+)/g, (_, x, y) => `${x} ${moved(y)}`) : path.original);
  }
  const title = svg.closest("figure").querySelector(".axis.top"), suffix = ", logarithmic";
  if (title) title.textContent = title.textContent.endsWith(suffix) ? title.textContent.slice(0, -suffix.length) : title.textContent + suffix;
  const now = button.textContent;
  button.textContent = now === "linear" ? "logarithmic" : "linear";
  said.textContent = `The vertical axis is ${now}`;
  Object.assign(chart, readChart(svg));
}

class Experiment {
  constructor(parts) {
    this.parts = parts;
    this.texts = new Map(Object.entries(JSON.parse(parts.find((part) => part.matches(".configs")).textContent)));
    this.settings = new Map();
    this.rows = this.all(".all tbody tr");
    this.byTrial = new Map(this.rows.map((row) => [row.dataset.trial, row]));
    this.heads = this.all(".all thead button");
    this.charts = this.all(".plot").filter((svg) => svg.querySelector("[data-t]")).map(readChart);
    this.kept = null;
    this.trial = null;
    this.charts.forEach((chart) => this.watch(chart));
    for (const button of this.all(".copy")) {
      button.addEventListener("click", (event) => {
        event.stopPropagation();
        const trial = (button.closest("tr") || button).dataset.trial;
        copy(this.texts.get(trial) || "{}", button);
      });
    }
    for (const button of this.all(".switch")) {
      const chart = this.charts.find((each) => each.svg === button.closest("figure").querySelector(".plot"));
      button.hidden = !chart;
      button.addEventListener("click", () => {
        switchAxis(chart, button);
        draw(chart, this.trial);
      });
    }
    if (this.rows.length) this.watchTable();
  }

  all(selector) {
    return this.parts.flatMap((part) => [...part.querySelectorAll(selector)]);
  }

  settingsOf(trial) {
    if (!this.settings.has(trial)) {
      let found = [];
      try { found = flatten(JSON.parse(this.texts.get(trial)), "", []); } catch { /* NaN is no JSON */ }
      this.settings.set(trial, found);
    }
    return this.settings.get(trial);
  }

  mark(trial) {
    if (trial === this.trial) return;
    const before = this.byTrial.get(this.trial), now = this.byTrial.get(trial);
    if (before) before.classList.remove("on");
    if (now) now.classList.add("on");
    this.trial = trial;
    this.charts.forEach((chart) => draw(chart, trial));
  }

  release() {
    card.hidden = true;
    this.mark(this.kept);
  }

  keep(trial) {
    this.kept = this.kept === trial ? null : trial;
    this.mark(trial);
    const row = this.byTrial.get(trial), [box] = this.all(".tall");
    if (this.kept && row && box) box.scrollTop = row.offsetTop - box.clientHeight / 2;
  }

  watch(chart) {
    const svg = chart.svg, frame = svg.closest(".frame");
    let waiting = false;
    svg.addEventListener("pointermove", (event) => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        const trial = nearestTrial(chart, event);
        if (trial === null) return this.release();
        this.mark(trial);
        this.show(trial, event.clientX, event.clientY);
      });
    });
    svg.addEventListener("pointerleave", () => this.release());
    svg.addEventListener("click", (event) => {
      const trial = nearestTrial(chart, event);
      if (trial !== null) this.keep(trial);
    });
    if (!frame.hasAttribute("tabindex")) return;
    const order = [...chart.byTrial.keys()].sort((a, b) => a - b);
    frame.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (step) {
        event.preventDefault();
        const place = order.indexOf(this.trial);
        const trial = order[place < 0 ? (step > 0 ? 0 : order.length - 1) : (place + step + order.length) % order.length];
        this.mark(trial);
        const box = frame.getBoundingClientRect();
        this.show(trial, box.left + 40, box.top + 20);
        said.textContent = this.describe(trial);
      } else if (event.key === "Enter" && this.trial) {
        this.keep(this.trial);
      }
    });
    frame.addEventListener("blur", () => this.release());
  }

  describe(trial) {
    const row = this.byTrial.get(trial);
    const cells = row ? [...row.cells].map((cell) => cell.textContent) : [];
    return `Trial ${trial}, ${cells[1] || ""}, ${this.heads[2]?.textContent || ""} ${cells[2] || "none"}, ${cells[4] || 0} epochs`;
  }

  show(trial, x, y) {
    const head = document.createElement("p"), list = document.createElement("dl");
    head.textContent = this.describe(trial);
    // The table's columns of hyperparameters: the most important first.
    const cells = this.byTrial.get(trial)?.cells || [];
    this.heads.forEach((button, column) => {
      const value = cells[column]?.textContent;
      if (column < FACTS || !value) return;
      const dt = document.createElement("dt"), dd = document.createElement("dd");
      dt.textContent = button.textContent.slice(0, 60);
      dd.textContent = value.slice(0, 60);
      list.append(dt, dd);
    });
    card.replaceChildren(head, list);
    card.hidden = false;
    const { width, height } = card.getBoundingClientRect();
    const left = x + 18 + width > innerWidth ? x - width - 18 : x + 18;
    const top = Math.min(y + 14, innerHeight - height - 8);
    card.style.transform = `translate(${Math.max(8, Math.min(left, innerWidth - width - 8))}px, ${Math.max(8, top)}px)`;
  }

  watchTable() {
    const body = this.rows[0].parentNode, [filter] = this.all(".filter");
    body.addEventListener("pointerover", (event) => {
      const row = event.target.closest("tr");
      if (row) this.mark(row.dataset.trial);
    });
    body.addEventListener("pointerleave", () => this.release());
    body.addEventListener("focusin", (event) => {
      const row = event.target.closest("tr");
      this.rows.forEach((other) => (other.tabIndex = other === row ? 0 : -1));
      this.mark(row.dataset.trial);
    });
    body.addEventListener("focusout", () => this.release());
    body.addEventListener("click", (event) => this.keep(event.target.closest("tr").dataset.trial));
    body.addEventListener("keydown", (event) => this.stepRow(event));
    this.heads.forEach((button, column) => button.addEventListener("click", () => this.sort(button, column, body)));
    filter.addEventListener("input", () => this.filter(filter.value));
  }

  stepRow(event) {
    const row = event.target.closest("tr");
    const visible = [...row.parentNode.rows].filter((other) => !other.hidden);
    const place = visible.indexOf(row);
    const next = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: visible.length - 1 }[event.key];
    if (next !== undefined) {
      event.preventDefault();
      (visible[next] || row).focus();
    } else if (event.key === "Enter" && event.target === row) {
      this.keep(row.dataset.trial);
    } else if (event.key === "c" && event.target === row && !event.ctrlKey && !event.metaKey) {
      row.querySelector(".copy").click();
    }
  }

  sort(button, column, body) {
    const head = button.parentNode;
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keyed = this.rows.map((row) => {
      const text = row.cells[column].textContent;
      const number = Number(text.replace("∞", "Infinity"));
      return { row, text, number: text === "" ? NaN : number };
    });
    // Empty cells come last both ways; numbers before texts.
    keyed.sort((a, b) => {
      if ((a.text === "") !== (b.text === "")) return a.text === "" ? 1 : -1;
      const numbers = !Number.isNaN(a.number) && !Number.isNaN(b.number);
      const order = numbers ? a.number - b.number || 0 : Number.isNaN(a.number) - Number.isNaN(b.number) || a.text.localeCompare(b.text);
      return down ? -order : order;
    });
    this.rows = keyed.map((item) => item.row);
    body.append(...this.rows);
    said.textContent = `Sorted by ${button.textContent}, ${down ? "descending" : "ascending"}`;
  }

  // The column that the table is sorted by, and the order; the reverse of sortBy.
  get order() {
    const head = this.heads.find((button) => button.parentNode.ariaSort);
    return head ? [head.textContent, head.parentNode.ariaSort] : null;
  }

  sortBy(text, order) {
    const head = this.heads.find((button) => button.textContent === text);
    for (let i = 0; head && i < 2 && head.parentNode.ariaSort !== order; i++) head.click();
  }

  // Words must occur in a row; name<value, name>value and name=value compare one column.
  filter(text) {
    const tests = text.trim().split(/\s+/).filter(Boolean).map((word) => this.test(word));
    let shown = 0;
    for (const row of this.rows) {
      row.hidden = !tests.every((passes) => passes(row));
      shown += !row.hidden;
    }
    const first = this.rows.find((row) => !row.hidden);
    this.rows.forEach((row) => (row.tabIndex = row === first ? 0 : -1));
    const all = this.rows.length;
    this.all(".shown")[0].textContent = shown === all ? `${all} trials` : `${shown} of ${all} trials`;
  }

  test(word) {
    const match = /^(.+?)(<=|>=|!=|<|>|=)(.*)$/.exec(word);
    const column = match ? this.findColumn(match[1]) : null;
    if (!column) {
      const wanted = word.toLowerCase();
      return (row) => [...row.cells].slice(0, -1).some((cell) => cell.textContent.toLowerCase().includes(wanted))
        || this.settingsOf(row.dataset.trial).some(([name, value]) => `${name}=${value}`.toLowerCase().includes(wanted));
    }
    const [, , sign, wanted] = match;
    return (row) => {
      const value = column(row);
      if (value === undefined || value === "") return wanted === "" && sign === "=";
      const numeric = wanted !== "" && !Number.isNaN(Number(value)) && !Number.isNaN(Number(wanted));
      const order = numeric ? Number(value) - Number(wanted) : value.toLowerCase().localeCompare(wanted.toLowerCase());
      return { "<": order < 0, ">": order > 0, "=": order === 0, "<=": order <= 0, ">=": order >= 0, "!=": order !== 0 }[sign];
    };
  }

  // A column of the table or a hyperparameter, by its name or the end of it.
  findColumn(name) {
    const wanted = name.toLowerCase();
    const fits = (known) => known.toLowerCase() === wanted || known.toLowerCase().endsWith(`.${wanted}`);
    const place = this.heads.findIndex((button) => fits(button.textContent));
    if (place >= 0) return (row) => row.cells[place].textContent;
    const known = this.rows.some((row) => this.settingsOf(row.dataset.trial).some(([label]) => fits(label)));
    if (!known) return null;
    return (row) => this.settingsOf(row.dataset.trial).find(([label]) => fits(label))?.[1];
  }
}

const parts = new Map();
for (const part of document.querySelectorAll("[data-experiment]")) {
  const id = part.dataset.experiment;
  parts.set(id, [...(parts.get(id) || []), part]);
}
const experiments = [...parts.values()].map((found) => new Experiment(found));

addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const experiment of experiments) {
    experiment.kept = null;
    experiment.release();
  }
});
addEventListener("scroll", () => (card.hidden = true), { passive: true });

// Print what is folded too.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((part) => (part.open = true));
});
addEventListener("afterprint", () => folded.forEach((part) => (part.open = false)));

// While a run lasts its report is written anew, so the page reloads itself, and stays as it was:
// folded sections, axes, tables with their filters, the trial that is kept, and the place on the page.
const memory = {
  read() {
    try { return JSON.parse(sessionStorage.getItem(location.pathname)) || {}; } catch { return {}; }
  },
  write(state) {
    try { sessionStorage.setItem(location.pathname, JSON.stringify(state)); } catch { /* the page is shown as if opened */ }
  },
};
const folds = [...document.querySelectorAll("details")];
const filters = [...document.querySelectorAll(".filter")];
const switches = [...document.querySelectorAll(".switch")];
const boxes = [...document.querySelectorAll(".tall")];

function takeDown() {
  return {
    open: folds.map((fold) => fold.open),
    filters: filters.map((filter) => filter.value),
    typing: filters.indexOf(document.activeElement),
    orders: experiments.map((experiment) => experiment.order),
    switched: switches.map((button) => button.closest("figure").querySelector(".frame").matches(".switched")),
    kept: experiments.map((experiment) => experiment.kept),
    rows: boxes.map((box) => box.scrollTop),
    top: scrollY,
  };
}

function restore({ open = [], filters: texts = [], typing, orders = [], switched = [], kept = [], rows = [], top = 0 }) {
  if (open.length === folds.length) folds.forEach((fold, i) => (fold.open = open[i]));
  switches.forEach((button, i) => switched[i] && button.click());
  filters.forEach((filter, i) => {
    filter.value = texts[i] || "";
    filter.dispatchEvent(new Event("input"));
  });
  experiments.forEach((experiment, i) => {
    if (orders[i]) experiment.sortBy(...orders[i]);
    if (kept[i]) experiment.keep(kept[i]);
  });
  boxes.forEach((box, i) => (box.scrollTop = rows[i] || 0));
  filters[typing]?.focus({ preventScroll: true });
  scrollTo({ top, behavior: "instant" });
}

function tick() {
  const isCopying = !getSelection().isCollapsed;
  if (!document.querySelector(".reload").checked || document.hidden || isCopying) return;
  memory.write(takeDown());
  location.reload();
}

const refresh = Number(document.body.dataset.refresh || 0), before = memory.read();
if (before.open) restore(before);
if (refresh) {
  const [live] = document.querySelectorAll(".reload");
  for (const label of document.querySelectorAll(".live")) label.hidden = label.firstElementChild !== live;
  setInterval(tick, 1000 * refresh);
} else {
  memory.write({}); // it does not reload, so a later visit starts from the top
}
