// The curves of several runs, a chart for each number, a colour and dashes for each run. Runs are shown and hidden in all
// charts at once; a dot is a run's best epoch.

const DASHES = [[], [8, 4], [2, 3], [9, 3, 2, 3]];
const DASHES_OF_CSS = ["solid", "dashed", "dotted", "double"]; // the same, in the legends
const hiddenRuns = new Set();

function looksOfRun(number) {
  const dash = DASHES[Math.floor(number / PALETTE.length) % DASHES.length];
  return { css: PALETTE[number % PALETTE.length], dash };
}

// The first series of a chart are its epochs.
const legend = { markers: { dash: (_, series) => DASHES_OF_CSS[DASHES.indexOf(looksOfRun(Math.max(0, series - 1)).dash)] } };

// A run that is pointed at, or hidden by a chart's legend, is so in all charts. Runs have names of their own, by which
// uPlot finds them in the other charts.
const together = {
  cursor: { sync: { key: "epochs", setSeries: true } },
  hooks: {
    setScale: [follow],
    setSeries: [(_, number, { show } = {}) => { if (number && show !== undefined) noteShown(number - 1, show); }],
  },
};

function noteShown(number, isShown) {
  if (isShown) hiddenRuns.delete(number);
  else hiddenRuns.add(number);
  document.querySelectorAll("#runs input")[number].checked = isShown;
}

function curvesToDraw({ epochs, names, best, charts }) {
  return charts.map(({ key, values }) => {
    const series = names.map((name, number) => {
      const { css, dash } = looksOfRun(number);
      const known = values[number].flatMap((value, place) => (value === null ? [] : [place]));
      // A single value has no line, and would not be seen without its dot.
      const dots = known.filter((place) => epochs[place] === best[number] || known.length === 1);
      return line(name, css, {
        dash, show: !hiddenRuns.has(number), points: { show: true, size: 8, fill: colour(css), filter: () => dots },
      });
    });
    return [say(key), [epochs, ...values], series, { legend, ...together }];
  });
}

function swatchOf(number) {
  const { css, dash } = looksOfRun(number);
  const [width, height, namespace] = [34, 10, "http://www.w3.org/2000/svg"];
  const svg = document.createElementNS(namespace, "svg");
  const stroke = document.createElementNS(namespace, "line");
  Object.entries({ width, height, "aria-hidden": "true" }).forEach(([name, value]) => svg.setAttribute(name, value));
  const places = { x1: 0, x2: width, y1: height / 2, y2: height / 2, "stroke-width": 3, "stroke-dasharray": dash.join(" ") };
  Object.entries(places).forEach(([name, value]) => stroke.setAttribute(name, value));
  stroke.style.stroke = css;
  svg.append(stroke);
  return svg;
}

function startRuns() {
  const chooser = document.getElementById("runs");
  data.curves.names.forEach((name, number) => {
    const box = make("input", { type: "checkbox", checked: "" });
    box.addEventListener("change", () => {
      noteShown(number, box.checked);
      for (const { chart } of curveCharts) chart.setSeries(number + 1, { show: box.checked });
    });
    chooser.append(make("label", {}, box, swatchOf(number), name));
  });
}

startRuns();
startCurves();
