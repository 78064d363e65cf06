const PATIENCES = [2, 3, 4, 5, 7, 10, 15, 20, 30, 40, 50];
const LAST = 160; // the axis ends here for every start, so that it gives nothing away
const HIGH = 2.7;

/** Where early stopping ends a run: the epoch (or null), the best loss until then, and the best of all with its epoch. */
function stopping(losses, patience, grace) {
  let [best, waited, stops] = [Infinity, 0, null];
  for (let epoch = grace + 1; epoch <= losses.length && stops === null; epoch += 1) {
    const loss = losses[epoch - 1];
    waited = loss < best ? 0 : waited + 1;
    best = Math.min(best, loss);
    if (waited >= patience) stops = epoch;
  }
  const lowest = Math.min(...losses);
  return { stops, kept: Math.min(...losses.slice(0, stops ?? losses.length)), best: lowest, at: losses.indexOf(lowest) + 1 };
}

/** The losses of a start by epoch, for each seed; a seed is one text, to lie in a notebook on one line. */
const runsOf = (data, start) => data.curves[start].map((losses) => losses.split(" ").map(Number));

const isShown = (state) => state.shown === state.start && state.committed === state.guess;
const low = (values) => Math.min(...values);
const high = (values) => Math.max(...values);
const span = (values, digits) => (low(values) === high(values) ? "" : `${fixed(low(values), digits)} to `) + fixed(high(values), digits);

const inEpochs = (n) => `${n} epoch${n === 1 ? "" : "s"}`;

/** Say how far a guess lies from where the seeds stop; one that has not stopped stops somewhere behind its curve. */
function judged(guess, stops, seeds, epochs) {
  const first = stops.length ? low(stops) : epochs + 1;
  if (guess < first) return stops.length ? `${inEpochs(first - guess)} too early` : "too early";
  if (stops.length < seeds) return stops.length ? "right" : "beyond the curves";
  return guess > high(stops) ? `${inEpochs(guess - high(stops))} too late` : "right";
}

