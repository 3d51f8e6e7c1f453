// Everything is drawn once, and again when the theme or the language changes.

function drawAll() {
  drawCurves();
  drawConfidence();
  drawConfusion();
  drawBreakdown();
  drawLegend();
  drawGallery();
}

startCurves();
startConfidence();
startConfusion();
startGallery();
makeTablesSort();
{
  const all = document.getElementById("all-settings");
  all?.addEventListener("change", () =>
    document.getElementById("settings-table").classList.toggle("changed-only", !all.checked));
}
document.addEventListener("looks-changed", drawAll);
setLanguage(language);
