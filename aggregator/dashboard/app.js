// The dashboard: the country's beds, live.
//
// In: server-sent events from api/v1/events (`status` with the whole picture, then each scope's feed
// as it changes) and api/v1/regions/{code} for the regions that are unfolded. Out: the page.
//
// Rules that everything below keeps: unknown is hatched and says so, it is never zero and never of a
// good colour; a picture that is no longer live is marked as old from edge to edge; nothing is told
// by colour alone; rows are changed in place, so that focus and reading position stay.
"use strict";

// ---- words: [Swedish, English] ----

const WORDS = {
  nation: ["Hela landet", "The whole country"],
  notice: ["Om uppgifterna", "About these figures"],
  caption: ["Regioner. Välj en region för att se dess sjukhus och avdelningar.", "Regions. Choose a region to see its hospitals and wards."],
  icu: ["Intensivvård", "Intensive care"],
  total: ["All vård", "All care"],
  coverage: ["Täckning", "Coverage"],
  name: ["Region", "Region"],
  occupancy: ["Beläggning", "Occupancy"],
  available: ["Lediga", "Available"],
  beds: ["Belagda / disp.", "Occupied / staffed"],
  over_capacity: ["Överbel.", "Over cap."],
  overCapacityLong: ["Överbeläggningar", "Over capacity"],
  discharge_ready: ["Utskrivningsklara", "Discharge ready"],
  outlying: ["Utlokaliserade", "Outlying"],
  boarding: ["Väntar på akuten", "Boarding in emergency"],
  blocked: ["Blockerade", "Blocked"],
  availableBeds: ["lediga vårdplatser", "available beds"],
  occupiedOf: ["belagda av {0} disponibla", "occupied of {0} staffed"],
  unknown: ["okänd", "unknown"],
  fresh: ["aktuell", "fresh"],
  stale: ["inaktuell", "stale"],
  since: ["sedan {0}", "since {0}"],
  old: ["senast känt", "last known"],
  notReported: ["ej rapporterad", "not reported"],
  noWards: ["Inga sådana avdelningar", "No such wards"],
  hospitalsFresh: ["av {0} sjukhus aktuella", "of {0} hospitals fresh"],
  coverageWords: ["{0} aktuella, {1} inaktuella, {2} okända av {3} sjukhus", "{0} fresh, {1} stale, {2} unknown of {3} hospitals"],
  partial: ["Ofullständigt: {0} av {1} sjukhus ingår", "Incomplete: {0} of {1} hospitals included"],
  noHospitals: ["inga sjukhus anslutna", "no hospitals enrolled"],
  clock: ["klockan går {0} s fel", "clock is off by {0} s"],
  live: ["Direkt", "Live"],
  connecting: ["Ansluter …", "Connecting …"],
  lost: ["Förbindelsen är bruten", "Connection lost"],
  lostBanner: ["FÖRBINDELSEN ÄR BRUTEN. Bilden är gammal: den gällde {0}. Försöker igen.", "CONNECTION LOST. This picture is old: it held at {0}. Trying again."],
  lostAge: ["Senast hört för {0} sedan.", "Last heard {0} ago."],
  neverBanner: ["INGEN FÖRBINDELSE med centralen. Försöker igen.", "NO CONNECTION to the centre. Trying again."],
  degraded: ["Centralen har ett fel just nu: nya rapporter kan saknas i bilden. Se /readyz.", "The centre is degraded: new reports may be missing from the picture. See /readyz."],
  asOf: ["Senaste ändring {0} · nr {1}", "Last change {0} · no. {1}"],
  loading: ["Hämtar sjukhusen …", "Loading the hospitals …"],
  failed: ["Sjukhusen kunde inte hämtas.", "The hospitals could not be loaded."],
  again: ["Försök igen", "Try again"],
  legendBand: ["Målet 85–90 % beläggning; strecket är 100 %", "Target occupancy 85–90 %; the line is 100 %"],
  legendUnknown: ["Okänt: inga aktuella uppgifter, inte noll", "Unknown: no fresh figures, not zero"],
  legendPartial: ["Ofullständigt: inte alla sjukhus ingår", "Incomplete: not every hospital is included"],
  key: ["Flödets nyckel: ", "Key of the feed: "],
  declared: ["Deklarerat av en människa, inte beräknat", "Declared by a person, not computed"],
};

