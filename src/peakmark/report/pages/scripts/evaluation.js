// What a validation found, on the page of a run or of a validation: at each confidence, what is taken for what, mistakes.
// All is drawn once, and again when the theme or the language changes.

startConfidence();
startConfusion();
startGallery();
document.addEventListener("looks-changed", () => {
  drawConfidence();
  drawConfusion();
  drawBreakdown();
  drawLegend();
  drawGallery();
});
