const PLAN = ["data", "loader", "workers", "batch_size", "optimizer", "logging"];
const SLOW = ["loader", "workers", "optimizer", "logging"];

/** Seconds of an epoch's stages, or null if the plan was not measured. */
function stagesOf({ options, seconds }, state) {
  if (PLAN.some((name) => !options[name].includes(state[name]))) return null;
  return seconds[PLAN.reduce((place, name) => place * options[name].length + options[name].indexOf(state[name]), 0)];
}

/** Seconds of an epoch. */
function epochOf(data, state) {
  return stagesOf(data, state)?.reduce((sum, s) => sum + s) ?? null;
}

/** For each batch size: the epochs that the budget holds, and the error of so many. */
function errorsOf(data, state) {
  if (state.data !== "sample" || state.optimizer === "SparseAdam") return [];
  const rows = [];
  for (const size of data.options.batch_size) {
    const [table, seconds] = [data.errors[size], epochOf(data, { ...state, batch_size: size })];
    if (!table || !seconds) continue;
    const epochs = Math.floor(state.budget / seconds);
    const known = table.filter((row) => row[0] <= epochs);
    const [ofTable, rate, mse, low, high] = known.at(-1) ?? [0, null, null, null, null];
    rows.push({ size, epochs, ofTable, rate, mse, low, high });
  }
  return rows;
}

const lowest = (rows) => rows.reduce((best, row) => (row.mse !== null && (!best || row.mse < best.mse) ? row : best), null);
const time = (s) => (s < 0.1 ? `${fixed(1000 * s, 1)} ms` : `${fixed(s, s < 10 ? 2 : 1)} s`);

/** Say what a batch size reaches. */
function told({ size, epochs, ofTable, mse, low, high }, seeds) {
  const name = `batches of ${fixed(size)}`;
  if (mse === null) return `${name} get through no epoch`;
  const last = epochs > ofTable ? `, of which the table has ${fixed(ofTable)},` : "";
  return `${name} get through ${fixed(epochs)} epoch${epochs > 1 ? "s" : ""}${last} and reach ${fixed(mse, 3)} stars² at best (mean of ${seeds} seeds, ${fixed(low, 3)} to ${fixed(high, 3)})`;
}