const CARE = {
  other: ["övrig vård", "other"], icu: ["intensivvård", "intensive care"],
  intermediate: ["intermediärvård", "intermediate"], general: ["allmän slutenvård", "general"],
  emergency: ["akutmottagning", "emergency"], psychiatric: ["psykiatrisk vård", "psychiatric"],
  paediatric: ["barnsjukvård", "paediatric"], "paediatric-icu": ["barnintensivvård", "paediatric intensive care"],
  "neonatal-icu": ["neonatalintensivvård", "neonatal intensive care"], maternity: ["förlossnings- och BB-vård", "maternity"],
  burn: ["brännskadevård", "burn"], isolation: ["isoleringsvård", "isolation"],
  rehabilitation: ["rehabilitering", "rehabilitation"], "paediatric-psychiatric": ["barn- och ungdomspsykiatri", "paediatric psychiatric"],
};

let language = localStorage.getItem("language") === "en" ? 1 : 0;
const fill = (words, ...values) => words[language].replace(/\{(\d)\}/g, (_, i) => values[i]);
const t = (key, ...values) => fill(WORDS[key], ...values);
const locale = () => (language ? "en-GB" : "sv-SE");
const clockTime = (stamp) => new Date(stamp).toLocaleTimeString(locale());
// For what may lie days back.
const since = (stamp) => {
  const today = new Date(stamp).toDateString() === new Date().toDateString();
  return new Date(stamp).toLocaleString(locale(), { ...(today ? {} : { day: "numeric", month: "short" }), hour: "2-digit", minute: "2-digit" });
};
const count = (n) => n.toLocaleString(locale());

// ---- the picture ----

const picture = { nation: null, regions: new Map(), hospitals: new Map(), notice: null, key: "", asOf: null, number: 0 };
const unfolded = new Set(); // keys of unfolded rows: "r/<region>", "h/<hospital>"
const loads = new Map(); // region code → "loading" | "loaded" | "failed"
let order = { column: "name", falling: false };

function takeStatus(status) {
  picture.nation = status.nation;
  picture.regions = new Map(status.regions.map((feed) => [feed.code, feed]));
  picture.notice = status.notice ?? null;
  picture.key = status.public_key;
  seen(status);
  // Changes may have been missed: what is unfolded is loaded again, the rest when it is unfolded.
  loads.clear();
  for (const code of picture.regions.keys()) if (unfolded.has(`r/${code}`)) load(code);
}

function takeFeed(feed) {
  const newer = (old) => !old || feed.number >= old.number;
  if (feed.level === "nation" && newer(picture.nation)) picture.nation = feed;
  if (feed.level === "region" && newer(picture.regions.get(feed.code))) picture.regions.set(feed.code, feed);
  if (feed.level === "hospital" && newer(picture.hospitals.get(feed.code))) picture.hospitals.set(feed.code, feed);
  seen(feed);
}

function seen({ as_of, number }) {
  if (number >= picture.number) [picture.asOf, picture.number] = [as_of, number];
}

async function load(code) {
  loads.set(code, "loading");
  try {
    const answer = await fetch(`api/v1/regions/${encodeURIComponent(code)}`);
    if (!answer.ok) throw new Error(String(answer.status));
    const hospitals = (await answer.json()).hospitals;
    const here = new Set(hospitals.map((feed) => feed.code));
    for (const [hospital, feed] of picture.hospitals) {
      if (feed.hospital.region === code && !here.has(hospital)) picture.hospitals.delete(hospital);
    }
    hospitals.forEach(takeFeed);
    loads.set(code, "loaded");
  } catch {
    loads.set(code, "failed");
  }
  draw();
}

// ---- the connection ----

const SILENCE = 40_000; // the server pulses every 15 s
const link = { source: null, state: "connecting", opened: 0, heard: 0, ready: true, retry: 1000 };

function connect() {
  const source = new EventSource("api/v1/events");
  link.source = source;
  link.opened = Date.now();
  const on = (name, take) => source.addEventListener(name, (event) => {
    link.heard = Date.now();
    take(JSON.parse(event.data));
    draw();
  });
  on("status", (status) => {
    takeStatus(status);
    link.state = "live";
    link.retry = 1000;
  });
  for (const level of ["nation", "region", "hospital"]) on(level, takeFeed);
  on("pulse", (pulse) => { link.ready = pulse.ready; });
  on("resync", () => {});
  for (const name of ["alert", "standing"]) on(name, () => Alarms.ask());
  source.onerror = lose;
}

