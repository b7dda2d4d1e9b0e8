// The simulated tenant as a referee meets it: where it is, its control API, a browser, and cases.
//
// Every case that ran is one line of JSON on standard output; the last line is {"done":true}.

"use strict";

const assert = require("node:assert/strict");

const FACTS = JSON.parse(process.env.REFEREES_TENANT);
const TENANT = FACTS.tenant;
const ORIGIN = FACTS.authority.replace(/\/$/, "");
const AUTHORITY = `${ORIGIN}/${TENANT}`;
const GRAPH = FACTS.graph.replace(/\/$/, "");

/** Steers the tenant; see tests/tenant/src/control. */
async function control(method, path, body) {
  const answer = await fetch(`${GRAPH}/_tenant/${path}`, {
    method,
    headers: body === undefined ? {} : { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  assert.ok(answer.ok, `the tenant's control refused ${method} ${path}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : undefined;
}

/** Registers a new app; gives its client id and its secrets with their values. */
const register = (settings) => control("POST", "apps", { name: "referee", ...settings });

let people = 0;

/** A new person in the tenant, whom nothing ails; gives the sign-in name. */
async function person(settings = {}) {
  people += 1;
  const upn = `node-${process.pid}-${people}@contoso.example`;
  await control("POST", "users", { upn, display_name: `Person ${people}`, ...settings });
  return upn;
}

/** A request to Graph; gives status and body. */
async function graph(method, path, token, body) {
  const answer = await fetch(`${GRAPH}/v1.0${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await answer.text();
  return { status: answer.status, body: text ? JSON.parse(text) : undefined };
}

const unescape = (text) =>
  text.replace(/&(amp|lt|gt|quot|#39);/g, (_, name) => ({ amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" })[name]);

/** The value of an attribute of a tag. */
function attribute(tag, name) {
  const found = tag.match(new RegExp(`\\s${name}="([^"]*)"`));
  return found ? unescape(found[1]) : undefined;
}

/** Follows links and redirects, keeps cookies, fills in forms and clicks buttons. */
class Browser {
  constructor() {
    this.cookies = new Map();
  }

  /** Goes to an address and wherever it redirects: a page of the tenant, or a landing elsewhere. */
  async open(url, form) {
    for (let hop = 0; hop < 10; hop += 1) {
      if (!url.startsWith(ORIGIN)) {
        const carried = new URL(url);
        const values = Object.fromEntries(form ?? carried.searchParams);
        // What the browser would do there: a GET, or the POST of a form.
        const visit = () => (form ? fetch(url, { method: "POST", body: form }) : fetch(url));
        return { landed: true, url, values, visit };
      }
      const answer = await fetch(url, {
        method: form ? "POST" : "GET",
        redirect: "manual",
        headers: { cookie: [...this.cookies].map((pair) => pair.join("=")).join("; ") },
        body: form,
      });
      for (const cookie of answer.headers.getSetCookie()) {
        const [name, value] = cookie.split(";")[0].split("=");
        this.cookies.set(name, value);
      }
      const text = await answer.text();
      const target = answer.headers.get("location");
      if (target && [302, 303].includes(answer.status)) {
        url = new URL(target, url).href;
        form = undefined;
        continue;
      }
      return { landed: false, url, status: answer.status, text };
    }
    throw new Error("redirects without end");
  }

  /** Sends the page's form by the button with this value (by none, as a script would). */
  async click(page, value, typed = {}) {
    const form = page.text.match(/<form[\s\S]*?<\/form>/)?.[0];
    assert.ok(form, `no form here: ${says(page)}`);
    const fields = new URLSearchParams();
    for (const [tag] of form.matchAll(/<input[^>]*>/g)) {
      const name = attribute(tag, "name");
      if (name) fields.append(name, typed[name] ?? attribute(tag, "value") ?? "");
    }
    if (value !== undefined) {
      const button = [...form.matchAll(/<button[^>]*>/g)].find(([tag]) => attribute(tag, "value") === value);
      assert.ok(button, `no button ${value} on this page: ${says(page)}`);
      fields.append(attribute(button[0], "name"), value);
    }
    const action = attribute(form.match(/<form[^>]*>/)[0], "action");
    return this.open(action ? new URL(action, page.url).href : page.url, fields);
  }

  /** What a person does: picks the account and answers the question for consent. */
  async signIn(url, user, consent = "accept") {
    let page = await this.open(url);
    const has = (name, value) =>
      !page.landed && page.text.includes(`name="${name}" value="${value}"`);
    if (has("choice", user)) page = await this.click(page, user);
    if (has("consent", consent)) page = await this.click(page, consent);
    // A form without buttons posts itself (response_mode=form_post).
    if (!page.landed && page.text.includes("<form") && !page.text.includes("<button")) page = await this.click(page);
    return page;
  }
}

const says = (page) => unescape(page.text.replace(/<style[\s\S]*?<\/style>/g, "").replace(/<[^>]*>/g, " ")).replace(/\s+/g, " ");

const cases = [];
const test = (name, body) => cases.push({ name, body });
const report = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** Runs every case of this script. */
async function run(client) {
  for (const { name, body } of cases) {
    const full = `${client}: ${name}`;
    if (!full.includes(process.env.REFEREES_ONLY ?? "")) continue;
    try {
      await body();
      report({ case: full, outcome: "passed" });
    } catch (error) {
      report({ case: full, outcome: "failed", detail: `${error.stack ?? error}` });
    }
  }
  report({ done: true });
}

module.exports = {
  assert, AUTHORITY, Browser, FACTS, GRAPH, ORIGIN, TENANT, control, graph, person, register, run, says, test,
};
