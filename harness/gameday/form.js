// The form that starts a fault: the catalogue, its parameters, the hypothesis, and why not yet.

import { $, fill, make, tell } from "/dom.js";

const EXPECTED_MIN = 8, STOP_MIN = 4; // as the desk asks
const MEANS = {
  network: "between clients and server", identity: "tokens and their issuer", agent: "what the clients do",
  process: "the server's own processes", dependency: "what stands behind the server",
};

let catalogue = [], own = "";

export const learn = (faults, { plan, stop_condition }, look) => {
  catalogue = faults;
  own = stop_condition;
  const groups = Map.groupBy ? Map.groupBy(faults, (one) => one.lever) : grouped(faults);
  $("kind").replaceChildren(...[...groups].flatMap(([lever, all]) => {
    const here = all.filter((one) => one.available);
    return here.length ? [make("p", { className: "lever", "data-lever": lever }, `${lever}: `, make("span", {}, MEANS[lever] || "")), ...here.map(pick)] : [];
  }));
  const away = faults.filter((one) => !one.available);
  $("elsewhere").hidden = !away.length;
  $("elsewhere").firstElementChild.textContent = `${away.length} that cannot be started here, and why`;
  $("elsewhere").lastElementChild.replaceChildren(...away.map((one) => make("li", {}, make("b", {}, one.kind), ` ${one.why}`)));
  const first = faults.find((one) => one.available);
  if (first) take(first.kind);
  $("plan").hidden = !plan.length;
  $("planned").replaceChildren(...plan.map((one) => {
    const why = faults.find((each) => each.kind === one.kind)?.why;
    const words = Object.entries(one.parameters).map(([name, value]) => `${name} ${value}`).join(", ");
    const node = make("button", { type: "button" }, "Prepare");
    node.addEventListener("click", () => {
      take(one.kind);
      for (const [name, value] of Object.entries(one.parameters)) {
        const input = parameter(name);
        if (input) input.value = value;
      }
      $("for").value = one.for;
      for (const [name, value] of Object.entries(one.hypothesis)) $(name).value = value;
      $("expected").focus();
      look();
    });
    node.disabled = Boolean(why);
    return make("li", {}, node, make("span", {}, make("b", {}, one.kind), ` ${words} for ${one.for}`, why ? make("small", {}, `not here: ${why}`) : "", one.pause ? make("small", {}, one.pause) : ""));
  }));
};

const grouped = (faults) => faults.reduce((found, one) => found.set(one.lever, [...(found.get(one.lever) || []), one]), new Map());

const pick = (one) => make("label", { className: "pick", "data-words": `${one.kind} ${one.what} ${one.lever}`.toLowerCase() },
  make("input", { type: "radio", name: "kind", value: one.kind }),
  make("span", {}, make("b", {}, one.kind), make("small", {}, ` ${one.what.split(/(?<=\.) /)[0]}`)));

const chosen = () => catalogue.find((one) => one.kind === $("kind").querySelector("input:checked")?.value);
const parameter = (name) => $("parameters").querySelector(`[data-name="${CSS.escape(name)}"]`);

const take = (kind) => {
  const input = $("kind").querySelector(`input[value="${CSS.escape(kind)}"]`);
  if (!input) return;
  input.checked = true;
  const list = $("kind"), row = input.parentElement;
  list.scrollTop = row.offsetTop - list.offsetTop - list.clientHeight / 3;
  choose();
};

