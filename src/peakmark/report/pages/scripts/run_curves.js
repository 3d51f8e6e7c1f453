// What is drawn of a run: the fitness with what is marked in it, metrics, losses and rates.

function constant(value, epochs) {
  return epochs.map(() => value);
}

function only(values, epochs, chosen) {
  return values.map((value, place) => (chosen.includes(epochs[place]) ? value : null));
}

function fitnessChart(curves) {
  const { epochs, fitness, best, interval, tied, seams } = curves;
  const columns = [epochs, fitness];
  const series = [line(say("fitness"), PALETTE[0], { points: { show: epochs.length < 40 } })];
  const bands = [];
  if (interval) {
    const css = "var(--good)";
    const looks = { width: 1, dash: [4, 4], points: { show: false } };
    columns.push(constant(interval[1], epochs), constant(interval[0], epochs));
    series.push(line(say("interval.to"), css, looks), line(say("interval.from"), css, looks));
    const [red, green, blue] = colour(css).match(/[\d.]+/g);
    bands.push({ series: [2, 3], fill: `rgba(${red}, ${green}, ${blue}, 0.12)` });
  }
  const groups = [
    ["epochs.tied", tied, "var(--good)", { filled: false, size: 11 }],
    ["epochs.resumed", seams, "var(--warn)", { filled: false, size: 15 }],
    ["epochs.best", best === null ? [] : [best], "var(--good)", { filled: true, size: 11 }],
  ];
  for (const [key, chosen, css, looks] of groups) {
    if (!chosen.length) continue;
    columns.push(only(fitness, epochs, chosen));
    series.push(marks(say(key), css, looks));
  }
  return [say("fitness"), columns, series, { bands }];
}

function curvesToDraw(curves) {
  const { epochs, metrics, losses, rates } = curves;
  const names = { map50_95: "mAP50-95", map50: "mAP50", precision: "precision", recall: "recall" };
  const points = { show: epochs.length < 40 };
  const wanted = [];
  if (curves.fitness.some((value) => value !== null)) wanted.push(fitnessChart(curves));
  const measured = Object.entries(metrics).filter(([, values]) => values.some((value) => value !== null));
  if (measured.length) {
    const series = measured.map(([name], place) => line(say(names[name]), PALETTE[place], { points }));
    wanted.push([say("metrics"), [epochs, ...measured.map(([, values]) => values)], series, {}]);
  }
  for (const [term, { train, val }] of Object.entries(losses)) {
    const series = [line(say("loss.train"), PALETTE[0], { points }), line(say("loss.val"), PALETTE[1], { points })];
    wanted.push([say(`loss.${term}`), [epochs, train, val], series, {}]);
  }
  if (rates.length) {
    const value = (_, rate) => (rate === null ? "–" : rate.toExponential(2));
    const groups = ["rate.weights", "rate.norms", "rate.biases"];
    const series = rates.map((_, place) => line(say(groups[place]), PALETTE[place], { value }));
    wanted.push([say("rate"), [epochs, ...rates], series, {}]);
  }
  return wanted;
}
