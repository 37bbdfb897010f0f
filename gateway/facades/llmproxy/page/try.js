// The box that asks a model and shows its answer while it is written.

const byId = (id) => document.getElementById(id);
let asking = null;

class Refused extends Error {}

function fail(text) {
  byId("wrong").textContent = text;
}

export function offerModels(names) {
  const list = byId("models");
  const known = [...list.children].map((option) => option.value);
  if (known.join() === names.join()) return;
  list.replaceChildren(...names.map((name) => Object.assign(document.createElement("option"), { value: name })));
}

// Yield the events of an answer as they come.
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (text + value).split("\n\n");
    text = events.pop();
    for (const event of events) {
      const data = event.split("\n").find((line) => line.startsWith("data: "));
      if (data) yield JSON.parse(data.slice(6));
    }
  }
}

async function ask(signal) {
  const headers = { "Content-Type": "application/json", "anthropic-version": "2023-06-01" };
  if (byId("key").value) headers["x-api-key"] = byId("key").value;
  const body = { model: byId("model").value, max_tokens: 1024, stream: true, messages: [{ role: "user", content: byId("prompt").value }] };
  const began = performance.now();
  // No credentials: whatever the browser remembers for this page is for reading only.
  const answer = await fetch("v1/messages", { method: "POST", headers, body: JSON.stringify(body), signal, credentials: "omit" });
  if (answer.status === 401) {
    byId("key").hidden = byId("key-label").hidden = false;
    byId("key").focus();
  }
  if (!answer.ok) throw new Refused((await answer.json().catch(() => null))?.error?.message ?? `The answer was ${answer.status}`);
  const shown = byId("answer");
  shown.hidden = false;
  const facts = { model: answer.headers.get("x-model"), provider: answer.headers.get("x-provider"), trimmed: answer.headers.get("x-pulsegate-trimmed") };
  for await (const event of eventsOf(answer.body)) {
    if (event.type === "content_block_delta" && event.delta.text) {
      facts.firstMs ??= performance.now() - began;
      shown.append(event.delta.text);
      shown.scrollTop = shown.scrollHeight;
    }
    if (event.type === "message_delta") Object.assign(facts, { usage: event.usage, why: event.delta.stop_reason, guessed: event.usage_estimated });
    if (event.type === "error") throw new Refused(event.error.message);
  }
  tell({ ...facts, seconds: (performance.now() - began) / 1000 });
}

function tell({ provider, model, firstMs, seconds, usage, why, guessed, trimmed }) {
  const about = guessed ? "about " : "";
  byId("told").textContent = [
    `${provider}, ${model}`,
    firstMs && `first word after ${firstMs < 1000 ? `${Math.round(firstMs)} ms` : `${(firstMs / 1000).toFixed(1)} s`}`,
    `${seconds.toFixed(1)} s in all`,
    usage && `${about}${usage.input_tokens} tokens in, ${usage.output_tokens} out`,
    why && `ended by ${why.replaceAll("_", " ")}`,
    trimmed && `left out: ${trimmed}`,
  ].filter(Boolean).join(" · ");
}

async function submit() {
  if (asking || !byId("ask").reportValidity()) return;
  asking = new AbortController();
  fail("");
  byId("told").textContent = "";
  byId("answer").replaceChildren();
  byId("stop").hidden = false;
  byId("send").disabled = true;
  try {
    await ask(asking.signal);
  } catch (error) {
    if (error.name === "AbortError") byId("told").textContent = "stopped";
    else fail(error instanceof Refused ? error.message : "The gateway does not answer.");
  } finally {
    asking = null;
    byId("stop").hidden = true;
    byId("send").disabled = false;
  }
}

export function start() {
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  byId("prompt").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit();
  });
  byId("stop").addEventListener("click", () => asking?.abort());
}
