/** The sum of a movie's deviations from μ, and its bias. */
function movieBias({ mu, n, sums }, movie, lam) {
  const total = sums[movie] - n[movie] * mu;
  return [total, total / (lam + n[movie])];
}

/** The sum of what the movies' biases leave of a user's deviations, and the user's bias. */
function userBias(data, { movies, stars }, lam) {
  const total = movies.reduce((sum, movie, i) => sum + (stars[i] - data.mu - movieBias(data, movie, lam)[1]), 0);
  return [total, total / (lam + movies.length)];
}

const userOf = (data, state) => data.users.find((user) => user.id === state.user);
const before = (plain, n) => ` (λ = 0: ${fixed(plain[0], 2)} / ${n} = ${signed(plain[1], 3)})`;
const bias = (now, plain, lam, n) => `b = ${fixed(now[0], 2)} / (${lam} + ${n}) = ${signed(now[1], 3)}${lam ? before(plain, n) : ""}`;
const HALO = "paint-order: stroke; stroke: var(--mlw-ground); stroke-width: 4px";

/** Draw the errors of every λ; gives which λ lies at a place. */
function drawErrors(picture, { lams, training, validation, unit }, lam) {
  const [at, last] = [lams.indexOf(lam), lams.length - 1];
  const x = scale([0, last], [368, 468]);
  const y = scale([Math.min(...training), Math.max(...validation, ...training)], [266, 100]);
  picture.append(make("text", { x: 356, y: 46 }, `MSE (${unit}²)`));
  picture.append(make("line", { class: "axis", x1: 358, x2: 478, y1: 276, y2: 276 }));
  picture.append(make("line", { x1: x(at), x2: x(at), y1: 88, y2: 276, style: "stroke: var(--mlw-ink); stroke-width: 1.5" }));
  for (const i of [0, Math.round(last / 3), Math.round((2 * last) / 3), last]) {
    picture.append(make("text", { class: "soft", x: x(i), y: 292, "text-anchor": "middle" }, lams[i]));
  }
  for (const [name, errors, colour, dash, cap, top] of [["validation", validation, "c", "", "square", 62], ["training", training, "a", "5 4", "round", 78]]) {
    const line = errors.map((error, i) => `${i ? "L" : "M"}${x(i)} ${y(error)}`).join("");
    const dots = errors.map((error, i) => `M${x(i)} ${y(error)}h0`).join("");
    picture.append(make("path", { d: line, fill: "none", "stroke-dasharray": dash, style: `stroke: var(--mlw-${colour}); stroke-width: 1.5` }));
    picture.append(make("path", { d: `${dots}M${x(at)} ${y(errors[at])}h0M360 ${top - 5}h0`, "stroke-linecap": cap, style: `stroke: var(--mlw-${colour}); stroke-width: 6` }));
    picture.append(make("text", { x: 368, y: top, style: `fill: var(--mlw-${colour})` }, `${name} ${error(errors[at])}`));
  }
  picture.append(make("text", { x: 417, y: 310, "text-anchor": "middle" }, "λ (ratings)"));
  return (left) => lams[Math.max(0, Math.min(last, Math.round(((left - 368) / 100) * last)))];
}

