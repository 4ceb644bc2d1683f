// The page of a game day: hears how things stand, shows it, and asks for what an operator wants.

import { draw } from "/chart.js";
import { $, arms, count, fill, make, ms, put, share, slug, tell, time } from "/dom.js";
import { attach, learn, ready } from "/form.js";
import { showFaults } from "/trials.js";

const BEAT_MS = 4000, AGAIN_MS = 1000, EARLY_MS = 400, SAID_MS = 12000, FORGOTTEN_S = 20, SILENT_MS = 5000, MORE_S = 30;
const STEPS = ["Baseline", "Hypothesis", "Fault", "Recovery", "Observation"];

const key = new URLSearchParams(location.hash.slice(1)).get("key") || sessionStorage.getItem("key") || "";
if (key) sessionStorage.setItem("key", key);
// The secret leaves the address bar, so that nobody reads it over a shoulder or shares it by chance.
if (location.hash) history.replaceState(null, "", location.pathname);
const page = crypto.randomUUID();
const points = [];
let opening = null, latest = null, known = false, beaten = 0, ended = false, lost = 0, heard = 0, stream = null;

// --- talking -----------------------------------------------------------------------------------

const headers = () => ({ authorization: `Bearer ${key}`, "content-type": "application/json" });
const who = () => $("who").value.trim() || localStorage.getItem("who") || "";
const why = async (answer) => {
  const said = await answer.json().catch(() => ({}));
  return Object.assign(new Error(said.why || `refused (${answer.status})`), { at: said.at || "", final: answer.status === 401 || answer.status === 403, early: answer.status === 503 });
};

const ask = async (name, body) => {
  const answer = await fetch(`/api/${name}`, { method: "POST", headers: headers(), body: JSON.stringify({ who: who(), ...body }) })
    .catch(() => { throw new Error("squall does not answer; nothing was done"); });
  if (!answer.ok) throw await why(answer);
  return answer.json();
};

const beat = () => {
  // Told by what arrives, not by a timer: browsers slow the timers of pages that nobody sees.
  if (Date.now() - beaten < BEAT_MS) return;
  beaten = Date.now();
  ask("beat", { page }).catch(() => {});
};

const listen = async (mine) => {
  const answer = await fetch("/api/live", { method: "POST", headers: headers(), signal: mine.signal, body: JSON.stringify({ page, who: who() }) });
  if (!answer.ok) throw await why(answer);
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
      if (mine === stream) hear(event.slice(7), JSON.parse(data.slice(6)));
    }
    beat();
  }
};

const stay = async (mine) => {
  while (mine === stream) {
    let early = "";
    try {
      await listen(mine);
    } catch (error) {
      if (mine !== stream) return;
      if (error.final) return refused(error.message);
      if (error.early) early = `Getting ready: ${error.message}. This page goes on by itself.`;
    }
    if (mine !== stream) return;
    if (mine.signal.aborted) mine = stream = new AbortController();
    if (latest && latest.over) return over();
    if (early && !opening) {
      linked("early", early);
      tell($("phase"), "getting ready");
      await new Promise((go) => setTimeout(go, EARLY_MS));
      continue;
    }
    lost ||= Date.now();
    const gone_s = Math.round((Date.now() - lost) / 1000);
    linked("lost", `The connection is lost, since ${gone_s} s: the figures below are old. Faults end by themselves when no operator's page is connected. Trying again.${gone_s > FORGOTTEN_S ? " Look at the terminal: squall may have ended." : ""}`);
    await new Promise((go) => setTimeout(go, AGAIN_MS));
  }
};

// A new stream comes before the old one goes, so that no lease sees nobody there.
const connect = () => {
  const before = stream;
  stream = new AbortController();
  stream.before = before;
  stay(stream);
};

// Something comes every second; a stream that falls silent is as good as cut.
setInterval(() => {
  if (document.body.dataset.link === "live" && !ended && Date.now() - heard > SILENT_MS) {
    heard = Date.now();
    stream.abort();
  }
}, AGAIN_MS);

