// The operator's console: draws the document of /api/events, and draws it again every second because time passes.

import { h, patch } from "./dom.js";
import { chooseTheme, lasting, mark } from "./parts.js";

const WORDS = { serving: "Serving", not_serving: "Not serving", unreachable: "Unreachable", unknown: "Unknown" };
const HEALTH = { SERVING: "serving", NOT_SERVING: "not_serving" };
const MEANINGS = { "": "ready for calls", readiness: "the same by name", liveness: "the process is not wedged" };
const SILENCE_MS = 6000; // the gateway speaks at least every 2 seconds
const HEIGHTS = { serving: 8, unknown: 4, not_serving: 14, unreachable: 20 }; // colour never speaks alone
const LEAST_BAD_WIDTH = 9; // of 900: a short outage must stay visible

const byId = (id) => document.getElementById(id);
let shown = null; // the last document
let skewMs = 0; // how far this clock is ahead of the gateway's
let heardAt = 0;
let announced = ""; // the last verdict that was; what a person did is announced in between
let listening = false; // whether the stream is open
let token = sessionStorage.getItem("token"); // none is needed where the gateway has none

// Words

const tone = (state) => ({ serving: "good", unknown: "idle" })[state] ?? "bad";
const toneOf = (backend) => (backend.state === "serving" && backend.reason ? "warn" : tone(backend.state));
const now = () => Date.now() - skewMs;

function clock(iso) {
  const moment = new Date(iso);
  const today = new Date(now()).toDateString() === moment.toDateString();
  const time = moment.toLocaleTimeString([], { hour12: false });
  return today ? time : `${moment.toLocaleDateString([], { month: "short", day: "numeric" })} ${time}`;
}

const since = (iso) =>
  h("time", { datetime: iso, title: iso }, "for ", h("strong", {}, lasting(now() - Date.parse(iso))), `, since ${clock(iso)}`);

// Parts

function strip(history, windowSeconds) {
  const end = now();
  const start = end - windowSeconds * 1000;
  const x = (ms) => (900 * (Math.max(ms, start) - start)) / (end - start);
  const spans = history.map((span, index) => {
    const from = Date.parse(span.since);
    const until = index + 1 < history.length ? Date.parse(history[index + 1].since) : end;
    return { state: span.state, from, until, bad: tone(span.state) === "bad" };
  });
  const bars = spans.filter((span) => span.until > start).map((span) => {
    const width = Math.max(x(span.until) - x(span.from), span.bad ? LEAST_BAD_WIDTH : 0);
    const height = HEIGHTS[span.state];
    return h(
      "rect",
      { class: span.state, x: Math.min(x(span.from), 900 - width).toFixed(1), y: 20 - height, width: width.toFixed(1), height },
      h("title", {}, `${WORDS[span.state]} for ${lasting(span.until - span.from)}, from ${clock(new Date(span.from).toISOString())}`),
    );
  });
  const outages = spans.filter((span) => span.bad && span.until > start);
  const lost = outages.reduce((sum, span) => sum + span.until - Math.max(span.from, start), 0);
  const told = outages.length ? `${outages.length} outage${outages.length > 1 ? "s" : ""}, ${lasting(lost)} in all` : "no outage seen";
  return h(
    "svg",
    { class: "strip", viewBox: "0 0 900 20", preserveAspectRatio: "none", role: "img", "aria-label": `Last ${windowSeconds / 60} minutes: ${told}` },
    h("rect", { class: "ground", y: 19, width: 900, height: 1 }),
    // What is wrong lies on top of what is not.
    bars.sort((one, other) => one.attributes.height - other.attributes.height),
  );
}

const fact = (name, value) => value && h("span", {}, h("i", {}, `${name} `), value);
const uptime = (replica) => replica.startedAt && lasting(now() - Date.parse(replica.startedAt));
const latency = (replica) => replica.checkMs != null && replica.reachable && `${replica.checkMs < 10 ? replica.checkMs.toFixed(1) : Math.round(replica.checkMs)} ms`;

function facts(replica) {
  return [
    fact("version", replica.version),
    fact("up", uptime(replica)),
    fact("check", latency(replica)),
    Object.entries(replica.facts).map(([name, value]) => fact(name, value)),
  ];
}

function requests({ requests: { total, failed } }) {
  return fact("requests", failed ? `${total}, ${failed} failed` : `${total}`);
}

// Sections

function verdict(backends) {
  const wrong = backends.filter((backend) => tone(backend.state) === "bad");
  const unknown = backends.filter((backend) => backend.state === "unknown");
  const degraded = backends.filter((backend) => toneOf(backend) === "warn");
  if (wrong.length === 1) return ["bad", `${wrong[0].name} is ${WORDS[wrong[0].state].toLowerCase()}`, wrong[0]];
  if (wrong.length) {
    const first = wrong.reduce((one, other) => (one.since < other.since ? one : other));
    return ["bad", `${wrong.length === backends.length ? "No backend serves" : `${wrong.map((one) => one.name).join(" and ")} do not serve`}`, first];
  }
  if (unknown.length) return ["idle", `Waiting for a first word of ${unknown.map((one) => one.name).join(", ")}`, null];
  const latest = backends.reduce((one, other) => (one.since > other.since ? one : other));
  if (degraded.length) return ["warn", `Everything serves; ${degraded.map((one) => one.name).join(" and ")} with a part missing`, latest];
  return ["good", "Everything serves", latest];
}

