// An image of the gallery with its boxes, which lie over it and are counted in ten thousandths of its sides.

const PLACES = 10000;
const [BOX, CLASS, SCORE, KIND, ABOUT, TAKEN_FOR] = [0, 4, 5, 6, 7, 8];
const KINDS = ["missed", "wrong_class", "badly_placed", "both", "doubled", "background"];
const IS_ABOUT_ITS_TRUTH = new Set(["right", "wrong_class", "badly_placed"]);

function className(number) {
  return data.names[number] ?? String(number);
}

function foundFrom(image, confidence) {
  return image.found.filter((found) => found[SCORE] >= confidence);
}

// The truths that no detection found, nor took for another class, nor missed the place of.
function missedTruths(image, confidence) {
  const touched = new Set(
    foundFrom(image, confidence).filter((found) => IS_ABOUT_ITS_TRUTH.has(found[KIND])).map((found) => found[ABOUT]));
  return image.truths.map((_, number) => number).filter((number) => !touched.has(number));
}

function mistakesOf(image, confidence) {
  const counts = Object.fromEntries(KINDS.map((kind) => [kind, 0]));
  for (const found of foundFrom(image, confidence)) if (found[KIND] in counts) counts[found[KIND]] += 1;
  counts.missed = missedTruths(image, confidence).length;
  return counts;
}

function boxOver(places, looks, text) {
  const [left, top, right, bottom] = places.map((place) => (100 * place) / PLACES);
  const box = make("div", { class: `box ${looks}` });
  box.style.left = `${left}%`;
  box.style.top = `${top}%`;
  box.style.width = `${right - left}%`;
  box.style.height = `${bottom - top}%`;
  if (top < 7) box.classList.add("at-top");
  if (left > 60) box.classList.add("at-right");
  if (text) box.append(make("span", { class: "tag" }, text));
  return box;
}

// `truths` and `found` say what is drawn; `named` writes class and score beside each box.
function pictureOf(image, confidence, { truths, found, named }) {
  const frame = make("div", { class: "picture" });
  frame.style.aspectRatio = `${image.width_px} / ${image.height_px}`;
  if (image.jpeg) {
    frame.append(make("img", { src: `data:image/jpeg;base64,${image.jpeg}`, alt: "", decoding: "async" }));
  } else {
    frame.append(make("span", { class: "gone" }, told("images.unreadable")));
  }
  if (truths) {
    const missed = new Set(missedTruths(image, confidence));
    image.truths.forEach((places, number) => {
      const looks = missed.has(number) ? "missed dashed" : "truth dashed";
      frame.append(boxOver(places, looks, named && className(image.classes[number])));
    });
  }
  if (found) {
    // The surest lie on top.
    for (const each of foundFrom(image, confidence).reverse()) {
      const text = named && `${className(each[CLASS])} ${each[SCORE].toFixed(2)}`;
      frame.append(boxOver(each.slice(BOX, BOX + 4), each[KIND] || "crowd", text));
    }
  }
  return frame;
}