function lose() {
  link.source.close();
  link.source = null;
  link.state = "lost";
  draw();
  Alarms.ask();
  // Spread out, so that a thousand screens do not come back in the same instant.
  setTimeout(connect, link.retry * (0.5 + Math.random()));
  link.retry = Math.min(link.retry * 2, 15_000);
}

// A cut cable closes nothing: silence is the sign.
setInterval(() => {
  if (link.source && Date.now() - Math.max(link.heard, link.opened) > SILENCE) lose();
  else if (link.state === "lost") drawConnection();
}, 1000);

// ---- pieces of the page ----

function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

const occupancy = (figures) => (figures && figures.staffed > 0 && figures.occupied !== null ? (100 * figures.occupied) / figures.staffed : null);
const pressure = (percent) => (percent > 100 ? "over" : percent > 90 ? "high" : "calm");
const SCALE = 120; // percent at the right end of a meter

function meter() {
  const bar = make("i", "fill");
  const value = make("b");
  const root = make("span", "meter", make("span", "track", make("i", "band"), bar), value);
  root.show = (figures, { old = false, partial = "" } = {}) => {
    const percent = occupancy(figures);
    const known = percent !== null;
    // Nothing staffed is a known state, and no share can be taken of it.
    const empty = !known && figures?.staffed === 0;
    root.className = `meter ${known ? pressure(percent) : empty ? "empty" : "unknown"}${old ? " old" : ""}`;
    bar.style.width = known ? `${(100 * Math.min(percent, SCALE)) / SCALE}%` : "0";
    const rounded = Math.round(percent);
    text(value, known ? `${percent > 100 ? "▲ " : ""}${rounded} %${partial ? " ◐" : ""}` : empty ? "–" : t("unknown"));
    root.title = [known && `${t("occupancy")} ${rounded} %`, old && t("old"), partial].filter(Boolean).join(" · ");
  };
  return root;
}

function showNumber(cell, value, none) {
  const unknown = value === null || value === undefined;
  cell.classList.toggle("unknown", unknown && !none);
  text(cell, none ? "–" : unknown ? "?" : count(value));
  cell.title = none ? t("noWards") : unknown ? t("unknown") : "";
}

function showBeds(cell, figures, none) {
  showNumber(cell, figures?.occupied, none);
  if (!none && figures && figures.occupied !== null) text(cell, `${count(figures.occupied)} / ${count(figures.staffed)}`);
}

function coverageBar() {
  const parts = ["fresh", "stale", "unknown"].map((state) => make("i", state));
  const root = make("span", "coverage", ...parts);
  root.show = (coverage) => parts.forEach((part) => { part.style.flexGrow = coverage[part.className]; });
  return root;
}

const coverageWords = (c) => (c.hospitals ? t("coverageWords", c.fresh, c.stale, c.unknown, c.hospitals) : t("noHospitals"));
const partialWords = (c) => (c.fresh > 0 && c.fresh < c.hospitals ? t("partial", c.fresh, c.hospitals) : "");

// Without a hospital that has never been heard, a care type that no roster has is truly not there.
const absent = (feed, care) => !feed.care[care] && feed.coverage.hospitals > 0 && feed.coverage.unknown === 0;

// ---- the nation's tiles ----

function figuresTile(id, label, pick, extras) {
  const big = make("strong");
  const bar = meter();
  const beds = make("p", "beds");
  const list = make("dl");
  const values = extras.map(([figure, word]) => [figure, word, make("dt"), make("dd")]);
  for (const [, , term, value] of values) list.append(make("div", "", term, value));
  const heading = make("h2");
  const what = make("span");
  const scale = make("span", "scale", make("i", "to-band", "85–90 %"), make("i", "from-full", "100 %"));
  document.getElementById(id).append(heading, make("p", "big", big, " ", what), bar, scale, beds, list);
  return (nation) => {
    const figures = pick(nation);
    text(heading, t(label));
    text(what, t("availableBeds"));
    showNumber(big, figures?.available, false);
    bar.show(figures, { partial: partialWords(nation.coverage) });
    const known = figures && figures.occupied !== null;
    text(beds, known ? `${count(figures.occupied)} ${t("occupiedOf", count(figures.staffed))}` : t("unknown"));
    for (const [figure, word, term, value] of values) {
      text(term, t(word));
      showNumber(value, figures?.[figure], false);
    }
  };
}

