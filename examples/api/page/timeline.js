// The timeline: requests with one key that come soon after each other are a burst,
// with a time axis of its own, and a line for each request.

const quiet = 2500; // ms without a request that end a burst
const most = 15; // bursts that are shown

const drawn = new Map(); // by the ID of a burst's first request
let timer = 0;
let shown = null;

// show draws the requests into the element.
export function show(into, rows, world) {
  shown = { into, rows, world };
  redraw();
}

function redraw() {
  clearTimeout(timer);
  const { into, rows, world } = shown;
  const bursts = burstsOf(rows).slice(-most).reverse();
  const kept = new Set(bursts.map((b) => b.id));
  for (const [id, view] of drawn) {
    if (!kept.has(id)) {
      view.section.remove();
      drawn.delete(id);
    }
  }
  if (bursts.length === 0) {
    if (!into.querySelector(".none")) into.replaceChildren(element("p", "none", "Press Pay."));
    return;
  }
  into.querySelector(":scope > .none")?.remove();
  bursts.forEach((burst, i) => {
    let view = drawn.get(burst.id);
    if (!view) {
      view = newView();
      drawn.set(burst.id, view);
    }
    if (into.children[i] !== view.section) into.insertBefore(view.section, into.children[i] ?? null);
    view.update(burst, world);
  });
  if (bursts.some((b) => b.open)) timer = setTimeout(redraw, 100);
}

function burstsOf(rows) {
  const bursts = [], last = new Map();
  for (const row of [...rows.values()].sort((a, b) => a.id - b.id)) {
    const key = `${row.path} ${row.naive} ${row.key}`;
    let burst = last.get(key);
    if (!burst || (!burst.open && row.began > burst.to + quiet)) {
      burst = { id: row.id, from: row.began, to: row.began, open: false, rows: [] };
      last.set(key, burst);
      bursts.push(burst);
    }
    const open = isOpen(row);
    burst.open ||= open;
    burst.to = Math.max(burst.to, open ? Date.now() : 0, row.ended ?? 0, ...(row.steps ?? []).map((s) => s.ended ?? 0));
    // Browsers send a request again by themselves when a connection that they had
    // kept, or opened ahead, breaks under it. Their page isn't told.
    row.resent = Boolean(row.press) && burst.rows.some((r) => r.press === row.press && r.try === row.try);
    burst.rows.push(row);
  }
  return bursts;
}

const isOpen = (row) => !row.ended || (row.steps ?? []).some((s) => !s.ended);

const names = ["c-try", "c-at", "c-bar", "c-how", "c-what", "c-time"]; // the columns

function newView() {
  const title = element("h3"), about = element("p"), body = element("tbody");
  const head = element("thead");
  head.append(element("tr"));
  for (const name of ["press", "instance", "when", "what happened", "answer", "time"]) {
    const cell = element("th", "", name);
    cell.scope = "col";
    head.firstChild.append(cell);
  }
  const columns = element("colgroup");
  for (const name of names) columns.append(element("col", name));
  const header = element("header"), table = element("table", "rows"), section = element("section", "burst");
  header.append(title, about);
  table.append(columns, head, body);
  section.append(header, table);
  const lines = new Map();
  let signature = "";
  return {
    section,
    update(burst, world) {
      const now = burst.open ? burst.to : "";
      const next = JSON.stringify([burst.rows, now]);
      if (next === signature) return;
      signature = next;
      setText(title, titleOf(burst));
      setText(about, summary(burst));
      header.title = `Idempotency-Key: ${burst.rows[0].key || "missing"}`;
      for (const row of burst.rows) {
        let line = lines.get(row.id);
        if (!line) {
          line = newLine(row, world);
          lines.set(row.id, line);
          body.append(line.element);
        }
        line.update(row, burst);
      }
    },
  };
}

function titleOf(burst) {
  const what = { "/v1/payments": "Payment", "/v1/orders": "Order", "/v1/refunds": "Refund" }[burst.rows[0].path] ?? burst.rows[0].path;
  const { naive, key } = burst.rows[0];
  const short = key.length > 13 ? `${key.slice(0, 8)}…` : key;
  return `${what}${naive ? " without the library" : ""}, ${new Date(burst.from).toLocaleTimeString()}, ${key ? `key ${short}` : "no key"}`;
}

function summary(burst) {
  const count = (test) => burst.rows.filter(test).length;
  const parts = [[count(ran), "ran"], [count((r) => r.outcome === "joined" || r.outcome === "waited"), "waited"],
    [count((r) => r.outcome === "replayed"), "replayed"], [count((r) => r.outcome === "refused"), "refused"],
    [count((r) => r.takeover), "took over"], [count((r) => r.resent), "sent again by the browser itself*"], [count((r) => ["lost", "cut"].includes(r.fate)), "lost their answer"], [count((r) => r.died), "died"]];
  const n = burst.rows.length;
  const seconds = ((burst.to - burst.from) / 1000).toFixed(1);
  return `${n} ${n === 1 ? "request" : "requests"} in ${seconds} s: ` + (parts.filter(([c]) => c > 0).map(([c, what]) => `${c} ${what}`).join(", ") || "under way")
    + ``;
}

