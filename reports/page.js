"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const phase = document.getElementById("phase");
  const narrow = () => window.innerWidth < 760;

  const paint = (value, color) => {
    if (value === "$heat") return [[0, color("heat-low")], [0.5, color("heat-mid")], [1, color("heat-high")]];
    if (typeof value === "string" && value.startsWith("$")) return color(value.slice(1));
    if (Array.isArray(value)) return typeof value[0] === "object" ? value.map((part) => paint(part, color)) : value;
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, paint(part, color)]));
  };

  // Give each band its whole name where there is room, else its number, else nothing.
  const nameBands = (layout) => {
    const pixels = (layout.width - layout.margin.l - layout.margin.r) / layout.xaxis.range[1];
    for (const note of layout.annotations || []) {
      if (note.name !== "band") continue;
      const room = note.width * pixels;
      delete note.width;
      const names = [note.text, note.text.split(":")[0]].filter((name) => name.length * 6.5 <= room + 12);
      note.text = names[0] || "";
    }
  };

  const draw = (width) => {
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(`--${name}`).trim();
    for (const place of document.querySelectorAll("[data-chart]")) {
      const name = place.dataset.chart;
      const figure = figures[name];
      if (!figure) continue;
      const layout = paint(figure.layout, color);
      layout.font.family = getComputedStyle(document.body).fontFamily;
      layout.hoverlabel.bgcolor = color("wash");
      layout.hoverlabel.bordercolor = color("rule");
      layout.hoverlabel.font.color = color("ink");
      layout.width = width || place.clientWidth;
      if (narrow()) {
        layout.dragmode = false;
        layout.margin.l = 54;
        layout.margin.r = 6;
      }
      nameBands(layout);
      let data = figure.data;
      if (name === "spectrum" && phase) data = data.filter((trace) => trace.meta === (trace.meta || phase.value === "baseline" ? phase.value : ""));
      Plotly.react(place, data.map((trace) => ({ ...trace, line: paint(trace.line, color) })), layout, {
        displayModeBar: false, displaylogo: false, showTips: false, scrollZoom: false,
      });
    }
  };

  let due = 0;
  const soon = () => { cancelAnimationFrame(due); due = requestAnimationFrame(() => draw()); };
  draw();
  if (phase) phase.addEventListener("change", () => draw());
  window.addEventListener("resize", soon);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", soon);
  window.addEventListener("beforeprint", () => draw(680));
  window.addEventListener("afterprint", () => draw());
})();