function coverageTile() {
  const heading = make("h2");
  const big = make("strong");
  const what = make("span");
  const bar = coverageBar();
  const words = make("p", "beds");
  document.getElementById("tile-coverage").append(heading, make("p", "big", big, " ", what), bar, words);
  return ({ coverage }) => {
    text(heading, t("coverage"));
    text(big, count(coverage.fresh));
    text(what, t("hospitalsFresh", count(coverage.hospitals)));
    bar.show(coverage);
    text(words, coverageWords(coverage));
  };
}

const tiles = [
  figuresTile("tile-icu", "icu", (feed) => feed.care.icu, [["over_capacity", "overCapacityLong"], ["blocked", "blocked"]]),
  figuresTile("tile-total", "total", (feed) => feed.total, [
    ["over_capacity", "overCapacityLong"], ["outlying", "outlying"], ["discharge_ready", "discharge_ready"], ["boarding", "boarding"],
  ]),
  coverageTile(),
];

// ---- the table: regions, in them hospitals, in them wards, all in the same columns ----

const COLUMNS = [
  { id: "name", word: "name", value: (feed) => feed.name },
  { id: "icu-occupancy", word: "occupancy", value: (feed) => occupancy(feed.care.icu) },
  { id: "icu-available", word: "available", value: (feed) => feed.care.icu?.available },
  { id: "icu-beds", word: "beds", value: (feed) => feed.care.icu?.staffed },
  { id: "occupancy", word: "occupancy", value: (feed) => occupancy(feed.total) },
  { id: "available", word: "available", value: (feed) => feed.total.available },
  { id: "beds", word: "beds", value: (feed) => feed.total.staffed },
  { id: "over-capacity", word: "over_capacity", value: (feed) => feed.total.over_capacity },
  { id: "coverage", word: "coverage", value: (feed) => (feed.coverage.hospitals ? feed.coverage.fresh / feed.coverage.hospitals : null) },
];

for (const column of COLUMNS) {
  column.button = make("button");
  column.button.type = "button";
  column.button.onclick = () => {
    order = { column: column.id, falling: order.column === column.id ? !order.falling : column.id !== "name" };
    draw();
  };
  column.head = make("th", `c-${column.id}`, column.button);
  column.head.scope = "col";
  document.getElementById("columns").append(column.head);
}

function sorted(feeds, column = order.column, falling = order.falling) {
  const { value } = COLUMNS.find(({ id }) => id === column);
  const byName = (a, b) => a.name.localeCompare(b.name, "sv");
  return [...feeds].sort((a, b) => {
    const [x, y] = [value(a) ?? null, value(b) ?? null];
    if (x === null || y === null) return (x === null) - (y === null) || byName(a, b); // unknown is last, both ways
    const rising = typeof x === "string" ? byName(a, b) : x - y;
    return (falling ? -rising : rising) || byName(a, b);
  });
}

// What stands in the table now, from top to bottom.
function* tableRows() {
  for (const region of sorted(picture.regions.values())) {
    const key = `r/${region.code}`;
    yield { key, kind: "region", feed: region };
    if (!unfolded.has(key)) continue;
    const inRegion = [...picture.hospitals.values()].filter((feed) => feed.hospital.region === region.code);
    const state = loads.get(region.code);
    if (state === "failed" || !inRegion.length) yield { key: `m/${region.code}`, kind: "message", state, code: region.code };
    for (const hospital of sorted(inRegion, "name", false)) {
      const key = `h/${hospital.code}`;
      yield { key, kind: "hospital", feed: hospital };
      if (!unfolded.has(key)) continue;
      for (const ward of hospital.hospital.wards) {
        yield { key: `w/${hospital.code}/${ward.id}`, kind: "ward", ward, state: hospital.hospital.state };
      }
    }
  }
}

function toggle(key, code) {
  if (!unfolded.delete(key)) {
    unfolded.add(key);
    if (code && loads.get(code) !== "loaded") load(code);
  }
  draw();
}

