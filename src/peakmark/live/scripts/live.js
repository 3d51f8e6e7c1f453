// Asks the server every two seconds what has changed, and puts it in its place: parts of the page, which the server
// wrote and escaped, and the data of the charts. A page that nobody looks at asks for nothing.

const LIVE_PAUSE_MS = 2000;

function putInPlace(id, html) {
  const place = document.getElementById(id);
  if (place.innerHTML === html) return;
  // What was opened stays open.
  const open = new Set([...place.querySelectorAll("details[open]")].map((each) => each.id || each.textContent.slice(0, 40)));
  place.innerHTML = html;
  for (const each of place.querySelectorAll("details")) {
    if (open.has(each.id || each.textContent.slice(0, 40))) each.open = true;
  }
  translate(place);
}

function takeRun(fresh) {
  const place = document.getElementById("live");
  putInPlace("live", fresh.live);
  place.dataset.version = fresh.version;
  if (!fresh.data) return;
  // A section that is there from now on, or that is no longer: the whole page is another one.
  if (Boolean(fresh.data.at) !== Boolean(data.at) || fresh.data.gallery !== Boolean(data.gallery)) {
    location.reload();
    return;
  }
  for (const [id, html] of Object.entries(fresh.html)) putInPlace(id, html);
  data = { ...fresh.data, gallery: data.gallery };
  makeTablesSort();
  drawCurves();
  drawConfidence();
  drawConfusion();
}

async function ask() {
  if (document.hidden) return;
  const place = document.getElementById("live");
  const lost = document.getElementById("lost");
  try {
    const seen = place ? `?seen=${encodeURIComponent(place.dataset.version)}` : "";
    const answer = await fetch(`state.json${seen}`);
    if (!answer.ok) throw new Error(String(answer.status));
    const fresh = await answer.json();
    if (place) takeRun(fresh);
    else putInPlace("runs", fresh.rows);
    lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
}

setInterval(ask, LIVE_PAUSE_MS);
document.addEventListener("visibilitychange", ask);
