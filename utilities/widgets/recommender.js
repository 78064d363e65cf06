const GRAIN = 1e-4; // of a star or point; the numbers of the movies are kept as multiples of it
const BETAS = [0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 5];
const dot = (a, b) => a.reduce((sum, value, f) => sum + value * b[f], 0);
const times = (matrix, vector) => matrix.map((row) => dot(row, vector));

const unpacked = new WeakMap(); // by data
const folded = new WeakMap(); // by state

/** Turn the whole numbers back into stars or points. */
function unpack(data) {
  if (!unpacked.has(data)) {
    const factors = data.factors.map((row) => row.map((value) => value * GRAIN));
    const gram = factors[0].map((_, f) => factors[0].map((_, g) => factors.reduce((sum, x) => sum + x[f] * x[g], 0) / factors.length));
    unpacked.set(data, { factors, gram, start: data.start.map((value) => value * GRAIN), heard: data.popularity.map((n) => Math.log(1 + n)) });
  }
  return unpacked.get(data);
}

/** Fold the given ratings in and make the list: `fold_in`, `predict_row` and the parts of notebook 06, one rating after the other. */
function fold(data, state) {
  if (folded.has(state)) return folded.get(state);
  const { factors, gram, start, heard } = unpack(data);
  const given = state.ratings.filter(([, stars]) => stars !== null);
  let covariance = gram.map((row, f) => row.map((_, g) => Number(f === g)));
  const mean = () => Math.sqrt(covariance.reduce((sum, row, f) => sum + dot(row, gram[f]), 0));
  const trail = [mean()];
  for (const [movie] of given) {
    const moved = times(covariance, factors[movie]);
    const by = data.noise + dot(factors[movie], moved);
    covariance = covariance.map((row, f) => row.map((value, g) => value - (moved[f] * moved[g]) / by));
    trail.push(mean());
  }
  const pulls = given.map(([movie, stars]) => times(covariance, factors[movie]).map((value) => (value / data.noise) * (stars - start[movie])));
  const row = gram.map((_, f) => pulls.reduce((sum, pull) => sum + pull[f], 0));
  const predictions = factors.map((x, j) => start[j] + dot(x, row));
  const scores = predictions.map((prediction, j) => prediction + state.beta * heard[j]);
  const rated = new Set(given.map(([movie]) => movie));
  const listed = [...scores.keys()].filter((j) => !rated.has(j)).sort((i, j) => scores[j] - scores[i] || i - j).slice(0, 10);
  const doubt = (j) => Math.sqrt(dot(factors[j], times(covariance, factors[j])));
  const because = (j) => {
    const parts = given.map(([movie], i) => [movie, dot(factors[j], pulls[i])]);
    return parts.sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
  };
  const picked = listed.includes(state.why) ? state.why : listed[0];
  const result = { given, trail, start, predictions, listed, doubt, std: (j) => Math.hypot(doubt(j), Math.sqrt(data.noise)), because, picked };
  folded.set(state, result);
  return result;
}

const STYLE = `
.mlw-recommender .mlw-controls { display: flex; flex-wrap: wrap; gap: 0.5rem 0.7rem; }
.mlw-recommender .mlw-search { flex: 1 1 20rem; grid-template-columns: auto 1fr; }
.mlw-recommender .mlw-slider { flex: 1 1 17rem; grid-template-columns: auto 1fr auto; }
.mlw-recommender .mlw-slider output { min-width: 2.5rem; }
.mlw-recommender .mlw-button { display: block; }
.mlw-recommender button { cursor: pointer; }
.mlw-rated { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); gap: 0.3rem 1rem; list-style: none; margin: 0.8rem 0; padding: 0; }
.mlw-rated li { display: grid; grid-template-columns: auto minmax(1.6rem, auto) 1fr auto; gap: 0.5rem; align-items: center; margin: 0; padding: 0.1rem 0.1rem 0.1rem 0.4rem; background: var(--mlw-fill); border-radius: 4px; }
.mlw-stars { position: relative; overflow: hidden; font-size: 1.3rem; line-height: 1.6rem; white-space: nowrap; color: var(--mlw-line); border-radius: 3px; }
.mlw-stars > span { position: absolute; inset: 0 auto 0 0; overflow: hidden; color: var(--mlw-b); }
.mlw .mlw-stars > input { position: absolute; top: 0; height: 100%; margin: 0; opacity: 0; cursor: pointer; }
.mlw-rated li > input { width: 6.5rem; margin: 0.4rem 0; }
.mlw-stars:has(:focus-visible) { outline: 3px solid var(--mlw-a); }
.mlw-rated output { text-align: right; font-variant-numeric: tabular-nums; }
.mlw-rated .title { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.mlw-picture [data-handle] { cursor: pointer; }
.mlw-picture [data-handle]:hover rect { fill: var(--mlw-fill); }
`;

