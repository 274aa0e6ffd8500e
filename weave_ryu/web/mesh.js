// The picture: peers on a circle, gateways at its bottom, their segments below.

import { $, svg } from "/web/dom.js";

const WIDTH = 640;
const MIDDLE = { x: WIDTH / 2, y: 180, rx: 270, ry: 150 };
const LABELS = 40; // with more peers only gateways and this peer are named

/** Where each peer stands; gateways come around the lowest point. */
function places(peers, gateways) {
  const order = peers.map((_, index) => index);
  order.sort((a, b) => gateways.has(peers[b].name) - gateways.has(peers[a].name) || a - b);
  const found = [];
  order.forEach((index, rank) => {
    // 0, +1, -1, +2, … steps away from the bottom
    const step = rank % 2 ? (rank + 1) / 2 : -rank / 2;
    const gatewayShift = gateways.size % 2 ? 0 : 0.5;
    const angle = Math.PI / 2 - ((step - gatewayShift) * 2 * Math.PI) / peers.length;
    found[index] = {
      x: MIDDLE.x + MIDDLE.rx * Math.cos(angle),
      y: MIDDLE.y + MIDDLE.ry * Math.sin(angle),
    };
  });
  return found;
}

function segmentBar(segment, row, count, at, peers) {
  const y = 400 + row * (50 / Math.max(1, count));
  const parts = [svg("rect", { class: "bar", x: 60, y, width: WIDTH - 120, height: 5 })];
  for (const gateway of segment.gateways) {
    const place = at[peers.findIndex((peer) => peer.name === gateway.peer)];
    if (!place) continue;
    parts.push(
      svg("line", {
        class: `port ${gateway.believed}`, x1: place.x, y1: place.y + 12, x2: place.x, y2: y,
      }, svg("title", {}, `${gateway.nick_name || gateway.peer} ${gateway.port}: ${gateway.believed}`)),
    );
  }
  parts.push(svg("text", { x: WIDTH / 2, y: y + 20 }, `segment ${segment.name}`));
  return parts;
}

/** Draw all of it anew: a few hundred elements at the most, all links in two paths. */
export function drawMesh(mesh) {
  const gateways = new Set(mesh.segments.flatMap((s) => s.gateways.map((g) => g.peer)));
  const at = places(mesh.peers, gateways);
  const way = ([a, b]) =>
    `M${at[a].x.toFixed(1)} ${at[a].y.toFixed(1)}L${at[b].x.toFixed(1)} ${at[b].y.toFixed(1)}`;
  const up = mesh.links.filter((link) => link[2]);
  const pending = mesh.links.filter((link) => !link[2]);
  const parts = [
    svg("path", { class: "link", d: up.map(way).join("") }),
    svg("path", { class: "link pending", d: pending.map(way).join("") }),
  ];
  mesh.segments.forEach((segment, row) => {
    parts.push(...segmentBar(segment, row, mesh.segments.length, at, mesh.peers));
  });
  const size = mesh.peers.length > LABELS ? 5 : 12;
  mesh.peers.forEach((peer, index) => {
    const { x, y } = at[index];
    const own = peer.name === mesh.own;
    const isGateway = gateways.has(peer.name);
    const style = { class: own ? "own" : "" };
    const shape = isGateway
      ? svg("rect", { ...style, x: x - 12, y: y - 12, width: 24, height: 24, rx: 4 })
      : svg("circle", { ...style, cx: x, cy: y, r: own ? 12 : size });
    const title = svg("title", {}, `${peer.nick_name} ${peer.name}`);
    const group = svg("g", {}, title, shape);
    if (mesh.peers.length <= LABELS || own || isGateway) {
      const above = y > MIDDLE.y + 40 ? y - 18 : y - 17;
      group.append(svg("text", { x, y: above }, peer.nick_name || peer.name));
    }
    parts.push(group);
  });
  $("mesh").replaceChildren(...parts);
  $("mesh-count").textContent = `${mesh.peers.length} peers, ${up.length} connections`;
  const waiting = pending.length ? `, ${pending.length} connections pending` : "";
  $("mesh-summary").textContent =
    `${mesh.peers.length} peers with ${up.length} established connections${waiting}; ` +
    `${gateways.size} of them are gateways. Squares are gateways, a thick line to the segment forwards.`;
}