function rowCells(kind) {
  const row = make("tr", kind);
  const head = make("th");
  head.scope = "row";
  const cells = Object.fromEntries(COLUMNS.slice(1).map(({ id }) => [id, make("td", `c-${id}`)]));
  return { row, head, cells };
}

// A region or a hospital: a button that unfolds what is inside, then the figures.
function scopeRow(kind, key) {
  const { row, head, cells } = rowCells(kind);
  const button = make("button");
  button.type = "button";
  // Typed by a person, beside what is computed.
  const level = make("span", "level");
  head.append(button, level);
  const meters = { icu: meter(), total: meter() };
  cells["icu-occupancy"].append(meters.icu);
  cells.occupancy.append(meters.total);
  const bar = coverageBar();
  const word = make("span", "word");
  cells.coverage.append(...(kind === "region" ? [bar] : []), word);
  row.append(head, ...Object.values(cells));
  button.onclick = () => toggle(key, kind === "region" ? key.slice(2) : null);
  row.show = ({ feed }) => {
    text(button, feed.name);
    button.setAttribute("aria-expanded", String(unfolded.has(key)));
    button.title = feed.code;
    showLevel(level, kind, feed.code);
    const { icu } = feed.care;
    const none = absent(feed, "icu");
    const partial = kind === "region" ? partialWords(feed.coverage) : "";
    meters.icu.hidden = none;
    meters.icu.show(icu, { partial });
    meters.total.show(feed.total, { partial });
    showNumber(cells["icu-available"], icu?.available, none);
    showBeds(cells["icu-beds"], icu, none);
    showNumber(cells.available, feed.total.available, false);
    showBeds(cells.beds, feed.total, false);
    showNumber(cells["over-capacity"], feed.total.over_capacity, false);
    if (kind === "region") {
      bar.show(feed.coverage);
      text(word, feed.coverage.hospitals ? `${feed.coverage.fresh}/${feed.coverage.hospitals}` : "–");
      cells.coverage.title = coverageWords(feed.coverage);
    } else {
      showState(cells.coverage, word, feed.hospital);
    }
  };
  return row;
}

function showLevel(element, kind, code) {
  const title = Alarms.declared(kind, code);
  element.hidden = title === null;
  text(element, title ?? "");
  element.title = t("declared");
}

function showState(cell, word, { state, observed_at, clock_offset_ms }) {
  const mark = { fresh: "●", stale: "◔", unknown: "?" }[state];
  const age = state === "stale" && observed_at ? ` ${t("since", since(observed_at))}` : "";
  const clock = clock_offset_ms === null ? "" : ` ⚠ ${t("clock", Math.round(clock_offset_ms / 1000))}`;
  cell.className = `c-coverage state ${state}`;
  text(word, `${mark} ${t(state)}${age}${clock}`);
  cell.title = observed_at ? new Date(observed_at).toLocaleString(locale()) : "";
}

// A ward: its care type where the others have intensive care. Of a hospital that is not fresh, the
// last counts known, marked as such.
function wardRow() {
  const { row, head, cells } = rowCells("ward");
  const care = make("td", "care");
  care.dataset.spans = "3 2";
  const bar = meter();
  cells.occupancy.append(bar);
  row.append(head, care, ...COLUMNS.slice(4).map(({ id }) => cells[id]));
  row.show = ({ ward, state }) => {
    const old = state !== "fresh" && ward.wards > 0;
    row.classList.toggle("old", old);
    text(head, ward.name);
    head.title = ward.id;
    const extras = ["blocked", "outlying", "discharge_ready", "boarding"].filter((extra) => ward[extra] > 0);
    text(care, [fill(CARE[ward.care] ?? CARE.other), ...extras.map((extra) => `${t(extra).toLowerCase()} ${ward[extra]}`)].join(" · "));
    bar.show(ward, { old });
    showNumber(cells.available, ward.available, false);
    showBeds(cells.beds, ward, false);
    showNumber(cells["over-capacity"], ward.over_capacity, false);
    text(cells.coverage, old ? t("old") : ward.staffed === null ? t("notReported") : "");
  };
  return row;
}

