// Plays the stream over WHEP and shows what /api/status says; every address is relative, so a path prefix works too.

const byId = (id) => document.getElementById(id);
const video = byId("video");
const watch = byId("watch");
const sound = byId("sound");
const notice = byId("notice");

const STATUS_EVERY_MS = 2000;
const RETRY_MS = [500, 1000, 2000];
const GRAPH_POINTS = 61;

let token = sessionStorage.getItem("token") ?? "";
let wanted = false;
let retries = 0;
let session = null;

function ask(path, options = {}) {
  const headers = new Headers(options.headers);
  if (token) headers.set("Authorization", `Bearer ${token}`);
  return fetch(path, { ...options, headers, signal: AbortSignal.timeout(10000) });
}

class Refused extends Error {}

class Session {
  constructor() {
    this.peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.began = performance.now();
    this.ended = false;
    this.before = null;
  }

  async open() {
    const media = new MediaStream();
    this.peer.addTransceiver("video", { direction: "recvonly" });
    this.peer.addTransceiver("audio", { direction: "recvonly" });
    this.peer.ontrack = (event) => {
      media.addTrack(event.track);
      if ("jitterBufferTarget" in event.receiver) event.receiver.jitterBufferTarget = 0;
    };
    this.peer.onconnectionstatechange = () => {
      if (["failed", "disconnected", "closed"].includes(this.peer.connectionState)) this.lost();
    };
    await this.peer.setLocalDescription();
    const answer = await ask("whep", {
      method: "POST",
      headers: { "Content-Type": "application/sdp", Accept: "application/sdp" },
      body: this.peer.localDescription.sdp,
    });
    if (!answer.ok) throw new Refused(answer.status === 401 ? "A token is needed." : `The server answered ${answer.status}.`);
    this.location = new URL(answer.headers.get("Location"), answer.url).href;
    await this.peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
    if (this.ended) return this.forget();
    video.srcObject = media;
    video.requestVideoFrameCallback((now) => {
      byId("first").textContent = `${Math.round(now - this.began)} ms`;
      notice.hidden = true;
      retries = 0;
    });
    await video.play();
  }

  lost() {
    if (this.ended) return;
    this.location = null;
    this.close();
    again("The connection was lost.");
  }

  close() {
    this.ended = true;
    this.forget();
  }

  // The session is deleted before the peer says goodbye by itself; the other way round it would be gone already.
  forget() {
    const location = this.location;
    this.location = null;
    const deleted = location ? ask(location, { method: "DELETE", keepalive: true }) : Promise.resolve();
    deleted.catch(() => {}).finally(() => this.peer.close());
  }

  async measure() {
    const reports = [...(await this.peer.getStats()).values()];
    const now = reports.find((one) => one.type === "inbound-rtp" && one.kind === "video");
    const bytes = reports.filter((one) => one.type === "inbound-rtp").reduce((sum, one) => sum + one.bytesReceived, 0);
    if (!now) return;
    byId("size").textContent = now.frameWidth ? `${now.frameWidth}×${now.frameHeight}` : "–";
    byId("fps").textContent = now.framesPerSecond ?? "–";
    byId("lost").textContent = now.packetsLost;
    byId("freezes").textContent = now.freezeCount ?? 0;
    if (this.before) {
      const seconds = (now.timestamp - this.before.timestamp) / 1000;
      byId("rate").textContent = (((bytes - this.before.bytes) * 8) / seconds / 1e6).toFixed(2);
    }
    this.before = { timestamp: now.timestamp, bytes };
  }
}

async function start() {
  const mine = new Session();
  session = mine;
  notice.hidden = false;
  notice.textContent = "Connecting…";
  try {
    await mine.open();
  } catch (error) {
    if (mine.ended) return;
    mine.close();
    again(error instanceof Refused ? error.message : "The server cannot be reached.");
  }
}

function again(reason) {
  notice.hidden = false;
  if (!wanted) return;
  notice.textContent = `${reason} Trying again…`;
  setTimeout(() => wanted && start(), RETRY_MS[Math.min(retries++, RETRY_MS.length - 1)]);
}

function show() {
  watch.textContent = wanted ? "Stop" : "Watch";
  sound.disabled = !wanted;
  sound.textContent = video.muted ? "Sound on" : "Sound off";
}

watch.onclick = () => {
  wanted = !wanted;
  show();
  if (wanted) {
    retries = 0;
    start();
    return;
  }
  session?.close();
  session = null;
  video.srcObject = null;
  notice.hidden = false;
  notice.textContent = "Press Watch to see the stream.";
  for (const id of ["size", "fps", "rate", "lost", "freezes", "first"]) byId(id).textContent = "–";
};

sound.onclick = () => {
  video.muted = !video.muted;
  show();
};

addEventListener("pagehide", () => {
  session?.close();
  session?.peer.close();
});

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

// Links are plain, so they carry the token where there is one.
function fileUrl(url) {
  return token ? `${url}?token=${encodeURIComponent(token)}` : url;
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

function showMode(mode) {
  watch.disabled = mode === "record";
  if (mode === "record" && !wanted) notice.textContent = "This server records what is published to it.";
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
    byId("source").textContent = status.stream.source;
    for (const key of ["active", "total", "peak", "failed"]) byId(key).textContent = status.sessions[key];
    graph(status.sessions.active);
    list("checks", status.checks.map(checkRow));
    list("warnings", status.warnings.map(warningRow));
    byId("recording").hidden = !status.recordings.active;
    byId("recording").textContent = `${status.recordings.active} running`;
    showMode(status.mode);
    showDetection(status.intelligenceDetail);
    await refreshFiles();
  } catch {
    tell("unreachable", "error");
  }
}

byId("token-form").onsubmit = (event) => {
  event.preventDefault();
  token = byId("token").value;
  sessionStorage.setItem("token", token);
  refresh();
};

async function loop() {
  for (;;) {
    if (!document.hidden) await refresh();
    if (session && !session.ended) await session.measure().catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, STATUS_EVERY_MS));
  }
}

show();
loop();
