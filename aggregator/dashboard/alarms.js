// The alarms panel: what stands, the worst first, each with what to do. Asked for anew at every event about
// alarms, at most once a second, and twice a minute besides. Text is only ever set as text.
//
// In: api/v1/alerts, and the token of whoever acts. Out: the panel; the event `declared` on the document when what is
// declared may have changed, which `declared(level, code)` tells. Redrawing keeps the focus, and the fields that somebody
// types in: new alarms show whatever stands half typed.
"use strict";

const Alarms = (() => {
  const WORDS = {
    sv: {
      title: "Larm", none: "Inga larm", unknown: "Larmen är okända: centralen svarar inte", more: (n) => `Visa ${n} till`, fewer: "Visa färre",
      hidden: (n) => `Visa ${n} dolda`, unhidden: "Göm de dolda", since: "sedan", exercise: (name, until) => `ÖVNING: ${name}, till ${until}`,
      declared: "deklarerat", shelved: (until) => `åt sidan till ${until}`, suppressed: (by) => `sägs redan av: ${by}`,
      out_of_service: "ur drift", severity: { critical: "kritiskt", severe: "allvarligt", warning: "varning", notice: "notis" },
      state: { active_unacknowledged: "okvitterat", active_acknowledged: "kvitterat", cleared_unacknowledged: "över, okvitterat" },
      status: { exercise: "ÖVNING", test: "TEST" }, test: "TEST: larmen bygger på uppgifter som inte är verkliga",
      acknowledge: "Kvittera", shelve: "Åt sidan", hours: (n) => `${n} h`, why: "Skäl", token: "Nyckel för att kvittera och lägga åt sidan",
    },
    en: {
      title: "Alarms", none: "No alarms", unknown: "Alarms are unknown: the centre does not answer", more: (n) => `Show ${n} more`, fewer: "Show fewer",
      hidden: (n) => `Show ${n} hidden`, unhidden: "Conceal the hidden", since: "since", exercise: (name, until) => `EXERCISE: ${name}, until ${until}`,
      declared: "declared", shelved: (until) => `shelved until ${until}`, suppressed: (by) => `said already by: ${by}`,
      out_of_service: "out of service", severity: { critical: "critical", severe: "severe", warning: "warning", notice: "notice" },
      state: { active_unacknowledged: "not acknowledged", active_acknowledged: "acknowledged", cleared_unacknowledged: "over, not acknowledged" },
      status: { exercise: "EXERCISE", test: "TEST" }, test: "TEST: these alarms are about figures that are not real",
      acknowledge: "Acknowledge", shelve: "Shelve", hours: (n) => `${n} h`, why: "Reason", token: "Token to acknowledge and shelve with",
    },
  };
  const MARKS = { critical: "⬛", severe: "◆", warning: "▲", notice: "●" };
  const SHOWN = 8;

  const panel = document.getElementById("alarms");
  const [polite, assertive] = ["alarms-polite", "alarms-assertive"].map((id) => document.getElementById(id));
  let drill = false;
  let now = null; // what was answered last; null while unknown
  let known = null; // the ids that were shown before
  let [all, hidden] = [false, false];
  let problem = "";
  let shelving = null; // the alarm whose form is open, and the form
  let [asking, again] = [false, false];

  const words = () => WORDS[document.documentElement.lang] ?? WORDS.sv;
  const clock = (time) => new Date(time).toLocaleString(document.documentElement.lang, { dateStyle: "short", timeStyle: "short" });

  function element(tag, className, ...children) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.append(...children.filter((child) => child !== null));
    return made;
  }

  // `key` tells a button from every other, so that it has the focus again after it was made anew.
  function button(label, key, act) {
    const made = element("button", "", label);
    made.type = "button";
    made.dataset.key = key;
    made.addEventListener("click", act);
    return made;
  }

  function why(alert) {
    const [w, { kind, until, by }] = [words(), alert.hidden];
    if (kind === "shelved") return w.shelved(clock(until));
    if (kind !== "suppressed") return w[kind];
    return w.suppressed(now.alerts.find(({ id }) => id === by)?.headline ?? by);
  }

  function row(alert) {
    const w = words();
    const mark = element("span", "mark", MARKS[alert.severity]);
    mark.setAttribute("aria-hidden", "true");
    const facts = [w.severity[alert.severity], `${w.since} ${clock(alert.raised_at)}`, w.state[alert.state]];
    if (alert.hidden) facts.push(why(alert));
    const may = !alert.hidden && sessionStorage.getItem("token");
    const acts = element("div", "acts");
    if (may && alert.acknowledged_at === null) acts.append(button(w.acknowledge, `acknowledge ${alert.id}`, () => act(alert.id, "acknowledge", {})));
    if (may && shelving?.id === alert.id) acts.append(shelving.form);
    else if (may) acts.append(button(w.shelve, `shelve ${alert.id}`, () => { shelving = { id: alert.id, form: shelf(alert.id) }; draw(); shelving.form.querySelector("select").focus(); }));
    return element("li", `alarm ${alert.severity}`, mark,
      element("div", "",
        element("strong", "", alert.status === "actual" ? "" : `${w.status[alert.status]}: `, alert.headline),
        element("p", "response", alert.response),
        element("p", "facts", facts.join(" · "))),
      may ? acts : null);
  }

  // For how long, and why: the centre takes no shelving without a reason.
  function shelf(id) {
    const w = words();
    const hours = element("select", "", ...[1, 4, 12, 24].map((n) => {
      const option = element("option", "", w.hours(n));
      option.value = String(n);
      return option;
    }));
    hours.setAttribute("aria-label", w.shelve);
    const reason = element("input", "");
    reason.placeholder = w.why;
    reason.setAttribute("aria-label", w.why);
    reason.required = true;
    const send = element("button", "", w.shelve);
    const form = element("form", "shelf", hours, reason, send);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      shelving = null;
      act(id, "shelve", { minutes: 60 * Number(hours.value), why: reason.value });
    });
    form.addEventListener("keydown", ({ key }) => {
      if (key !== "Escape") return;
      shelving = null;
      draw();
    });
    return form;
  }

  async function act(id, what, body) {
    const headers = { Authorization: `Bearer ${sessionStorage.getItem("token")}`, "Content-Type": "application/json" };
    try {
      const answer = await fetch(`api/v1/alerts/${encodeURIComponent(id)}/${what}`, { method: "POST", headers, body: JSON.stringify(body) });
      problem = answer.ok ? "" : (await answer.json()).detail;
    } catch (error) {
      problem = String(error);
    }
    ask();
  }

  const token = element("label", "token", element("span"), element("input", ""));
  {
    const field = token.lastChild;
    field.type = "password";
    field.autocomplete = "off";
    field.value = sessionStorage.getItem("token") ?? "";
    field.addEventListener("change", () => {
      if (field.value) sessionStorage.setItem("token", field.value);
      else sessionStorage.removeItem("token");
      // Not within the change: redrawing moves the field.
      setTimeout(draw);
    });
  }

  // Whoever sets the page's title calls it after: an exercise shows there too.
  function mark() {
    const word = `${words().status.exercise} – `;
    const bare = document.title.replace(/^(ÖVNING|EXERCISE) – /, "");
    document.title = drill ? word + bare : bare;
  }

  function draw() {
    const w = words();
    // Before anything is moved.
    const focused = panel.contains(document.activeElement) ? document.activeElement : null;
    const exercise = now?.exercise ?? null;
    drill = exercise !== null;
    mark();
    const heading = element("h2", "", w.title);
    const parts = [];
    if (exercise) parts.push(element("p", "banner exercise", w.exercise(exercise.name, clock(exercise.until))));
    if (now?.alerts.some(({ status }) => status === "test")) parts.push(element("p", "banner exercise", w.test));
    parts.push(heading);
    if (now === null) {
      parts.push(element("p", "unknown", w.unknown));
    } else {
      for (const [scope, level] of Object.entries(now.declared)) {
        parts.push(element("p", "declared", `${scope}: ${level.title} (${w.declared}, ${w.since} ${clock(level.since)})`));
      }
      const visible = now.alerts.filter((alert) => !alert.hidden);
      const aside = now.alerts.filter((alert) => alert.hidden);
      if (visible.length === 0) parts.push(element("p", "", w.none));
      const shown = all ? visible : visible.slice(0, SHOWN);
      parts.push(element("ul", "", ...shown.map(row), ...(hidden ? aside.map(row) : [])));
      const [rest, turn] = [visible.length - SHOWN, element("p", "turn")];
      if (rest > 0) turn.append(button(all ? w.fewer : w.more(rest), "all", () => { all = !all; draw(); }));
      if (aside.length > 0) turn.append(button(hidden ? w.unhidden : w.hidden(aside.length), "hidden", () => { hidden = !hidden; draw(); }));
      parts.push(turn);
      token.firstChild.textContent = `${w.token} `;
      parts.push(token);
    }
    if (problem) parts.push(element("p", "problem", problem));
    panel.replaceChildren(...parts);
    const same = focused?.isConnected ? focused : panel.querySelector(`[data-key="${CSS.escape(focused?.dataset.key ?? "")}"]`);
    same?.focus();
    document.dispatchEvent(new Event("declared"));
  }

  // What people have declared for a scope of the feed: its title, or null.
  const declared = (level, code) => now?.declared[level === "nation" ? level : `${level}/${code}`]?.title ?? null;

  function announce(alerts) {
    const fresh = alerts.filter((alert) => !alert.hidden && known && !known.has(alert.id));
    known = new Set(alerts.filter((alert) => !alert.hidden).map((alert) => alert.id));
    for (const [region, critical] of [[assertive, true], [polite, false]]) {
      const said = fresh.filter((alert) => (alert.severity === "critical") === critical);
      if (said.length > 0) region.textContent = said.map((alert) => (words().status[alert.status] ?? "") + " " + alert.headline).join(". ");
    }
  }

  async function ask() {
    if (asking) {
      again = true;
      return;
    }
    asking = true;
    try {
      const answer = await fetch("api/v1/alerts", { signal: AbortSignal.timeout(10000) });
      now = answer.ok ? await answer.json() : null;
      if (now) announce(now.alerts);
    } catch {
      now = null;
    }
    draw();
    setTimeout(() => {
      asking = false;
      if (again) {
        again = false;
        ask();
      }
    }, 1000);
  }

  setInterval(ask, 30000);
  ask();
  return { ask, draw, mark, declared };
})();
