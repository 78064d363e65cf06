const REACH = 1.5; // the plane goes so far in each direction
const STEP = 0.05;
const [LEFT, TOP, SIDE] = [22, 26, 280]; // where it lies in the picture

/** Dot product, cosine (null for a row of zeros), what the sigmoid gets and the rating, of a user and the movie. */
function rate(data, state, user) {
  const [p, q] = [state[user], state.movie];
  const dot = p[0] * q[0] + p[1] * q[1];
  const [long, wide] = [p, q].map(([x, y]) => Math.sqrt(x * x + y * y));
  const score = state.w * dot + data.c;
  const squeezed = 1 / (1 + Math.exp(-score));
  return { dot, long, wide, cosine: long && wide ? dot / (long * wide) : null, score, squeezed, rating: data.lowest + data.width * squeezed };
}

/** Give the end points of the line x·q = d within the plane, or null. */
function across([px, py], d) {
  const square = px * px + py * py;
  const [fx, fy] = [(px * d) / square, (py * d) / square];
  let [from, to] = [-9, 9];
  for (const [foot, way] of [[fx, -py], [fy, px]]) {
    const ends = way ? [(-REACH - foot) / way, (REACH - foot) / way].sort((a, b) => a - b) : Math.abs(foot) <= REACH ? [-9, 9] : [9, -9];
    [from, to] = [Math.max(from, ends[0]), Math.min(to, ends[1])];
  }
  return from < to ? [[fx - py * from, fy + px * from], [fx - py * to, fy + px * to]] : null;
}

const bracketed = (value) => (value < 0 ? `(${fixed(value, 2)})` : fixed(value, 2));

