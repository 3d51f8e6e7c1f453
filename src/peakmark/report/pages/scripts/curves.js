// The curves of a run, epoch by epoch. They zoom and pan together: one looks at the same epochs in all of them.

let curveCharts = [];
let shownEpochs = null; // [first, last] where zoomed in

function constant(value, epochs) {
  return epochs.map(() => value);
}

function only(values, epochs, chosen) {
  return values.map((value, place) => (chosen.includes(epochs[place]) ? value : null));
}

function fitnessChart(host, curves) {
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
  return [host, say("fitness"), columns, series, { bands }];
}

function curvesToDraw(host, curves) {
  const { epochs, metrics, losses, rates } = curves;
  const names = { map50_95: "mAP50-95", map50: "mAP50", precision: "precision", recall: "recall" };
  const points = { show: epochs.length < 40 };
  const wanted = [];
  if (curves.fitness.some((value) => value !== null)) wanted.push(fitnessChart(host, curves));
  const measured = Object.entries(metrics).filter(([, values]) => values.some((value) => value !== null));
  if (measured.length) {
    const series = measured.map(([name], place) => line(say(names[name]), PALETTE[place], { points }));
    wanted.push([host, say("metrics"), [epochs, ...measured.map(([, values]) => values)], series, {}]);
  }
  for (const [term, { train, val }] of Object.entries(losses)) {
    const series = [line(say("loss.train"), PALETTE[0], { points }), line(say("loss.val"), PALETTE[1], { points })];
    wanted.push([host, say(`loss.${term}`), [epochs, train, val], series, {}]);
  }
  if (rates.length) {
    const value = (_, rate) => (rate === null ? "–" : rate.toExponential(2));
    const groups = ["rate.weights", "rate.norms", "rate.biases"];
    const series = rates.map((_, place) => line(say(groups[place]), PALETTE[place], { value }));
    wanted.push([host, say("rate"), [epochs, ...rates], series, {}]);
  }
  return wanted;
}

function drawCurves() {
  const host = document.getElementById("charts");
  curveCharts.forEach(({ chart }) => chart.destroy());
  host.replaceChildren();
  curveCharts = [];
  if (!data.curves.epochs.length) {
    host.append(told("curves.none"));
    return;
  }
  const between = shownEpochs || allEpochs();
  const following = {
    hooks: { setScale: [follow] }, cursor: { sync: { key: "epochs" } }, label: say("epoch"), between,
    steps: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000],
  };
  for (const [, title, columns, series, more] of curvesToDraw(host, data.curves)) {
    const frame = make("div", { class: "chart" });
    host.append(frame);
    curveCharts.push({ frame, chart: draw(frame, title, columns, series, { ...following, ...more }) });
  }
}

// A chart that was dragged in takes the others along. uPlot tells of every change a moment later, its own first one
// and those that are made here as well: only what differs from what is shown is news.
function follow(chart, scale) {
  const [first, last] = shownEpochs || allEpochs();
  const { min, max } = chart.scales.x;
  if (scale !== "x" || (Math.abs(min - first) < 1e-6 && Math.abs(max - last) < 1e-6)) return;
  showEpochs(min, max);
}

function allEpochs() {
  const { epochs } = data.curves;
  const [first, last] = [epochs[0], epochs[epochs.length - 1]];
  return first === last ? [first - 1, last + 1] : [first, last];
}

function showEpochs(first, last) {
  const [start, end] = allEpochs();
  shownEpochs = first <= start && last >= end ? null : [first, last];
  const [min, max] = shownEpochs || [start, end];
  for (const { chart } of curveCharts) chart.setScale("x", { min, max });
}

function zoomBy(step) {
  const [start, end] = allEpochs();
  if (step === "all") return showEpochs(start, end);
  const [first, last] = shownEpochs || [start, end];
  const middle = (first + last) / 2;
  const half = (last - first) / 2;
  const reach = step === "in" ? Math.max(half / 2, 1) : step === "out" ? Math.min(half * 2, (end - start) / 2) : half;
  const moved = step === "left" ? middle - half : step === "right" ? middle + half : middle;
  const centre = Math.min(Math.max(moved, start + reach), end - reach);
  showEpochs(centre - reach, centre + reach);
}

function startCurves() {
  document.getElementById("zoom").addEventListener("click", (event) => {
    const step = event.target.closest("[data-zoom]")?.dataset.zoom;
    if (step && data.curves.epochs.length) zoomBy(step);
  });
  new ResizeObserver(() => curveCharts.forEach(({ frame, chart }) => fitWidth(frame, chart)))
    .observe(document.getElementById("charts"));
}
