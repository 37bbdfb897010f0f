// The least of a Symple v4 client: no reconnection, one call at a time.

export function join({ url, user, token, video }) {
  const seen = { peers: [], state: [], errors: [] };
  const socket = new WebSocket(url);
  let address = "";
  let callee = "";
  let connection = null;
  let media = null;

  const say = (message) => socket.send(JSON.stringify(message));
  const call = (subtype, data = {}) => say({ type: "message", id: "1", from: address, to: callee, subtype, data });

  async function offer() {
    connection = new RTCPeerConnection({ iceServers: [] });
    connection.onicecandidate = ({ candidate }) => candidate && call("call:candidate", candidate.toJSON());
    connection.ontrack = ({ track }) => {
      video.srcObject ??= new MediaStream();
      video.srcObject.addTrack(track);
      video.play();
    };
    connection.onconnectionstatechange = () => connection.connectionState === "connected" && seen.state.push("active");
    if (media) for (const track of media.getTracks()) connection.addTransceiver(track, { direction: "sendonly" });
    else for (const kind of ["audio", "video"]) connection.addTransceiver(kind, { direction: "recvonly" });
    await connection.setLocalDescription();
    call("call:offer", { type: "offer", sdp: connection.localDescription.sdp });
  }

  function end(reason) {
    if (!connection) return;
    seen.state.push(`ended ${reason}`);
    connection.close();
    connection = null;
    video.srcObject = null;
  }

  const heard = {
    welcome: ({ peer }) => {
      address = `${peer.user}|${peer.id}`;
      seen.state.push("online");
      say({ type: "presence", from: address, probe: true, data: peer });
    },
    presence: ({ data }) => data.online && seen.peers.push(data),
    error: ({ status, message }) => seen.errors.push(`${status} ${message}`),
    "call:accept": () => {
      seen.state.push("accepted");
      offer();
    },
    "call:reject": ({ data }) => seen.state.push(`rejected ${data.reason}`),
    "call:answer": ({ data }) => connection.setRemoteDescription(data),
    "call:hangup": ({ data }) => end(data.reason),
  };

  socket.onopen = () => say({ type: "auth", user, name: "Browser", token, data: { peerType: "viewer" } });
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    heard[message.subtype ?? message.type]?.(message);
  };
  socket.onclose = () => seen.state.push("offline");

  function begin(peer) {
    callee = `${peer.user}|${peer.id}`;
    call("call:init");
  }

  return {
    seen,
    watch: begin,
    broadcast: async (peer, audio) => {
      media = await navigator.mediaDevices.getUserMedia({ video: true, audio });
      begin(peer);
    },
    hangup: () => {
      call("call:hangup", { reason: "hangup" });
      end("hangup");
    },
    connection: () => connection,
    cut: () => socket.close(),
  };
}
