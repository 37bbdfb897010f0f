// An hour as a picture: one column or point for each minute, the newest on the right.

import { h } from "./dom.js";

const MINUTES = 60;
const WIDTH = 600;
const HEIGHT = 100;
const STEP = WIDTH / MINUTES;

export const compact = (number) => {
  if (number >= 1e9) return `${(number / 1e9).toFixed(1)} G`;
  if (number >= 1e6) return `${(number / 1e6).toFixed(1)} M`;
  if (number >= 1e4) return `${Math.round(number / 1e3)} k`;
  return number >= 100 || Number.isInteger(number) ? `${Math.round(number)}` : number.toFixed(1);
};

export const duration = (ms) => (ms >= 10000 ? `${Math.round(ms / 1000)} s` : ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms)} ms`);

// Put the minutes that were told into sixty places; a minute in which nothing ended has no entry.
export function lastHour(minutes, nowMs) {
  const newest = Math.floor(nowMs / 60000);
  const byMinute = new Map(minutes.map((minute) => [Math.floor(Date.parse(minute.start) / 60000), minute]));
  return Array.from({ length: MINUTES }, (_, place) => byMinute.get(newest - (MINUTES - 1 - place)) ?? null);
}

// A round number that the highest value fits under.
function ceiling(highest) {
  if (highest <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(highest));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((factor) => factor * power).find((round) => round >= highest);
}

// Columns of several layers, from the bottom up: `layers` are [class, name, value of a minute].
export function columns(hour, layers, say) {
  const sums = hour.map((minute) => (minute ? layers.reduce((sum, [, , value]) => sum + value(minute), 0) : 0));
  const top = ceiling(Math.max(...sums));
  const bars = hour.flatMap((minute, place) => {
    if (!minute) return [];
    let y = HEIGHT;
    return layers.flatMap(([kind, , value]) => {
      if (!value(minute)) return [];
      const height = Math.max(1.5, (HEIGHT * value(minute)) / top);
      y -= height;
      return h("rect", { class: kind, x: (place * STEP + 1).toFixed(1), y: y.toFixed(1), width: (STEP - 2).toFixed(1), height: height.toFixed(1) });
    });
  });
  return picture(top, say, hour, layers, bars);
}

// Lines through the minutes that have a value; a lone minute is a short stroke.
export function lines(hour, layers, say) {
  const top = ceiling(Math.max(...layers.flatMap(([, , value]) => hour.map((minute) => (minute ? value(minute) : 0)))));
  const strokes = layers.flatMap(([kind, , value]) => {
    let pen = false;
    const path = hour.map((minute, place) => {
      const drawn = minute && value(minute) > 0;
      const move = drawn ? (pen ? "L" : "M") : "";
      pen = drawn;
      const at = drawn ? `${(place * STEP + STEP / 2).toFixed(1)} ${(HEIGHT - (HEIGHT * value(minute)) / top).toFixed(1)}` : "";
      return move === "M" ? `M${at}h0.1` : `${move}${at}`;
    });
    return h("path", { class: kind, d: path.join("") });
  });
  return picture(top, say, hour, layers, strokes);
}

function picture(top, say, hour, layers, shapes) {
  const hovers = hour.map((minute, place) => {
    if (!minute) return null;
    const values = layers.map(([, name, value]) => `${name} ${say(value(minute))}`).join(", ");
    const time = new Date(minute.start).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
    return h("rect", { class: "hover", x: place * STEP, y: 0, width: STEP, height: HEIGHT }, h("title", {}, `${time}: ${values}`));
  });
  return [
    h("span", { class: "scale", "aria-hidden": "true" }, hour.some(Boolean) ? say(top) : "\u00a0"),
    h(
      "svg",
      { class: "hour", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": summary(hour, layers, say) },
      h("path", { class: "grid", d: `M0 0.5H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}M0 ${HEIGHT - 0.5}H${WIDTH}` }),
      shapes,
      hovers,
    ),
    h("span", { class: "axis", "aria-hidden": "true" }, h("span", {}, "60 min ago"), h("span", {}, "now")),
    h("span", { class: "legend", "aria-hidden": "true" }, layers.map(([kind, name]) => h("span", {}, h("i", { class: kind }), name))),
  ];
}

function summary(hour, layers, say) {
  const told = hour.filter(Boolean);
  if (!told.length) return "Nothing in the last hour";
  const most = layers.map(([, name, value]) => `${name} at most ${say(Math.max(...told.map(value)))}`).join(", ");
  return `Last hour, by minute: ${most}`;
}
