// Symple v4 by WebSocket for as long as the page lives: a socket that is lost is opened again, for ever.

import { token } from "./ask.js";

const RETRY_MS = [250, 500, 1000, 2000, 4000];
const WELCOME_MS = 20000; // the gateway itself waits 15 s for a server that restarts

const random = () => crypto.getRandomValues(new Uint32Array(1))[0].toString(36);

export class Symple {
  // Listeners hear "state" ("connecting", "online" or "refused"), "peers", and "message".
  constructor(url, name) {
    this.url = url;
    this.name = name;
    this.user = `browser-${random()}`;
    this.address = "";
    this.peers = new Map();
    this.listeners = {};
    this.attempts = 0;
    this.socket = null;
    addEventListener("online", () => this.state === "connecting" && this.open());
    addEventListener("offline", () => this.socket && this.again());
  }

  on(type, listener) {
    (this.listeners[type] ??= []).push(listener);
  }

  tell(type, what) {
    for (const listener of this.listeners[type] ?? []) listener(what);
  }

  become(state) {
    this.state = state;
    this.tell("state", state);
  }

  open() {
    this.drop();
    this.become("connecting");
    const socket = new WebSocket(this.url);
    this.socket = socket;
    this.timer = setTimeout(() => this.again(), WELCOME_MS);
    socket.onopen = () => this.write({ type: "auth", user: this.user, name: this.name, token, data: { peerType: "viewer" } });
    socket.onmessage = ({ data }) => this.hear(JSON.parse(data));
    socket.onclose = () => this.socket === socket && this.again();
  }

  // Leave the socket for good; what it still says is not heard.
  drop() {
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  again() {
    this.drop();
    this.peers.clear();
    this.become("connecting");
    this.tell("peers");
    const pause = RETRY_MS[Math.min(this.attempts++, RETRY_MS.length - 1)];
    this.timer = setTimeout(() => this.open(), pause * (0.75 + Math.random() / 2));
  }

  write(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  send(message) {
    if (this.state === "online") this.write({ type: "message", id: random(), from: this.address, ...message });
  }

  hear(message) {
    if (message.type === "welcome") this.welcome(message.peer);
    else if (message.type === "presence") this.meet(message.data);
    else if (message.type === "message") this.tell("message", message);
    else if (message.type === "error" && message.status === 401) {
      this.drop();
      this.peers.clear();
      this.become("refused");
      this.tell("peers");
    }
  }

  welcome({ user, id }) {
    clearTimeout(this.timer);
    this.attempts = 0;
    this.address = `${user}|${id}`;
    this.peers.clear();
    this.become("online");
  }

  meet(peer) {
    if (peer.online) this.peers.set(peer.id, peer);
    else this.peers.delete(peer.id);
    this.tell("peers");
  }
}