const spec = {
  title: "Where does early stopping end?",
  height: 290,
  controls: (data) => [
    { kind: "choice", key: "start", label: "start", options: data.starts },
    { kind: "slider", key: "patience", label: "patience", values: PATIENCES, format: (n) => `${n} epochs` },
    { kind: "slider", key: "guess", label: "your guess", values: [...Array(LAST).keys()].map((i) => i + 1), format: (n) => `epoch ${n}` },
    { kind: "button", label: "commit to the guess", press: ({ start, guess, patience }) => ({ shown: start, committed: guess, asked: patience }) },
  ],
  text(data, state) {
    const { start, patience, guess } = state;
    const name = `${start}, patience ${patience}`;
    const curves = runsOf(data, start);
    const now = span(curves.map((losses) => losses[data.grace - 1]), 3);
    if (!isShown(state)) return `${name}: after ${data.grace} epochs the MSE is ${now}. When will training stop? You guess epoch ${guess}. Commit to see the rest.`;
    const runs = curves.map((losses) => stopping(losses, patience, data.grace));
    const ended = runs.filter(({ stops }) => stops !== null);
    const stops = ended.map((run) => run.stops);
    const epochs = curves[0].length;
    const which = ended.length === runs.length ? "" : ` in ${ended.length} of ${runs.length} seeds`;
    const guessed = patience === state.asked ? ` (you guessed ${guess}: ${judged(guess, stops, runs.length, epochs)})` : "";
    const stop = ended.length ? `stops at epoch ${span(stops, 0)}${which}` : `has not stopped by epoch ${epochs}`;
    const below = runs.filter((run) => run.kept < data.mean).length;
    const passed = `${below} of ${runs.length} seeds ${below === 1 ? "gets" : "get"} below the mean of ${fixed(data.mean, 3)}`;
    const kept = span(runs.map((run) => run.kept), 3);
    const best = `${span(runs.map((run) => run.best), 3)} at epoch ${span(runs.map(({ at }) => at), 0)}`;
    return `${name}: training ${stop}${guessed}, with a best MSE of ${kept}: ${passed}. Within ${epochs} epochs the seeds' best is ${best}.`;
  },
  draw(picture, data, state, set) {
    const [x, height] = [scale([0, LAST], [44, 470]), scale([Math.log(0.65), Math.log(HIGH)], [250, 30])];
    const y = (mse) => height(Math.log(mse)); // so that loud starts fit, and the end can be told apart
    const runs = runsOf(data, state.start);
    const put = (tag, attributes, ...children) => picture.append(make(tag, attributes, ...children));
    for (const mse of [0.8, 1, 1.2, 1.5, 2, 2.5]) {
      put("line", { class: "axis", x1: x(0), x2: x(LAST), y1: y(mse), y2: y(mse), "stroke-opacity": 0.35 });
      put("text", { class: "soft", x: 38, y: y(mse) + 4, "text-anchor": "end" }, fixed(mse, 1));
    }
    for (let epoch = 0; epoch <= LAST; epoch += 20) put("text", { class: "soft", x: x(epoch), y: 266, "text-anchor": epoch < LAST ? "middle" : "end" }, epoch);
    put("text", { class: "soft", x: x(LAST / 2), y: 284, "text-anchor": "middle" }, "epoch (line: mean of the seeds, band: their range)");
    put("text", { class: "soft", x: 4, y: 14 }, "validation MSE (stars²), log scale");
    for (const [name, mse, above] of [["mean", data.mean, -5], ["biases", data.biases, 15]]) {
      put("line", { x1: x(0), x2: x(LAST), y1: y(mse), y2: y(mse), style: "stroke: var(--mlw-soft)", "stroke-dasharray": "2 3" });
      put("text", { class: "soft", x: x(LAST), y: y(mse) + above, "text-anchor": "end" }, `${name} ${fixed(mse, 3)}`);
    }
    const epochs = isShown(state) ? runs[0].length : data.grace;
    const band = [...Array(epochs).keys()].map((i) => runs.map((losses) => losses[i])).map((now, i) => [i + 1, low(now), high(now), now.reduce((a, b) => a + b) / now.length]);
    const line = (points, column) => points.map((point) => `${x(point[0])},${y(point[column])}`);
    put("polyline", { points: [...line(band, 1), ...line([...band].reverse(), 2)].join(" "), style: "fill: var(--mlw-a)", "fill-opacity": 0.25 });
    put("polyline", { points: line(band, 3).join(" "), style: "stroke: var(--mlw-a); stroke-width: 2; fill: none" });
    if (isShown(state)) {
      for (const losses of runs) {
        const { stops, best, at } = stopping(losses, state.patience, data.grace);
        put("circle", { cx: x(at), cy: y(best), r: 5, style: "stroke: var(--mlw-c); stroke-width: 2; fill: none" });
        if (stops) put("rect", { x: x(stops) - 4, y: y(losses[stops - 1]) - 4, width: 8, height: 8, style: "fill: var(--mlw-b)" });
      }
      put("rect", { x: 300, y: 5, width: 8, height: 8, style: "fill: var(--mlw-b)" });
      put("text", { x: 313, y: 14 }, "a seed stops");
      put("circle", { cx: 412, cy: 9, r: 5, style: "stroke: var(--mlw-c); stroke-width: 2; fill: none" });
      put("text", { x: 422, y: 14 }, "its best");
    }
    const at = x(state.guess);
    const move = (place) => set({ guess: Math.max(1, Math.min(LAST, Math.round(((place - 44) / 426) * LAST))) });
    const drag = { name: "guess", label: "your guess", text: `epoch ${state.guess}`, at: [at, 24], step: 426 / LAST, move };
    const end = at < 400 ? { x: at + 9, "text-anchor": "start" } : { x: at - 9, "text-anchor": "end" };
    picture.append(
      handle(
        picture, drag,
        make("line", { x1: at, x2: at, y1: 24, y2: 250, style: "stroke: var(--mlw-ink); stroke-width: 1.5", "stroke-dasharray": "6 4" }),
        make("path", { d: `M${at - 8},20h16l-8,14z`, style: "fill: var(--mlw-ink)" }),
        make("rect", { x: at - 12, y: 16, width: 24, height: 234, "fill-opacity": 0 }),
      ),
    );
    put("text", { ...end, y: 34, style: "font-weight: 600" }, "your guess");
  },
  more(element) {
    if (!element.firstChild) element.append(make("small", {}, "Measured on the built-in sample, whose ratings are stars."));
  },
};
