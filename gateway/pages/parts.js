// What several pages draw and say alike.

import { h } from "./dom.js";

// Say a length of time as a person does.
export function lasting(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [minutes, hours, days] = [60, 3600, 86400].map((unit) => Math.floor(seconds / unit));
  if (days) return `${days} d ${hours % 24} h`;
  if (hours) return `${hours} h ${minutes % 60} min`;
  if (minutes) return minutes < 10 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  return `${seconds} s`;
}

const SHAPES = {
  good: () => [h("circle", { cx: 8, cy: 8, r: 8 }), h("path", { d: "M4.6 8.3l2.3 2.3 4.5-4.9" })],
  warn: () => [h("circle", { cx: 8, cy: 8, r: 8 }), h("path", { d: "M8 4.2v4.4M8 11.6v.1" })],
  bad: () => [h("rect", { width: 16, height: 16, rx: 3 }), h("path", { d: "M5 5l6 6M11 5l-6 6" })],
  idle: () => [h("circle", { cx: 8, cy: 8, r: 8 }), h("path", { d: "M5 8h6" })],
};

// Mark something as good, warn, bad or idle, by shape as well as by colour.
export const mark = (kind) => h("svg", { class: "mark", viewBox: "0 0 16 16", "data-tone": kind, "aria-hidden": "true" }, SHAPES[kind]());

const THEMES = ["auto", "light", "dark"];

// Let a button choose the theme; theme.js brings the choice back before the first paint.
export function chooseTheme(button) {
  const root = document.documentElement;
  const say = () => (button.textContent = `Theme: ${root.dataset.theme ?? "auto"}`);
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(root.dataset.theme ?? "auto") + 1) % THEMES.length];
    if (next === "auto") delete root.dataset.theme;
    else root.dataset.theme = next;
    localStorage.setItem("theme", next);
    say();
  });
  say();
}