const spec = {
  title: "Two rows make a rating",
  height: 390,
  controls: (data) => [
    { kind: "choice", key: "user", label: "user", options: data.users },
    { kind: "slider", key: "w", label: "weight w", values: [0, 0.25, 0.5, 1, 2, 4], format: String },
  ],
  text(data, state) {
    const { dot, cosine, score, squeezed, rating } = rate(data, state, state.user);
    const angle = cosine === null ? "no cosine (a row of zeros)" : `cosine ${fixed(cosine, 2)}`;
    const all = data.users.map((user) => `${user} ${fixed(rate(data, state, user).rating, 2)}`).join(", ");
    const likers = data.users.filter((user) => state.w * rate(data, state, user).dot > 1e-9).length;
    return `${state.user} and the movie: dot product ${fixed(dot, 2)}, ${angle}, σ(${fixed(score, 2)}) = ${fixed(squeezed, 2)}, rating ${fixed(rating, 2)}. Ratings: ${all}; ${likers} of ${data.users.length} above the mean of ${fixed(data.mean, 2)}.`;
  },
  draw(picture, data, state, set) {
    const [x, y] = [scale([-REACH, REACH], [LEFT, LEFT + SIDE]), scale([-REACH, REACH], [SIDE + TOP, TOP])];
    const put = (tag, attributes, ...children) => picture.append(make(tag, attributes, ...children));
    const line = ([from, to], attributes) => put("line", { x1: x(from[0]), y1: y(from[1]), x2: x(to[0]), y2: y(to[1]), ...attributes });
    const { user, movie, w } = state;
    const p = state[user];
    put("rect", { x: x(-REACH), y: y(REACH), width: SIDE, height: SIDE, style: "fill: var(--mlw-fill)" });
    line([[-REACH, 0], [REACH, 0]], { class: "axis" });
    line([[0, -REACH], [0, REACH]], { class: "axis" });
    if (w && (p[0] || p[1])) {
      const labels = [];
      for (const mark of [data.mean, ...data.marks]) {
        const isMean = mark === data.mean;
        const share = (mark - data.lowest) / data.width;
        const ends = across(p, isMean ? 0 : (Math.log(share / (1 - share)) - data.c) / w);
        if (!ends) continue;
        line(ends, { style: `stroke: var(--mlw-soft); stroke-width: ${isMean ? 2 : 1}`, "stroke-dasharray": isMean ? "7 3" : "1 4" });
        const end = ends[0][1] > ends[1][1] ? ends[0] : ends[1];
        const at = [Math.max(LEFT + 18, Math.min(LEFT + SIDE - 18, x(end[0]))), Math.max(TOP + 12, Math.min(TOP + SIDE - 4, y(end[1]) - 3))];
        if (labels.some(([left, top]) => Math.abs(left - at[0]) < 32 && Math.abs(top - at[1]) < 15)) continue;
        labels.push(at);
        put("text", { class: "soft", x: at[0], y: at[1], "text-anchor": "middle" }, isMean ? "mean" : plain(mark));
      }
    }
    const snapped = (place, from, way) => Number(Math.max(-REACH, Math.min(REACH, Math.round((way * (place - from) * 2 * REACH) / SIDE / STEP) * STEP)).toFixed(2));
    for (const key of [...data.users, "movie"]) {
      const isMovie = key === "movie";
      const isBold = key === user || isMovie;
      const [name, colour] = isMovie ? [data.movie, "b"] : [key, "a"];
      const at = [x(state[key][0]), y(state[key][1])];
      put("line", { x1: x(0), y1: y(0), x2: at[0], y2: at[1], style: `stroke: var(--mlw-${colour}); stroke-width: ${isBold ? 3 : 1}` });
      const move = (left, top) => set({ ...(isMovie ? {} : { user: key }), [key]: [snapped(left, x(0), 1), snapped(top, y(0), -1)] });
      const text = data.factors.map((factor, i) => `${factor} ${fixed(state[key][i], 2)}`).join(", ");
      const half = 4 * name.length;
      const isUnder = at[1] < TOP + 24 || (state[key][1] < 0 && at[1] < TOP + SIDE - 24); // away from 0, but within the plane
      const label = { x: Math.max(LEFT + half, Math.min(LEFT + SIDE - half, at[0])), y: at[1] + (isUnder ? 22 : -12), "text-anchor": "middle" };
      const shape = isMovie ? ["rect", { x: at[0] - 6, y: at[1] - 6, width: 12, height: 12 }] : ["circle", { cx: at[0], cy: at[1], r: 6 }];
      picture.append(
        handle(
          picture, { name: key, label: `row of ${name}`, text, at, step: (STEP * SIDE) / (2 * REACH), move },
          make("circle", { cx: at[0], cy: at[1], r: 15, "fill-opacity": 0 }),
          make(shape[0], { ...shape[1], style: `stroke: var(--mlw-${colour}); stroke-width: 2; fill: var(--mlw-${isBold ? colour : "ground"})` }),
          make("text", { ...label, style: isBold ? "font-weight: 600" : "" }, name),
        ),
      );
    }
    const along = scale([data.lowest, data.lowest + data.width], [326, 466]);
    put("text", { class: "soft", x: 320, y: 30 }, `predicted ${data.unit}`);
    data.users.forEach((name, i) => {
      const { rating } = rate(data, state, name);
      const top = 62 + 56 * i;
      put("text", { x: 326, y: top, style: name === user ? "font-weight: 600" : "" }, `${name} ${fixed(rating, 2)}`);
      put("line", { class: "axis", x1: 326, x2: 466, y1: top + 16, y2: top + 16 });
      put("line", { x1: along(data.mean), x2: along(data.mean), y1: top + 6, y2: top + 26, style: "stroke: var(--mlw-soft); stroke-width: 2", "stroke-dasharray": "5 2" });
      put("circle", { cx: along(rating), cy: top + 16, r: 6, style: `stroke: var(--mlw-a); stroke-width: 2; fill: var(--mlw-${name === user ? "a" : "ground"})` });
    });
    const below = 62 + 56 * data.users.length - 6;
    put("text", { class: "soft", x: 326, y: below, "text-anchor": "middle" }, plain(data.lowest));
    put("text", { class: "soft", x: 466, y: below, "text-anchor": "middle" }, plain(data.lowest + data.width));
    put("text", { class: "soft", x: along(data.mean), y: below + 17, "text-anchor": "middle" }, `mean ${fixed(data.mean, 2)}`);
    const isFlat = !w || !(p[0] || p[1]);
    const said = isFlat ? [`${w ? "a row of zeros" : "w = 0"}: every`, "movie gets the mean"] : ["on a dotted line:", `same ${data.unit} from ${user}`];
    const notes = [`→ ${data.factors[0]}, ↑ ${data.factors[1]}`, ...said];
    notes.forEach((note, i) => put("text", { class: "soft", x: 326, y: TOP + SIDE - 40 + 19 * i }, note));
    const { dot, long, wide, cosine, rating } = rate(data, state, user);
    const [a, b] = [p, movie];
    const formulas = [
      `p·q = ${bracketed(a[0])} · ${bracketed(b[0])} + ${bracketed(a[1])} · ${bracketed(b[1])} = ${fixed(dot, 2)}`,
      `cosine = p·q / (|p| · |q|) = ${fixed(dot, 2)} / (${fixed(long, 2)} · ${fixed(wide, 2)})${cosine === null ? ": not defined" : ` = ${fixed(cosine, 2)}`}`,
      `r = ${plain(data.lowest)} + ${plain(data.width)} · σ(w p·q + c) = ${plain(data.lowest)} + ${plain(data.width)} · σ(${w} · ${bracketed(dot)} + ${bracketed(data.c)}) = ${fixed(rating, 2)}`,
    ];
    formulas.forEach((formula, i) => put("text", { x: 4, y: 342 + 20 * i }, formula));
  },
};
