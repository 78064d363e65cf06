const FLAT = 0.005; // stars
const TIE = -1e-9; // stars²; predictions are kept to five digits

/** Give both users' predictions, their differences in the model chosen, and the movies in the order of the network's. */
function pairOf(data, state) {
  const rows = (model) => [state.first, state.second].map((user) => data[model][data.users.indexOf(user)]);
  const minus = ([first, second]) => first.map((value, i) => value - second[i]);
  const [linear, network] = ["linear", "network"].map((model) => minus(rows(model)));
  const [first, second] = rows(state.hidden ? "network" : "linear");
  const order = network.map((_, i) => i).sort((i, j) => network[i] - network[j] || i - j);
  return { first, second, differences: state.hidden ? network : linear, order, both: [...linear, ...network] };
}

/** Count the pairs of movies that two users put in opposite order. */
function disagreements(first, second) {
  let n = 0;
  for (let i = 0; i < first.length; i += 1) for (let j = i + 1; j < first.length; j += 1) n += (first[i] - first[j]) * (second[i] - second[j]) < TIE;
  return n;
}

const spec = {
  title: "Two users, movie by movie",
  height: 392,
  controls: (data) => [
    { kind: "choice", key: "first", label: "first user", options: data.users },
    { kind: "choice", key: "second", label: "second user", options: data.users },
    { kind: "switch", key: "hidden", label: "hidden layer" },
    { kind: "button", label: "swap", press: (state) => ({ first: state.second, second: state.first }) },
    { kind: "search", key: "movie", label: "movie", options: data.movies, pick: (movie) => ({ movie }) },
  ],
  text(data, state) {
    const { first, second, differences } = pairOf(data, state);
    const [low, high] = [Math.min(...differences), Math.max(...differences)];
    const end = (value) => `${fixed(value, 2)} stars (${data.movies[differences.indexOf(value)]})`;
    const apart = high - low < FLAT ? `is ${fixed(low, 1)} stars for each of ${data.movies.length} movies` : `goes from ${end(low)} to ${end(high)}`;
    const [n, pairs] = [disagreements(first, second), (first.length * (first.length - 1)) / 2];
    return (
      `${state.hidden ? "With" : "Without"} a hidden layer, ${state.first} less ${state.second} ${apart}. ` +
      `The two put ${fixed(n)} of ${fixed(pairs)} pairs of movies (${fixed((100 * n) / pairs)} %) in opposite order.`
    );
  },
  draw(picture, data, state, set) {
    const { first, second, differences, order, both } = pairOf(data, state);
    const add = (tag, attributes, ...children) => picture.append(make(tag, attributes, ...children));
    const x = scale([0, order.length - 1], [46, 468]);
    const place = order.indexOf(data.movies.indexOf(state.movie));
    const movie = order[place];

    /** Draw an axis from top to bottom over what it has to hold, with lines at `step`; gives the scale. */
    const axis = (values, step, top, bottom) => {
      const [from, to] = [Math.floor(Math.min(...values) / step) * step, Math.ceil(Math.max(...values) / step) * step];
      const y = scale([from, to], [bottom, top]);
      for (let tick = from; tick <= to + step / 2; tick += step) {
        add("line", { class: "axis", x1: 40, x2: 474, y1: y(tick), y2: y(tick), "stroke-dasharray": Math.abs(tick) < step / 2 ? "" : "2 4" });
        add("text", { class: "soft", x: 34, y: y(tick) + 4.5, "text-anchor": "end" }, fixed(tick, step < 1 ? 1 : 0));
      }
      return y;
    };
    const line = (values, y, style) => add("polyline", { points: order.map((i, at) => `${x(at)},${y(values[i])}`).join(" "), style: `fill: none; ${style}` });
    const dot = (cx, cy) => make("circle", { cx, cy, r: 2.8, style: "fill: var(--mlw-a)" });
    const triangle = (cx, cy) => make("path", { d: `M${cx - 3.5} ${cy + 3}h7l-3.5 -6.5z`, style: "fill: var(--mlw-b)" });

    add("text", { x: 4, y: 14 }, "stars, before the clamp:");
    picture.append(dot(170, 10), triangle(254, 10));
    add("text", { x: 178, y: 14 }, state.first);
    add("text", { x: 262, y: 14 }, `${state.second} (dashed)`);
    for (const [y1, y2] of [[22, 146], [180, 304]]) add("line", { x1: x(place), x2: x(place), y1, y2, style: "stroke: var(--mlw-soft); stroke-dasharray: 3 3" });
    const top = axis([...data.linear.flat(), ...data.network.flat()], 1, 26, 142);
    line(first, top, "stroke: var(--mlw-a)");
    line(second, top, "stroke: var(--mlw-b); stroke-dasharray: 4 3");
    order.forEach((i, at) => picture.append(dot(x(at), top(first[i])), triangle(x(at), top(second[i]))));

    add("text", { x: 4, y: 172 }, `${state.first} less ${state.second}, stars:`);
    const spread = Math.max(...both, 0) - Math.min(...both, 0);
    const below = axis([...both, -0.5, 0.5], spread > 1.5 ? 1 : 0.5, 184, 300);
    line(differences, below, "stroke: var(--mlw-c); stroke-width: 2.5");
    add("text", { class: "soft", x: 257, y: 318, "text-anchor": "middle" }, "movies, in the order of these two users' difference in the network");

    const said = `${fixed(first[movie], 2)} for ${state.first}, ${fixed(second[movie], 2)} for ${state.second}: difference ${fixed(differences[movie], 2)}`;
    add("text", { x: 4, y: 342, style: "font-weight: 600" }, state.movie);
    add("text", { x: 4, y: 360 }, said);
    const formula = state.hidden ? "r̂ = v · max(0, W₁ [p, q] + a₁) + …: the movie stays in the difference" : "r̂ = f(u) + g(i) + c₀: the movie drops out of the difference";
    add("text", { class: "soft", x: 4, y: 384 }, formula);

    const move = (to) => {
      const at = Math.round(scale([46, 468], [0, order.length - 1])(to));
      set({ movie: data.movies[order[Math.max(0, Math.min(at, order.length - 1))]] });
    };
    const at = [x(place), below(differences[movie])];
    const options = { name: "movie", label: "marked movie", text: `${state.movie}, ${said}`, at, step: x(1) - x(0), move };
    picture.append(handle(picture, options, make("circle", { cx: at[0], cy: at[1], r: 8, style: "fill: var(--mlw-ground); stroke: var(--mlw-c); stroke-width: 3" })));
  },
  more(element, data, state) {
    if (!state.hidden) return element.replaceChildren(); // all differences are alike
    const { first, second, differences, order } = pairOf(data, state);
    const row = (i) => [data.movies[i], ...[first, second, differences].map((values) => fixed(values[i], 2))];
    const body = [...order.slice(0, 3), ...order.slice(-3)].map(row);
    element.replaceChildren(make("table", {},
      make("thead", {}, make("tr", {}, ...["the ends of the order", state.first, state.second, "difference"].map((name) => make("th", { scope: "col" }, name)))),
      make("tbody", {}, ...body.map(([title, ...cells]) => make("tr", {}, make("th", { scope: "row" }, title), ...cells.map((cell) => make("td", {}, cell))))),
    ));
  },
};
