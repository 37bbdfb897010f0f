// The page of the LLM proxy: draws the document of ui/events, and draws it again every second because time passes.

import { columns, compact, duration, lastHour, lines } from "./chart.js";
import { h, patch } from "./dom.js";
import { chooseTheme, lasting, mark } from "./parts.js";
import { offerModels, start } from "./try.js";

const SILENCE_MS = 6000; // the gateway speaks at least every 2 seconds
const USAGE_MS = 10000;
const MOST_MODELS = 12;
const STATES = {
  healthy: ["good", "healthy"],
  preparing: ["idle", "getting ready"],
  unhealthy: ["bad", "unhealthy"],
  disabled: ["idle", "disabled"],
  keyless: ["warn", "no key"],
};
const TROUBLES = {
  "llmproxy.usage": "It answers, but what is spent is not kept",
  "llmproxy.config": "It answers, by the configuration it had before",
};

const byId = (id) => document.getElementById(id);
let shown = null; // the last document
let spent = null; // the last answer of /usage
let skewMs = 0; // how far this clock is ahead of the gateway's
let heardAt = 0;
const now = () => Date.now() - skewMs;

// Words

function verdict({ state, reason, providers, troubles }) {
  if (state === "unknown") return ["idle", "Looking for the LLM proxy", ""];
  if (state === "unreachable") return ["bad", "The LLM proxy is unreachable", reason];
  if (state !== "serving") return ["bad", "The LLM proxy does not serve", reason];
  const used = providers.filter((one) => !["disabled", "keyless"].includes(one.state));
  const ill = used.filter((one) => one.state === "unhealthy");
  if (troubles.length) return ["warn", TROUBLES[troubles[0].name] ?? `${troubles[0].name} does not serve`, troubles.map((one) => one.reason).join("; ")];
  if (!used.length) return ["warn", "No provider can be asked", ""];
  if (!ill.length) return ["good", used.length === 1 ? `${used[0].name} answers` : `All ${used.length} providers answer`, ""];
  if (ill.length === used.length) return ["bad", "No provider answers", ill[0].reason];
  return ["warn", `${ill.map((one) => one.name).join(", ")} ${ill.length > 1 ? "do" : "does"} not answer`, ill[0].reason];
}

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const when = (iso) => `${lasting(now() - Date.parse(iso))} ago`;

// Parts

function chart(key, title, value, note, body) {
  return h(
    "li",
    { key },
    h("div", { class: "tile" }, h("span", { class: "name" }, h("span", {}, title), h("span", { class: "muted" }, note)), h("span", { class: "state" }, value), h("div", { class: "plot" }, body)),
  );
}

function charts(minutes) {
  const hour = lastHour(minutes, now());
  const told = hour.filter(Boolean);
  const sum = (value) => told.reduce((total, minute) => total + value(minute), 0);
  const latest = told.at(-1);
  const requests = [["bar-good", "answered", (minute) => minute.requests - minute.failed], ["bar-bad", "failed", (minute) => minute.failed]];
  const latencies = [["line-soft", "95 of 100 under", (minute) => minute.p95Ms], ["line-main", "median", (minute) => minute.medianMs], ["line-first", "first byte", (minute) => minute.firstByteMs]];
  const tokens = [["bar-in", "in", (minute) => minute.input], ["bar-out", "out", (minute) => minute.output]];
  return [
    chart("requests", "Requests a minute", compact(hour.at(-1)?.requests ?? 0), `${compact(sum((minute) => minute.requests))} in the last hour`, columns(hour, requests, compact)),
    chart("latency", "Time of an answer", latest ? duration(latest.medianMs) : "–", latest ? `first byte ${duration(latest.firstByteMs)}` : "nothing in the last hour", lines(hour, latencies, duration)),
    chart("tokens", "Tokens a minute", compact((hour.at(-1)?.input ?? 0) + (hour.at(-1)?.output ?? 0)), `${compact(sum((minute) => minute.input))} in, ${compact(sum((minute) => minute.output))} out`, columns(hour, tokens, compact)),
  ];
}

function provider(one) {
  const [tone, word] = STATES[one.state];
  return h(
    "li",
    { key: one.name, class: "provider", "data-tone": tone, "data-provider": one.name },
    mark(tone),
    h("span", { class: "who" }, one.name),
    h("span", { class: "how" }, word),
    h("span", { class: "muted last" }, one.lastCheck ? `${one.responseMs ? `${duration(one.responseMs)}, ` : ""}${when(one.lastCheck)}` : "not asked yet"),
    one.reason && h("span", { class: "reason" }, one.reason),
  );
}

function route({ name, targets }) {
  const words = targets.flatMap((target, index) => [index > 0 && h("span", { class: "muted" }, " else "), h("code", {}, target.replace(/,$/, ""))]);
  return h("li", { key: name }, h("span", { class: "who" }, name), h("span", {}, h("span", { class: "muted", "aria-hidden": "true" }, "→ "), words));
}