function drawVerdict(backends) {
  const [kind, sentence, backend] = verdict(backends);
  byId("verdict").dataset.tone = kind;
  patch(byId("verdict"), [h("h1", {}, sentence), backend && h("p", {}, since(backend.since))]);
  if (announced !== sentence) byId("announcement").textContent = announced = sentence;
  const alert = kind === "bad";
  document.title = `${alert ? "✕ " : ""}${sentence} · Pulsegate`;
  const icon = alert ? "icon-alert.svg" : "icon.svg";
  if (byId("icon").getAttribute("href") !== icon) byId("icon").setAttribute("href", icon);
}

function tile(backend, windowSeconds) {
  const kind = toneOf(backend);
  const alone = backend.replicas.length === 1 && backend.replicas[0];
  const serving = backend.replicas.filter((replica) => replica.state === "serving").length;
  return h(
    "li",
    { key: backend.name },
    h(
      "a",
      { class: "tile", href: `#${backend.name}`, "data-tone": kind, "data-backend": backend.name },
      h("span", { class: "name" }, h("span", {}, backend.name), h("code", {}, new URL(backend.url).host)),
      h("span", { class: "state" }, mark(kind), WORDS[backend.state]),
      h("span", { class: "since" }, since(backend.since)),
      backend.reason && h("span", { class: "reason", title: backend.reason }, backend.reason),
      h("span", { class: "chart" }, strip(backend.history, windowSeconds)),
      h("span", { class: "axis", "aria-hidden": "true" }, h("span", {}, `${windowSeconds / 60} min ago`), h("span", {}, "now")),
      h("span", { class: "facts" }, alone ? facts(alone) : fact("replicas", `${serving} of ${backend.replicas.length} serve`), requests(backend)),
    ),
  );
}

function healthRow(name, service, windowSeconds) {
  const state = HEALTH[name.status] ?? "unknown";
  const meaning = name.name === service ? "the service" : MEANINGS[name.name];
  return h(
    "tr",
    { key: name.name, "data-tone": tone(state) },
    h(
      "th",
      { class: "name", scope: "row" },
      h("code", {}, name.name || '""'),
      meaning && h("span", { class: "note" }, meaning),
      name.lastError && h("span", { class: "note error" }, state === "serving" ? `last error: ${name.lastError}` : name.lastError),
    ),
    h("td", { class: "word" }, mark(tone(state)), " ", WORDS[state]),
    h("td", { class: "when" }, h("time", { datetime: name.since, title: name.since }, lasting(now() - Date.parse(name.since)), h("span", { class: "note" }, clock(name.since)))),
    h("td", { class: "past" }, strip(name.history, windowSeconds)),
  );
}

function replicaPart(replica, backend, windowSeconds) {
  const error = replica.lastError && (replica.reachable ? `last error: ${replica.lastError}` : replica.lastError);
  return h(
    "div",
    { class: "replica", key: replica.address, "data-tone": tone(replica.state) },
    h("div", { class: "head" }, mark(tone(replica.state)), h("code", {}, replica.address), h("span", {}, WORDS[replica.state]), h("span", { class: "muted" }, since(replica.since))),
    h("div", { class: "facts" }, facts(replica), fact("pid", replica.pid && `${replica.pid}`)),
    error && h("p", { class: "error" }, error),
    backend.replicas.length > 1 && strip(replica.history, windowSeconds),
    replica.health.length > 0 &&
      h(
        "table",
        { class: "health" },
        h("thead", {}, h("tr", {}, ["Health name", "State", "For", `Last ${windowSeconds / 60} minutes`].map((title) => h("th", { scope: "col" }, title)))),
        h("tbody", {}, replica.health.map((name) => healthRow(name, backend.service, windowSeconds))),
      ),
  );
}

function answerPart(answer, index) {
  const failed = answer.status >= 500;
  return h(
    "details",
    { class: "answer", key: answer.path, "initially-open": index === 0 },
    h("summary", {}, h("code", {}, `GET ${answer.path}`), h("span", { class: "code", "data-tone": failed ? "bad" : "idle" }, `${answer.status}`)),
    h("pre", { tabindex: 0, "aria-label": `Body of GET ${answer.path}` }, answer.contentType.startsWith("application/json") ? indented(answer.body) : answer.body),
  );
}

const commandPart = (command) =>
  h(
    "li",
    { key: command.command },
    h("code", {}, command.command),
    h("button", { type: "button", class: "quiet copy", "data-copy": command.command, "aria-label": `Copy ${command.command}` }, "Copy"),
  );

