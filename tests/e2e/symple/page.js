// Joins as a browser does, by the client that the query names, and leaves the rest to the test.

const asked = new URLSearchParams(location.search);
const { join } = await import(`./${asked.get("client")}.js`);
const url = location.origin.replace("http", "ws");

window.symple = join({
  url: asked.get("token") ? `${url}/ws` : url,
  user: asked.get("user"),
  token: asked.get("token") ?? "",
  video: document.getElementById("video"),
});