function budget(one) {
  const share = Math.min(1, one.spent_tokens / one.limit_tokens);
  const tone = share >= 1 ? "bad" : share > 0.8 ? "warn" : "good";
  return h(
    "div",
    { key: `${one.key} ${one.window}`, class: "budget", "data-tone": tone },
    h("span", {}, h("code", {}, one.key), ` ${one.window === "day" ? "today" : "this month"}`),
    h("svg", { viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" }, h("rect", { class: "ground", width: 100, height: 4 }), h("rect", { class: "part", width: (100 * share).toFixed(1), height: 4 })),
    h("span", { class: "muted" }, `${compact(one.spent_tokens)} of ${compact(one.limit_tokens)} tokens`),
  );
}

const COLUMNS = [
  ["Model", (row) => h("span", {}, [row.provider, row.model].filter(Boolean).join(", ") || "refused before any was asked")],
  ["Requests", (row) => compact(row.requests)],
  ["Failed", (row) => row.failed && compact(row.failed)],
  ["Tokens in", (row) => compact(row.input_tokens)],
  ["From cache", (row) => row.cache_read_input_tokens && compact(row.cache_read_input_tokens)],
  ["Tokens out", (row) => compact(row.output_tokens)],
  ["First byte", (row) => row.average_first_byte_ms != null && duration(row.average_first_byte_ms)],
  ["Whole answer", (row) => row.average_total_ms != null && duration(row.average_total_ms)],
];

function usageTable({ rows, totals }) {
  const busiest = [...rows].sort((one, other) => other.requests - one.requests).slice(0, MOST_MODELS);
  const line = (row, key) => h("tr", { key }, COLUMNS.map(([, cell], index) => h(index ? "td" : "th", index ? {} : { scope: "row" }, key === "total" && !index ? "everything" : cell(row) || "–")));
  return [
    h("thead", {}, h("tr", {}, COLUMNS.map(([title]) => h("th", { scope: "col" }, title)))),
    h("tbody", {}, busiest.map((row) => line(row, `${row.provider} ${row.model}`))),
    h("tfoot", {}, line(totals, "total")),
  ].map((part) => (busiest.length || part.tag !== "tbody" ? part : h("tbody", {}, h("tr", {}, h("td", { colspan: COLUMNS.length, class: "muted" }, "nothing yet")))));
}

// Life

function drawLink() {
  const lost = events.readyState !== EventSource.OPEN || (heardAt && Date.now() - heardAt > SILENCE_MS);
  const link = byId("link");
  link.dataset.state = lost ? (heardAt ? "lost" : "idle") : "live";
  link.textContent = !lost ? "live" : heardAt ? `no word from the gateway for ${lasting(Date.now() - heardAt)}` : "connecting…";
  byId("main").toggleAttribute("data-stale", Boolean(lost && heardAt));
}

function draw() {
  drawLink();
  if (!shown) return;
  const [tone, sentence, reason] = verdict(shown);
  const { requests, replicas } = shown;
  byId("verdict").dataset.tone = tone;
  const facts = [
    `${plural(requests.total, "request")} since it started${requests.failed ? `, ${requests.failed} failed` : ""}`,
    `${requests.running} running`,
    replicas.all > 1 && `${replicas.serving} of ${replicas.all} replicas serve`,
    shown.keyNeeded ? "a key is needed" : "no key: only this machine may ask",
  ];
  patch(byId("verdict"), [h("h1", {}, sentence), reason && h("p", { class: "why" }, reason), h("p", {}, facts.filter(Boolean).join(" · "))]);
  document.title = `${tone === "bad" ? "✕ " : ""}${sentence} · Pulsegate`;
  patch(byId("charts"), charts(shown.minutes));
  patch(byId("providers"), shown.providers.map(provider));
  patch(byId("routes"), shown.routes.length ? shown.routes.map(route) : [h("li", { class: "muted" }, "none: who lists the model answers, then the embedded model")]);
  patch(byId("budgets"), shown.budgets.map(budget));
  offerModels([...new Set(["local", ...shown.routes.map((one) => one.name), ...(spent?.rows ?? []).filter((row) => row.provider && row.model).map((row) => `${row.provider},${row.model}`)])]);
  patch(byId("foot"), [
    shown.startedAt && h("span", {}, `version ${shown.version}, up ${lasting(now() - Date.parse(shown.startedAt))}`),
    h("a", { href: "status" }, "status"),
    h("a", { href: "usage?by=day,model,key" }, "usage as JSON"),
    h("a", { href: "docs" }, "all routes"),
  ]);
}

let events;
function connect() {
  events = new EventSource("ui/events");
  events.addEventListener("board", (event) => {
    shown = JSON.parse(event.data);
    heardAt = Date.now();
    skewMs = heardAt - Date.parse(shown.time);
    draw();
  });
  events.addEventListener("error", () => {
    drawLink();
    // After an answer that is no stream a browser does not try again by itself.
    if (events.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  });
}

async function readUsage() {
  if (document.hidden) return;
  try {
    const answer = await fetch("usage?by=provider,model", { cache: "no-store" });
    const told = await answer.json();
    byId("usage-note").textContent = answer.ok ? "" : told.error.message;
    if (answer.ok) {
      spent = told;
      patch(byId("usage"), usageTable(spent));
    }
  } catch {
    byId("usage-note").textContent = "The gateway does not answer.";
  }
}

chooseTheme(byId("theme"));
start();
connect();
readUsage();
setInterval(draw, 1000);
setInterval(readUsage, USAGE_MS);
