const [FLAT, TIE] = [1e-3, 1e-5]; // of the range of all predictions, which are kept to six digits

/** Give both users' predictions, their differences in the model chosen, and the movies in the order of the network's. */
function pairOf(data, state) {
  const rows = (model) => [state.first, state.second].map((user) => data[model][data.users.indexOf(user)]);
  const minus = ([first, second]) => first.map((value, i) => value - second[i]);
  const [linear, network] = ["linear", "network"].map((model) => minus(rows(model)));
  const [first, second] = rows(state.hidden ? "network" : "linear");
  const order = network.map((_, i) => i).sort((i, j) => network[i] - network[j] || i - j);
  const every = [data.linear, data.network].flat(2);
  const range = Math.max(...every) - Math.min(...every);
  return { first, second, differences: state.hidden ? network : linear, order, both: [...linear, ...network], every, range };
}

/** Count the pairs of movies that two users put in opposite order. */
function disagreements({ first, second, range }) {
  let [n, tie] = [0, TIE * range];
  for (let i = 0; i < first.length; i += 1) for (let j = i + 1; j < first.length; j += 1) n += (first[i] - first[j]) * (second[i] - second[j]) < -tie * tie;
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
    const pair = pairOf(data, state);
    const { first, differences } = pair;
    const [low, high] = [Math.min(...differences), Math.max(...differences)];
    const end = (value) => `${fixed(value, 2)} ${data.unit} (${data.movies[differences.indexOf(value)]})`;
    const apart = high - low < FLAT * pair.range ? `is ${fixed(low, 1)} ${data.unit} for each of ${data.movies.length} movies` : `goes from ${end(low)} to ${end(high)}`;
    const [n, pairs] = [disagreements(pair), (first.length * (first.length - 1)) / 2];
    return (
      `${state.hidden ? "With" : "Without"} a hidden layer, ${state.first} less ${state.second} ${apart}. ` +
      `The two put ${fixed(n)} of ${fixed(pairs)} pairs of movies (${fixed((100 * n) / pairs)} %) in opposite order.`
    );
  },
  draw(picture, data, state, set) {
    const { first, second, differences, order, both, every, range } = pairOf(data, state);
    const add = (tag, attributes, ...children) => picture.append(make(tag, attributes, ...children));
    const x = scale([0, order.length - 1], [46, 468]);
    const place = order.indexOf(data.movies.indexOf(state.movie));
    const movie = order[place];

    /** Draw an axis from top to bottom over what it has to hold; gives the scale. */
    const axis = (values, top, bottom) => {
      const ends = [Math.min(...values), Math.max(...values)];
      const y = scale(ends, [bottom, top]);
      for (const mark of marks(...ends, 5)) {
        add("line", { class: "axis", x1: 40, x2: 474, y1: y(mark), y2: y(mark), "stroke-dasharray": mark ? "2 4" : "" });
        add("text", { class: "soft", x: 34, y: y(mark) + 4.5, "text-anchor": "end" }, plain(mark));
      }
      return y;
    };
    const line = (values, y, style) => add("polyline", { points: order.map((i, at) => `${x(at)},${y(values[i])}`).join(" "), style: `fill: none; ${style}` });
    const dot = (cx, cy) => make("circle", { cx, cy, r: 2.8, style: "fill: var(--mlw-a)" });
    const triangle = (cx, cy) => make("path", { d: `M${cx - 3.5} ${cy + 3}h7l-3.5 -6.5z`, style: "fill: var(--mlw-b)" });

    add("text", { x: 4, y: 14 }, `${data.unit}, before the clamp:`);
    const [one, other] = [short(state.first, 12), short(state.second, 12)];
    picture.append(dot(172, 10), triangle(290, 10));
    add("text", { x: 180, y: 14 }, one);
    add("text", { x: 298, y: 14 }, `${other} (dashed)`);
    for (const [y1, y2] of [[22, 146], [180, 304]]) add("line", { x1: x(place), x2: x(place), y1, y2, style: "stroke: var(--mlw-soft); stroke-dasharray: 3 3" });
    const top = axis(every, 26, 142);
    line(first, top, "stroke: var(--mlw-a)");
    line(second, top, "stroke: var(--mlw-b); stroke-dasharray: 4 3");
    order.forEach((i, at) => picture.append(dot(x(at), top(first[i])), triangle(x(at), top(second[i]))));

    add("text", { x: 4, y: 172 }, `${one} less ${other}, ${data.unit}:`);
    const below = axis([...both, -range / 8, range / 8], 184, 300);
    line(differences, below, "stroke: var(--mlw-c); stroke-width: 2.5");
    add("text", { class: "soft", x: 257, y: 318, "text-anchor": "middle" }, "movies, in the order of these two users' difference in the network");

    const said = `${fixed(first[movie], 2)} for ${one}, ${fixed(second[movie], 2)} for ${other}: difference ${fixed(differences[movie], 2)}`;
    add("text", { x: 4, y: 342, style: "font-weight: 600" }, short(state.movie, 60));
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
