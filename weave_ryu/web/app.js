// Listens to the daemon, and shows what it tells.

import { $, el, state } from "/web/dom.js";
import { drawMesh } from "/web/mesh.js";
import { askToken, changeRole, request } from "/web/roles.js";

const MACS_SHOWN = 500;
const MACS_EVERY_MS = 3000;
const SILENT_AFTER_MS = 2000; // the daemon says something each half second

let macs = [];
let last = null; // what the daemon told last
let heardAt = new Date();

const time = (text) => new Date(text).toLocaleTimeString([], { hour12: false });
const label = (gateway) => `${gateway.nick_name || gateway.peer} ${gateway.port}`;

/** Who forwards, as the daemon sees it; only what is well is green. */
function headline({ who, could, tone }) {
  const mark = { good: "●", warn: "◌" }[tone] ?? "✕";
  const nobody = could.startsWith("nobody");
  return el("p", { class: "headline" }, el("strong", { class: tone }, `${mark} ${who}`),
    el("span", { class: nobody ? "warn" : "" }, could && `; ${could}`));
}

function buttons(gateway) {
  if (!gateway.own) return el("span", { class: "quiet" }, "on its own page");
  const actions = [
    ["activate", { role: "active" }, gateway.role === "active"],
    ["standby", { role: "standby" }, gateway.role === "standby"],
    ["auto", { role: "auto" }, gateway.role === "auto" && !gateway.drained],
    ["drain", { drain: true }, gateway.drained],
  ];
  return el("span", { class: "buttons" }, ...actions.map(([word, body, isSo]) =>
    el("button", {
      type: "button", disabled: isSo, "data-action": `${gateway.port}/${word}`,
      "aria-label": `${word} ${gateway.port}`, onclick: () => changeRole(gateway, word, body),
    }, word)));
}

function gatewayRow(gateway) {
  const heard = gateway.away ? "its daemon has left the mesh" : gateway.verdict ? `BFD ${gateway.bfd}, ${gateway.verdict}` : "heard by its own segment's gateways";
  const other = gateway.own ? "this peer" : heard;
  const ready = gateway.believed === "active" ? "–" : (gateway.own ? gateway.ready : gateway.could) ? "yes" : "no";
  const why = [gateway.why, ...gateway.obstacles, gateway.damped ? "damped" : ""];
  return el("tr", {},
    el("th", { scope: "row" }, label(gateway)),
    el("td", {}, state(gateway.believed)),
    el("td", {}, `${gateway.role}${gateway.drained ? ", drained" : ""}`),
    el("td", {}, ready),
    el("td", {}, String(gateway.epoch)),
    el("td", {}, String(gateway.priority)),
    el("td", {}, other),
    el("td", {}, why.filter(Boolean).join("; ")),
    el("td", {}, buttons(gateway)));
}

function showSegments(segments) {
  const titles = ["Gateway", "State", "Role", "Ready", "Epoch", "Priority", "Signs of life", "Why", "Change"];
  const focused = document.activeElement?.dataset?.action;
  const parts = segments.map((segment) => el("div", { class: "segment" },
    el("h3", {}, `${segment.name} `, el("span", { class: "quiet" }, `epoch ${segment.epoch}`)),
    headline(segment.headline),
    el("div", { class: "across", tabindex: 0, role: "region", "aria-label": `gateways of ${segment.name}` },
      el("table", {},
        el("thead", {}, el("tr", {}, ...titles.map((title) => el("th", { scope: "col" }, title)))),
        el("tbody", {}, ...segment.gateways.map(gatewayRow))))));
  $("segments").replaceChildren(
    ...(parts.length ? parts : [el("p", { class: "quiet" }, "No gateway is known.")]));
  if (focused) document.querySelector(`[data-action="${CSS.escape(focused)}"]`)?.focus();
}

function showEvents(events) {
  const lines = [...events].reverse().map((event) => el("li", { "data-number": event.number },
    el("time", { datetime: event.at, class: "quiet" }, time(event.at)), " ",
    el("strong", {}, `${event.nick_name || event.peer} ${event.port}`), " ",
    state(event.state), el("span", { class: "quiet" }, ` ${event.segment}, epoch ${event.epoch}: `),
    event.reason));
  $("events").replaceChildren(...(lines.length ? lines : [el("li", { class: "quiet" }, "Nothing yet.")]));
}

