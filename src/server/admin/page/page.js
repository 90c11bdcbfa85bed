"use strict";

// Shows /stats?histograms of this server. As in `evshard top`, rates and percentiles are those
// between two answers, by the server's own clock.

const INTERVAL_MS = 1000;
const TIMEOUT_MS = 3000;
const KEPT_MS = 300_000; // of a chart: five minutes
const SVG = "http://www.w3.org/2000/svg";

// --- What the server did between two answers.

const sum = (values) => values.reduce((a, b) => a + b, 0);
const errorsOf = (shard) => sum(Object.values(shard.errors));

// The times of `now` that are not in `before`: pairs of nanoseconds and count, in rising order.
function newTimes(before, now) {
  const known = new Map(before);
  const counted = now.map(([ns, count]) => [ns, count - (known.get(ns) || 0)]);
  return counted.filter(([, count]) => count > 0);
}

function merged(lists) {
  const counts = new Map();
  for (const [ns, count] of lists.flat()) counts.set(ns, (counts.get(ns) || 0) + count);
  return [...counts].sort(([a], [b]) => a - b);
}

// The smallest time that `share` of the times do not exceed; null without any.
function percentile(times, share) {
  const rank = Math.ceil(sum(times.map(([, count]) => count)) * share);
  let seen = 0;
  for (const [ns, count] of times) {
    seen += count;
    if (seen >= rank) return ns;
  }
  return null;
}

const TIMES = ["loop_lag_ns", "callback_ns", "handoff_ns", "handshake_ns"];
const COUNTERS = {
  accepts: (shard) => shard.connections,
  reads: (shard) => shard.reads,
  bytesIn: (shard) => shard.bytes_in,
  bytesOut: (shard) => shard.bytes_out,
  wakes: (shard) => shard.wakes_sent,
  errors: errorsOf,
};

// One shard; without rates and times where one of the two answers does not have it.
function shardBetween(before, now, number, seconds) {
  const shard = now.shards[number];
  const result = { ...shard, rates: null, times: null };
  if (!shard.answered || !before.shards[number]?.answered) return result;
  result.rates = {};
  for (const [name, read] of Object.entries(COUNTERS)) {
    result.rates[name] = (read(shard) - read(before.shards[number])) / seconds;
  }
  result.times = {};
  for (const name of TIMES) {
    result.times[name] = newTimes(before.histograms[number][name], now.histograms[number][name]);
  }
  return result;
}

function between(before, now) {
  const seconds = now.uptime_s - before.uptime_s;
  const shards = now.shards.map((_, number) => shardBetween(before, now, number, seconds));
  const known = shards.filter((shard) => shard.rates);
  const total = { rates: {}, times: {} };
  for (const name of Object.keys(COUNTERS)) {
    total.rates[name] = sum(known.map((shard) => shard.rates[name]));
  }
  for (const name of TIMES) {
    total.times[name] = merged(known.map((shard) => shard.times[name]));
  }
  for (const name of ["open", "queued"]) total[name] = sum(shards.map((shard) => shard[name]));
  total.busy_share = sum(shards.map((shard) => shard.busy_share)) / shards.length;
  const cores = (now.process.cpu_ns - before.process.cpu_ns) / 1e9 / seconds;
  return { now, shards, total, cores };
}

// --- Numbers as text.

function scaled(value, step, units) {
  let power = 0;
  while (value >= step && power < units.length - 1) {
    value /= step;
    power += 1;
  }
  const digits = power === 0 || value >= 100 ? 0 : value < 10 ? 2 : 1;
  return value.toFixed(digits) + units[power];
}

// What belongs to the text before it, with a space at which no line ends.
const joined = (text) => "\u00a0" + text;
const asNumber = (value) => scaled(value, 1000, ["", "k", "M", "G", "T"]);
const asBytes = (value) => scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB"].map(joined));
const asTime = (ns) => ns === null ? "–" : scaled(ns, 1000, ["ns", "µs", "ms", "s"].map(joined));
const asShare = (share) => (100 * share).toFixed(0) + joined("%");

function asDuration(seconds) {
  const parts = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
  const first = parts.findIndex(([length]) => seconds >= length);
  if (first < 0) return "0s";
  return parts.slice(first, first + 2).map(([length, letter], index) => {
    const left = index === 0 ? seconds : seconds % parts[first][0];
    return Math.floor(left / length) + letter;
  }).join(" ");
}

// --- Elements.

const byId = (id) => document.getElementById(id);

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text !== null) made.textContent = text;
  made.append(...children);
  return made;
}

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// A figure with a title, a value beside it, and a drawing.
class Figure {
  constructor(parent, title, width, height) {
    this.value = element("span", "–");
    const viewBox = `0 0 ${width} ${height}`;
    this.svg = shape("svg", { viewBox, role: "img", "aria-label": title });
    const caption = element("figcaption", null, element("h2", title), this.value);
    this.element = element("figure", null, caption, this.svg);
    parent.append(this.element);
  }
}