/** Make the row of one rated movie; `rated.set` and `rated.state` are always the latest. */
function ratingRow(rated, { titles, lowest, highest, step, unit }, movie) {
  const last = Math.round((highest - lowest) / step) + 1; // of the places on the slider; the first, 0, is for no rating
  const digits = [0, 1].find((n) => Number.isInteger(Number((step * 10 ** n).toFixed(6)))) ?? 2;
  const isStars = unit === "stars" && step >= 0.5;
  const change = (stars) => rated.set({ ratings: rated.state.ratings.map(([one, old]) => [one, one === movie ? stars : old]) });
  const value = () => (Number(input.value) ? Number((lowest + step * (Number(input.value) - 1)).toFixed(6)) : null);
  const input = make("input", {
    type: "range", min: 0, max: last, step: 1, "aria-label": `${unit} for ${titles[movie]}`, "data-lm-suppress-shortcuts": true, input: () => change(value()),
  });
  const [lit, five] = [make("span", { "aria-hidden": "true" }, "★★★★★"), make("span", { "aria-hidden": "true", style: "position: static; color: inherit" }, "★★★★★")];
  const shown = make("output", {});
  const remove = make("button", {
    type: "button", "aria-label": `remove ${titles[movie]}`, title: "remove",
    click: () => {
      const next = row.nextElementSibling ?? row.previousElementSibling;
      rated.set({ ratings: rated.state.ratings.filter(([one]) => one !== movie) });
      (next?.querySelector("button") ?? rated.closest(".mlw").querySelector("input")).focus();
    },
  }, "×");
  if (isStars) {
    const share = (stars) => `${(100 * stars) / highest}%`; // a rating has the place from the one below it to its own
    input.style.cssText = `left: calc(${share(lowest - 1.5 * step)} - 8px); width: calc(${share(highest - lowest + step)} + 16px)`;
  }
  const row = make("li", {}, isStars ? make("span", { class: "mlw-stars" }, five, lit, input) : input, shown, make("span", { class: "title", title: titles[movie] }, titles[movie]), remove);
  row.update = (given) => {
    input.value = given === null ? 0 : Math.round((given - lowest) / step) + 1;
    shown.textContent = given === null ? "–" : fixed(given, digits);
    input.setAttribute("aria-valuetext", given === null ? `no ${unit} given` : `${shown.textContent} ${unit}`);
    lit.style.width = `${(100 * (given ?? 0)) / highest}%`;
  };
  return row;
}

const add = (movie, { ratings }) => (ratings.some(([one]) => one === movie) ? {} : { ratings: [...ratings, [movie, null]] });

