// The stage: who is here, and the one call that watches the server or broadcasts to it, kept up until it is hung up.

import { ask, fileUrl } from "./ask.js";
import { Call } from "./call.js";
import { cameras, changeCamera, openCamera } from "./camera.js";
import { Symple } from "./symple.js";

const RETRY_MS = [500, 1000, 2000, 4000];
const MOST_EVENTS = 30;
const NUMBERS = { "codec-value": "—", size: "–", fps: "–", rate: "–", lost: "–", freezes: "–", first: "–" };
const STATES = { connecting: "connecting…", online: "online", refused: "token needed" };

const byId = (id) => document.getElementById(id);
const video = byId("remote-video");
const hangUpButton = byId("btn-hangup");

const address = new URL("ws", location.href);
address.protocol = address.protocol.replace("http", "ws");
export const client = new Symple(address.href, "Browser");

let wanted = null; // "Watch" or "Broadcast", from the click until the hang-up
let call = null;
let camera = null;
let retries = 0;
let retry = 0;
let awake = null;
let asking = false; // for what a call needs
let waiting = false; // for the server to be there
let said = ""; // why there is no call though one was wanted, until the next

class Refused extends Error {}

// What tests and curious people look at.
window.__mediaServerState = {
  client,
  calls: {
    get player() {
      return call;
    },
  },
};

const server = () => [...client.peers.values()].find((peer) => peer.type === "server");

function actions({ capabilities = [] }) {
  return [capabilities.includes("view") && "Watch", capabilities.includes("publish") && "Broadcast"].filter(Boolean);
}

function say(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

function invitation() {
  const peer = server();
  if (!peer) return client.state === "refused" ? "This server asks for a token." : "Connecting to the server…";
  const able = actions(peer);
  if (able.length === 2) return "Press Watch to see what is broadcast here, or Broadcast to send your own camera.";
  return able[0] === "Broadcast" ? "Press Broadcast to send your camera; this server records it." : "Press Watch to see the stream.";
}

// Buttons are kept while they mean the same, so the keyboard's focus survives.
function showPeers() {
  const peer = server();
  const roster = byId("peer-list");
  const described = peer ? JSON.stringify([peer.id, peer.name, actions(peer)]) : "";
  if (roster.dataset.described !== described) {
    roster.dataset.described = described;
    roster.replaceChildren(...(peer ? [peerRow(peer)] : []));
  }
  for (const button of roster.querySelectorAll("button")) {
    const mine = button.dataset.action === wanted;
    button.textContent = mine && !inCall() ? "Cancel" : button.dataset.action;
    button.disabled = Boolean(wanted) && !(mine && !inCall());
    button.setAttribute("aria-pressed", String(mine));
  }
  const others = [...client.peers.values()].filter((one) => one.type !== "server").length;
  byId("others").textContent = others ? `and ${others} ${others === 1 ? "other visitor" : "others"}` : "";
  if (!wanted && !said) say(invitation());
}

function peerRow(peer) {
  const row = document.createElement("li");
  const name = document.createElement("span");
  name.textContent = peer.name;
  row.append(name, ...actions(peer).map(actionButton));
  return row;
}

function actionButton(action) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.action = action;
  button.textContent = action;
  button.onclick = () => (wanted ? stop() : begin(action));
  return button;
}

const inCall = () => !byId("controls").classList.contains("is-hidden");

function showControls(shown) {
  byId("controls").classList.toggle("is-hidden", !shown);
  byId("camera").hidden = byId("camera").options.length < 2 || !camera;
  showPeers();
  showSound();
}

async function begin(action) {
  wanted = action;
  said = "";
  retries = 0;
  showPeers();
  if (action === "Broadcast") {
    say("Asking for the camera…");
    try {
      const opened = await openCamera();
      if (wanted !== action) return opened.getTracks().forEach((track) => track.stop());
      await useCamera(opened);
    } catch (error) {
      return stop(error.message);
    }
  }
  awake = await navigator.wakeLock?.request("screen").catch(() => null);
  if (wanted !== action) return awake?.release();
  connect();
}

async function useCamera(media) {
  camera = media;
  const [track] = media.getVideoTracks();
  track.onended = () => stop("The camera was taken away.");
  video.muted = true;
  video.srcObject = media;
  video.setAttribute("aria-label", "Your camera");
  const options = (await cameras()).map(({ deviceId, label }, at) => new Option(label || `Camera ${at + 1}`, deviceId));
  byId("camera").replaceChildren(...options);
  byId("camera").value = track.getSettings().deviceId;
}

// The server sees by itself where a browser calls from, so no STUN server of a third party is asked.
async function iceServers() {
  const answer = await ask("api/config");
  if (!answer.ok) throw new Refused(answer.status === 401 ? "A token is needed." : `The server answered ${answer.status}.`);
  const { turn } = await answer.json();
  if (!turn.enabled) return [];
  const everywhere = ["", "0.0.0.0", "::"].includes(turn.host);
  const host = everywhere ? location.hostname : turn.host.includes(":") ? `[${turn.host}]` : turn.host;
  const urls = ["udp", "tcp"].map((transport) => `turn:${host}:${turn.port}?transport=${transport}`);
  return [{ urls, username: turn.username, credential: turn.credential }];
}