const linked = (how, words = "") => {
  document.body.dataset.link = how;
  $("link").hidden = !words;
  $("link").classList.toggle("fail", how !== "over" && how !== "early");
  $("link").classList.toggle("pass", how === "over");
  tell($("link"), words);
};

const refused = (words) => {
  linked("refused", key ? `${words[0].toUpperCase()}${words.slice(1)}.` : "This page needs a link with its secret: open one of the two that squall gameday has printed in its terminal.");
  tell($("phase"), "not let in");
};

const over = () => {
  ended = true;
  show(latest);
  linked("over", `The game day has ended and is being judged. The terminal where it was started tells the outcome; the record is record.html, in the folder of run ${opening.run}.`);
  for (const one of document.querySelectorAll("button, input, textarea, select:not(#span)")) one.disabled = true;
  $("start").closest("section").hidden = $("note").hidden = true;  // nothing more can be done
};

// --- hearing -----------------------------------------------------------------------------------

const hear = (event, value) => {
  heard = Date.now();
  if (event === "opening") {
    stream.before?.abort();
    lost = 0;
    open(value);
    return linked("live");
  }
  latest = value;
  const point = value.point;
  if (point && (!points.length || points[points.length - 1].t < point.t)) points.push(point);
  show(value);
};

const open = (value) => {
  opening = value;
  document.body.dataset.role = value.role;
  points.splice(0, points.length, ...value.points);
  tell($("scenario"), `Game day: ${value.scenario}`);
  document.title = `game day ${value.scenario}`;
  tell($("question"), value.question);
  if (known) return;
  known = true;
  $("who").value ||= localStorage.getItem("who") || "";
  fill($("breaks"), [["", "none: all limits hold"], ...Object.entries(value.limits).map(([name, limit]) => [name, `${name.replaceAll("_", " ")} ${limit}`])]);
  if (value.role === "operator") fetchFaults();
};

const fetchFaults = async () => {
  const answer = await fetch("/api/catalogue", { headers: headers() }).catch(() => null);
  if (!answer || !answer.ok) return void setTimeout(fetchFaults, AGAIN_MS);
  learn((await answer.json()).faults, opening, again);
  ready(latest, ended);
};

// --- showing -----------------------------------------------------------------------------------

let timer = 0;
const say = (words) => {
  clearTimeout(timer);
  $("said").hidden = !words;
  tell($("said"), words);
  if (words) timer = setTimeout(() => say(""), SAID_MS);
};
const doing = (promise) => { say(""); return promise.catch((error) => say(`Not done: ${error.message}.`)); };

const running = (now) => now.faults.find((one) => one.left_s !== null);

const show = (now) => {
  document.body.dataset.phase = now.phase;
  tell($("phase"), now.phase);
  tell($("clock"), ended ? "" : `${time(now.now_s)} gone, ${time(now.left_s)} left`);
  showNow(now);
  if (now.point) put($("now"), ...arms(now.point, (one, arm) => figures(one, now.baseline && now.baseline[arm], opening.sessions[arm])));
  put($("levers"), ...now.levers.map((one) => make("li", { className: slug(one.state) }, make("span", {}, one.lever), " ", make("b", { className: `state ${slug(one.state)}` }, one.state), one.fault ? make("span", {}, ` ${one.fault}`) : "")));
  showGenerator(now);
  put($("people"), ...now.people.flatMap((one, at) => [at ? ", " : "", make("b", {}, one.who), one.who === one.role ? "" : ` (${one.role})`]));
  if (!now.people.length) tell($("people"), "nobody");
  if (now.remarks.length) put($("remarks"), ...now.remarks.map(remark));
  showFaults(now, opening, { doing, ask, ended, remark });
  showHalt(now);
  ready(now, ended);
  draw(points, opening, now);
};

