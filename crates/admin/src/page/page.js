// The status page: asks the API once a second and shows what it says. Everything is set as text, never as HTML.

const EVERY_MS = 1000;
const ERRORS_SHOWN = 20;
const TOKEN_KEY = "evenkeel-token";

const at = (id) => document.getElementById(id);
let before = null;

class TokenNeeded extends Error {}

async function ask(path) {
  const token = sessionStorage.getItem(TOKEN_KEY);
  const answer = await fetch(path, {
    headers: token ? { authorization: `Bearer ${token}` } : {},
    signal: AbortSignal.timeout(5000),
  });
  if (answer.ok) return answer.json();
  const { error } = await answer.json().catch(() => ({ error: { message: `status ${answer.status}`, remedy: "" } }));
  const words = `${error.message}: ${error.remedy}`;
  throw answer.status === 401 ? new TokenNeeded(words) : new Error(words);
}

function element(name, text, classes = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (classes) made.className = classes;
  return made;
}

const whole = (number) => Math.round(number).toLocaleString("en");
const state = (word) => element("span", word, `state ${word}`);

function cell(content, classes = "") {
  const made = element("td", "", classes);
  made.append(content);
  return made;
}

function row(name, cells) {
  const made = document.createElement("tr");
  const head = element("th", name);
  head.scope = "row";
  made.append(head, ...cells);
  return made;
}

function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  for (; number >= 1024 && unit < units.length - 1; unit += 1) number /= 1024;
  return `${unit ? number.toFixed(1) : number} ${units[unit]}`;
}

// Per second since the last answer; a new process starts anew.
function rate(now, then, name) {
  if (!then || then[name] > now[name] || !before) return null;
  return (now[name] - then[name]) / before.seconds;
}

const shownRate = (value) => (value === null ? "–" : value < 10 ? value.toFixed(1) : whole(value));
const sum = (items, value) => items.reduce((total, item) => total + value(item), 0);

function summary(status) {
  const backends = status.pools.flatMap((pool) => pool.backends);
  const ready = backends.filter((backend) => ["ready", "slow-start"].includes(backend.state)).length;
  const rates = status.listeners.map((listener, i) => rate(listener, before?.status.listeners[i], "requests"));
  const perSecond = rates.includes(null) ? null : sum(rates, (value) => value);
  const facts = [
    [`${ready} of ${backends.length}`, "backends ready"],
    [whole(status.process.connections), `connections of ${whole(status.process.connections_limit)}`],
    [shownRate(perSecond), "requests/s"],
    [whole(sum(status.listeners, (listener) => listener.status_5xx)), "answers 5xx"],
    [whole(sum(backends, (backend) => backend.retries)), "retries"],
    ...overloadFacts(status.process),
  ];
  return facts.map(([number, words]) => {
    const fact = document.createElement("div");
    fact.append(element("b", number), element("span", words));
    return fact;
  });
}

const POOL_COLUMNS = ["Backend", "State", "Why", "Since", "Requests/s", "Active", "Idle", "Requests", "5xx", "Failures", "Retries", "First byte", "Received"];

function backendRow(backend, then, now) {
  const mean = backend.first_byte_mean_ms;
  const made = row(backend.name, [
    cell(state(backend.state)),
    cell(backend.reason, "why"),
    cell(span((now - backend.since_ms) / 1000), "n"),
    cell(shownRate(rate(backend, then, "requests")), "n"),
    cell(backend.max_requests === null ? whole(backend.active) : `${whole(backend.active)} of ${whole(backend.max_requests)}`, "n"),
    ...["idle", "requests", "errors", "failures", "retries"].map((name) => cell(whole(backend[name]), "n")),
    cell(mean === null ? "–" : `${mean.toFixed(1)} ms`, "n"),
    cell(bytes(backend.received_bytes), "n"),
  ]);
  const places = [backend.address, backend.resolved].filter((place, i, all) => place && place !== backend.name && all.indexOf(place) === i);
  if (places.length) made.firstChild.append(element("small", places.join(" → ")));
  return made;
}

// Where a backend has a cap.
function queueWords({ queue, backends }) {
  if (backends.every((backend) => backend.max_requests === null)) return "";
  const refused = queue.full + queue.shed + queue.timeouts;
  return [
    queue.surge && "surge: more come than can be served",
    `${whole(queue.waiting)} wait`,
    `longest wait ${queue.longest_ms.toFixed(0)} ms`,
    refused && `${whole(refused)} refused`,
  ].filter(Boolean).join(", ");
}

