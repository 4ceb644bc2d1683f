// Each fault of the day: what was expected of it beside what was seen.

import { $, arms, count, fill, make, ms, put, share, slug, time } from "/dom.js";

export const showFaults = (now, opening, { doing, ask, ended, remark }) => {
  if (!now.faults.length) return;
  const place = $("faults");
  place.querySelector(":scope > p")?.remove();
  for (const one of now.faults) {
    let article = place.querySelector(`[data-window="${one.window}"]`);
    if (!article) {
      article = make("article", { "data-window": `${one.window}` }, make("h3"), make("div", { className: "sides" }), make("ol"), observing(one, doing, ask));
      place.prepend(article);
    }
    article.className = slug(one.state);
    const [head, sides, remarks, form] = article.children;
    put(head, `${one.id} `, make("span", { className: `state ${slug(one.state)}` }, one.state), " ", make("small", { className: "faint" }, `${one.who}, at ${time(one.ordered_s)}; ${told(one.parameters)}`));
    put(sides, expected(one, opening), observed(one, now));
    put(remarks, ...one.remarks.map(remark));
    form.hidden = one.left_s !== null || ended;
  }
};

const told = (parameters) => Object.entries(parameters).map(([name, value]) => `${name} ${value}`).join(", ") || "with its defaults";

const expected = (one, opening) => {
  const said = one.hypothesis;
  const limit = said.breaks ? `${said.breaks.replaceAll("_", " ")} ${opening.limits[said.breaks] || ""}` : "none";
  return make("dl", {},
    make("dt", {}, "expected"), make("dd", {}, said.expected),
    make("dt", {}, "limit missed"), make("dd", {}, limit),
    make("dt", {}, "stop"), make("dd", {}, `${said.stop_when}${said.stop_errors ? `; by itself at treated errors ${said.stop_errors}` : ""}`),
    ...(one.why ? [make("dt", {}, "ended"), make("dd", {}, one.why)] : []),
    ...(one.error ? [make("dt", {}, "error"), make("dd", { className: "bad" }, one.error)] : []));
};

const observed = (one, now) => {
  const hit = make("p", { className: "faint" }, one.hit ? `Seen: it hit ${one.hit}.` : one.start_s === null ? "Not in force yet." : "It has hit nothing yet.");
  if (!one.observed) return make("div", {}, hit);
  const head = make("tr", {}, make("th", {}, make("span", { className: "unseen" }, "arm")), ...["", "errors", "worst p50", "worst p99", "alive"].map((text, at) => make("th", { className: at ? "n" : "" }, text)));
  const rows = (name, sums) => sums ? arms(sums, (each) => [name, share(each.errors), ms(each.p50_ms), ms(each.p99_ms), count(each.alive_least)]) : [];
  const body = make("tbody", {}, ...rows("baseline", now.baseline), ...rows("fault", one.observed.during), ...rows("after", one.observed.after));
  return make("div", {}, hit, make("div", { className: "scroll" }, make("table", { className: "seen" }, make("thead", {}, head), body)));
};

const observing = (one, doing, ask) => {
  const text = make("input", { maxLength: 2000, placeholder: "what did we see?", "aria-label": `observation of ${one.id}` });
  const judged = make("select", { "aria-label": "as expected?" });
  fill(judged, [["", "as expected?"], ["yes", "as expected"], ["partly", "partly"], ["no", "not as expected"]]);
  const form = make("form", { className: "operator row", autocomplete: "off" }, text, judged, make("button", { type: "submit" }, "Observe"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    doing(ask("remark", { kind: "observation", text: text.value, as_expected: judged.value, window: one.window }).then(() => { text.value = ""; judged.value = ""; }));
  });
  return form;
};
