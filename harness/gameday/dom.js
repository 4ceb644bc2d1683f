// What the page's scripts share: elements, and how figures are written.

export const $ = (id) => document.getElementById(id);
export const ARMS = ["control", "treated"];

export const make = (name, with_ = {}, ...children) => {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(with_)) key in node ? (node[key] = value) : node.setAttribute(key, value);
  node.append(...children);
  return node;
};

export const fill = (select, pairs) => select.replaceChildren(...pairs.map(([value, text]) => make("option", { value }, text)));

// Left alone where nothing has changed: whoever reads it, or listens to it, is not disturbed.
export const put = (node, ...children) => {
  const fresh = make("div", {}, ...children);
  if (node.innerHTML !== fresh.innerHTML) node.replaceChildren(...fresh.childNodes);
};
export const tell = (node, text) => { if (node.textContent !== text) node.textContent = text; };

export const slug = (state) => state.replaceAll(" ", "-");
const known = (value, written) => value === null || value === undefined ? "–" : written(value);
export const ms = (value) => known(value, (it) => it < 10 ? `${it.toFixed(1)} ms` : it < 1000 ? `${it.toFixed(0)} ms` : `${(it / 1000).toFixed(2)} s`);
export const share = (value) => known(value, (it) => `${(it * 100).toFixed(it && it < 0.1 ? 1 : 0)}%`);
export const count = (value) => known(value, (it) => `${it}`);
export const time = (seconds) => {
  const all = Math.max(0, Math.round(seconds));
  return `${Math.floor(all / 60)}:${String(all % 60).padStart(2, "0")}`;
};

export const arms = (sums, cells) => ARMS.map((arm) =>
  make("tr", {}, make("th", { className: arm, scope: "row" }, arm), ...cells(sums[arm], arm).map((cell) => make("td", { className: "n" }, ...[cell].flat()))));