function showPeers(mesh) {
  $("peers").replaceChildren(...mesh.peers.map((peer) => el("li", {}, `${peer.nick_name} ${peer.name}`)));
}

function showMacs() {
  const wanted = $("search").value.trim().toLowerCase();
  const found = macs.filter((mac) =>
    [mac.Mac, mac.Name, mac.NickName, mac.Port ?? ""].some((text) => text.toLowerCase().includes(wanted)));
  $("macs-count").textContent = `${found.length} of ${macs.length}` +
    (found.length > MACS_SHOWN ? `, the first ${MACS_SHOWN} shown` : "");
  $("macs").replaceChildren(...found.slice(0, MACS_SHOWN).map((mac) => el("tr", {},
    el("td", { class: "mac" }, mac.Mac), el("td", {}, mac.NickName || mac.Name),
    el("td", {}, mac.Port ?? "behind the mesh"), el("td", {}, time(mac.LastSeen)))));
}

/** A picture whose daemon is gone says nothing of the present. */
function outdated(mesh) {
  const since = heardAt.toLocaleTimeString([], { hour12: false });
  const who = `not known since ${since}: the daemon of ${mesh.nick_name} does not answer`;
  const segments = mesh.segments.map((segment) => ({
    ...segment,
    headline: { who, could: "", tone: "bad" },
    gateways: segment.gateways.map((gateway) => ({
      ...gateway, believed: "unknown", could: false, ready: false, obstacles: [],
      why: `last told: ${gateway.believed}`,
    })),
  }));
  return { ...mesh, segments, ready: true };
}

function show(mesh) {
  document.title = `${mesh.nick_name} – weave-ryu`;
  $("own").textContent = `on ${mesh.nick_name} (${mesh.own})${mesh.ready ? "" : ", switch not ready"}`;
  showSegments(mesh.segments);
  drawMesh(mesh);
  showPeers(mesh);
  showEvents(mesh.events);
  document.documentElement.dataset.shown = mesh.at;
}

function tellConnection(text, isLost) {
  $("connection").textContent = text;
  $("connection").classList.toggle("lost", isLost);
}

/** One connection: returns when it has ended. */
async function listen() {
  const stop = new AbortController();
  let timer = 0;
  const alive = () => {
    heardAt = new Date();
    clearTimeout(timer);
    timer = setTimeout(() => stop.abort(), SILENT_AFTER_MS);
  };
  timer = setTimeout(() => stop.abort(), SILENT_AFTER_MS); // it may accept, and not answer
  const response = await request("/events", { signal: stop.signal });
  if (!response.ok) throw new Error(`the daemon says ${response.status}`);
  tellConnection("live", false);
  alive();
  let rest = "";
  const decoder = new TextDecoder();
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    alive();
    rest += decoder.decode(value, { stream: true });
    const messages = rest.split("\n\n");
    rest = messages.pop();
    const newest = messages.map((m) => m.split("\n").find((line) => line.startsWith("data: "))).filter(Boolean).pop();
    if (newest) {
      last = JSON.parse(newest.slice(6));
      show(last);
    }
  }
}

async function listenForEver() {
  for (;;) {
    try {
      await listen();
    } catch (error) {
      if (error.name === "TokenNeeded") {
        await askToken("This daemon shows its state only to those who know its token.");
        continue;
      }
    }
    tellConnection("connection lost, trying again …", true);
    if (last) show(outdated(last));
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

async function readMacs() {
  if (!document.hidden) {
    try {
      const response = await request("/macs");
      if (response.ok) { macs = await response.json(); showMacs(); }
    } catch { /* the line above says that the connection is lost */ }
  }
  setTimeout(readMacs, MACS_EVERY_MS);
}

function setUpTheme() {
  const chosen = sessionStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
  $("theme").addEventListener("click", () => {
    const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
    const now = document.documentElement.dataset.theme ?? (isDark ? "dark" : "light");
    const next = now === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    sessionStorage.setItem("theme", next);
  });
}

document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !["INPUT", "TEXTAREA"].includes(event.target.tagName)) {
    event.preventDefault();
    $("search").focus();
  }
});
$("search").addEventListener("input", showMacs);
setUpTheme();
listenForEver();
readMacs();