const ran = (row) => (row.steps ?? []).some((s) => s.kind === "action");

function newLine(row, world) {
  const cells = names.map((name) => element("td", name));
  const [which, at, bar, how, what, time] = cells;
  const line = element("tr");
  line.append(...cells);
  which.textContent = `${row.press ? `#${row.press}` : "curl"}${row.try > 1 ? `, try ${row.try}` : ""}${row.resent ? "*" : ""}`;
  if (row.resent) which.title = "sent again by the browser itself, unasked";
  at.append(element("span", "chip", row.instance), ` ${world?.instances[row.instance - 1]?.client ?? ""}`);
  const lane = element("div", "lane");
  bar.append(lane);
  const label = element("span", "how"), fate = element("span", "fate");
  how.append(label, fate);
  return {
    element: line,
    update(row, burst) {
      const { text, tone } = outcome(row);
      line.dataset.outcome = row.outcome ?? (row.naive && ran(row) ? "unprotected" : "");
      line.dataset.fate = row.fate ?? "";
      setText(label, text);
      label.className = `how ${tone}`;
      const lost = fateOf(row);
      setText(fate, lost && text ? `, ${lost}` : lost);
      const code = row.status ? `${row.status} ${row.receipt ?? row.title ?? ""}` : "";
      setText(what, code);
      what.title = row.title ?? "";
      how.title = label.textContent + fate.textContent;
      const end = row.ended ?? burst.to;
      setText(time, `${((end - row.began) / 1000).toFixed(2)} s`);
      lane.replaceChildren(...segments(row, burst));
    },
  };
}

// outcome says what the observer saw, in a person's words.
function outcome(row) {
  const open = (row.steps ?? []).filter((s) => !s.ended).at(-1);
  if (open) {
    const words = { action: "runs", wait: "waits", reconcile: "asks the card network", claim: "asks for the key", commit: "records" };
    return { text: words[open.kind] ?? open.kind, tone: row.naive ? "naive" : open.kind };
  }
  const reconciled = (row.steps ?? []).some((s) => s.kind === "reconcile");
  if (row.takeover && reconciled && !ran(row) && !["failed", "abandoned"].includes(row.outcome)) return { text: "took over, found it", tone: "reconcile" };
  if (row.died && !row.outcome) return { text: row.naive || ran(row) ? "ran" : "", tone: "action" };
  switch (row.outcome) {
    case "executed": return { text: row.takeover ? "took over, ran" : "ran", tone: "action" };
    case "joined": // for one at the same instance
    case "waited": // for another instance
      return { text: "waited", tone: "wait" };
    case "replayed": return { text: ran(row) ? "overtaken, replayed" : "replayed", tone: "replay" };
    case "refused": return { text: "refused", tone: "bad" };
    case "abandoned": return { text: "not decided yet", tone: "reconcile" };
    case "failed": return { text: ran(row) ? "ran, not confirmed" : "failed", tone: "bad" };
  }
  if (row.naive && ran(row)) return { text: "ran", tone: "naive" };
  return { text: row.ended ? "" : "on its way", tone: "" };
}

function fateOf(row) {
  if (row.died) return "its instance died";
  return { lost: "answer lost", cut: "connection cut", down: "no instance", left: "gave up" }[row.fate] ?? "";
}

function segments(row, burst) {
  const span = Math.max(burst.to - burst.from, 50);
  const made = [];
  const put = (kind, from, to) => {
    const seg = element("i", `seg ${kind}`);
    const left = Math.min(Math.max(0, (from - burst.from) / span), 0.985);
    seg.style.left = `${left * 100}%`;
    seg.style.width = `${Math.max(0, Math.min(1 - left, (to - from) / span)) * 100}%`;
    made.push(seg);
  };
  put("flight", row.began, row.ended ?? burst.to);
  for (const step of row.steps ?? []) {
    if (step.kind === "claim" && step.ended - step.began < span / 50) continue; // too short to see
    put(row.naive ? "naive" : step.kind, step.began, step.ended ?? burst.to);
  }
  if (row.outcome === "replayed") put("replay", row.ended ?? burst.to, row.ended ?? burst.to);
  return made;
}

function element(name, className = "", ...children) {
  const made = document.createElement(name);
  made.className = className;
  made.append(...children);
  return made;
}

function setText(into, text) {
  if (into.textContent !== text) into.textContent = text;
}