const was = (text) => text === "–" ? "" : make("small", {}, `baseline ${text}`);
const figures = (one, base, sessions) => [
  [one.rate.toFixed(1), base ? was(base.rate === null ? "–" : base.rate.toFixed(1)) : ""],
  [make("span", { className: one.errors ? "bad" : "" }, share(one.errors)), base ? was(share(base.errors)) : ""],
  [ms(one.p50_ms), base ? was(ms(base.p50_ms)) : ""],
  [ms(one.p99_ms), base ? was(ms(base.p99_ms)) : ""],
  [make("span", { className: one.alive < sessions && latest.baseline && latest.phase !== "over" ? "bad" : "" }, `${one.alive} of ${sessions}`)],
];

const step = (now) => {
  if (now.phase === "warm-up" || now.phase === "baseline") return 0;
  if (now.phase === "fault") return 2;
  if (now.phase === "recovery") return 3;
  const last = now.faults[now.faults.length - 1];
  return last && !last.remarks.some((one) => one.kind === "observation") ? 4 : 1;
};

const words = (now, at) => {
  const fault = running(now) || now.faults[now.faults.length - 1];
  const viewer = opening.role !== "operator";
  if (now.phase === "over") return ["The day is over.", ended ? "" : "The last calls are answered, then it is judged."];
  if (now.halt && now.halt.state === "undoing") return ["HALT: every fault is being undone.", "Then each part that was struck is looked at, whether anything still stands."];
  if (now.halt && now.halt.state !== "resumed") return ["Everything is halted; the load goes on.", viewer ? "An operator lets the day go on, or ends it." : now.halt.state === "proven" ? "Look why, write it down, then let the day go on, or end it." : "HALT again looks once more; or end the day at its foot, then run squall recover in the terminal."];
  if (now.phase === "warm-up") return ["Sessions are being opened.", "Next, both arms are measured while nothing is broken."];
  if (now.phase === "baseline") return ["Both arms are measured while nothing is broken.", `Then faults can be started.${viewer ? "" : " Choose one meanwhile, and write down what you expect."}`];
  if (now.phase === "fault") return [`${fault.id} ${fault.state === "ordered" ? "is being applied" : fault.state === "ending" ? "is being undone" : "is in force"}, on ${fault.strikes === "both" ? "both arms" : "the treated arm"}; started by ${fault.who}.`, `Expected: ${fault.hypothesis.expected}. Stop: ${fault.hypothesis.stop_when}.`];
  if (now.phase === "recovery") return [`${fault.id} is ${fault.state}; does the treated arm come back?`, viewer ? "" : `For ${opening.recovery_s} s nothing else is started. Write down what you saw.`];
  if (at === 4) return [`${fault.id} is over; both arms run untouched.`, viewer ? "" : "Write down what you saw beside what you expected, or start the next fault."];
  return ["Both arms run untouched.", viewer ? "An operator may start a fault." : "Choose a fault, say what you expect and when you will stop, and start it."];
};

const showNow = (now) => {
  const at = step(now);
  put($("steps"), ...STEPS.map((name, index) => {
    const item = make("li", {}, name);
    if (index === at && now.phase !== "over") item.setAttribute("aria-current", "step");
    return item;
  }));
  const [happening, then] = words(now, at);
  tell($("happening"), happening);
  tell($("then"), then);
  const fault = running(now);
  const waits = now.phase === "baseline" ? opening.baseline_s[1] - now.now_s : now.phase === "recovery" ? now.recovering_s : null;
  $("lasting").hidden = !fault && waits === null;
  tell($("left"), time(Math.ceil(fault ? fault.left_s : waits ?? 0)));
  $("lasting").lastElementChild.hidden = !fault;
  if (fault) tell($("lease"), time(fault.lease_left_s));
  $("deeds").hidden = !fault || ended;
};

