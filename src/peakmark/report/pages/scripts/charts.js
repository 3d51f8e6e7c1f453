// Charts by uPlot, in the colours of the theme and the words of the language: they are made anew when either changes.

const PALETTE = [
  "light-dark(#0068a5, #6bb8ee)", "light-dark(#b85c00, #f5a94f)", "light-dark(#00795a, #3fd0a4)",
  "light-dark(#a2249b, #f08de9)", "light-dark(#4a4a4a, #cfcfcf)", "light-dark(#7a6a00, #e8d94c)",
];
const CHART_HEIGHT = 260;
const LEGEND_HEIGHT = 70;

// The colour that the theme makes of a CSS one: a canvas knows neither variables nor light-dark().
function colour(css) {
  const probe = make("span");
  probe.style.color = css;
  document.body.append(probe);
  const resolved = getComputedStyle(probe).color;
  probe.remove();
  return resolved;
}

function line(label, css, more = {}) {
  return { label, stroke: colour(css), width: 1.6, spanGaps: true, value: (_, value) => fourDigits(value), ...more };
}

// Only points: epochs that are marked. `css` fills them, or only frames them.
function marks(label, css, { filled = true, size = 9 } = {}) {
  const stroke = colour(css);
  const fill = filled ? stroke : colour("var(--sheet)");
  return line(label, css, { paths: () => null, points: { show: true, size, stroke, fill, width: 2 } });
}

function axis(more = {}) {
  const font = "12px system-ui, sans-serif";
  const stroke = colour("var(--quiet)");
  const grid = { stroke: colour("var(--faint)"), width: 1 };
  return { stroke, font, labelFont: font, labelSize: 18, grid, ticks: { ...grid, stroke: colour("var(--line)") }, ...more };
}

// All digits of a tick: by itself uPlot writes three decimals, and 0.0005 as 0.001.
function tick(value) {
  return value === null ? "" : String(Number(value.toPrecision(6)));
}

function draw(host, title, columns, series, more = {}) {
  const chart = new uPlot({
    title,
    width: Math.max(200, host.clientWidth - 18),
    height: CHART_HEIGHT,
    scales: { x: { time: false, min: more.between?.[0], max: more.between?.[1] } },
    axes: [axis({ label: more.label, incrs: more.steps }), axis({ size: 58, values: (_, ticks) => ticks.map(tick) })],
    series: [{ label: more.label, value: more.x || ((_, value) => (value === null ? "–" : String(value))) }, ...series],
    bands: more.bands,
    cursor: { drag: { x: true, y: false }, focus: { prox: 24 }, ...more.cursor },
    legend: { live: true, ...more.legend },
    hooks: more.hooks || {},
  }, columns, host);
  chart.root.setAttribute("role", "img");
  chart.root.setAttribute("aria-label", title);
  return chart;
}

function fitWidth(host, chart) {
  const width = Math.max(200, host.clientWidth - 18);
  if (Math.abs(chart.width - width) > 1) chart.setSize({ width, height: CHART_HEIGHT });
}
