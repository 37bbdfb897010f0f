// The page of the converter: it asks the exact routes, shows what they say, and keeps nothing but this browser's choices.

const TEXTS = {
  es: {
    title: "Conversor de unidades", language: "Idioma", theme: "Tema", "theme.auto": "Automático",
    "theme.light": "Claro", "theme.dark": "Oscuro", quantity: "Magnitud", more: "Otras magnitudes", from: "De", to: "A",
    value: "Valor", swap: "Intercambiar unidades", convert: "Convertir", history: "Últimas conversiones",
    forget: "Borrar", "no-history": "Aquí aparecerán tus cinco últimas conversiones.", unknown: "Conectando…",
    connected: "Servidor conectado", disconnected: "Servidor ICE desconectado", unreachable: "Sin conexión con la página",
    empty: "Ingresa un valor", "not-a-number": "Eso no es un número", failed: "El servidor no responde; se intentará de nuevo",
    meant: "¿Quizá", exact: "Resultado exacto", rounded: "Redondeado a 12 cifras", temperature: "Temperatura",
    length: "Longitud", mass: "Peso", speed: "Velocidad",
  },
  en: {
    title: "Unit converter", language: "Language", theme: "Theme", "theme.auto": "Automatic", "theme.light": "Light",
    "theme.dark": "Dark", quantity: "Quantity", more: "More quantities", from: "From", to: "To", value: "Value",
    swap: "Swap units", convert: "Convert", history: "Latest conversions", forget: "Clear",
    "no-history": "Your last five conversions will appear here.", unknown: "Connecting…", connected: "Server connected",
    disconnected: "ICE server disconnected", unreachable: "The page has lost its server", empty: "Enter a value",
    "not-a-number": "That is not a number", failed: "The server does not answer; it will be asked again", meant: "Maybe",
    exact: "Exact result", rounded: "Rounded to 12 digits", temperature: "Temperature", length: "Length", mass: "Weight",
    speed: "Speed",
  },
};
const TABS = { temperature: ["°C", "°F"], length: ["m", "ft"], mass: ["kg", "lb"], speed: ["km/h", "mph"] };
const DIGITS = 12;
const DEBOUNCE_MS = 150;
const SETTLED_MS = 1200;
const REMEMBERED = 5;

const $ = (id) => document.getElementById(id);
const [value, from, to, result, message, note, more] = ["value", "from", "to", "result", "message", "note", "more"].map($);
const dark = matchMedia("(prefers-color-scheme: dark)");

const stored = (key, valid, otherwise, read = (kept) => kept) => {
  try {
    const kept = read(localStorage.getItem(key));
    return valid(kept) ? kept : otherwise;
  } catch {
    return otherwise;
  }
};
const store = (key, kept) => {
  try {
    localStorage.setItem(key, kept);
  } catch {
    // a browser that keeps nothing still converts
  }
};

let language = stored("language", (kept) => kept in TEXTS, navigator.language.startsWith("en") ? "en" : "es");
let theme = stored("themeMode", (kept) => ["auto", "light", "dark"].includes(kept), "auto");
let past = stored("history", Array.isArray, [], JSON.parse);
let quantities = [];
let quantity = "temperature";
let light = "unknown";
let debounce, settle, asking;

const text = (key) => TEXTS[language][key];
const known = () => quantities.find((one) => one.name === quantity);
const capital = (words) => words[0].toUpperCase() + words.slice(1);
const local = (decimal) => (language === "es" ? decimal.replace(".", ",") : decimal);
const plain = (typed) => typed.trim().replace(/\s/g, "").replace(",", ".");

function element(name, properties) {
  return Object.assign(document.createElement(name), properties);
}

function showTexts() {
  document.documentElement.lang = language;
  document.title = text("title");
  for (const one of document.querySelectorAll("[data-text]")) one.textContent = text(one.dataset.text);
  for (const one of document.querySelectorAll("[data-label]")) one.setAttribute("aria-label", text(one.dataset.label));
  showLight(light);
  showTabs();
  showUnits(from.value, to.value);
  showHistory();
}

function showTheme() {
  document.documentElement.dataset.theme = theme === "auto" ? (dark.matches ? "dark" : "light") : theme;
}

function showLight(state) {
  light = state;
  $("light").dataset.state = state;
  $("light-text").textContent = text(state);
}

function showTabs() {
  const focused = document.activeElement?.dataset?.quantity;
  $("tabs").replaceChildren(...Object.keys(TABS).map((name) => {
    const chosen = name === quantity;
    const tab = element("button", { type: "button", textContent: text(name), id: `tab-${name}`, tabIndex: chosen ? 0 : -1 });
    tab.dataset.quantity = name;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-selected", String(chosen));
    tab.setAttribute("aria-controls", "form");
    return tab;
  }));
  if (!(quantity in TABS)) $("tabs").firstChild.tabIndex = 0;
  if (focused) $(`tab-${focused}`)?.focus();
  const others = quantities.filter((one) => !(one.name in TABS));
  more.hidden = !others.length;
  more.replaceChildren(
    element("option", { value: "", textContent: `${text("more")}…`, disabled: true, hidden: true }),
    ...others.map((one) => element("option", { value: one.name, textContent: capital(one.names[language]) })),
  );
  more.value = quantity in TABS ? "" : quantity;
  more.classList.toggle("chosen", !(quantity in TABS));
  $("form").setAttribute("aria-labelledby", quantity in TABS ? `tab-${quantity}` : "more");
}

