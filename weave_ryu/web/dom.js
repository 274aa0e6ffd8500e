// Small helpers: everything that other hosts say goes in as text, never as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children; text becomes a text node. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same in SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, String(value));
  }
  element.append(...children);
  return element;
}

/** The element with this id. */
export const $ = (id) => document.getElementById(id);

/** Words and a mark for a state: nothing is said by colour alone. */
export const STATES = {
  active: ["good", "● forwards"],
  standby: ["", "○ stands by"],
  arming: ["warn", "◐ arming"],
  draining: ["warn", "◑ draining"],
  blocked: ["bad", "✕ blocked"],
  fault: ["bad", "✕ fault"],
  gone: ["bad", "– gone"],
  fading: ["warn", "◌ may forward"],
  silent: ["bad", "✕ silent"],
  dead: ["bad", "✕ dead"],
  away: ["bad", "– left the mesh"],
  unknown: ["warn", "? not known"],
  replaced: ["bad", "– replaced"],
};

/** A state as a coloured word. */
export function state(name) {
  const [style, text] = STATES[name] ?? ["warn", name];
  return el("span", { class: `state ${style}` }, text);
}
