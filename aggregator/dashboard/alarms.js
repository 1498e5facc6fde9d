// The alarms panel: what stands, the worst first, each with what to do. Asked for anew at every event about
// alarms, at most once a second, and twice a minute besides. Text is only ever set as text.
"use strict";

const Alarms = (() => {
  const WORDS = {
    sv: {
      title: "Larm", none: "Inga larm", unknown: "Larmen är okända: centralen svarar inte", more: (n) => `och ${n} till`,
      hidden: (n) => `${n} dolda`, since: "sedan", exercise: (name, until) => `ÖVNING: ${name}, till ${until}`,
      declared: "deklarerat", shelved: (until) => `åt sidan till ${until}`, suppressed: "sägs redan av ett större larm",
      out_of_service: "ur drift", severity: { critical: "kritiskt", severe: "allvarligt", warning: "varning", notice: "notis" },
      state: { active_unacknowledged: "okvitterat", active_acknowledged: "kvitterat", cleared_unacknowledged: "över, okvitterat" },
      status: { exercise: "ÖVNING", test: "TEST" }, acknowledge: "Kvittera", token: "Nyckel för att kvittera",
    },
    en: {
      title: "Alarms", none: "No alarms", unknown: "Alarms are unknown: the centre does not answer", more: (n) => `and ${n} more`,
      hidden: (n) => `${n} hidden`, since: "since", exercise: (name, until) => `EXERCISE: ${name}, until ${until}`,
      declared: "declared", shelved: (until) => `shelved until ${until}`, suppressed: "said by a greater alarm already",
      out_of_service: "out of service", severity: { critical: "critical", severe: "severe", warning: "warning", notice: "notice" },
      state: { active_unacknowledged: "not acknowledged", active_acknowledged: "acknowledged", cleared_unacknowledged: "over, not acknowledged" },
      status: { exercise: "EXERCISE", test: "TEST" }, acknowledge: "Acknowledge", token: "Token to acknowledge with",
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
  let [asking, again] = [false, false];

  const words = () => WORDS[document.documentElement.lang] ?? WORDS.sv;
  const clock = (time) => new Date(time).toLocaleString(document.documentElement.lang, { dateStyle: "short", timeStyle: "short" });

  function element(tag, className, ...children) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.append(...children.filter((child) => child !== null));
    return made;
  }

  function button(label, act) {
    const made = element("button", "", label);
    made.type = "button";
    made.addEventListener("click", act);
    return made;
  }

  function why(alert) {
    const [w, { kind, until }] = [words(), alert.hidden];
    return kind === "shelved" ? w.shelved(clock(until)) : w[kind];
  }

  function row(alert) {
    const w = words();
    const mark = element("span", "mark", MARKS[alert.severity]);
    mark.setAttribute("aria-hidden", "true");
    const facts = [w.severity[alert.severity], `${w.since} ${clock(alert.raised_at)}`, w.state[alert.state]];
    if (alert.hidden) facts.push(why(alert));
    const open = alert.acknowledged_at === null && !alert.hidden && sessionStorage.getItem("token");
    return element("li", `alarm ${alert.severity}`, mark,
      element("div", "",
        element("strong", "", alert.status === "actual" ? "" : `${w.status[alert.status]}: `, alert.headline),
        element("p", "response", alert.response),
        element("p", "facts", facts.join(" · "))),
      open ? button(w.acknowledge, () => acknowledge(alert.id)) : null);
  }

  async function acknowledge(id) {
    const headers = { Authorization: `Bearer ${sessionStorage.getItem("token")}`, "Content-Type": "application/json" };
    try {
      const answer = await fetch(`api/v1/alerts/${encodeURIComponent(id)}/acknowledge`, { method: "POST", headers, body: "{}" });
      problem = answer.ok ? "" : (await answer.json()).detail;
    } catch (error) {
      problem = String(error);
    }
    ask();
  }

  function keyField() {
    const field = element("input", "");
    field.type = "password";
    field.autocomplete = "off";
    field.value = sessionStorage.getItem("token") ?? "";
    field.addEventListener("change", () => {
      if (field.value) sessionStorage.setItem("token", field.value);
      else sessionStorage.removeItem("token");
      draw();
    });
    return element("label", "token", `${words().token} `, field);
  }

  // Whoever sets the page's title calls it after: an exercise shows there too.
  function mark() {
    const word = `${words().status.exercise} – `;
    const bare = document.title.replace(/^(ÖVNING|EXERCISE) – /, "");
    document.title = drill ? word + bare : bare;
  }

  function draw() {
    const w = words();
    const exercise = now?.exercise ?? null;
    drill = exercise !== null;
    mark();
    const heading = element("h2", "", w.title);
    const parts = [];
    if (exercise) parts.push(element("p", "banner exercise", w.exercise(exercise.name, clock(exercise.until))));
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
      if (visible.length > shown.length) parts.push(button(w.more(visible.length - shown.length), () => { all = true; draw(); }));
      if (aside.length > 0 && !hidden) parts.push(button(w.hidden(aside.length), () => { hidden = true; draw(); }));
      parts.push(keyField());
    }
    if (problem) parts.push(element("p", "problem", problem));
    panel.replaceChildren(...parts);
  }

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
    // Whoever is typing a token is not interrupted.
    if (document.activeElement?.type !== "password" || !panel.contains(document.activeElement)) draw();
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
  return { ask, draw, mark };
})();
