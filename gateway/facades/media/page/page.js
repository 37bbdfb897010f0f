// Shows what /api/status says; the stage, which watches and broadcasts, is in stage.js.

import { ask, fileUrl, useToken } from "./ask.js";
import { client, measure } from "./stage.js";

const byId = (id) => document.getElementById(id);

const STATUS_EVERY_MS = 2000;
const GRAPH_POINTS = 61;

function list(id, rows) {
  byId(id).replaceChildren(...rows);
}

function checkRow(check) {
  const row = document.createElement("li");
  const result = document.createElement("b");
  result.className = check.result;
  result.textContent = check.result;
  const text = document.createElement("span");
  text.textContent = check.name;
  const detail = document.createElement("small");
  detail.textContent = check.detail;
  text.append(detail);
  row.append(result, text);
  return row;
}

function warningRow(text) {
  const row = document.createElement("li");
  row.textContent = text;
  return row;
}

const history = [];

function graph(active) {
  history.push(active);
  if (history.length > GRAPH_POINTS) history.shift();
  const most = Math.max(1, ...history);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  const first = GRAPH_POINTS - history.length;
  line.setAttribute("points", history.map((value, at) => `${(first + at) * 2},${30 - (28 * value) / most}`).join(" "));
  byId("graph").replaceChildren(line);
}

function uptime(seconds) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = parts.findIndex(([size]) => seconds >= size);
  if (at === -1) return "just started";
  const [[size, unit], next] = [parts[at], parts[at + 1]];
  const rest = next ? Math.floor((seconds % size) / next[0]) : 0;
  return `up ${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${next[1]}` : ""}`;
}

function size(bytes) {
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.ceil(bytes / 1e3)} kB`;
}

function fileRow(file) {
  const row = document.createElement("li");
  const link = document.createElement("a");
  link.href = fileUrl(file.url);
  link.textContent = file.name;
  link.onclick = (event) => {
    if (!file.name.endsWith(".mp4")) return;
    event.preventDefault();
    byId("player").hidden = false;
    byId("player").src = link.href;
    byId("player").play().catch(() => {});
  };
  const facts = document.createElement("small");
  facts.className = "quiet";
  const when = new Date(file.modifiedAt).toLocaleString();
  facts.textContent = file.active ? `${size(file.sizeBytes)} · being recorded` : `${size(file.sizeBytes)} · ${when}`;
  row.append(link, facts);
  return row;
}

let listed = "";

async function refreshFiles() {
  const answer = await ask("api/artifacts");
  if (!answer.ok) return;
  const { artifacts } = await answer.json();
  byId("recordings-panel").hidden = artifacts.length === 0;
  const now = JSON.stringify(artifacts);
  if (now === listed) return;
  listed = now;
  list("recordings", artifacts.map(fileRow));
}

function showDetection({ vision, speech }) {
  byId("detection-panel").hidden = !(vision.enabled || speech.enabled);
  byId("sampled").textContent = vision.enabled ? `${vision.sampledFps ?? 0}/s` : "off";
  byId("motion").textContent = vision.detectorEmitted ?? 0;
  byId("speech").textContent = speech.enabled ? (speech.vadActive ? "now" : speech.detectorEmitted ?? 0) : "off";
  byId("queue-dropped").textContent = (vision.queueDropped ?? 0) + (speech.queueDropped ?? 0);
  byId("snapshots").textContent = vision.snapshots ?? 0;
  byId("clips").textContent = vision.clips ?? 0;
  byId("snapshot-link").hidden = !vision.lastSnapshotUrl;
  if (!vision.lastSnapshotUrl) return;
  const url = fileUrl(vision.lastSnapshotUrl.slice(1));
  if (byId("snapshot").getAttribute("src") === url) return;
  byId("snapshot").src = url;
  byId("snapshot-link").href = url;
}

function tell(verdict, className = verdict) {
  byId("verdict").textContent = verdict;
  byId("verdict").className = `pill ${className}`;
}

async function refresh() {
  try {
    const answer = await ask("api/status");
    byId("token-form").hidden = answer.status !== 401;
    if (answer.status === 401) return tell("token needed", "warn");
    const status = await answer.json();
    tell(status.status);
    byId("name").textContent = status.peer.name || "Icey Server";
    byId("runtime").textContent = `${status.mode} · ${status.runtime.state} · ${uptime(status.uptimeSec)} · ${status.version}`;
    byId("source").textContent = status.mode === "stream" ? status.stream.source : "";
    for (const key of ["active", "total", "peak", "failed"]) byId(key).textContent = status.sessions[key];
    graph(status.sessions.active);
    list("checks", status.checks.map(checkRow));
    list("warnings", status.warnings.map(warningRow));
    byId("recording").hidden = !status.recordings.active;
    byId("recording").textContent = `${status.recordings.active} running`;
    showDetection(status.intelligenceDetail);
    await refreshFiles();
  } catch {
    tell("unreachable", "error");
  }
}

byId("token-form").onsubmit = (event) => {
  event.preventDefault();
  useToken(byId("token").value);
  client.open();
  refresh();
};

async function loop() {
  for (;;) {
    if (!document.hidden) await refresh();
    await measure().catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, STATUS_EVERY_MS));
  }
}

client.open();
loop();