// A number over the last five minutes. Where it is not known, the line has a gap.
class Chart extends Figure {
  constructor(title, format, of) {
    super(byId("charts"), title, 260, 88);
    Object.assign(this, { format, of, points: [] });
  }

  add(value) {
    const now = Date.now();
    this.points.push([now, value]);
    this.points = this.points.filter(([at]) => now - at <= KEPT_MS);
    this.value.textContent = value === null ? "–" : this.format(value);
    this.draw(now);
  }

  draw(now) {
    const [left, right, top, bottom] = [2, 258, 14, 72];
    const highest = Math.max(...this.points.map(([, value]) => value ?? 0));
    const x = (at) => (right - (now - at) / KEPT_MS * (right - left)).toFixed(1);
    const y = (value) => (bottom - (highest > 0 ? value / highest : 0) * (bottom - top)).toFixed(1);
    const parts = [
      shape("line", { class: "grid", x1: left, x2: right, y1: top, y2: top }),
      shape("line", { class: "grid", x1: left, x2: right, y1: bottom, y2: bottom }),
      shape("text", { x: left, y: top - 4 }, this.format(highest)),
      shape("text", { x: left, y: bottom + 12 }, "5 min ago"),
      shape("text", { x: right, y: bottom + 12, "text-anchor": "end" }, "now"),
    ];
    for (const run of this.runs()) {
      const line = run.map(([at, value]) => `${x(at)},${y(value)}`).join(" ");
      const [first, last] = [run[0], run[run.length - 1]].map(([at]) => x(at));
      parts.push(
        shape("polygon", { class: "area", points: `${first},${bottom} ${line} ${last},${bottom}` }),
        shape("polyline", { class: "line", points: line }),
      );
    }
    this.svg.replaceChildren(...parts);
  }

  // The points between the gaps: no number, or no answer for three intervals.
  runs() {
    const runs = [];
    let previous = -Infinity;
    for (const [at, value] of this.points) {
      if (value === null) continue;
      if (at - previous > 3 * INTERVAL_MS) runs.push([]);
      runs[runs.length - 1].push([at, value]);
      previous = at;
    }
    return runs;
  }
}

// The times of the last second, from 1 µs to 10 s, with five bars for each power of ten.
class Histogram extends Figure {
  constructor(title, name) {
    super(byId("histograms"), title, 320, 112);
    this.name = name;
  }

  show(times) {
    const [left, right, top, bottom] = [4, 316, 8, 92];
    const count = sum(times.map(([, count]) => count));
    const p = (share) => `p${100 * share}` + joined(asTime(percentile(times, share)));
    const longest = times.length > 0 ? times[times.length - 1][0] : null;
    const text = [`${asNumber(count)} times`, p(0.5), p(0.99), "max" + joined(asTime(longest))];
    this.value.textContent = count > 0 ? text.join(", ") : "none";
    const bars = new Array(36).fill(0);
    for (const [ns, count] of times) {
      const bar = ns < 1000 ? 0 : 1 + Math.floor(5 * Math.log10(ns / 1000));
      bars[Math.min(bar, bars.length - 1)] += count;
    }
    const width = (right - left) / bars.length;
    const parts = [shape("line", { class: "grid", x1: left, x2: right, y1: bottom, y2: bottom })];
    bars.forEach((count, index) => {
      if (count === 0) return;
      const height = Math.max(count / Math.max(...bars) * (bottom - top), 1);
      const [x, y] = [left + index * width, bottom - height];
      parts.push(shape("rect", { class: "bar", x, y, width: width - 1, height }));
    });
    ["1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s"].forEach((text, index) => {
      const x = left + (1 + 5 * index) * width;
      parts.push(shape("line", { class: "grid", x1: x, x2: x, y1: bottom, y2: bottom + 4 }));
      parts.push(shape("text", { x, y: bottom + 15, "text-anchor": "middle" }, text));
    });
    this.svg.replaceChildren(...parts);
  }
}

// --- The page.

const CHARTS = [
  new Chart("Open connections", asNumber, ({ total }) => total.open),
  new Chart("Reads per second", asNumber, ({ total }) => total.rates.reads),
  new Chart("Loop lag, p99", asTime, ({ total }) => percentile(total.times.loop_lag_ns, 0.99)),
  new Chart("Busy share", asShare, ({ total }) => total.busy_share),
];

