// The page of a run: its curves, and the settings that are shown when asked for.

startCurves();
{
  const all = document.getElementById("all-settings");
  all?.addEventListener("change", () =>
    document.getElementById("settings-table").classList.toggle("changed-only", !all.checked));
}
