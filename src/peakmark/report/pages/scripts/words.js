// What the page says, from the catalogue; and the few ways in which elements are made. Text never becomes markup.

const WORDS = JSON.parse(document.getElementById("words").textContent);
let data = JSON.parse(document.getElementById("data").textContent);
let language = "en";

function say(key, values = {}) {
  const words = WORDS[language][key];
  return words.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

// An element with these words, which changes with the language.
function told(key, values) {
  const element = make("span", { "data-t": key });
  if (values) element.dataset.tValues = JSON.stringify(values);
  element.textContent = say(key, values);
  return element;
}

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function option(value, text) {
  return make("option", { value }, text);
}

function wordedOption(value, key) {
  const made = make("option", { value, "data-t": key });
  made.textContent = say(key);
  return made;
}

function translate(root) {
  for (const element of root.querySelectorAll("[data-t]")) {
    element.textContent = say(element.dataset.t, JSON.parse(element.dataset.tValues || "{}"));
  }
  for (const element of root.querySelectorAll("[data-t-label]")) {
    element.setAttribute("aria-label", say(element.dataset.tLabel));
  }
  for (const element of root.querySelectorAll("[data-t-alt]")) {
    element.setAttribute("alt", say(element.dataset.tAlt));
  }
}

function setLanguage(code) {
  language = code;
  document.documentElement.lang = code;
  translate(document);
  document.dispatchEvent(new Event("looks-changed"));
}

{
  const chooser = document.getElementById("language");
  const wished = remembered("language") || navigator.language.slice(0, 2);
  chooser.value = wished in WORDS ? wished : "en";
  language = chooser.value;
  chooser.addEventListener("change", () => { remember("language", chooser.value); setLanguage(chooser.value); });
}

function fourDigits(value) {
  return value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(4);
}