function messageRow(code) {
  const cell = make("td");
  cell.colSpan = COLUMNS.length;
  const words = make("span");
  const button = make("button");
  button.type = "button";
  button.onclick = () => { load(code); draw(); };
  cell.append(words, " ", button);
  const row = make("tr", "message", cell);
  row.show = ({ state }) => {
    text(words, t({ failed: "failed", loaded: "noHospitals" }[state] ?? "loading"));
    text(button, t("again"));
    button.hidden = state !== "failed";
  };
  return row;
}

const narrow = matchMedia("(max-width: 1000px)"); // as in style.css
narrow.addEventListener("change", draw);

const shown = new Map(); // key → the row that stands in the page

function drawRows() {
  const body = document.getElementById("rows");
  const gone = new Set(shown.keys());
  let last = null;
  for (const item of tableRows()) {
    gone.delete(item.key);
    if (!shown.has(item.key)) {
      shown.set(item.key, item.kind === "ward" ? wardRow() : item.kind === "message" ? messageRow(item.code) : scopeRow(item.kind, item.key));
    }
    const row = shown.get(item.key);
    row.show(item);
    const place = last ? last.nextSibling : body.firstChild;
    if (place !== row) {
      const focused = row.contains(document.activeElement) ? document.activeElement : null;
      body.insertBefore(row, place);
      focused?.focus(); // moving a row takes its focus away
    }
    last = row;
  }
  for (const key of gone) {
    shown.get(key).remove();
    shown.delete(key);
  }
  // Cells over several columns: how many of those a wide and a narrow screen have.
  for (const cell of document.querySelectorAll("[data-spans]")) cell.colSpan = cell.dataset.spans.split(" ")[Number(narrow.matches)];
}

// ---- drawing ----

function drawConnection() {
  const { state } = link;
  document.body.className = picture.nation ? state : `waiting ${state}`;
  text(document.getElementById("connection"), `${{ live: "●", connecting: "○", lost: "✕" }[state]} ${t(state)}`);
  const banner = document.getElementById("lost");
  banner.hidden = state !== "lost";
  if (state === "lost") {
    const seconds = Math.round((Date.now() - link.heard) / 1000);
    const age = seconds < 120 ? `${seconds} s` : `${Math.floor(seconds / 60)} min`;
    // Read aloud once; the age beside it changes every second and is not.
    text(document.getElementById("lost-words"), picture.asOf ? t("lostBanner", clockTime(picture.asOf)) : t("neverBanner"));
    text(document.getElementById("lost-age"), picture.asOf ? t("lostAge", age) : "");
  }
  const degraded = document.getElementById("degraded");
  degraded.hidden = link.ready || state !== "live";
  text(degraded, t("degraded"));
  document.title = state === "lost" ? `✕ ${t("lost")} · Vardpuls` : "Vardpuls";
  Alarms.mark();
}

function drawNow() {
  document.documentElement.lang = language ? "en" : "sv";
  for (const element of document.querySelectorAll("[data-t]")) text(element, t(element.dataset.t));
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", t(element.dataset.label));
  const button = document.getElementById("language");
  text(button, language ? "Svenska" : "English");
  button.lang = language ? "sv" : "en";
  for (const { id, word, head, button } of COLUMNS) {
    text(button, t(word));
    if (order.column === id) head.setAttribute("aria-sort", order.falling ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
  drawConnection();
  if (!picture.nation) return;
  text(document.getElementById("nation-name"), picture.nation.name);
  showLevel(document.getElementById("nation-level"), "nation", "");
  text(document.getElementById("as-of"), t("asOf", clockTime(picture.asOf), picture.number));
  const notice = document.getElementById("notice");
  notice.hidden = !picture.notice;
  text(notice, picture.notice ?? "");
  text(document.getElementById("key"), t("key") + picture.key);
  for (const show of tiles) show(picture.nation);
  drawRows();
}

// However many changes come, the page is drawn at most once in a while that an eye can follow.
let due = null;
function draw() {
  due ??= setTimeout(() => {
    due = null;
    drawNow();
  }, 100);
}

document.getElementById("language").onclick = () => {
  language = 1 - language;
  localStorage.setItem("language", language ? "en" : "sv");
  document.documentElement.lang = language ? "en" : "sv";
  Alarms.draw();
  drawNow();
};

document.addEventListener("declared", draw);

drawNow();
connect();
