// Precision, recall and F1 at the confidence that the slider stands at: of one class, or the mean over those that have
// truths. At IoU 0.5, from how many detections are right and how many there are.

let confidenceChart = null;

function quotientsAt(place, which) {
  const { right, detected, truths } = data.at;
  const classes = which === "all" ? truths.map((_, number) => number).filter((number) => truths[number] > 0) : [which];
  const sums = { precision: 0, recall: 0, f1: 0, right: 0, detected: 0, truths: 0 };
  for (const number of classes) {
    const [good, all, there] = [right[number][place], detected[number][place], truths[number]];
    sums.precision += good / Math.max(all, 1);
    sums.recall += there ? good / there : NaN;
    sums.f1 += there ? (2 * good) / (all + there) : NaN;
    sums.right += good;
    sums.detected += all;
    sums.truths += there;
  }
  const mean = (sum) => (classes.length ? sum / classes.length : NaN);
  return { ...sums, precision: mean(sums.precision), recall: mean(sums.recall), f1: mean(sums.f1) };
}

function chosenClass() {
  const { value } = document.getElementById("confidence-class");
  return value === "all" ? "all" : Number(value);
}

function numberBox(value, ...label) {
  return make("div", { class: "number" }, make("b", {}, value), ...label);
}

function showConfidence() {
  const place = Number(document.getElementById("confidence-slider").value);
  const at = quotientsAt(place, chosenClass());
  document.getElementById("confidence-value").textContent = data.at.confidences[place].toFixed(3);
  document.getElementById("confidence-numbers").replaceChildren(
    numberBox(fourDigits(at.precision), told("precision")),
    numberBox(fourDigits(at.recall), told("recall")),
    numberBox(fourDigits(at.f1), told("f1")),
    numberBox(at.right.toLocaleString(), told("confidence.right")),
    numberBox((at.detected - at.right).toLocaleString(), told("confidence.false")),
    numberBox((at.truths - at.right).toLocaleString(), told("confidence.missed")),
  );
  if (confidenceChart) {
    confidenceChart.setCursor({ left: confidenceChart.valToPos(data.at.confidences[place], "x"), top: 10 }, false);
  }
}

function drawConfidence() {
  if (!data.at) return;
  const host = document.getElementById("confidence-chart");
  confidenceChart?.destroy();
  host.replaceChildren();
  const { confidences } = data.at;
  const all = confidences.map((_, place) => quotientsAt(place, chosenClass()));
  const names = ["precision", "recall", "f1"];
  const columns = [confidences, ...names.map((name) => all.map((at) => (Number.isNaN(at[name]) ? null : at[name])))];
  const series = names.map((name, place) => line(say(name), PALETTE[place]));
  confidenceChart = draw(host, say("confidence.curves"), columns, series, {
    label: say("confidence"),
    between: [0, 1],
    x: (_, value) => (value === null ? "–" : value.toFixed(3)),
    cursor: { y: false, drag: { x: false, y: false } },
  });
  confidenceChart.over.addEventListener("click", () => {
    const { idx } = confidenceChart.cursor;
    if (idx === null || idx === undefined) return;
    document.getElementById("confidence-slider").value = idx;
    showConfidence();
  });
  // Its cursor is placed once it has its size, which uPlot gives it a moment later.
  requestAnimationFrame(showConfidence);
  showConfidence();
}

function startConfidence() {
  if (!data.at) return;
  const chooser = document.getElementById("confidence-class");
  chooser.append(wordedOption("all", "all_classes"));
  data.names.forEach((name, place) => { if (data.at.truths[place] > 0) chooser.append(option(place, name)); });
  const slider = document.getElementById("confidence-slider");
  slider.max = data.at.confidences.length - 1;
  slider.value = data.at.best;
  slider.addEventListener("input", showConfidence);
  chooser.addEventListener("change", drawConfidence);
  document.getElementById("confidence-best").addEventListener("click", () => {
    slider.value = data.at.best;
    showConfidence();
  });
  const host = document.getElementById("confidence-chart");
  new ResizeObserver(() => { if (confidenceChart) { fitWidth(host, confidenceChart); showConfidence(); } }).observe(host);
}