function showUnits(source, target) {
  const units = known()?.units ?? [];
  for (const [select, wanted, otherwise] of [[from, source, 0], [to, target, 1]]) {
    select.replaceChildren(...units.map((unit) =>
      element("option", { value: unit.symbol, textContent: `${unit.symbol} · ${unit.names[language]}` })));
    select.disabled = !units.length;
    select.value = wanted;
    if (select.selectedIndex < 0 && units.length) select.selectedIndex = Math.min(otherwise, units.length - 1);
  }
}

function showHistory() {
  $("history").replaceChildren(...past.map((one, index) => {
    const item = element("li", {});
    const words = `${local(one.value)} ${one.from} = ${local(one.decimal)} ${one.to}`;
    const button = element("button", { type: "button", textContent: words });
    button.dataset.index = index;
    item.append(button);
    return item;
  }));
  $("no-history").hidden = past.length > 0;
  $("forget").hidden = !past.length;
}

function choose(name, source = TABS[name]?.[0], target = TABS[name]?.[1]) {
  quantity = name;
  showTabs();
  showUnits(source, target);
  convert();
}

function remember(conversion) {
  past = [conversion, ...past.filter((one) => JSON.stringify(one) !== JSON.stringify(conversion))].slice(0, REMEMBERED);
  store("history", JSON.stringify(past));
  showHistory();
}

function say(words, suggestions = []) {
  message.textContent = words;
  value.setAttribute("aria-invalid", String(Boolean(words)));
  for (const symbol of suggestions) message.append(element("button", { type: "button", textContent: symbol }));
}

function soon() {
  clearTimeout(debounce);
  debounce = setTimeout(convert, DEBOUNCE_MS);
}

async function convert({ settled = false } = {}) {
  clearTimeout(debounce);
  clearTimeout(settle);
  asking?.abort(); // an early answer never overwrites a later one
  note.textContent = "";
  const asked = { value: plain(value.value), from: from.value, to: to.value, quantity, digits: DIGITS, language };
  if (!asked.value || !asked.from) {
    result.textContent = "";
    say(asked.value ? "" : text("empty"));
    return;
  }
  asking = new AbortController();
  const mine = asking;
  result.classList.add("waiting");
  try {
    const answer = await fetch("api/v1/convert", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(asked),
      signal: AbortSignal.any([mine.signal, AbortSignal.timeout(8000)]),
    });
    const told = await answer.json();
    if (mine !== asking) return;
    if (answer.ok) {
      result.textContent = local(told.decimal);
      note.textContent = text(told.exact ? "exact" : "rounded");
      say(told.warning ?? "");
      const conversion = { quantity, value: asked.value, from: told.from, to: told.to, decimal: told.decimal };
      if (settled) remember(conversion);
      else settle = setTimeout(remember, SETTLED_MS, conversion);
    } else {
      result.textContent = "";
      say(answer.status === 503 ? text("disconnected") : told.code === "invalid_value" && !/^[+-]?[\d.]+(e[+-]?\d+)?$/i.test(asked.value) ? text("not-a-number") : told.error, told.suggestions);
    }
  } catch (error) {
    if (mine !== asking || error.name === "AbortError") return;
    result.textContent = "";
    say(text("failed"));
  } finally {
    if (mine === asking) result.classList.remove("waiting");
  }
}

async function loadUnits() {
  if (quantities.length) return;
  const answer = await fetch("api/v1/units").catch(() => null);
  if (!answer?.ok || quantities.length) return;
  quantities = (await answer.json()).quantities;
  choose(quantity);
}

function follow() {
  const events = new EventSource("api/v1/events");
  events.onmessage = async (event) => {
    const before = light;
    showLight(JSON.parse(event.data).connected ? "connected" : "disconnected");
    if (light !== "connected" || before === light) return;
    await loadUnits();
    if (message.textContent) convert(); // what failed for want of the server is asked again
  };
  events.onerror = () => {
    showLight("unreachable");
    if (events.readyState !== EventSource.CLOSED) return;
    setTimeout(follow, 1000);
  };
}

$("tabs").addEventListener("click", (event) => {
  if (event.target.dataset.quantity) choose(event.target.dataset.quantity);
});
$("tabs").addEventListener("keydown", (event) => {
  const names = Object.keys(TABS);
  const at = names.indexOf(event.target.dataset.quantity);
  const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: names.length - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  choose(names[(next + names.length) % names.length]);
  $(`tab-${quantity}`).focus();
});
more.addEventListener("change", () => choose(more.value));
value.addEventListener("input", soon);
from.addEventListener("change", () => convert());
to.addEventListener("change", () => convert());
$("swap").addEventListener("click", () => {
  [from.value, to.value] = [to.value, from.value];
  convert();
});
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  convert({ settled: true });
});
message.addEventListener("click", (event) => {
  if (event.target.tagName !== "BUTTON") return;
  from.value = event.target.textContent;
  convert();
});
$("history").addEventListener("click", (event) => {
  const one = past[event.target.dataset.index];
  if (!one) return;
  value.value = local(one.value);
  choose(one.quantity, one.from, one.to);
});
$("forget").addEventListener("click", () => {
  past = [];
  store("history", JSON.stringify(past));
  showHistory();
});
$("language").addEventListener("change", (event) => {
  language = event.target.value;
  store("language", language);
  showTexts();
  convert();
});
$("theme").addEventListener("change", (event) => {
  theme = event.target.value;
  store("themeMode", theme);
  showTheme();
});
dark.addEventListener("change", showTheme);

$("language").value = language;
$("theme").value = theme;
showTheme();
showTexts();
loadUnits();
follow();
