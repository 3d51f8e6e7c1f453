// Curves epoch by epoch, as `curvesToDraw` of the page puts them together. They zoom and pan together: one looks at the
// same epochs in all of them.

let curveCharts = [];
let shownEpochs = null; // [first, last] where zoomed in

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
  for (const [title, columns, series, more] of curvesToDraw(data.curves)) {
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
  document.addEventListener("looks-changed", drawCurves);
}
