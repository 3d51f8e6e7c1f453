"use strict";
// The theme that was chosen, before anything is drawn. A page from a file may have no storage: then it lasts as long
// as the page.
function remembered(name) {
  try { return localStorage.getItem("peakmark." + name); } catch { return null; }
}
function remember(name, value) {
  try { localStorage.setItem("peakmark." + name, value); } catch { /* it lasts as long as the page */ }
}
function setTheme(theme) {
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  document.dispatchEvent(new Event("looks-changed"));
}
{
  const chooser = document.getElementById("theme");
  const theme = remembered("theme");
  chooser.value = theme === "light" || theme === "dark" ? theme : "system";
  setTheme(chooser.value);
  chooser.addEventListener("change", () => { remember("theme", chooser.value); setTheme(chooser.value); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    document.dispatchEvent(new Event("looks-changed")));
}