const choose = () => {
  const fault = chosen();
  if (!fault) return;
  tell($("what"), fault.what + (fault.strikes === "both" ? " It strikes both arms." : ""));
  tell($("resilient"), fault.resilient);
  $("parameters").replaceChildren(...fault.parameters.filter((one) => !one.fixed).map((one) => {
    const id = `parameter-${one.name}`;
    const input = one.choices.length ? make("select", { id }) : make("input", { id, size: 9 });
    if (one.choices.length) fill(input, one.choices.map((choice) => [choice, choice]));
    input.value = one.preset || one.default;
    input.required = one.needed;
    input.dataset.name = one.name;
    input.dataset.default = one.default;
    input.setAttribute("aria-describedby", `${id}-means`);
    const form = one.choices.length ? "" : one.default ? `default ${one.default}` : one.examples.length ? `like ${one.examples[0]}` : one.needed ? "has to be filled in" : "may be left out";
    return make("div", { className: "parameter" }, make("label", { htmlFor: id }, one.name.replaceAll("_", " ")), input, make("small", { id: `${id}-means` }, [one.meaning, form].filter(Boolean).join("; ")));
  }));
  $("for").value = fault.for;
  // As the brakes have it: what strikes the target itself strikes the control arm, and may last a while.
  tell($("always"), `Always on: everything is undone when control errors are ${own || (fault.strikes === "both" ? "> 20% for 30s" : "> 20% for 5s")}.`);
  refuse("");
};

const search = () => {
  const words = $("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const row of $("kind").querySelectorAll(".pick")) row.hidden = !words.every((word) => row.dataset.words.includes(word));
  for (const title of $("kind").querySelectorAll(".lever")) {
    let row = title.nextElementSibling, any = false;
    for (; row && row.classList.contains("pick"); row = row.nextElementSibling) any ||= !row.hidden;
    title.hidden = !any;
  }
};

// What is missing, in the order of the form: [words, field].
const wants = () => [
  [!$("who").value.trim(), "write your name, at the top: the record tells who did what", $("who")],
  [!chosen(), "choose a fault", $("find")],
  ...[...$("parameters").querySelectorAll("[required]")].map((input) => [!input.value.trim(), `fill in ${input.dataset.name}`, input]),
  [!$("for").value.trim(), "say for how long", $("for")],
  [$("expected").value.trim().length < EXPECTED_MIN, "say what you expect to happen", $("expected")],
  [$("stop_when").value.trim().length < STOP_MIN, "say when you will stop", $("stop_when")],
].filter(([missing]) => missing).map(([, words, field]) => [words, field]);

export const ready = (now, ended) => {
  const missing = wants();
  const why = ended ? "The day is over." : !now ? "" : now.can_start && !missing.length ? "" :
    `Not yet: ${[...(now.can_start ? [] : [now.why_not]), ...missing.map(([words]) => words)].join("; ")}.`;
  tell($("why_not"), why);
  $("go").setAttribute("aria-disabled", `${Boolean(why) || !now}`);
};

const refuse = (words, field = null) => {
  for (const one of $("start").querySelectorAll("[aria-invalid]")) one.removeAttribute("aria-invalid");
  tell($("refused"), words);
  if (!field) return;
  field.setAttribute("aria-invalid", "true");
  field.focus();
};

const start = async (ask) => {
  const [first] = wants();
  if (first) return refuse(`First, ${first[0]}.`, first[1]);
  refuse("");
  const parameters = {};
  for (const input of $("parameters").querySelectorAll("[data-name]")) if (input.value.trim() !== input.dataset.default) parameters[input.dataset.name] = input.value.trim();
  try {
    await ask("start", {
      kind: chosen().kind, parameters, for: $("for").value.trim(),
      hypothesis: { expected: $("expected").value, breaks: $("breaks").value, stop_when: $("stop_when").value, stop_errors: $("stop_errors").value.trim() },
    });
    $("expected").value = "";
    $("stop_when").value = "";
  } catch (error) {
    const at = error.at || "";
    refuse(`${error.message}.`.replace(/\.\.$/, "."), at.startsWith("parameters.") ? parameter(at.slice("parameters.".length)) : at === "kind" ? $("find") : at && $(at));
  }
};

export const attach = (ask, look) => {
  $("kind").addEventListener("change", choose);
  $("find").addEventListener("input", search);
  // Enter chooses the first that was found; it starts nothing.
  $("find").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    const first = $("kind").querySelector(".pick:not([hidden]) input");
    if (first) { take(first.value); first.focus(); }
  });
  $("start").addEventListener("submit", (event) => { event.preventDefault(); start(ask).finally(look); });
  for (const type of ["input", "change"]) $("start").addEventListener(type, look);
};