function overloadFacts({ overload }) {
  return overload.short_of ? [[`${overload.refused_percent} %`, `refused: short of ${overload.short_of}`]] : [];
}

function poolSection(pool) {
  const made = document.createElement("section");
  const title = element("h2", pool.name);
  title.append(element("small", `pool, ${pool.policy}`), element("small", "", "queue"), element("small", "", "circuit"));
  const head = document.createElement("tr");
  for (const [i, column] of POOL_COLUMNS.entries()) {
    const th = element("th", column, i > 2 ? "n" : "");
    th.scope = "col";
    head.append(th);
  }
  const table = document.createElement("table");
  table.createTHead().append(head);
  table.createTBody();
  const scroll = element("div", "", "scroll");
  scroll.append(table);
  made.append(title, scroll);
  return made;
}

// Sections stay and only their rows are replaced, so that a scrolled table stays where it is.
function showPools(status, now) {
  const names = JSON.stringify(status.pools.map((pool) => [pool.name, pool.policy]));
  if (at("pools").dataset.names !== names) {
    at("pools").replaceChildren(...status.pools.map(poolSection));
    at("pools").dataset.names = names;
  }
  for (const [i, pool] of status.pools.entries()) {
    const then = before?.status.pools[i];
    const rows = pool.backends.map((backend, j) => backendRow(backend, then?.backends[j], now));
    at("pools").children[i].querySelector("tbody").replaceChildren(...rows);
    const { state, reason } = pool.circuit;
    const passes = ["off", "closed"].includes(state);
    at("pools").children[i].querySelector(".circuit").textContent = passes ? "" : `circuit ${state}: ${reason}`;
    at("pools").children[i].querySelector(".queue").textContent = queueWords(pool);
  }
}

function listenerRow(listener, then) {
  return row(listener.name, [
    cell(listener.addresses.join(", ")),
    cell(whole(listener.connections), "n"),
    cell(shownRate(rate(listener, then, "requests")), "n"),
    ...["status_2xx", "status_3xx", "status_4xx", "status_5xx", "refused"].map((name) => cell(whole(listener[name]), "n")),
  ]);
}

function errorRow(line) {
  return row(new Date(line.time_ms).toLocaleTimeString(), [
    cell(String(line.status ?? ""), "n"),
    cell([line.cause, line.detail].filter(Boolean).join(": "), "why"),
    cell(`${line.method ?? ""} ${line.host ?? ""}${line.path ?? ""}`),
    cell([line.pool, line.backend].filter(Boolean).join("/")),
    cell(String(line.attempts ?? ""), "n"),
  ]);
}

function show(status, errors) {
  // Somebody is copying text.
  if (!getSelection().isCollapsed) return;
  const { process } = status;
  const now = process.started_ms + process.uptime_s * 1000;
  at("process").replaceChildren(
    state(process.state),
    ` version ${process.version}, up ${span(process.uptime_s)}, ${process.workers} worker${process.workers === 1 ? "" : "s"}, plan ${process.generation}`,
  );
  at("summary").replaceChildren(...summary(status));
  showPools(status, now);
  at("listeners").replaceChildren(...status.listeners.map((listener, i) => listenerRow(listener, before?.status.listeners[i])));
  at("errors").replaceChildren(...errors.reverse().map(errorRow));
  at("no-errors").hidden = errors.length > 0;
  at("main").hidden = false;
}

function connected(words, lost) {
  at("link").textContent = words;
  at("link").className = lost ? "lost" : "";
}

let last = null;

async function turn() {
  try {
    const [status, errors] = await Promise.all([ask("api/v1/status"), ask(`api/v1/errors?last=${ERRORS_SHOWN}`)]);
    const time = performance.now();
    const same = last && last.status.process.pid === status.process.pid && last.status.process.generation === status.process.generation;
    before = same ? { status: last.status, seconds: (time - last.time) / 1000 } : null;
    last = { status, time };
    at("login").hidden = true;
    show(status, errors);
    connected("live", false);
  } catch (error) {
    const needed = error instanceof TokenNeeded;
    at("login").hidden = !needed;
    at("refusal").textContent = needed ? error.message : "";
    connected(needed ? "a token is needed" : `not reachable, trying again (${error.message})`, true);
    if (needed) return;
  }
  setTimeout(turn, EVERY_MS);
}

at("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN_KEY, at("token").value);
  turn();
});

turn();
