// Asks the port of this page for links and circuits once a second, and shows them. Nothing that a far side has chosen
// becomes markup: all of it is put in as text.
"use strict";

const SAMPLES = 60;
const byId = (id) => document.getElementById(id);
const history = new Map(); // by the number of a link: bytes a second, out and in
const all = [];            // the same of all links together

function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1024 && unit + 1 < units.length) {
    count /= 1024;
    unit += 1;
  }
  return unit === 0 ? `${Math.round(count)} B` : `${count.toFixed(1)} ${units[unit]}`;
}

function cell(text, className) {
  const td = document.createElement("td");
  td.textContent = text;
  if (className) td.className = className;
  if (className === "id") td.title = text;
  return td;
}

function line(svg, samples, key, max, width, height) {
  const polyline = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  const step = width / (SAMPLES - 1);
  const begin = SAMPLES - samples.length;
  polyline.setAttribute("points", samples.map((sample, i) =>
    `${((begin + i) * step).toFixed(1)},${(height - 2 - (sample[key] / max) * (height - 4)).toFixed(1)}`).join(" "));
  polyline.setAttribute("class", `${key}-line`);
  svg.append(polyline);
}

function plot(svg, samples, width, height) {
  const max = Math.max(1024, ...samples.map((sample) => Math.max(sample.out, sample.in)));
  svg.replaceChildren();
  line(svg, samples, "out", max, width, height);
  line(svg, samples, "in", max, width, height);
  return max;
}

function keep(samples, sample) {
  samples.push(sample);
  if (samples.length > SAMPLES) samples.shift();
}

function showLinks({ node, links, lost }) {
  byId("name").textContent = node.name;
  byId("node").textContent = [node.id, ...node.addresses].join("  ");
  document.title = node.name ? `${node.name} – trunkline inspector` : "trunkline inspector";
  const sum = { out: 0, in: 0 };
  const rows = links.map((link) => {
    const samples = history.get(link.link) ?? [];
    history.set(link.link, samples);
    keep(samples, { out: link.sent_per_second, in: link.received_per_second });
    sum.out += link.sent_per_second;
    sum.in += link.received_per_second;
    const row = document.createElement("tr");
    const small = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    small.setAttribute("viewBox", "0 0 120 20");
    small.setAttribute("aria-hidden", "true");
    plot(small, samples, 120, 20);
    const picture = document.createElement("td");
    picture.append(small);
    row.append(
      cell(`${link.link}${link.dialled ? " →" : " ←"}${link.draining ? " draining" : ""}`),
      cell(link.remote), cell(link.name || link.node, "id"), cell(link.identity ?? "–", "id"),
      cell(link.round_trip_ms > 0 ? `${link.round_trip_ms.toFixed(2)} ms` : "–", "n"),
      cell(`${bytes(link.sent_per_second)}/s`, "n"), cell(`${bytes(link.received_per_second)}/s`, "n"),
      cell(link.circuits, "n"), cell(bytes(link.output_bytes), "n"), cell(bytes(link.memory_bytes), "n"), picture);
    return row;
  });
  const open = new Set(links.map((link) => link.link));
  for (const number of history.keys()) if (!open.has(number)) history.delete(number);
  byId("links").replaceChildren(...rows);
  byId("no-links").hidden = rows.length > 0;
  keep(all, sum);
  byId("scale").textContent = `full height: ${bytes(plot(byId("plot"), all, 600, 120))}/s`;
  byId("out").textContent = `${bytes(sum.out)}/s`;
  byId("in").textContent = `${bytes(sum.in)}/s`;
  byId("lost").replaceChildren(...lost.toReversed().map((link) => {
    const item = document.createElement("li");
    item.textContent = `${link.time}  link ${link.link} with ${link.remote} ${link.name}: ${link.reason}`;
    return item;
  }));
  byId("no-lost").hidden = lost.length > 0;
}

function showCircuits({ circuits, more }) {
  const wanted = byId("waiting").checked ? circuits.filter((circuit) => circuit.waits_for) : circuits;
  byId("circuits").replaceChildren(...wanted.map((circuit) => {
    const row = document.createElement("tr");
    if (circuit.waits_for) row.className = "waits";
    row.append(
      cell(circuit.link), cell(`${circuit.circuit}${circuit.opened_here ? " →" : " ←"}`, "n"),
      cell(circuit.name ? `${circuit.service} (${circuit.name})` : circuit.service, "id"), cell(circuit.remote_service, "id"),
      cell(circuit.waits_for ?? "", "reason"),
      cell(bytes(circuit.bytes_sent), "n"), cell(bytes(circuit.bytes_received), "n"),
      cell(bytes(circuit.credit), "n"), cell(bytes(Math.max(0, circuit.credit_granted)), "n"),
      cell(bytes(circuit.queued_bytes), "n"), cell(bytes(circuit.unread_bytes), "n"));
    return row;
  }));
  byId("no-circuits").hidden = wanted.length > 0;
  byId("more").hidden = more === 0;
  byId("more").textContent = `and ${more} more`;
}

function showState(text, isBad) {
  byId("state").textContent = text;
  byId("state").className = isBad ? "bad" : "";
}

async function ask(path) {
  const answer = await fetch(path, { signal: AbortSignal.timeout(4000) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function look() {
  try {
    const [links, circuits, ready] = await Promise.all([ask("links"), ask("circuits"), fetch("readyz")]);
    showLinks(links);
    showCircuits(circuits);
    showState(ready.ok ? "ready" : `not ready: ${(await ready.text()).trim()}`, !ready.ok);
  } catch (failure) {
    showState(`no answer: ${failure.message}`, true);
  }
  setTimeout(look, 1000);
}

look();