const spec = {
  title: "Rate movies, get recommendations",
  height: 436,
  controls: (data) => [
    { kind: "search", label: "add a movie", options: data.titles, pick: (title, state) => add(data.titles.indexOf(title), state) },
    { kind: "slider", key: "beta", label: "popularity, β", values: BETAS, format: (beta) => fixed(beta, 2) },
    {
      kind: "button", label: "+ popular movie", press: (state) => {
        const known = new Set(state.ratings.map(([movie]) => movie));
        const rest = [...data.titles.keys()].filter((movie) => !known.has(movie));
        return rest.length ? add(rest.reduce((best, j) => (data.popularity[j] > data.popularity[best] ? j : best)), state) : {};
      },
    },
    {
      kind: "button", label: `flip ${data.unit}`,
      press: ({ ratings }) => ({ ratings: ratings.map(([movie, stars]) => [movie, stars === null ? null : data.lowest + data.highest - stars]) }),
    },
    { kind: "button", label: "start over", press: () => ({ ratings: data.asked.map((movie) => [movie, null]), beta: 0, why: null }) },
  ],
  text(data, state) {
    const told = fold(data, state);
    const { titles, noise, unit } = data;
    const mixed = state.beta ? ` Mixed with popularity: β log(1 + n) for the movie's n ratings, β = ${fixed(state.beta, 2)}.` : "";
    const [before, now, n] = [told.trail[0], told.trail.at(-1), told.given.length];
    if (!n) {
      return `No ${unit} given yet: the list is what the average user gets. Doubt about a user ± ${fixed(before, 1)} ${unit}, noise of a rating ± ${fixed(Math.sqrt(noise), 1)} ${unit}.${mixed}`;
    }
    const first = told.listed.slice(0, 3).map((j) => `${titles[j]} ${fixed(told.predictions[j], 2)} ± ${fixed(told.std(j), 2)}`).join("; ");
    const most = told.because(told.picked).slice(0, 3);
    const rest = told.predictions[told.picked] - told.start[told.picked] - most.reduce((sum, [, part]) => sum + part, 0);
    const why = [`${fixed(told.start[told.picked], 2)} for the average user`, ...most.map(([movie, part]) => `${titles[movie]} ${signed(part, 2)}`)].join(", ");
    return (
      `${n} rating${n > 1 ? "s" : ""} given.${mixed} The list begins with ${first} ${unit}. Mean doubt about you: ` +
      `± ${fixed(before, 2)} before the first rating, ± ${fixed(now, 2)} now; with the noise of a rating ` +
      `± ${fixed(Math.sqrt(before ** 2 + noise), 2)} and ± ${fixed(Math.sqrt(now ** 2 + noise), 2)}. ` +
      `Why ${titles[told.picked]}: ${why}${n > 3 ? `, the other ratings ${signed(rest, 2)}` : ""}.`
    );
  },
  draw(picture, data, state, set) {
    const isNarrow = picture.getBoundingClientRect().width > 0 && picture.getBoundingClientRect().width < 430;
    Object.assign(picture, { isNarrow, latest: [data, state, set] });
    const told = fold(data, state);
    const below = 366 + (told.given.length && 86); // where the doubt stands if there is no room beside the reasons
    const [width, height] = isNarrow ? [360, below + 152] : [480, 462];
    picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    picture.setAttribute("role", "group"); // its rows can be focused
    picture.style.touchAction = "pan-y";
    const text = (x, y, content, more = {}) => picture.append(make("text", { x, y, ...more }, content));
    drawList(picture, data, told, state, set, text, width);
    drawReasons(picture, data, told, text, isNarrow ? 356 : 312);
    drawDoubt(picture, data, told, text, ...(isNarrow ? [4, below, 352] : [346, 314, 130]));
    text(4, height - 6, "why: r̂ = (μ + b + x·m) + Σᵢ xᵀA⁻¹xᵢ / σ² · (dᵢ − xᵢ·m)", { class: "soft" });
    if (picture.observer) return;
    picture.observer = new ResizeObserver(() => {
      if (!picture.isConnected) return picture.observer.disconnect();
      if (picture.isNarrow === picture.getBoundingClientRect().width < 430) return;
      picture.replaceChildren();
      spec.draw(picture, ...picture.latest);
    });
    picture.observer.observe(picture);
  },
  more(element, data, state, set) {
    if (!element.list) {
      element.parentNode.classList.add("mlw-recommender");
      element.parentNode.querySelector("svg").before(element);
      element.list = make("ul", { class: "mlw-rated", "aria-label": "your ratings" });
      element.rows = new Map();
      element.append(make("style", {}, STYLE), element.list);
    }
    const { list, rows } = element;
    Object.assign(list, { state, set });
    const wanted = new Set(state.ratings.map(([movie]) => movie));
    for (const [movie, row] of rows) {
      if (wanted.has(movie)) continue;
      row.remove();
      rows.delete(movie);
    }
    const added = state.ratings.filter(([movie]) => !rows.has(movie));
    for (const [movie] of added) {
      rows.set(movie, ratingRow(list, data, movie));
      list.append(rows.get(movie));
    }
    for (const [movie, stars] of state.ratings) rows.get(movie).update(stars);
    const isAsked = list.closest(".mlw").contains(document.activeElement); // not if Python has added it
    if (added.length === 1 && isAsked) list.lastChild.querySelector("input").focus();
  },
};

