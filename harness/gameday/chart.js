// The four plots of both arms on one time axis, with a band for the baseline and for each fault.

import { $, ARMS } from "/dom.js";

const POINTS_MAX = 1500;
const EVERY_MS = 500, REST = 8;
const PERCENT = 100;
const ROWS = [
  { title: "calls/s", lines: [["solid", (one) => one.rate]], hover: "%{y:.1f}/s" },
  { title: "errors", lines: [["solid", (one) => one.errors === null ? null : one.errors * PERCENT]], hover: "%{y:.1f}%", axis: { ticksuffix: "%" } },
  { title: "latency, p50 and p99", lines: [["dot", (one) => one.p99_ms], ["solid", (one) => one.p50_ms]], hover: "%{y:,.0f} ms" },
  { title: "sessions alive", lines: [["solid", (one) => one.alive]], hover: "%{y}", shape: "hv" },
];
const GAP = 0.075;

// Of the errors, 0 to 5% at least: a lone failure is not a cliff.
const scale = (row, values) => {
  const most = Math.max(0, ...values);
  if (row === 1) return { range: [0, Math.max(5, most * 1.08)] };
  if (row !== 2) return { range: [0, Math.max(1, most * 1.15)] };
  const some = values.filter((value) => value > 0);
  const low = Math.log10(Math.min(10, ...some)) - 0.05, high = Math.log10(Math.max(100, ...some)) + 0.1;
  const ticks = [0.1, 1, 10, 100, 1000, 10000, 100000];
  return { type: "log", range: [low, high], tickvals: ticks, ticktext: ticks.map((tick) => tick < 1000 ? `${tick} ms` : `${tick / 1000} s`) };
};

const band = (from, to, fillcolor) => ({ type: "rect", xref: "x", yref: "paper", x0: from, x1: to, y0: 0, y1: 1, fillcolor, line: { width: 0 }, layer: "below" });
const note = (text, x, y, size, color, more) => ({ text, x, y, yref: "paper", xanchor: "left", yanchor: "bottom", showarrow: false, font: { size, color }, ...more });

let drawn = 0, took_ms = 0;
export const draw = (points, opening, now, at_once = false) => {
  if (!window.Plotly || !points.length || document.hidden || (!at_once && Date.now() - drawn < Math.max(EVERY_MS, REST * took_ms))) return;
  const began = Date.now();
  const place = $("chart");
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(`--${name}`).trim();
  const span = Number($("span").value);
  const last = points[points.length - 1].t;
  const from = span ? Math.max(0, last - span) : 0;
  const to = Math.max(last, from + 30);
  const seen = points.filter((point) => point.t >= from - 2);
  const every = Math.ceil(seen.length / POINTS_MAX);
  const some = seen.filter((_, at) => at % every === 0);
  const x = some.map((point) => point.t);
  const grid = { gridcolor: color("grid"), linecolor: color("rule"), zeroline: false, tickcolor: color("rule"), ticks: "outside", ticklen: 4 };
  const narrow = place.clientWidth < 620;
  const layout = {
    height: narrow ? 480 : 540, width: place.clientWidth, margin: { l: 58, r: 8, t: 38, b: 40 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "x", dragmode: false,
    font: { size: 12, color: color("ink"), family: getComputedStyle(document.body).fontFamily },
    hoverlabel: { bgcolor: color("wash"), bordercolor: color("rule"), font: { color: color("ink") } },
    xaxis: { ...grid, range: [from, to], tickmode: "auto", nticks: narrow ? 6 : 10, ticksuffix: " s", anchor: `y${ROWS.length}`, title: { text: "seconds since the run began", font: { color: color("faint") }, standoff: 4 } },
    annotations: [], shapes: [],
  };
  const data = [];
  const height = (1 - GAP * (ROWS.length - 1)) / ROWS.length;
  ROWS.forEach(({ title, lines, hover, axis = {}, shape = "linear" }, row) => {
    const top = 1 - row * (height + GAP);
    const drawn_ = lines.flatMap(([dash, get]) => ARMS.map((arm) => ({ dash, arm, y: some.map((point) => get(point[arm])) })));
    const values = drawn_.flatMap((line) => line.y.filter((value) => value !== null));
    layout[row ? `yaxis${row + 1}` : "yaxis"] = { ...grid, ...axis, nticks: 4, domain: [Math.max(0, top - height), top], ...scale(row, values) };
    layout.annotations.push(note(title, 0, top, 12, color("faint"), { xref: "paper" }));
    for (const { dash, arm, y } of drawn_) {
      data.push({ type: "scatter", mode: "lines", name: arm, x, y, yaxis: row ? `y${row + 1}` : "y", line: { color: color(arm), dash, shape, width: dash === "dot" ? 1.4 : arm === "treated" ? 2.2 : 1.8 }, hovertemplate: `${arm} ${hover}<extra></extra>` });
    }
  });
  layout.shapes.push(band(opening.baseline_s[0], opening.baseline_s[1], color("base")));
  const pixels = (layout.width - layout.margin.l - layout.margin.r) / (to - from);
  for (const one of now.faults) {
    if (one.start_s === null) continue;
    const end = one.end_s ?? now.now_s;
    layout.shapes.push(band(one.start_s, end, color("band")));
    if (end < from) continue;
    const start = Math.max(from, one.start_s);
    // The whole name where there is room, else the number.
    const room = (to - start) * pixels;
    const text = one.id.length * 7 < Math.max(room, 0) && one.id.length * 7 < (end - start) * pixels + 40 ? one.id : `${one.window}`;
    layout.annotations.push(note(text, start, 1, 12, color("ink"), { xref: "x", yshift: 17 }));
  }
  Plotly.react(place, data, layout, { displayModeBar: false, displaylogo: false, showTips: false, scrollZoom: false });
  // A slow machine draws less often: whoever presses HALT must not wait for a picture.
  drawn = Date.now();
  took_ms = drawn - began;
};