const spec = {
  title: "An epoch's clock",
  height: 378,
  controls: ({ options, budgets }) => [
    { kind: "choice", key: "data", label: "data", options: options.data },
    { kind: "choice", key: "loader", label: "loader", options: options.loader },
    { kind: "choice", key: "workers", label: "workers", options: options.workers },
    { kind: "choice", key: "logging", label: "logging", options: options.logging },
    { kind: "choice", key: "optimizer", label: "optimizer", options: options.optimizer },
    { kind: "slider", key: "batch_size", label: "batch size", values: options.batch_size, format: fixed },
    { kind: "slider", key: "budget", label: "train for", values: budgets, format: (s) => `${fixed(s, 1)} s` },
  ],
  text(data, state) {
    const stages = stagesOf(data, state);
    if (!stages) return "This plan has not been measured.";
    const [seconds, most] = [epochOf(data, state), stages.indexOf(Math.max(...stages))];
    let said = `An epoch takes ${time(seconds)}. Its largest part is ${data.stages[most]}, ${fixed((100 * stages[most]) / seconds)} %.`;
    const slow = epochOf(data, { ...state, ...Object.fromEntries(SLOW.map((name) => [name, data.start[name]])) });
    const plan = `${data.start.loader} loader, ${data.start.logging}, ${data.start.optimizer}`;
    if (slow && slow >= 1.1 * seconds) said += ` The plan at the start (${plan}) takes ${fixed(slow / seconds, 1)} times as long.`;
    if (state.data !== "sample") return `${said} The large data are random ratings, made for timing: they have no error to show.`;
    if (state.optimizer === "SparseAdam") return `${said} Errors are of Adam: SparseAdam is another algorithm.`;
    const rows = errorsOf(data, state);
    const row = rows.find(({ size }) => size === state.batch_size);
    if (row) said += ` In ${fixed(state.budget, 1)} s of training, ${told(row, data.seeds)}.`;
    const best = lowest(rows);
    if (best) said += ` The lowest is ${fixed(best.mse, 3)}, with batches of ${fixed(best.size)}.`;
    return said;
  },
  draw(picture, data, state) {
    const put = (tag, attributes, ...children) => picture.append(make(tag, attributes, ...children));
    const stages = stagesOf(data, state);
    const seconds = epochOf(data, state);
    put("text", { x: 4, y: 16, "font-weight": "bold" }, seconds ? `One epoch: ${time(seconds)}` : "Not measured");
    const largest = stages ? Math.max(...stages) : 1;
    const left = 16 + 7.4 * Math.max(...data.stages.map((name) => name.length)); // of a stage's bar
    const x = scale([0, largest], [left, 350]);
    data.stages.forEach((name, i) => {
      const y = 26 + 25 * i;
      put("text", { x: left - 8, y: y + 15, "text-anchor": "end" }, name);
      put("line", { class: "axis", x1: left, x2: left, y1: y - 2, y2: y + 22 });
      if (!stages) return;
      const isLargest = stages[i] === largest;
      put("rect", { x: left, y, width: x(stages[i]) - left, height: 20, style: `fill: var(--mlw-${isLargest ? "b" : "a"})` });
      const share = `${fixed((100 * stages[i]) / seconds)} %`;
      put("text", { x: x(stages[i]) + 6, y: y + 15, "font-weight": isLargest ? "bold" : "normal" }, `${time(stages[i])}, ${share}`);
    });
    const rows = errorsOf(data, state);
    const across = scale([0, data.options.batch_size.length - 1], [94, 436]);
    const size = (at, row) => put("text", { x: at, y: 346, "text-anchor": "middle", "font-weight": row === state.batch_size ? "bold" : "normal" }, fixed(row));
    if (!rows.length) {
      const why = state.data !== "sample" ? "random ratings have no errors" : "no errors for this plan";
      put("text", { x: 4, y: 176, "font-weight": "bold" }, `One epoch, by batch size (${why})`);
      const times = data.options.batch_size.map((batch_size) => epochOf(data, { ...state, batch_size }));
      const known = times.filter(Boolean).map(Math.log);
      const height = scale([Math.min(...known), Math.max(...known) + 1e-9], [316, 224]);
      times.forEach((s, i) => {
        size(across(i), data.options.batch_size[i]);
        if (!s) return;
        const isChosen = data.options.batch_size[i] === state.batch_size;
        put("circle", { cx: across(i), cy: height(Math.log(s)), r: 6, style: `stroke: var(--mlw-a); stroke-width: 2.5; fill: var(--mlw-${isChosen ? "a" : "ground"})` });
        put("text", { x: across(i), y: height(Math.log(s)) - 12, "text-anchor": "middle" }, time(s));
      });
      put("text", { class: "soft", x: 4, y: 364 }, "seconds on a logarithmic scale");
      return;
    }
    put("text", { x: 4, y: 176, "font-weight": "bold" }, `Lowest validation MSE within ${fixed(state.budget, 1)} s of training, by batch size`);
    const y = scale([0.73, 1.03], [322, 212]);
    for (const error of [0.75, 0.85, 0.95]) {
      put("line", { class: "axis", x1: 50, x2: 474, y1: y(error), y2: y(error), "stroke-dasharray": "2 4" });
      put("text", { class: "soft", x: 44, y: y(error) + 4, "text-anchor": "end" }, fixed(error, 2));
    }
    const best = lowest(rows);
    for (const row of rows) {
      const at = across(data.options.batch_size.indexOf(row.size));
      const isChosen = row.size === state.batch_size;
      size(at, row.size);
      put("text", { class: "soft", x: at, y: 364, "text-anchor": "middle" }, `${fixed(row.epochs)} ep.`);
      if (row.mse === null) continue;
      const colour = `var(--mlw-${row === best ? "c" : "a"})`;
      put("line", { x1: at, x2: at, y1: y(Math.min(row.low, 1.03)), y2: y(Math.min(row.high, 1.03)), style: `stroke: ${colour}; stroke-width: 3` });
      put("circle", { cx: at, cy: y(Math.min(row.mse, 1.03)), r: 6, style: `stroke: ${colour}; stroke-width: 2.5; fill: ${isChosen ? colour : "var(--mlw-ground)"}` });
      if (row === best) put("circle", { cx: at, cy: y(Math.min(row.mse, 1.03)), r: 11, style: `stroke: ${colour}; stroke-width: 1.5; fill: none` });
      put("text", { x: at, y: y(Math.min(row.high, 1.03)) - (row === best ? 14 : 8), "text-anchor": "middle", "font-weight": row === best ? "bold" : "normal" }, fixed(row.mse, 3));
    }
    put("text", { class: "soft", x: 4, y: 364 }, "trained");
  },
  more(element, data) {
    if (!element.firstChild) element.append(make("small", {}, `Seconds measured on ${data.machine}. Errors: notebook 04's table, measured on the built-in sample: the lowest validation MSE so far, mean of ${data.seeds} seeds, each size with its own learning rate.`));
  },
};
