import { show } from "./timeline.js";

const $ = (id) => document.getElementById(id);
const state = { rows: new Map(), accounts: new Map(), counters: {}, world: null };
const orders = new Set(); // of this page
let order = null; // the one that Pay pays
let presses = 0;
let lanes = null; // the origins of the instances; [""] where only the page's own can be reached

// ---- what the server tells -------------------------------------------------

function connect() {
  const events = new EventSource("/demo/events");
  events.onopen = () => live("live");
  events.onerror = () => live("lost");
  events.onmessage = (message) => {
    const change = JSON.parse(message.data);
    if (change.reset) {
      state.rows.clear();
      state.accounts.clear();
    }
    for (const row of change.rows ?? []) state.rows.set(row.id, row);
    for (const account of change.accounts ?? []) state.accounts.set(account.order, account);
    if (change.counters) state.counters = change.counters;
    if (change.world) {
      // Another run of the program, with other instances: this page's order is gone.
      if (state.world && String(state.world.lanes) !== String(change.world.lanes)) location.reload();
      state.world = change.world;
      drawWorld();
    }
    draw();
  };
}

function live(what) {
  $("live").dataset.state = what;
  $("live").textContent = { live: "live", lost: "reconnecting" }[what];
}

function draw() {
  drawCounters();
  drawLedger();
  show($("timeline"), state.rows, state.world);
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const money = (cents, currency = "usd") => (cents / 100).toLocaleString("en-US", { style: "currency", currency });

function drawCounters() {
  const c = state.counters;
  let charges = 0, double = 0;
  for (const a of state.accounts.values()) {
    charges += a.charges;
    double += a.double;
  }
  const all = [
    ["requests", "requests", c.requests],
    ["ran", "handler ran", c.ran],
    ["waited", "waited for it", c.waited],
    ["replayed", "replayed", c.replayed],
    ["lost", "answers lost", c.lost],
    ["retries", "sent again", c.retries],
    ["takeovers", "takeovers", c.takeovers],
    ["refused", "refused", c.refused],
    ["charges", "charges", charges],
    ["double", "charges too many", double],
  ];
  $("counters").replaceChildren(...all.map(([name, label, value]) => {
    const tone = name === "double" ? (value > 0 ? "bad" : "good") : "";
    return element("div", { className: tone }, element("dt", { textContent: label }), element("dd", { id: `n-${name}`, textContent: value ?? 0 }));
  }));
}

function drawLedger() {
  const accounts = [...state.accounts.values()].reverse();
  const paid = accounts.filter((a) => a.charges > 0).length;
  const double = accounts.reduce((sum, a) => sum + a.double, 0);
  const promise = double > 0 ? `${double} ${double === 1 ? "charge" : "charges"} too many: a key was charged more than once.`
    : paid > 0 ? `Never more than one charge for a key: kept for ${paid} paid ${paid === 1 ? "order" : "orders"}.`
    : "The promise: never more than one charge for a key.";
  if ($("promise").textContent !== promise) { // it is spoken when it changes
    $("promise").textContent = promise;
    $("promise").dataset.tone = double > 0 ? "bad" : "good";
  }
  if (accounts.length === 0) {
    $("ledger").replaceChildren(element("tr", { className: "none" }, element("td", { colSpan: 4, textContent: "No orders yet." })));
    return;
  }
  $("ledger").replaceChildren(...accounts.map((a) => {
    const charges = a.charges === 0 ? (a.declined > 0 ? "declined" : "not paid yet") : a.charges === 1 ? "1" : `${a.charges}`;
    const row = element("tr", {},
      element("td", {}, element("code", { textContent: a.order })),
      element("td", { textContent: charges + (a.double > 0 ? `, ${a.double} too many` : "") + (a.charges > 0 && a.declined > 0 ? `, ${a.declined} declined` : "") }),
      element("td", { className: "num", textContent: money(a.taken, a.currency) }),
      element("td", {}, element("code", { textContent: a.receipts.join(" ") })));
    row.className = [a.double > 0 ? "double" : "", a.order === order?.id ? "mine" : ""].join(" ").trim();
    row.dataset.charges = a.charges;
    return row;
  }));
}

// ---- the switches ----------------------------------------------------------

const faults = ["lose", "slow", "cut"];

for (const row of document.querySelectorAll("[data-link]")) {
  for (const fault of faults) {
    const label = `${row.textContent.trim()}: ${fault === "lose" ? "lose replies" : fault}`;
    const box = element("input", { type: "checkbox", name: `${row.dataset.link}.${fault}` });
    box.setAttribute("aria-label", label);
    box.addEventListener("change", flip);
    row.append(element("td", {}, box));
  }
}
const boxes = [...document.querySelectorAll(".switches input")];

$("all-bad").addEventListener("change", (event) => {
  for (const box of boxes) box.checked = event.target.checked;
  flip();
});
for (const id of ["latency", "declines"]) {
  $(id).addEventListener("input", sliders);
  $(id).addEventListener("change", flip);
}
for (const radio of document.getElementsByName("arm")) radio.addEventListener("change", flip);

function sliders() {
  $("latency-is").textContent = `${(Number($("latency").value) / 1000).toFixed(1)} s`;
  $("declines-is").textContent = `${$("declines").value} %`;
}

let flipping = Promise.resolve(); // one at a time, in order

function flip() {
  const switches = { latency_ms: Number($("latency").value), declines: Number($("declines").value), arm: document.querySelector("[name=arm]:checked").value };
  for (const box of boxes) {
    const [link, fault] = box.name.split(".");
    (switches[link] ??= {})[fault] = box.checked;
  }
  flipping = flipping.then(() => command("PUT", "/demo/switches", switches));
}

async function command(method, path, body) {
  try {
    const response = await fetch(path, { method, headers: { "Content-Type": "application/json" }, body: body && JSON.stringify(body) });
    if (!response.ok) say((await response.json()).title, "bad");
  } catch {
    say("The program can't be reached. Is it still running?", "bad");
  }
}

function drawWorld() {
  const { switches, instances, redis, lease_ms: lease } = state.world;
  $("redis").textContent = redis === "embedded" ? " (an embedded one)" : ` (${redis})`;
  for (const box of boxes) {
    const [link, fault] = box.name.split(".");
    box.checked = switches[link][fault];
  }
  $("all-bad").checked = boxes.every((box) => box.checked);
  $("all-bad").indeterminate = !$("all-bad").checked && boxes.some((box) => box.checked);
  for (const id of ["latency", "declines"]) {
    if (document.activeElement !== $(id)) $(id).value = id === "latency" ? switches.latency_ms : switches.declines;
  }
  sliders();
  document.querySelector(`[name=arm][value="${switches.arm}"]`).checked = true;
  $("pause-hint").textContent = `A lease is ${lease / 1000} s here. A pause is ${lease / 1000 + 2} s: when it is over, somebody else has the key.`;
  const list = $("instances");
  instances.forEach((instance, i) => {
    let item = list.children[i];
    if (!item) {
      const button = (what) => {
        const made = element("button", { type: "button", className: "quiet", textContent: what === "kill" ? "Kill" : "Pause" });
        made.dataset.what = what;
        made.setAttribute("aria-label", `${made.textContent} instance ${i + 1}`);
        made.addEventListener("click", () => command("POST", `/demo/instances/${i + 1}/${what}`));
        return made;
      };
      item = element("li", {}, element("span", { className: "chip", textContent: i + 1 }), element("span", { textContent: instance.client }),
        element("span", { className: "state" }), button("kill"), button("pause"));
      list.append(item);
    }
    item.dataset.state = instance.state;
    item.querySelector(".state").textContent = instance.state;
    item.querySelector("[data-what=kill]").disabled = !["up", "paused"].includes(instance.state);
    item.querySelector("[data-what=pause]").disabled = instance.state !== "up";
  });
  if (!lanes) open();
}

$("reset").addEventListener("click", () => {
  command("POST", "/demo/reset");
});

// ---- the client ------------------------------------------------------------

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

const tries = 12;
const patience = 20_000; // of one try

// post sends a request until there is a final answer: after an error to the next
// instance, with the same key and the same body.
async function post(path, body, key, press) {
  let wait = 200;
  for (let n = 1; ; n++) {
    let pause = wait * (0.5 + Math.random());
    try {
      const response = await fetch(lanes[(press + n) % lanes.length] + path, {
        method: "POST",
        headers: { "Content-Type": "application/json", "Idempotency-Key": key, "Demo-Press": String(press), "Demo-Try": String(n) },
        body,
        signal: AbortSignal.timeout(patience),
      });
      const answer = { status: response.status, body: await response.json(), replayed: response.headers.has("Idempotency-Replayed"), tries: n };
      // These say "not now"; everything else is final for the key.
      if (![409, 429, 502, 503, 504].includes(answer.status) || n === tries) return answer;
      pause = Math.max(pause, 1000 * Math.min(Number(response.headers.get("Retry-After")) || 0, 3));
    } catch {
      // No answer came. It may have been executed: the same key again.
      if (n === tries) return { status: 0, body: {}, tries: n };
    }
    await sleep(pause);
    wait = Math.min(wait * 2, 1500);
  }
}

const without = () => document.querySelector("[name=mode]:checked").value === "without";
const prefix = () => (without() ? "/unprotected" : "");
const cents = () => Math.round(Number($("amount").value) * 100);

async function newOrder() {
  ready(false);
  const answer = await post("/v1/orders", JSON.stringify({ amount: cents(), currency: "usd", description: "A demonstration" }), newKey(), ++presses);
  if (answer.status !== 200) {
    say(`No order: ${answer.body.title ?? "the API can't be reached"}`, "bad");
    ready(order !== null);
    return;
  }
  order = answer.body;
  orders.add(order.id);
  $("order").textContent = order.id;
  $("key").value = newKey();
  say("A new order with a new key. Press Pay, as often as you like.");
  ready(true);
  draw();
}

function ready(yes) {
  $("pay").disabled = $("pay-ten").disabled = $("new-order").disabled = !yes;
}

function say(text, tone = "") {
  $("result").textContent = text;
  $("result").dataset.tone = tone;
}

let answers = []; // to the order's presses
let waiting = 0;

async function pay(times) {
  if (!$("pay-form").reportValidity()) return;
  const body = JSON.stringify({ order: order.id, amount: cents(), currency: "usd", source: "tok_visa" });
  const path = prefix() + "/v1/payments", key = $("key").value, mine = answers;
  await Promise.all(Array.from({ length: times }, async () => {
    waiting++;
    sum();
    mine.push(await post(path, body, key, ++presses));
    waiting--;
    if (mine === answers) sum();
  }));
}

// sum says what came of the presses so far.
function sum() {
  if (waiting > 0) {
    say(`${waiting} ${waiting === 1 ? "press waits" : "presses wait"} for an answer.`);
    return;
  }
  const receipts = new Set(answers.filter((a) => a.status === 200).map((a) => a.body.id));
  const declined = new Set(answers.filter((a) => a.status === 402).map((a) => a.body.charge));
  const others = [...new Set(answers.filter((a) => ![200, 402].includes(a.status)).map((a) => `${a.status || "no answer"} ${a.body.title ?? ""}`.trim()))];
  const sent = answers.reduce((total, a) => total + a.tries, 0);
  const parts = [`${answers.length} ${answers.length === 1 ? "press" : "presses"}, ${sent} ${sent === 1 ? "try" : "tries"}.`];
  if (receipts.size === 1) parts.push(`Every one was told of the same receipt: ${[...receipts][0]}.`);
  if (receipts.size > 1) parts.push(`They were told of ${receipts.size} different charges.`);
  if (declined.size === 1) parts.push(`The card was declined, once: ${[...declined][0]}.`);
  if (declined.size > 1) parts.push(`The card was declined ${declined.size} times.`);
  if (others.length > 0) parts.push(`Others: ${others.join("; ")}.`);
  say(parts.join(" "), receipts.size + declined.size > 1 || others.length > 0 ? "bad" : "good");
}

$("pay-form").addEventListener("submit", (event) => {
  event.preventDefault();
  pay(1);
});
$("pay-ten").addEventListener("click", () => pay(10));
$("new-order").addEventListener("click", () => {
  answers = [];
  newOrder();
});
$("amount").addEventListener("input", label);
for (const radio of document.getElementsByName("mode")) {
  radio.addEventListener("change", () => {
    label();
    answers = [];
    newOrder(); // what was paid in one way is not paid again in the other
  });
}

function label() {
  document.body.classList.toggle("without", without());
  $("pay").textContent = `Pay ${money(cents() || 0)}`;
}

// ---- the start -------------------------------------------------------------

// open finds the way to the instances. Each has an origin of its own, because a
// browser sends six requests at a time to one; behind a port forwarding there is
// only the page's, with the load balancer.
async function open() {
  lanes = [""];
  const own = state.world.lanes.map((port) => `${location.protocol}//${location.hostname}:${port}`);
  const reached = own.map((lane) => fetch(`${lane}/v1/orders/none`, { signal: AbortSignal.timeout(3000) }));
  if (await Promise.all(reached).then(() => true, () => false)) lanes = own;
  await newOrder();
}

$("curl").textContent = `curl -sS ${location.origin}/v1/orders -H 'Idempotency-Key: order-1' -d '{"amount": 4200, "currency": "usd"}'

# with the id that it answered: send it twice, and then with another amount
curl -sSi ${location.origin}/v1/payments -H 'Idempotency-Key: payment-1' \\
  -d '{"order": "pi_...", "amount": 4200, "currency": "usd", "source": "tok_visa"}'
curl -sS ${location.origin}/v1/payments/ch_...`;

label();
connect();