const showGenerator = (now) => {
  const load = now.generator;
  if (!load) return tell($("generator"), "");
  // Not how late calls left: one that waits for its session's slow call before it is nobody's fault here.
  const late = load.lag_p99_ms > load.lag_late_ms;
  const busy = load.lag_p99_ms > load.lag_suspect_ms || (load.run_delay_share ?? 0) > load.run_delay_suspect;
  const [how, ruling, means] = late ? ["late", "fail", "its own lateness is in these figures"] : busy ? ["on time", "unknown", "though the machine is busy"] : ["on time", "pass", ""];
  put($("generator"), "squall itself ", make("b", { className: ruling }, how), means ? `, ${means}` : "", make("small", {}, `loop lag ${ms(load.lag_p99_ms)} at p99, ${share(load.cpu_share)} of a core, ${load.open_files} of ${load.open_files_max.toLocaleString("en")} files`));
};

const showHalt = (now) => {
  const halt = now.halt;
  const on = halt && halt.state !== "resumed";
  $("halt").disabled = ended || Boolean(halt && halt.state === "undoing");
  $("halted").hidden = !on;
  $("resume").hidden = !on || halt.state !== "proven" || ended;
  $("halted").className = `banner ${!on || halt.state === "proven" ? "pass" : "fail"}`;
  if (on) {
    tell($("halted-words"), halt.state === "undoing" ? `HALT by ${halt.who}: everything is being undone.`
      : halt.state === "proven" ? `HALT by ${halt.who} at ${time(halt.at_s)}, proven: ${halt.words}.`
        : `HALT by ${halt.who} at ${time(halt.at_s)}: NOT everything is proven undone: ${halt.words}. HALT again to look once more, or end the day, then run squall recover.`);
    tell($("halted-proof"), halt.state !== "undoing" && halt.proof ? `Seen: ${halt.proof}.` : "");
  }
  if (document.body.dataset.link === "live") linked("live", now.lease_cut && running(now) ? "No operator's page is connected: the fault ends in a few seconds." : "");
};

const remark = (one) => make("li", {}, make("span", { className: "faint" }, time(one.at_s)), " ", make("b", {}, one.who), one.kind === "note" ? "" : ` ${one.kind}`, one.as_expected ? ` (as expected: ${one.as_expected})` : "", `: ${one.text}`);

// --- asking ------------------------------------------------------------------------------------

const on = (id, event, act) => $(id).addEventListener(event, act);
const again = () => ready(latest, ended);
const redraw = () => latest && draw(points, opening, latest, true);
attach(ask, again);
const halt = () => doing(ask("halt", {}));
on("halt", "click", halt);
// With two modifiers, so that no text is typed with it; by the letter, or its place where the layout has none.
document.addEventListener("keydown", (event) => {
  const letter = event.key.toLowerCase() === "h" || (event.code === "KeyH" && event.key > "~");
  if (!letter || !event.ctrlKey || !event.shiftKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  if (!event.repeat && document.body.dataset.role === "operator" && !$("halt").disabled) halt();
}, { capture: true });
on("resume", "click", () => doing(ask("resume", {})).then(() => $("halt").focus()));
on("stop", "click", () => { const one = running(latest); if (one) doing(ask("stop", { window: one.window })); });
on("more", "click", () => { const one = running(latest); if (one) doing(ask("extend", { window: one.window, for: `${Math.round(one.left_s + MORE_S)}s` })); });
// No dialog of the browser's: while one is up, nothing else can be pressed and nothing is heard.
const sure = (open) => {
  $("ending").hidden = open;
  $("sure").hidden = !open;
  $(open ? "end-not" : "end").focus();
};
on("end", "click", () => sure(true));
on("end-not", "click", () => sure(false));
on("end-now", "click", () => doing(ask("end", {})).then(() => ended || sure(false)));
on("note", "submit", (event) => {
  event.preventDefault();
  doing(ask("remark", { kind: $("note-kind").value, text: $("note-text").value }).then(() => { $("note-text").value = ""; }));
});
on("who", "input", again);
on("who", "change", () => { localStorage.setItem("who", $("who").value.trim()); if (!ended) connect(); });
on("span", "change", redraw);
window.addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
connect();
