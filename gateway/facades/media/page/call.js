// One call to the server by Symple: it sends a camera where one is given, and is sent the stream otherwise.

const ANSWER_MS = 15000;
const RECOVERY_MS = 5000;

export class Call {
  // `on` has `connected()`, `tracks(media)` and `ended(reason)`; the last is told once, and not of a hang-up of one's own.
  constructor(client, callee, { iceServers, camera, on }) {
    this.client = client;
    this.callee = `${callee.user}|${callee.id}`;
    this.camera = camera;
    this.on = on;
    this.ended = false;
    this.before = null;
    this.pc = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers });
    this.pc.onicecandidate = ({ candidate }) => candidate?.candidate && this.say("call:candidate", candidate.toJSON());
    this.pc.onconnectionstatechange = () => this.follow(this.pc.connectionState);
    this.patience = setTimeout(() => this.lose("The server does not answer."), ANSWER_MS);
    this.say("call:init", {});
  }

  say(subtype, data) {
    this.client.send({ to: this.callee, subtype, data });
  }

  // Hear what the callee says about this call.
  hear({ subtype, data = {} }) {
    if (subtype === "call:accept") this.offer().catch((error) => this.lose(error.message));
    else if (subtype === "call:answer") this.pc.setRemoteDescription(data).catch((error) => this.lose(error.message));
    else if (subtype === "call:reject") this.finish(data.reason === "capacity" ? "The server is full." : `The server refused: ${data.reason}.`);
    else if (subtype === "call:hangup") this.finish(`The server hung up: ${data.reason}.`);
  }

  async offer() {
    if (this.camera) {
      for (const track of this.camera.getTracks()) this.pc.addTransceiver(track, { direction: "sendonly", streams: [this.camera] });
    } else {
      const media = new MediaStream();
      for (const kind of ["video", "audio"]) this.pc.addTransceiver(kind, { direction: "recvonly" });
      this.pc.ontrack = ({ track, receiver }) => {
        media.addTrack(track);
        if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
        this.on.tracks(media);
      };
    }
    await this.pc.setLocalDescription();
    this.say("call:offer", { type: "offer", sdp: this.pc.localDescription.sdp });
  }

  follow(state) {
    clearTimeout(this.recovery);
    if (state === "connected") {
      clearTimeout(this.patience);
      this.on.connected();
    } else if (state === "disconnected") this.recovery = setTimeout(() => this.lose("The connection was lost."), RECOVERY_MS);
    else if (state === "failed") this.lose("The connection was lost.");
  }

  // Use another camera without a new call.
  replaceVideo(track) {
    const sender = this.pc.getSenders().find((one) => one.track?.kind === "video");
    return sender?.replaceTrack(track);
  }

  lose(reason) {
    if (this.ended) return;
    this.hangUp();
    this.on.ended(reason);
  }

  finish(reason) {
    if (this.ended) return;
    this.close();
    this.on.ended(reason);
  }

  hangUp() {
    this.say("call:hangup", { reason: "hangup" });
    this.close();
  }

  close() {
    this.ended = true;
    clearTimeout(this.patience);
    clearTimeout(this.recovery);
    this.pc.close();
  }

  // What goes over the wire now, as the page shows it; undefined before there is any.
  async measure() {
    const reports = await this.pc.getStats();
    const all = [...reports.values()];
    const direction = this.camera ? "outbound-rtp" : "inbound-rtp";
    const now = all.find((one) => one.type === direction && one.kind === "video");
    if (!now) return undefined;
    const bytes = all.filter((one) => one.type === direction).reduce((sum, one) => sum + (one.bytesSent ?? one.bytesReceived), 0);
    const before = this.before;
    this.before = { timestamp: now.timestamp, bytes };
    const lost = this.camera ? all.find((one) => one.type === "remote-inbound-rtp" && one.kind === "video")?.packetsLost : now.packetsLost;
    return {
      "codec-value": reports.get(now.codecId)?.mimeType.replace("video/", ""),
      size: now.frameWidth && `${now.frameWidth}×${now.frameHeight}`,
      fps: now.framesPerSecond,
      rate: before && (((bytes - before.bytes) * 8) / (now.timestamp - before.timestamp) / 1000).toFixed(2),
      lost,
      freezes: now.freezeCount,
    };
  }
}
