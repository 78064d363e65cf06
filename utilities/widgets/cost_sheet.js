const ORDERS = [3, 4, 5, 6, 7, 8].flatMap((order) => [1, 2, 5].map((digit) => digit * 10 ** order)).concat([1e9]);
const STAGES = ["taking steps", "ratings", "whole tables", "sending"];

/** Bytes, traffic and seconds of a plan; `step_bytes` and `cost` of notebook 08. */
function cost({ prices, link, device, ratings }, { users, movies, k, optimizer, devices, batch }) {
  const isSharded = optimizer === "SparseAdam";
  const row = 4 * (k + 1);
  const tables = (users + movies) * row;
  const elsewhere = (devices - 1) / devices;
  const gradient = isSharded ? 2 * batch * (row + 8) : tables;
  const inAll = 3 * tables + gradient;
  const share = batch / devices;
  const sent = isSharded ? 2 * share * elsewhere * (8 + 2 * row) : 2 * elsewhere * tables;
  const [once, rating, looked, walked] = prices[optimizer];
  const step = [once, share * rating + 2 * share * (k + 1) * looked, isSharded ? 0 : (users + movies) * (k + 1) * walked, sent / link];
  const inOne = isSharded ? devices : 1;
  return {
    held: [tables / inOne, (2 * tables) / inOne, gradient / inOne],
    aDevice: inAll / inOne,
    needed: isSharded ? Math.ceil(inAll / device) : inAll <= device ? 1 : Infinity,
    sent,
    step,
    seconds: Math.ceil((ratings * users) / batch) * step.reduce((sum, s) => sum + s),
  };
}