async function connect() {
  clearTimeout(retry);
  const action = wanted;
  if (!action || call || asking) return;
  waiting = client.state !== "online" || !server(); // its presence leads here again
  if (waiting) return say("Connecting to the server…");
  if (!actions(server()).includes(action)) return stop(`${action} is not what this server is for any more.`);
  say("Connecting…");
  const began = performance.now();
  asking = true;
  const servers = await iceServers().catch((error) => error);
  asking = false;
  if (wanted !== action || client.state !== "online" || !server()) return connect();
  if (servers instanceof Error) return ended(servers instanceof Refused ? servers.message : "The server does not answer.");
  call = new Call(client, server(), { iceServers: servers, camera, on: { connected, tracks: (media) => play(media, began), ended } });
}

function connected() {
  retries = 0;
  say(camera || video.videoWidth ? "" : "Waiting for the first picture…");
  const first = !inCall();
  showControls(true);
  if (first && byId("peer-list").contains(document.activeElement)) hangUpButton.focus();
  if (first && document.activeElement === document.body) hangUpButton.focus({ preventScroll: true });
}

function play(media, began) {
  if (video.srcObject === media) return;
  video.srcObject = media;
  video.setAttribute("aria-label", "The stream");
  video.requestVideoFrameCallback?.((now) => {
    byId("first").textContent = `${Math.round(now - began)} ms`;
    if (call) say("");
  });
  video.play().catch(() => {}); // a page that is left or a newer call is no fault
}

function ended(reason) {
  call = null;
  if (!wanted) return;
  say(`${reason} Trying again…`);
  retry = setTimeout(connect, RETRY_MS[Math.min(retries++, RETRY_MS.length - 1)]);
}

function stop(reason = "") {
  const focused = byId("controls").contains(document.activeElement);
  const action = wanted;
  wanted = null;
  waiting = false;
  clearTimeout(retry);
  call?.hangUp();
  call = null;
  awake?.release();
  awake = null;
  for (const track of camera?.getTracks() ?? []) {
    track.onended = null;
    track.stop();
  }
  camera = null;
  video.srcObject = null;
  for (const [id, nothing] of Object.entries(NUMBERS)) byId(id).textContent = nothing;
  said = reason;
  showControls(false);
  say(reason || invitation());
  if (focused) byId("peer-list").querySelector(`[data-action="${action}"]`)?.focus();
}

function showSound() {
  if (camera) {
    const [microphone] = camera.getAudioTracks();
    byId("sound").disabled = !microphone;
    byId("sound").textContent = microphone?.enabled ? "Microphone off" : "Microphone on";
  } else {
    byId("sound").disabled = false;
    byId("sound").textContent = video.muted ? "Sound on" : "Sound off";
  }
}

hangUpButton.onclick = () => stop();

byId("sound").onclick = () => {
  if (camera) for (const track of camera.getAudioTracks()) track.enabled = !track.enabled;
  else video.muted = !video.muted;
  showSound();
};

byId("camera").onchange = async ({ target }) => {
  try {
    const track = await changeCamera(camera, target.value);
    track.onended = () => stop("The camera was taken away.");
    await call?.replaceVideo(track);
  } catch (error) {
    stop(`That camera cannot be used: ${error.message}`);
  }
};

client.on("state", (state) => {
  byId("status").textContent = STATES[state];
  byId("status").className = `pill status status--${state}`;
  if (state === "online" || !call) return;
  call.close(); // the server ends the calls of a socket that is gone
  ended("The connection to the server was lost.");
});

client.on("peers", () => {
  showPeers();
  if (waiting && server()) connect();
});

client.on("message", (message) => {
  if (message.from === call?.callee && message.subtype?.startsWith("call:")) call.hear(message);
  else if (message.subtype === "call:init") client.send({ to: message.from, subtype: "call:reject", data: { reason: "unavailable" } });
  else if (message.from?.endsWith(`|${server()?.id}`) && message.subtype?.startsWith("icey:")) showEvent(message);
});

function showEvent({ subtype, data }) {
  const what = { "icey:vision": motion, "icey:speech": speech }[subtype]?.(data);
  if (!what) return;
  const row = document.createElement("li");
  row.className = "event-item";
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString();
  row.append(time, ...what);
  byId("events-panel").hidden = false;
  byId("event-list").prepend(row);
  while (byId("event-list").children.length > MOST_EVENTS) byId("event-list").lastChild.remove();
}

function motion({ data }) {
  const kept = ["snapshot", "clip"].filter((kind) => data[kind]?.url.startsWith("/artifacts/"));
  return [`Motion ${Math.round(data.score * 100)} %`, ...kept.map((kind) => link(kind, data[kind].url.slice(1)))];
}

function speech({ type, level }) {
  if (type === "speech:start") return [`Speech begins, level ${level.toFixed(2)}`];
  return type === "speech:end" ? ["Speech ends"] : null; // what comes between says nothing new
}

function link(text, url) {
  const element = document.createElement("a");
  element.href = fileUrl(url);
  element.target = "_blank";
  element.textContent = text;
  return element;
}

export async function measure() {
  const seen = await call?.measure();
  for (const [id, value] of Object.entries(seen ?? {})) byId(id).textContent = value || value === 0 ? value : NUMBERS[id];
}

// So that the server does not wait for a page that is gone.
addEventListener("pagehide", () => call?.hangUp());