function panel(backend, windowSeconds, wide) {
  const replicas = backend.replicas.length;
  return h(
    "details",
    { class: "panel", id: backend.name, key: backend.name, "initially-open": wide },
    h("summary", {}, mark(toneOf(backend)), h("h2", {}, backend.name), h("code", { class: "service" }, backend.service), h("span", { class: "muted" }, backend.url)),
    h(
      "div",
      { class: "columns" },
      h("div", { class: "column" }, h("h3", {}, replicas > 1 ? "Replicas and health" : "Health"), backend.replicas.map((replica) => replicaPart(replica, backend, windowSeconds))),
      h(
        "div",
        { class: "column" },
        h("h3", {}, "What it answers now"),
        backend.answers.map(answerPart),
        h("h3", {}, "Ask it yourself"),
        h("ul", { class: "commands" }, backend.commands.slice(0, 1).map(commandPart)),
        h("details", { class: "more" }, h("summary", {}, `${backend.commands.length - 1} more commands`), h("ul", { class: "commands" }, backend.commands.slice(1).map(commandPart))),
      ),
    ),
  );
}

// JSON with line breaks, every token exactly as it was sent

function indented(json) {
  const parts = [];
  let text = "";
  let depth = 0;
  const flush = (node) => {
    if (text) parts.push(text);
    text = "";
    if (node) parts.push(node);
  };
  const lineBreak = () => (text += `\n${"  ".repeat(depth)}`);
  const tokens = json.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  tokens.forEach((token, index) => {
    const [before, after] = [tokens[index - 1], tokens[index + 1]];
    if (token === "}" || token === "]") {
      depth -= 1;
      if (before !== "{" && before !== "[") lineBreak();
      text += token;
    } else if (token === "{" || token === "[") {
      depth += 1;
      text += token;
      if (after !== "}" && after !== "]") lineBreak();
    } else if (token === ",") {
      text += token;
      lineBreak();
    } else if (token === ":") {
      text += ": ";
    } else if (after === ":") {
      flush(h("span", { class: "key" }, token));
    } else {
      flush(h("span", { class: "literal" }, token));
    }
  });
  flush();
  return parts;
}

// Life

function drawLink() {
  const link = byId("link");
  const silent = heardAt && Date.now() - heardAt > SILENCE_MS;
  const lost = !listening || silent;
  link.dataset.state = lost ? (heardAt ? "lost" : "idle") : "live";
  const heard = new Date(heardAt);
  link.textContent = !lost ? "live" : heardAt ? `no word from the gateway for ${lasting(Date.now() - heardAt)}, since ${heard.toLocaleTimeString([], { hour12: false })}` : "connecting…";
  byId("main").toggleAttribute("data-stale", Boolean(lost && heardAt));
}

function draw() {
  drawLink();
  if (!shown) return;
  const wide = matchMedia("(min-width: 60rem)").matches;
  drawVerdict(shown.backends);
  patch(byId("tiles"), shown.backends.map((backend) => tile(backend, shown.windowSeconds)));
  patch(byId("backends"), shown.backends.map((backend) => panel(backend, shown.windowSeconds, wide)));
  patch(byId("foot"), [
    h("span", {}, `gateway ${shown.gateway.version}, up ${lasting(now() - Date.parse(shown.gateway.startedAt))}`),
    h("span", {}, "answers as a client on that machine gets them that sends no key"),
    !token && h("a", { href: "api/services" }, "as JSON"), // a link sends no token
    !token && h("a", { href: "metrics" }, "metrics"),
  ]);
}

// Not an EventSource: that could send no token.
async function listen() {
  const answer = await fetch("api/events", { cache: "no-store", headers: token ? { Authorization: `Bearer ${token}` } : {} });
  if (answer.status === 401) return ask();
  if (!answer.ok) return again();
  listening = true;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return again();
    const events = (text + value).split("\n\n");
    text = events.pop();
    events.forEach(hear);
  }
}

function hear(event) {
  const data = event.split("\n").find((line) => line.startsWith("data: "));
  if (!data) return;
  shown = JSON.parse(data.slice(6));
  heardAt = Date.now();
  skewMs = heardAt - Date.parse(shown.time);
  draw();
}

function again() {
  listening = false;
  drawLink();
  setTimeout(connect, 1000);
}

function ask() {
  byId("wrong").textContent = token ? "That is not the token." : "";
  byId("asking").showModal();
}

const connect = () => listen().catch(again);

async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    // Without TLS and off this machine there is no clipboard: select the text instead.
    getSelection().selectAllChildren(button.previousElementSibling);
    return;
  }
  button.textContent = "Copied";
  byId("announcement").textContent = "Copied";
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.copy) copy(button);
  const link = event.target.closest("a.tile");
  if (link) byId(link.dataset.backend).open = true;
});
byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value;
  sessionStorage.setItem("token", token);
  byId("asking").close();
  connect();
});
chooseTheme(byId("theme"));
connect();
setInterval(draw, 1000);
