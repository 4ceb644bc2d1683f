"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const ARMS = ["control", "treated"];
  const key = new URLSearchParams(location.hash.slice(1)).get("key") || sessionStorage.getItem("key") || "";
  if (key) sessionStorage.setItem("key", key);
  // The secret leaves the address bar, so that nobody reads it over a shoulder or shares it by chance.
  if (location.hash) history.replaceState(null, "", location.pathname);
  const page = crypto.randomUUID();
  const points = [];
  let opening = null, latest = null, catalogue = [], role = "none", beaten = 0, ended = false;

  // --- talking ---------------------------------------------------------------------------------

  const headers = () => ({ authorization: `Bearer ${key}`, "content-type": "application/json" });
  const who = () => $("who").value.trim() || localStorage.getItem("who") || "";

  const ask = async (name, body) => {
    const answer = await fetch(`/api/${name}`, { method: "POST", headers: headers(), body: JSON.stringify({ who: who(), ...body }) });
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) throw Object.assign(new Error(said.why || `refused (${answer.status})`), { at: said.at || "" });
    return said;
  };

  const beat = () => {
    // Told by what arrives, not by a timer: browsers slow the timers of pages that nobody sees.
    if (Date.now() - beaten < 4000) return;
    beaten = Date.now();
    ask("beat", { page }).catch(() => {});
  };

  const listen = async () => {
    const answer = await fetch("/api/live", { method: "POST", headers: headers(), body: JSON.stringify({ page, who: who() }) });
    if (!answer.ok) {
      const said = await answer.json().catch(() => ({}));
      throw Object.assign(new Error(said.why || `refused (${answer.status})`), { refused: answer.status < 500 });
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      let cut;
      while ((cut = text.indexOf("\n\n")) >= 0) {
        const [event, data] = text.slice(0, cut).split("\n");
        text = text.slice(cut + 2);
        hear(event.slice(7), JSON.parse(data.slice(6)));
      }
      beat();
    }
  };

  const stay = async () => {
    for (;;) {
      try {
        await listen();
        if (latest && latest.over) return over();
      } catch (error) {
        if (error.refused) return banner(error.message, "fail");
        if (latest && latest.over) return over();
      }
      banner("The connection is lost. Faults end by themselves when no operator's page is connected.", "fail");
      await new Promise((go) => setTimeout(go, 1000));
    }
  };

  const over = () => {
    ended = true;
    $("phase").textContent = "over";
    banner("The game day has ended and is judged where it was started. Its record is in the run folder: record.html.", "pass");
    for (const one of document.querySelectorAll("button, input, textarea")) one.disabled = true;
  };

  // --- hearing ---------------------------------------------------------------------------------

  const hear = (event, value) => {
    if (event === "opening") {
      opening = value;
      role = value.role;
      document.body.dataset.role = role;
      points.splice(0, points.length, ...value.points);
      $("scenario").textContent = `Game day: ${value.scenario}`;
      document.title = `game day ${value.scenario}`;
      $("question").textContent = value.question;
      if (!$("who").value) $("who").value = localStorage.getItem("who") || "";
      fill($("breaks"), [["", "none"], ...Object.entries(value.limits).map(([name, limit]) => [name, `${name} ${limit}`])]);
      plan(value.plan);
      banner("");
      if (!catalogue.length) learn();
      return;
    }
    latest = value;
    const point = value.point;
    if (point && (!points.length || points[points.length - 1].t < point.t)) points.push(point);
    show(value);
  };

  const learn = async () => {
    const answer = await fetch("/api/catalogue", { headers: headers() });
    if (!answer.ok) return void setTimeout(learn, 500);
    catalogue = (await answer.json()).faults;
    const groups = new Map();
    for (const fault of catalogue) groups.set(fault.lever, [...(groups.get(fault.lever) || []), fault]);
    $("kind").replaceChildren(...[...groups].map(([lever, faults]) => {
      const group = make("optgroup", { label: lever });
      group.append(...faults.map((fault) => make("option", { value: fault.kind, disabled: !fault.available, title: fault.why }, fault.available ? fault.kind : `${fault.kind} — ${fault.why}`)));
      return group;
    }));
    const first = catalogue.find((fault) => fault.available);
    if (first) $("kind").value = first.kind;
    choose();
  };

  // --- showing ---------------------------------------------------------------------------------

  const make = (name, with_ = {}, text = null) => {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(with_)) key in node ? (node[key] = value) : node.setAttribute(key, value);
    if (text !== null) node.textContent = text;
    return node;
  };
  const fill = (select, pairs) => select.replaceChildren(...pairs.map(([value, text]) => make("option", { value }, text)));
  const slug = (state) => state.replaceAll(" ", "-");
  const ms = (value) => value === null || value === undefined ? "–" : value < 10 ? `${value.toFixed(1)} ms` : value < 1000 ? `${value.toFixed(0)} ms` : `${(value / 1000).toFixed(2)} s`;
  const share = (value) => value === null || value === undefined ? "–" : `${(value * 100).toFixed(value && value < 0.1 ? 1 : 0)}%`;
  const time = (seconds) => { const all = Math.max(0, Math.round(seconds)); return `${Math.floor(all / 60)}:${String(all % 60).padStart(2, "0")}`; };
  const put = (node, ...children) => {
    // Left alone where nothing has changed: whoever reads or types in it is not disturbed.
    const fresh = make("div");
    fresh.append(...children);
    if (node.innerHTML !== fresh.innerHTML) node.replaceChildren(...fresh.childNodes);
  };
  let told = "";
  const banner = (text, kind = "") => {
    if (text === told) return;
    told = text;
    $("banner").hidden = !text;
    $("banner").className = kind;
    $("banner").textContent = text;
  };

  const arms = (sums, cells) => ARMS.map((arm) => {
    const row = make("tr");
    row.append(make("th", { className: arm, scope: "row" }, arm), ...cells(sums[arm]).map((text) => make("td", { className: "n" }, text)));
    return row;
  });

  const show = (now) => {
    $("phase").textContent = now.phase === "recovery" ? `recovery, ${Math.ceil(now.recovering_s)} s` : now.phase;
    $("clock").textContent = `${time(now.now_s)} gone, ${time(now.left_s)} left`;
    if (now.point) put($("now"), ...arms(now.point, (one) => [one.rate.toFixed(1), share(one.errors), ms(one.p50_ms), ms(one.p99_ms), `${one.alive}`]));
    put($("levers"), ...now.levers.map((one) => {
      const item = make("li");
      item.append(make("span", {}, one.lever), make("span", { className: `state ${slug(one.state)}` }, `${one.state}${one.fault ? `: ${one.fault}` : ""}`));
      return item;
    }));
    const load = now.generator;
    $("generator").textContent = load ? `squall itself: loop lag ${ms(load.lag_p99_ms)}, calls late ${ms(load.slip_p99_ms)} at p99, ${share(load.cpu_share)} of a core` : "";
    put($("people"), ...now.people.map((one) => make("span", { className: "item" }, `${one.who} (${one.role}) `)));
    put($("remarks"), ...now.remarks.map(remark));
    showFaults(now);
    $("why_not").textContent = now.why_not;
    $("go").disabled = !now.can_start || ended;
    const running = now.faults.some((one) => one.left_s !== null);
    $("halt").disabled = ended || (now.halt !== null && now.halt.state === "undoing");
    if (now.halt && now.halt.state === "undoing") banner(`HALT by ${now.halt.who}: everything is being undone.`, "fail");
    else if (now.halt && now.halt.state === "proven") halted(now.halt);
    else if (now.halt && now.halt.state === "not proven") banner(`HALT by ${now.halt.who}: NOT everything is proven undone: ${now.halt.words}. End the day, then run squall recover.`, "fail");
    else if (now.lease_cut && running) banner("No operator's page is connected: the faults end in a few seconds.", "fail");
    else banner("");
    draw();
  };

  const halted = (halt) => {
    banner(`HALT by ${halt.who} at ${time(halt.at_s)}: all faults are undone, proven. ${halt.words}.`, "pass");
    if (role !== "operator" || $("resume")) return;
    const go = make("button", { type: "button", id: "resume" }, "Let the day go on");
    go.addEventListener("click", () => ask("resume", {}).catch((error) => banner(error.message, "fail")));
    $("banner").append(" ", go);
  };

  const remark = (one) => make("li", {}, `${time(one.at_s)} ${one.who}${one.kind === "note" ? "" : `, ${one.kind}`}${one.as_expected ? ` (as expected: ${one.as_expected})` : ""}: ${one.text}`);

  const showFaults = (now) => {
    if (!now.faults.length) return;
    const place = $("faults");
    for (const one of [...now.faults].reverse()) {
      let article = place.querySelector(`[data-window="${one.window}"]`);
      if (!article) {
        place.querySelector(":scope > p")?.remove();
        article = make("article");
        article.dataset.window = one.window;
        article.append(make("h3"), make("div", { className: "buttons operator" }), make("div", { className: "sides" }), make("ol"), observing(one.window));
        place.prepend(article);
      }
      article.className = slug(one.state);
      const [head, buttons, sides, remarks, form] = article.children;
      const left = one.left_s === null ? "" : `, ends in ${time(one.left_s)}, lease ${time(one.lease_left_s)}`;
      put(head, document.createTextNode(`${one.id} `), make("span", { className: `state ${slug(one.state)}` }, `${one.state}${left}`));
      if (one.left_s === null) buttons.replaceChildren();
      else if (!buttons.children.length) buttons.append(
        button("Stop", () => ask("stop", { window: one.window })),
        button("30 s more", () => ask("extend", { window: one.window, for: `${Math.round((latest.faults[one.window - 1].left_s || 0) + 30)}s` })),
      );
      put(sides, expected(one), observed(one, now));
      put(remarks, ...one.remarks.map(remark));
      form.hidden = one.left_s !== null;
    }
  };

  const button = (text, act) => {
    const node = make("button", { type: "button" }, text);
    node.addEventListener("click", () => act().catch((error) => banner(error.message, "fail")));
    return node;
  };

  const expected = (one) => {
    const side = make("div");
    const said = one.hypothesis;
    const parameters = Object.entries(one.parameters).map(([name, value]) => `${name} ${value}`).join(", ") || "defaults";
    side.append(
      make("p", { className: "faint" }, `${one.who} at ${time(one.ordered_s)}; ${parameters}`),
      make("p", {}, `Expected: ${said.expected}`),
      make("p", {}, said.breaks ? `Limit missed: ${said.breaks} ${opening.limits[said.breaks] || ""}` : "No limit missed"),
      make("p", {}, `Stop: ${said.stop_when}${said.stop_errors ? `, or treated errors ${said.stop_errors}` : ""}`),
    );
    return side;
  };

  const observed = (one, now) => {
    const side = make("div");
    const facts = [one.hit ? `hit ${one.hit}` : one.start_s === null ? "" : "hit nothing yet", one.why, one.error].filter(Boolean).join("; ");
    side.append(make("p", { className: "faint" }, facts));
    if (!one.observed) return side;
    const table = make("table");
    const head = make("tr");
    head.append(...["", "errors", "worst p50", "worst p99", "least alive"].map((text, at) => make("th", { className: at ? "n" : "" }, text)));
    const rows = (name, sums) => sums ? arms(sums, (s) => [share(s.errors), ms(s.p50_ms), ms(s.p99_ms), s.alive_least === null ? "–" : `${s.alive_least}`]).map((row) => { row.firstChild.textContent += `, ${name}`; return row; }) : [];
    const body = make("tbody");
    body.append(...rows("baseline", now.baseline), ...rows("fault", one.observed.during), ...rows("after", one.observed.after));
    table.append(head, body);
    side.append(table);
    return side;
  };

  const observing = (window) => {
    const form = make("form", { className: "operator", autocomplete: "off" });
    const text = make("input", { size: 36, maxLength: 2000, placeholder: "what did we see?" });
    text.setAttribute("aria-label", "observation");
    const judged = make("select");
    judged.setAttribute("aria-label", "as expected?");
    fill(judged, [["", "as expected?"], ["yes", "as expected"], ["partly", "partly"], ["no", "not as expected"]]);
    form.append(text, " ", judged, " ", make("button", { type: "submit" }, "Observe"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      ask("remark", { kind: "observation", text: text.value, as_expected: judged.value, window })
        .then(() => { text.value = ""; judged.value = ""; })
        .catch((error) => banner(error.message, "fail"));
    });
    return form;
  };

  // --- the chart -------------------------------------------------------------------------------

  const ROWS = [
    ["errors", "errors", (one) => one.errors === null ? null : one.errors * 100, "%"],
    ["p50_ms", "p50", (one) => one.p50_ms === null ? null : one.p50_ms / 1000, "s"],
    ["p99_ms", "p99", (one) => one.p99_ms === null ? null : one.p99_ms / 1000, "s"],
    ["rate", "calls/s", (one) => one.rate, ""],
    ["alive", "sessions alive", (one) => one.alive, ""],
  ];

  let drawn = 0;
  const draw = () => {
    if (!window.Plotly || !points.length || document.hidden || Date.now() - drawn < 500) return;
    drawn = Date.now();
    const style = getComputedStyle(document.documentElement);
    const color = (name) => style.getPropertyValue(`--${name}`).trim();
    const span = Number($("span").value);
    const last = points[points.length - 1].t;
    const from = span ? Math.max(0, last - span) : 0;
    const seen = points.filter((point) => point.t >= from - 2);
    const every = Math.ceil(seen.length / 1500);
    const some = seen.filter((_, at) => at % every === 0);
    const x = some.map((point) => point.t);
    const data = [];
    const axis = { gridcolor: color("grid"), linecolor: color("rule"), zeroline: false, tickcolor: color("rule") };
    const layout = {
      height: window.innerWidth < 1000 ? 440 : 560, width: $("chart").clientWidth,
      margin: { l: 54, r: 8, t: 22, b: 30 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { size: 12, color: color("ink"), family: getComputedStyle(document.body).fontFamily },
      showlegend: false, hovermode: "x", annotations: [], shapes: [],
      xaxis: { ...axis, range: [from, Math.max(last, from + 30)], ticksuffix: " s", anchor: `y${ROWS.length}` },
    };
    const step = 1 / ROWS.length;
    ROWS.forEach(([, title, get, suffix], row) => {
      const name = row ? `y${row + 1}` : "y";
      const top = 1 - row * step;
      layout[row ? `yaxis${row + 1}` : "yaxis"] = { ...axis, domain: [top - step * 0.74, top], rangemode: "tozero", ticksuffix: suffix, tickformat: suffix === "s" ? "~s" : "", nticks: 4 };
      layout.annotations.push({ text: title, xref: "paper", yref: "paper", x: 0, y: top, xanchor: "left", yanchor: "bottom", showarrow: false, font: { size: 12, color: color("faint") } });
      for (const arm of ARMS) data.push({ type: "scatter", mode: "lines", name: arm, x, y: some.map((point) => get(point[arm])), yaxis: name, line: { color: color(arm), width: arm === "treated" ? 2 : 1.6 }, hovertemplate: `${arm} %{y:.3~s}${suffix}<extra></extra>` });
    });
    for (const one of latest ? latest.faults : []) {
      if (one.start_s === null) continue;
      layout.shapes.push({ type: "rect", xref: "x", yref: "paper", x0: one.start_s, x1: one.end_s ?? latest.now_s, y0: 0, y1: 1, fillcolor: color("band"), line: { width: 0 }, layer: "below" });
      if (one.start_s >= from) layout.annotations.push({ text: `${one.window}`, hovertext: one.id, xref: "x", yref: "paper", x: one.start_s, y: 1, xanchor: "left", yanchor: "bottom", showarrow: false, font: { size: 12, color: color("ink") } });
    }
    Plotly.react($("chart"), data, layout, { displayModeBar: false, displaylogo: false, showTips: false });
  };

  // --- the form --------------------------------------------------------------------------------

  const choose = () => {
    const fault = catalogue.find((one) => one.kind === $("kind").value);
    if (!fault) return;
    $("what").textContent = fault.what + (fault.strikes === "both" ? " It strikes both arms." : "");
    $("resilient").textContent = fault.resilient;
    $("parameters").replaceChildren(...fault.parameters.filter((one) => !one.fixed).map((one) => {
      const row = make("label", { className: "parameter" });
      const input = one.choices.length ? make("select") : make("input", { size: 10 });
      if (one.choices.length) fill(input, one.choices.map((choice) => [choice, choice]));
      input.value = one.default;
      input.dataset.name = one.name;
      input.dataset.default = one.default;
      row.append(make("span", {}, one.name), input, make("small", {}, one.meaning));
      return row;
    }));
    $("refused").textContent = "";
  };

  const start = async (event) => {
    event.preventDefault();
    const parameters = {};
    for (const input of $("parameters").querySelectorAll("[data-name]")) if (input.value !== input.dataset.default) parameters[input.dataset.name] = input.value.trim();
    for (const one of $("start").querySelectorAll("[aria-invalid]")) one.removeAttribute("aria-invalid");
    $("refused").textContent = "";
    try {
      await ask("start", {
        kind: $("kind").value, parameters, for: $("for").value.trim(),
        hypothesis: { expected: $("expected").value, breaks: $("breaks").value, stop_when: $("stop_when").value, stop_errors: $("stop_errors").value.trim() },
      });
      $("expected").value = "";
    } catch (error) {
      $("refused").textContent = error.message;
      const name = error.at.replace("parameters.", "");
      const field = error.at.startsWith("parameters.") ? $("parameters").querySelector(`[data-name="${CSS.escape(name)}"]`) : $(error.at);
      if (field) { field.setAttribute("aria-invalid", "true"); field.focus(); }
    }
  };

  // Each step of the plan waits for an operator: it fills the form, and is started from there.
  const plan = (steps) => {
    $("plan").hidden = !steps.length;
    put($("steps"), ...steps.map((step, at) => {
      const item = make("li");
      const go = make("button", { type: "button" }, "Prepare");
      go.dataset.step = at;
      item.append(go, ` ${step.kind} for ${step.for}${step.pause ? `: ${step.pause}` : ""}`);
      return item;
    }));
  };

  $("steps").addEventListener("click", (event) => {
    const at = event.target.dataset.step;
    if (at === undefined) return;
    const step = opening.plan[Number(at)];
    $("kind").value = step.kind;
    choose();
    for (const [name, value] of Object.entries(step.parameters)) {
      const field = $("parameters").querySelector(`[data-name="${CSS.escape(name)}"]`);
      if (field) field.value = value;
    }
    $("for").value = step.for;
    for (const [name, value] of Object.entries(step.hypothesis)) $(name).value = value;
    $("expected").focus();
  });

  const said = (promise) => promise.catch((error) => banner(error.message, "fail"));
  $("kind").addEventListener("change", choose);
  $("start").addEventListener("submit", start);
  $("halt").addEventListener("click", () => said(ask("halt", {})));
  $("end").addEventListener("click", () => { if (confirm("End the game day? Faults end first, then the load; then it is judged.")) said(ask("end", {})); });
  $("note").addEventListener("submit", (event) => {
    event.preventDefault();
    said(ask("remark", { kind: $("note-kind").value, text: $("note-text").value }).then(() => { $("note-text").value = ""; }));
  });
  $("who").addEventListener("change", () => localStorage.setItem("who", $("who").value.trim()));
  $("span").addEventListener("change", () => { drawn = 0; draw(); });
  window.addEventListener("resize", () => { drawn = 0; draw(); });
  stay();
})();
