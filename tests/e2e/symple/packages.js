// The published packages, as their documentation has them used.

import SympleClient from "symple-client";
import { CallManager } from "symple-player";

export function join({ url, user, token, video }) {
  const client = new SympleClient({ url, token, peer: { user, name: "Browser", type: "viewer" } });
  const calls = new CallManager(client, video, { rtcConfig: { iceServers: [] } });
  const seen = { peers: [], state: [], errors: [] };
  client.on("addPeer", (peer) => seen.peers.push({ ...peer }));
  client.on("connect", () => seen.state.push("online"));
  client.on("disconnect", () => seen.state.push("offline"));
  for (const name of ["accepted", "active"]) calls.on(name, () => seen.state.push(name));
  calls.on("rejected", (peer, reason) => seen.state.push(`rejected ${reason}`));
  calls.on("ended", (peer, reason) => seen.state.push(`ended ${reason}`));
  calls.on("error", (error) => seen.errors.push(String(error?.message ?? error)));
  client.connect();
  return {
    seen,
    watch: (peer) => calls.call(`${peer.user}|${peer.id}`, { localMedia: false, receiveMedia: true }),
    broadcast: (peer, audio) =>
      calls.call(`${peer.user}|${peer.id}`, { receiveMedia: false, mediaConstraints: { video: true, audio } }),
    hangup: () => calls.hangup(),
    connection: () => calls.player?.pc,
    cut: () => client.shutdown(),
  };
}