/** The ten, with the doubt about the user (thick) and the noise of a rating (thin). */
function drawList(picture, data, told, { beta }, set, text, width) {
  const isWide = width > 400;
  const most = data.highest + 0.15 * (data.highest - data.lowest); // predictions are not clamped
  const x = scale([data.lowest, most], isWide ? [204, 388] : [164, 274]);
  const at = (prediction) => x(Math.min(most, Math.max(data.lowest, prediction)));
  const room = isWide ? 25 : 18;
  text(4, 16, `${told.given.length ? "your list" : "the average user’s list"}${beta ? `, by r̂ + ${fixed(beta, 2)} log(1 + n)` : ""}`);
  text(width - 4, 16, isWide ? "r̂ ± 1 standard deviation" : "r̂ ± 1 std", { class: "soft", "text-anchor": "end" });
  for (const mark of marks(data.lowest, data.highest, isWide ? 5 : 4.5)) {
    picture.append(make("line", { class: "axis", x1: x(mark), x2: x(mark), y1: 24, y2: 250, "stroke-dasharray": "1 3" }));
    text(x(mark), 264, isWide && data.unit === "stars" ? `${mark}★` : plain(mark), { class: "soft", "text-anchor": "middle" });
  }
  told.listed.forEach((j, i) => {
    const [prediction, doubt, std, y] = [told.predictions[j], told.doubt(j), told.std(j), 35 + 22 * i];
    const choose = () => set({ why: j });
    const isPicked = j === told.picked && told.given.length > 0;
    const line = (half, style) => make("line", { x1: at(prediction - half), x2: at(prediction + half), y1: y, y2: y, style });
    const keydown = (event) => {
      const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.key === "Enter" || event.key === " ") choose();
      else if (way) picture.querySelector(`[data-handle="row-${i + way}"]`)?.focus();
      else return;
      event.preventDefault();
    };
    const label = `${i + 1}. ${data.titles[j]}: ${fixed(prediction, 2)} ± ${fixed(std, 2)} ${data.unit}, doubt ± ${fixed(doubt, 2)}; why?`;
    const named = { "data-handle": `row-${i}`, tabindex: 0, role: "button", "aria-pressed": String(isPicked), "aria-label": label };
    picture.append(
      make(
        "g",
        { ...named, "data-lm-suppress-shortcuts": true, click: choose, keydown },
        make("rect", { x: 0, y: y - 11, width, height: 22, rx: 3, style: `fill: ${isPicked ? "var(--mlw-fill)" : "transparent"}` }),
        make("text", { x: 20, y: y + 4.5, "text-anchor": "end", class: "soft" }, i + 1),
        make("text", { x: 27, y: y + 4.5, "font-weight": isPicked && "bold" }, short(data.titles[j], isPicked ? room - 2 : room)),
        line(std, "stroke: var(--mlw-soft); stroke-width: 1.5"),
        line(doubt, "stroke: var(--mlw-a); stroke-width: 8; opacity: 0.75"),
        make("path", { d: `M${at(told.start[j])} ${y - 5}l5 5l-5 5l-5 -5z`, style: "fill: var(--mlw-ground); stroke: var(--mlw-b); stroke-width: 1.5" }),
        make("circle", { cx: at(prediction), cy: y, r: 4, style: "fill: var(--mlw-ink); stroke: var(--mlw-ground)" }),
        make("text", { x: width - 4, y: y + 4.5, "text-anchor": "end" }, `${fixed(prediction, 2)} ± ${fixed(std, 2)}`),
      ),
    );
  });
  const gap = (width - 360) / 3;
  text(4, 285, "● predicted");
  text(92 + gap, 285, "◇ average user", { style: "fill: var(--mlw-b)" });
  text(200 + 2 * gap, 285, "▬ doubt", { style: "fill: var(--mlw-a)" });
  text(width - 4, 285, "— with noise", { class: "soft", "text-anchor": "end" });
}