const spec = {
  title: "Shrinking the means",
  height: 380,
  controls: (data) => [
    { kind: "slider", key: "lam", label: "λ (ratings)", values: data.lams },
    { kind: "slider", key: "user", label: "user", values: data.users.map((user) => user.id), format: (id) => short(String(id), 9) },
    { kind: "search", label: "movie", options: data.titles, pick: (title) => ({ movie: data.titles.indexOf(title) }) },
  ],
  text(data, state) {
    const { lam, movie } = state;
    const [user, at] = [userOf(data, state), data.lams.indexOf(lam)];
    const ofMovie = bias(movieBias(data, movie, lam), movieBias(data, movie, 0), lam, data.n[movie]);
    const ofUser = bias(userBias(data, user, lam), userBias(data, user, 0), lam, user.movies.length);
    return (
      `λ = ${lam}: MSE ${error(data.training[at])} on training, ${error(data.validation[at])} on validation ratings. ` +
      `${data.titles[movie]}: ${ofMovie}. User ${user.id}: ${ofUser}.`
    );
  },
  draw(picture, data, state, set) {
    const { mu, n, titles } = data;
    const { lam, movie } = state;
    const user = userOf(data, state);
    const raw = n.map((_, i) => mu + movieBias(data, i, 0)[1]);
    const means = n.map((_, i) => mu + movieBias(data, i, lam)[1]);
    const [own, ownRaw] = [lam, 0].map((value) => mu + userBias(data, user, value)[1]);
    const everyone = data.users.map((one) => mu + userBias(data, one, 0)[1]);
    const most = Math.max(2, ...n, ...data.users.map((one) => one.movies.length));
    const root = scale([1, Math.sqrt(most)], [42, 316]);
    const x = (count) => root(Math.sqrt(count));
    const [low, high] = [Math.min(...raw, ...everyone), Math.max(...raw, ...everyone)];
    const y = scale([low, high], [266, 44]);
    for (const mark of marks(low, high, 6)) {
      picture.append(make("line", { class: "axis", x1: 34, x2: 322, y1: y(mark), y2: y(mark), "stroke-dasharray": "1 4" }));
      picture.append(make("text", { class: "soft", x: 30, y: y(mark) + 4, "text-anchor": "end" }, plain(mark)));
    }
    let free = 0; // where the next label may be
    for (const count of [1, 10, 50, 100, 200, 300, 1000, 3000, 10000, 30000, 100000]) {
      if (count > most || x(count) < free) continue;
      free = x(count) + 8 * String(count).length + 6;
      picture.append(make("text", { class: "soft", x: x(count), y: 292, "text-anchor": "middle" }, count));
    }
    picture.append(make("line", { x1: 34, x2: 322, y1: y(mu), y2: y(mu), style: "stroke: var(--mlw-ink)" }));
    picture.append(make("text", { x: 336, y: y(mu) + 4, "text-anchor": "end" }, "μ"));
    picture.append(make("text", { x: 179, y: 310, "text-anchor": "middle" }, "training ratings (of a movie, of a user)"));
    picture.append(make("text", { x: 4, y: 33 }, `μ + b (${data.unit})`));
    picture.append(make("text", { x: 4, y: 336, style: "fill: var(--mlw-a)" }, "● movie: b = Σ(r − μ) / (λ + n)"));
    picture.append(make("text", { x: 4, y: 354, style: "fill: var(--mlw-b)" }, "■ movie that the user has rated"));
    picture.append(make("text", { x: 4, y: 372, style: "fill: var(--mlw-b)" }, "◆ user: b = Σ(r − μ − b of the movie) / (λ + n)"));

    const trail = raw.map((mean, i) => `M${x(n[i])} ${y(mean)}V${y(means[i])}`).join("");
    picture.append(make("path", { d: trail, style: "stroke: var(--mlw-line); opacity: 0.5" }));
    const rated = new Set(user.movies);
    for (const [ours, colour, cap, width] of [[false, "a", "round", 4.5], [true, "b", "square", 5.5]]) {
      const dots = means.map((mean, i) => (rated.has(i) === ours ? `M${x(n[i])} ${y(mean)}h0` : "")).join("");
      picture.append(make("path", { d: dots, "stroke-linecap": cap, style: `stroke: var(--mlw-${colour}); stroke-width: ${width}` }));
    }
    const left = x(user.movies.length);
    const diamond = (mean) => `M${left} ${y(mean) - 8}l8 8l-8 8l-8 -8z`;
    picture.append(make("path", { d: diamond(ownRaw), style: "fill: none; stroke: var(--mlw-b); stroke-dasharray: 2 2" }));
    picture.append(make("path", { d: `M${left} ${y(mu)}V${y(own)}`, style: "stroke: var(--mlw-b); stroke-width: 2" }));
    picture.append(make("path", { d: diamond(own), style: "fill: var(--mlw-b); stroke: var(--mlw-ground)" }));
    const isLeft = left < 200;
    const beside = { x: left + (isLeft ? 13 : -13), y: y(own) + (own > mu ? -4 : 14), "text-anchor": isLeft ? "start" : "end" };
    picture.append(make("text", { ...beside, style: HALO }, `user ${short(String(user.id), 14)}`));

    const ring = make("circle", { r: 7, style: "fill: none; stroke: var(--mlw-ink); stroke-width: 2" });
    const line = make("text", { x: 4, y: 16 });
    const point = (i) => {
      ring.setAttribute("cx", x(n[i]));
      ring.setAttribute("cy", y(means[i]));
      line.textContent = `◯ ${short(titles[i], 36)}: ${n[i]} ratings, ${fixed(raw[i], 2)} → ${fixed(means[i], 2)}`;
    };
    point(movie);
    picture.append(ring, line);
    const lamAt = drawErrors(picture, data, lam);

    const place = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(picture.getScreenCTM().inverse());
    const nearest = ({ x: px, y: py }) => n.reduce((best, _, i) => {
      const far = Math.hypot(px - x(n[i]), py - y(means[i]));
      return far < best[1] ? [i, far] : best;
    }, [movie, 14])[0];
    picture.onpointermove = (event) => point(nearest(place(event)));
    picture.onpointerleave = () => point(movie);
    picture.onclick = (event) => set(place(event).x > 345 ? { lam: lamAt(place(event).x) } : { movie: nearest(place(event)) });
    picture.style.touchAction = "pan-y";
  },
};
