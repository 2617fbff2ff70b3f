"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const PAGE = 200;
  const baseTime = new Map();
  const key = (r) => r.c + "|" + r.k + "|" + r.t;
  const rows = data.rows.map(([s, c, k, t, status, ns, half, rate, share, detail]) =>
    ({ s, c, k, t, status, ns, half, rate, share, detail }));
  for (const r of rows) if (r.s === data.base && r.ns !== null) baseTime.set(key(r), r.ns);
  for (const r of rows) {
    const base = baseTime.get(key(r));
    r.ratio = base === undefined || r.ns === null || r.s === data.base ? null : base / r.ns;
  }
  // Only a search needs these: made at the first, and kept.
  const words = (r) => {
    if (r.words === undefined) {
      const c = data.cases[r.c];
      r.words = [data.sides[r.s], c.op, c.sizes, c.dtype, c.on, c.models, data.kernels[r.k], r.status, r.detail].join(" ").toLowerCase();
    }
    return r.words;
  };
  const time = (ns) => {
    const [unit, by] = ns < 1e3 ? ["ns", 1] : ns < 1e6 ? ["µs", 1e3] : ns < 1e9 ? ["ms", 1e6] : ["s", 1e9];
    return (ns / by).toPrecision(3) + " " + unit;
  };
  const rate = (value, unit) => value >= 999.5 ? (value / 1e3).toPrecision(3) + " " + unit.replace("G", "T") : value.toPrecision(3) + " " + unit;
  const columns = [
    ["machine", (r) => data.sides[r.s], (r) => data.sides[r.s]],
    ["op", (r) => data.cases[r.c].op, (r) => data.cases[r.c].op],
    ["case", (r) => r.c, (r) => data.cases[r.c].sizes],
    ["dtype", (r) => data.cases[r.c].dtype, (r) => data.cases[r.c].dtype],
    ["under", (r) => data.cases[r.c].on, (r) => data.cases[r.c].on],
    ["kernel", (r) => data.kernels[r.k], (r) => data.kernels[r.k]],
    ["threads", (r) => r.t, (r) => String(r.t), "n"],
    ["time", (r) => r.ns, (r) => r.ns === null ? r.status : time(r.ns), "n"],
    ["±", (r) => r.half, (r) => r.half === null ? "" : (100 * r.half).toFixed(1) + " %", "n"],
    ["rate", (r) => r.rate, (r) => r.rate === null ? "" : rate(r.rate, data.cases[r.c].unit), "n"],
    ["of peak", (r) => r.share, (r) => r.share === null ? "" : Math.round(100 * r.share) + " %", "n"],
    ["× base", (r) => r.ratio, (r) => r.ratio === null ? "" : r.ratio.toFixed(2) + "×", "n"],
    ["remark", (r) => r.detail, (r) => r.detail, "w"],
  ];
  let order = { at: 2, up: true };
  let shown = PAGE;
  const head = byId("head");
  columns.forEach(([name, , , looks], i) => {
    const th = document.createElement("th");
    const button = document.createElement("button");
    th.scope = "col";
    if (looks) th.className = looks;
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", () => {
      order = { at: i, up: order.at === i ? !order.up : true };
      draw();
    });
    th.append(button);
    head.append(th);
  });
  // What each select asks for, and the values that it has.
  const of = (name) => data.cases.map((c) => c[name]);
  const selects = [
    ["op", (r) => data.cases[r.c].op, of("op")],
    ["dtype", (r) => data.cases[r.c].dtype, of("dtype")],
    ["under", (r) => data.cases[r.c].on, of("on")],
    ["machine", (r) => data.sides[r.s], data.sides],
    ["status", (r) => r.status, rows.map((r) => r.status)],
  ];
  for (const [id, , values] of selects) {
    for (const value of [...new Set(values)].sort()) byId(id).append(new Option(value, value));
    byId(id).addEventListener("change", () => { shown = PAGE; draw(); });
  }
  const models = new Set();
  for (const c of data.cases) for (const model of c.models.split(" ")) if (model) models.add(model);
  for (const model of [...models].sort()) byId("model").append(new Option(model, model));
  byId("model").addEventListener("change", () => { shown = PAGE; draw(); });
  byId("search").addEventListener("input", () => { shown = PAGE; draw(); });
  byId("filters").addEventListener("reset", () => setTimeout(() => { shown = PAGE; draw(); }));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("more").addEventListener("click", () => { shown += 5 * PAGE; draw(); });
  const root = document.documentElement;
  byId("theme").addEventListener("click", () => {
    const dark = getComputedStyle(root).colorScheme === "dark";
    root.dataset.theme = dark ? "light" : "dark";
  });
  const chosen = () => {
    const wanted = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const model = byId("model").value;
    const tests = selects.map(([id, of]) => [byId(id).value, of]).filter(([value]) => value !== "");
    const hasModel = data.cases.map((c) => model === "" || c.models.split(" ").includes(model));
    return rows.filter((r) => hasModel[r.c] && tests.every(([value, of]) => of(r) === value)
      && wanted.every((word) => words(r).includes(word)));
  };
  const draw = () => {
    const found = chosen();
    const key = columns[order.at][1];
    const sign = order.up ? 1 : -1;
    found.sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (x < y ? -1 : x > y ? 1 : 0);
    });
    [...head.children].forEach((th, i) => {
      if (i === order.at) th.setAttribute("aria-sort", order.up ? "ascending" : "descending");
      else th.removeAttribute("aria-sort");
    });
    const body = document.createElement("tbody");
    for (const r of found.slice(0, shown)) {
      const tr = document.createElement("tr");
      for (const [, , text, looks] of columns) {
        const td = document.createElement("td");
        if (looks) td.className = looks;
        td.textContent = text(r);
        tr.append(td);
      }
      body.append(tr);
    }
    byId("records").replaceChild(body, byId("records").tBodies[0]);
    byId("count").textContent = found.length + " of " + rows.length + " records"
      + (found.length > shown ? ", the first " + shown + " shown" : "");
    byId("more").hidden = found.length <= shown;
  };
  // Paper has no folds.
  addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll("details")) fold.open = true;
  });
  byId("browser").hidden = false;
  draw();
})();