/** Give bytes in the unit that suits them. */
function bytes(n) {
  const unit = [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"]].find(([size]) => n >= size) ?? [1e3, "kB"];
  return `${fixed(n / unit[0], 1)} ${unit[1]}`;
}

/** Give seconds in the unit that suits them. */
function time(s) {
  const unit = [[31557600, "years"], [86400, "days"], [3600, "hours"], [60, "minutes"], [1, "seconds"]].find(([size]) => s >= size) ?? [1e-3, "milliseconds"];
  return `${fixed(s / unit[0], 1)} ${unit[1]}`;
}

/** Give each part's percentage of the sum. */
function shares(parts) {
  const sum = parts.reduce((a, b) => a + b);
  return parts.map((part) => (100 * part) / sum);
}

/** Give a percentage, with two digits if it is small. */
function percentage(share, small) {
  if (share > 0 && share < 0.01) return "< 0.01 %";
  return `${fixed(share, share && share < small ? 2 : 0)} %`;
}

const spec = {
  title: "The cost of a training plan",
  height: 372,
  controls: () => [
    { kind: "slider", key: "devices", label: "devices", values: [1, 2, 4, 8, 16, 32, 64], format: fixed },
    { kind: "choice", key: "optimizer", label: "optimizer", options: ["Adam", "SparseAdam"] },
    { kind: "slider", key: "users", label: "users", values: ORDERS, format: fixed },
    { kind: "slider", key: "movies", label: "movies", values: ORDERS.slice(0, 13), format: fixed },
    { kind: "slider", key: "k", label: "factors k", values: [4, 8, 16, 32, 64, 128], format: fixed },
    { kind: "slider", key: "batch", label: "batch", values: [10, 11, 12, 13, 14, 15, 16, 17].map((n) => 2 ** n), format: fixed },
  ],
  text(data, state) {
    const { aDevice, needed, sent, step, seconds } = cost(data, state);
    const many = state.devices > 1 ? `Each of ${fixed(state.devices)} devices` : "The device";
    const more = needed === Infinity ? "too much on any number of devices, as each holds a copy" : `too much: it takes ${fixed(needed)} devices`;
    const doesFit = needed <= state.devices;
    const fits = doesFit ? "which fits" : more;
    const sends = sent ? `${doesFit ? "sends" : "would send"} ${bytes(sent)} a step` : "sends nothing";
    const parts = shares(step);
    const most = parts.indexOf(Math.max(...parts));
    return `${many} holds ${bytes(aDevice)}, ${fits}, and ${sends}. An epoch ${doesFit ? "takes" : "would take"} ${time(seconds)}, ${fixed(parts[most])} % of it for ${STAGES[most]}.`;
  },
  draw(picture, data, state) {
    const put = (tag, attributes, ...children) => picture.append(make(tag, attributes, ...children));
    const plan = cost(data, state);
    const isFull = plan.aDevice > data.device;
    const percent = percentage((100 * plan.aDevice) / data.device, 10);
    put("text", { x: 4, y: 16, "font-weight": "bold" }, `${bytes(plan.aDevice)} on each device of ${bytes(data.device)}: ${percent}${isFull ? ", too much" : ""}`);
    const wide = Math.min(44, 472 / state.devices);
    for (let i = 0; i < state.devices; i += 1) {
      const [x, width] = [4 + i * wide, wide - 2];
      let y = 76;
      plan.held.forEach((n, part) => {
        const height = Math.min((50 * n) / data.device, y - 26);
        put("rect", { x, y: (y -= height), width, height, style: `fill: var(--mlw-${"abc"[part]})` });
      });
      put("rect", { x, y: 26, width, height: 50, style: "fill: none; stroke: var(--mlw-ink)" });
      if (isFull) put("path", { d: `M${x} 26 l${width} 50 m0 -50 l${-width} 50`, style: "fill: none; stroke: var(--mlw-ground); stroke-width: 2" });
    }
    const x = scale([3, 13], [126, 404]);
    for (const [order, name] of [[3, "1 kB"], [6, "1 MB"], [9, "1 GB"], [12, "1 TB"]]) {
      put("line", { class: "axis", x1: x(order), x2: x(order), y1: 108, y2: 214, "stroke-dasharray": "2 4" });
      put("text", { class: "soft", x: x(order), y: 102, "text-anchor": "middle" }, name);
    }
    put("text", { class: "soft", x: 4, y: 102 }, "each device");
    put("text", { class: "soft", x: 474, y: 102, "text-anchor": "end" }, "logarithmic");
    const rows = [["holds tables", plan.held[0], "a"], ["Adam’s averages", plan.held[1], "b"], ["gradient", plan.held[2], "c"], ["sends a step", plan.sent, "soft"]];
    rows.forEach(([name, n, colour], i) => {
      const y = 112 + 26 * i;
      const width = n > 1e3 ? x(Math.log10(n)) - x(3) : 0;
      put("text", { x: 118, y: y + 15, "text-anchor": "end" }, name);
      put("rect", { x: x(3), y, width, height: 20, style: `fill: var(--mlw-${colour})` });
      put("text", { x: x(3) + width + 6, y: y + 15 }, n ? bytes(n) : "nothing");
    });
    put("text", { x: 4, y: 240, "font-weight": "bold" }, `An epoch${plan.needed <= state.devices ? ":" : " would take"} ${time(plan.seconds)}`);
    shares(plan.step).forEach((share, i) => {
      const y = 248 + 23 * i;
      put("text", { x: 118, y: y + 14, "text-anchor": "end" }, STAGES[i]);
      put("rect", { x: 126, y, width: 2.78 * share, height: 18, style: "fill: var(--mlw-soft)" });
      put("text", { x: 132 + 2.78 * share, y: y + 14 }, percentage(share, 1));
    });
    const cut = state.optimizer === "SparseAdam" && state.devices > 1 ? ` ÷ ${state.devices} devices` : "";
    put("text", { class: "soft", x: 4, y: 362 }, `tables = (users + movies) · (k + 1) · 4 bytes${cut} = ${bytes(plan.held[0])}`);
  },
  more(element, data) {
    if (!element.firstChild) element.append(make("small", {}, `${fixed(data.ratings)} ratings a user, ${bytes(data.device)} a device. ${data.machine}`));
  },
};