const HISTOGRAMS = [
  new Histogram("Loop lag", "loop_lag_ns"),
  new Histogram("Callbacks", "callback_ns"),
  new Histogram("Handoff", "handoff_ns"),
  new Histogram("TLS handshakes", "handshake_ns"),
];

function busy(share) {
  const meter = element("meter", null);
  meter.value = share;
  return element("td", null, meter, asShare(share));
}

const rate = (name, format) => ({ rates }) => element("td", rates ? format(rates[name]) : "–");
const p99 = (name) => ({ times }) =>
  element("td", times ? asTime(percentile(times[name], 0.99)) : "–");

const COLUMNS = [
  ["core", ({ core }) => element("td", core ?? "–")],
  ["open", ({ open }) => element("td", asNumber(open))],
  ["queued", ({ queued }) => element("td", asNumber(queued))],
  ["busy", ({ busy_share }) => busy(busy_share)],
  ["accepts/s", rate("accepts", asNumber)],
  ["reads/s", rate("reads", asNumber)],
  ["in/s", rate("bytesIn", asBytes)],
  ["out/s", rate("bytesOut", asBytes)],
  ["wakes/s", rate("wakes", asNumber)],
  ["errors/s", rate("errors", asNumber)],
  ["lag p99", p99("loop_lag_ns")],
  ["handoff p99", p99("handoff_ns")],
];

byId("columns").append(element("th", "shard"), ...COLUMNS.map(([title]) => element("th", title)));

const cells = (shard) => COLUMNS.map(([, cell]) => cell(shard));

function stateOf(stats) {
  const silent = stats.shards.filter((shard) => !shard.answered).map((shard) => shard.shard);
  const paused = stats.acceptors.find((acceptor) => acceptor.paused);
  if (stats.failed) return ["bad", "failed: " + stats.failed];
  if (silent.length > 0) return ["bad", `no answer from shard ${silent.join(", ")}`];
  if (stats.draining) return ["warn", "draining"];
  if (paused) return ["warn", "accepting pauses: " + paused.paused];
  return ["good", "accepts connections"];
}

function setState([kind, text]) {
  const state = byId("state");
  [state.className, state.textContent] = [kind, text];
  document.body.classList.toggle("old", kind === "unknown");
}

function showFacts({ now, cores }) {
  const { process } = now;
  const facts = {
    "listens on": now.listeners.join(", "),
    "up": asDuration(now.uptime_s),
    "process": process.pid,
    "CPU": cores === null ? "–" : cores.toFixed(2) + " cores",
    "memory": process.resident_bytes === null ? "–" : asBytes(process.resident_bytes),
    "descriptors": process.open_fds === null ? "–" : `${process.open_fds} of ${process.max_fds}`,
    "accepted": asNumber(sum(now.acceptors.map((acceptor) => acceptor.accepted))),
  };
  const entries = Object.entries(facts);
  byId("facts").replaceChildren(...entries.map(
    ([name, value]) => element("div", null, element("dt", name), element("dd", value))));
}

function showErrors(shards) {
  const kinds = Object.keys(shards[0]?.errors ?? {});
  const counts = kinds.map((kind) => [kind, sum(shards.map((shard) => shard.errors[kind]))]);
  const found = counts.filter(([, count]) => count > 0);
  const text = found.map(([kind, count]) => `${kind} ${asNumber(count)}`).join(", ");
  byId("errors").textContent = "Errors since the start: " + (text || "none");
}

function show(interval) {
  const { now, shards, total } = interval;
  byId("version").textContent = now.version;
  document.title = `${asNumber(total.open)} open – evshard`;
  setState(stateOf(now));
  showFacts(interval);
  for (const chart of CHARTS) chart.add(chart.of(interval));
  byId("shards").replaceChildren(...shards.map(
    (shard) => element("tr", null, element("td", shard.shard), ...cells(shard))));
  byId("total").replaceChildren(element("td", "all"), ...cells(total));
  showErrors(now.shards);
  for (const histogram of HISTOGRAMS) {
    const times = total.times[histogram.name];
    histogram.element.hidden = histogram.name === "handshake_ns" && times.length === 0;
    histogram.show(times);
  }
}

let before = null;

async function update() {
  const answer =
    await fetch("stats?histograms", { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const now = await answer.json();
  // After a restart the counters begin again.
  const goesOn = before?.process.pid === now.process.pid && before.uptime_s < now.uptime_s;
  if (goesOn) show(between(before, now));
  before = now;
}

async function run() {
  if (document.visibilityState === "visible") {
    try {
      await update();
    } catch (error) {
      setState(["unknown", `no answer: ${error.message}; the numbers are old`]);
      for (const chart of CHARTS) chart.add(null);
    }
  }
  setTimeout(run, INTERVAL_MS);
}

run();