/** What each given rating adds to the prediction of the picked movie. */
function drawReasons(picture, data, told, text, right) {
  if (!told.given.length) {
    text(4, 318, "Nothing to tell you from the average user yet.", { class: "soft" });
    text(4, 338, `Give some ${data.unit} above.`, { class: "soft" });
    return;
  }
  const all = told.because(told.picked);
  const parts = all.length > 5 ? [...all.slice(0, 4), [null, all.slice(4).reduce((sum, [, part]) => sum + part, 0)]] : all;
  text(4, 314, `Why ${short(data.titles[told.picked], 28)}?`, { "font-weight": "bold" });
  text(4, 334, "the average user");
  text(right, 334, fixed(told.start[told.picked], 2), { "text-anchor": "end" });
  const most = Math.max((data.highest - data.lowest) / 15, ...parts.map(([, part]) => Math.abs(part)));
  const x = scale([-most, most], [right - 130, right - 50]);
  parts.forEach(([movie, part], i) => {
    const y = 353 + 18 * i;
    text(4, y, movie === null ? `the other ${all.length - 4} ratings` : short(data.titles[movie], 25));
    const [left, width] = [Math.min(x(0), x(part)), Math.abs(x(part) - x(0))];
    picture.append(make("rect", { x: left, y: y - 10, width, height: 11, style: `fill: var(--mlw-${part < 0 ? "b" : "c"})` }));
    text(right, y, signed(part, 2), { "text-anchor": "end" });
  });
  picture.append(make("line", { class: "axis", x1: x(0), x2: x(0), y1: 340, y2: 342 + 18 * parts.length }));
}

/** How the mean doubt falls with each rating, and what is left with the noise. */
function drawDoubt(picture, { noise }, { trail }, text, left, top, width) {
  const whole = trail.map((doubt) => Math.sqrt(doubt ** 2 + noise));
  const x = scale([0, Math.max(6, trail.length - 1)], [left + 4, left + width - 6]);
  const y = scale([0, whole[0]], [top + 104, top + 36]);
  text(left, top, `▬ doubt ± ${fixed(trail.at(-1), 2)}`, { style: "fill: var(--mlw-a)" });
  text(left + width, width > 200 ? top : top + 18, `— with noise ± ${fixed(whole.at(-1), 2)}`, { class: "soft", "text-anchor": "end" });
  picture.append(make("line", { class: "axis", x1: left, x2: left + width, y1: y(0), y2: y(0) }));
  for (const [values, style] of [[whole, "stroke: var(--mlw-soft); stroke-width: 1.5"], [trail, "stroke: var(--mlw-a); stroke-width: 4"]]) {
    picture.append(make("path", { d: values.map((value, n) => `${n ? "L" : "M"}${x(n)} ${y(value)}`).join(""), fill: "none", style }));
  }
  picture.append(make("circle", { cx: x(trail.length - 1), cy: y(trail.at(-1)), r: 5, style: "fill: var(--mlw-a)" }));
  text(left + width / 2, top + 122, `after ${trail.length - 1} rating${trail.length === 2 ? "" : "s"}`, { "text-anchor": "middle", class: "soft" });
}
