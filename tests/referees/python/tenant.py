"""The simulated tenant as a referee meets it: where it is, its control API, a browser, and cases.

Every case that ran is one line of JSON on standard output; what else a case has to say goes to
standard error. The last line is `{"done": true}`, so that a script that broke off is told apart.
"""

import base64
import contextlib
import datetime
import html.parser
import http.cookiejar
import itertools
import json
import os
import ssl
import sys
import traceback
import urllib.error
import urllib.parse
import urllib.request

FACTS = json.loads(os.environ["REFEREES_TENANT"])
CA = FACTS["ca"]
TENANT = FACTS["tenant"]
ORIGIN = FACTS["authority"].rstrip("/")
AUTHORITY = f"{ORIGIN}/{TENANT}"
GRAPH = FACTS["graph"].rstrip("/")

ANNA = "anna@contoso.example"
BEN = "ben@contoso.example"
SERVICE = "svc-docket@contoso.example"
INVOICES = "invoices@contoso.example"
CONTRACTS = "contracts@contoso.example"

_TLS = ssl.create_default_context(cafile=CA)


class Skip(Exception):
    """Raised by a case that cannot be tried here; the text says why."""


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """Leaves it to the browser whether a redirect is followed."""

    def redirect_request(self, *_):
        return None


def _opener(*handlers):
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=_TLS),
        NoRedirects(),
        *handlers,
    )


_PLAIN = _opener()


def request(method, url, body=None, token=None, form=None, headers=None, opener=_PLAIN):
    """One request; gives status, headers and the body as JSON where it is JSON, else as text."""
    data, sent = None, dict(headers or {})
    if body is not None:
        data = json.dumps(body).encode()
        sent["Content-Type"] = "application/json"
    if form is not None:
        data = urllib.parse.urlencode(form).encode()
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    asked = urllib.request.Request(url, data=data, method=method, headers=sent)
    try:
        answer = opener.open(asked, timeout=30)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        text = answer.read().decode(errors="replace")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        return answer.status, answer.headers, value


def control(method, path, body=None):
    """Steers the tenant; see `tests/tenant/src/control`."""
    status, _, value = request(method, f"{GRAPH}/_tenant/{path}", body)
    assert status < 300, f"the tenant's control refused {method} {path}: {status} {value}"
    return value


def register(**settings):
    """Registers a new app; gives its client id and its secrets with their values."""
    settings.setdefault("name", "referee")
    return control("POST", "apps", settings)


_PEOPLE = itertools.count(1)


def person(**settings):
    """A new person in the tenant, whom nothing ails; gives the sign-in name."""
    number = next(_PEOPLE)
    upn = f"{settings.pop('prefix', 'person')}-{os.getpid()}-{number}@contoso.example"
    control("POST", "users", {"upn": upn, "display_name": f"Person {number}", **settings})
    return upn


@contextlib.contextmanager
def later(**by):
    """The tenant's clock is ahead by so much, as long as this lasts."""
    seconds = int(datetime.timedelta(**by).total_seconds())
    control("POST", "clock", {"advance_seconds": seconds})
    try:
        yield
    finally:
        control("POST", "clock", {"advance_seconds": -seconds})


def graph(method, path, token, body=None):
    """A request to Graph; gives status and body."""
    status, _, value = request(method, f"{GRAPH}/v1.0{path}", body, token=token)
    return status, value


def decoded(jwt):
    """The claims of a JWT, unchecked."""
    part = jwt.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class Form:
    """A form of a page: where it goes, what it carries, and the buttons that send it."""

    def __init__(self, attributes):
        self.action = attributes.get("action") or ""
        self.method = (attributes.get("method") or "get").lower()
        self.fields, self.buttons = [], []


class Page(html.parser.HTMLParser):
    """A page, as far as somebody has to understand it to sign in."""

    def __init__(self, url, status, text):
        super().__init__()
        self.url, self.status, self.forms, self.text = url, status, [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        if tag == "form":
            self.forms.append(Form(named))
        if not self.forms:
            return
        if tag == "input" and named.get("name"):
            self.forms[-1].fields.append((named["name"], named.get("value") or ""))
        if tag == "button":
            self.forms[-1].buttons.append((named.get("name"), named.get("value") or ""))

    def handle_data(self, data):
        self.text.append(data)

    def says(self):
        return " ".join(" ".join(self.text).split())


class Landed:
    """Where the browser was sent in the end: an address outside the tenant, and what it carried."""

    def __init__(self, url, posted=None):
        self.url, self.posted = url, posted
        parts = urllib.parse.urlsplit(url)
        carried = posted if posted is not None else parts.query or parts.fragment
        self.values = dict(urllib.parse.parse_qsl(carried, keep_blank_values=True))

    def visit(self):
        """Really goes there, as the browser would; gives the status of whoever listens."""
        form = None if self.posted is None else self.values
        status, _, _ = request("GET" if form is None else "POST", self.url, form=form)
        return status


class Browser:
    """Follows links and redirects, keeps cookies, fills in forms and clicks buttons."""

    def __init__(self):
        jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = _opener(jar)

    def open(self, url, form=None, method=None):
        """Goes to an address, and on to wherever it redirects; gives a page or a landing."""
        for _ in range(10):
            if not url.startswith(ORIGIN):
                return Landed(url, urllib.parse.urlencode(form) if form is not None else None)
            status, headers, text = request(
                method or ("GET" if form is None else "POST"), url, form=form, opener=self.opener
            )
            target = headers.get("Location")
            if status in (302, 303) and target:
                url, form, method = urllib.parse.urljoin(url, target), None, None
                continue
            assert status not in (301, 307, 308), f"an unexpected redirect: {status} {target}"
            text = text if isinstance(text, str) else json.dumps(text)
            return Page(url, status, text)
        raise AssertionError("redirects without end")

    def click(self, page, value=None, **typed):
        """Sends the page's form by the button with this value (by none, as a script would)."""
        assert page.forms, f"no form here: {page.says()}"
        form = page.forms[0]
        fields = [(name, typed.get(name, old)) for name, old in form.fields]
        if value is not None:
            pressed = [button for button in form.buttons if button[1] == value]
            assert pressed, f"no button {value!r} on this page: {page.says()}"
            fields.append(pressed[0])
        target = urllib.parse.urljoin(page.url, form.action) if form.action else page.url
        if form.method == "get":
            return self.open(f"{target}?{urllib.parse.urlencode(fields)}")
        return self.open(target, form=fields)

    def sign_in(self, url, user, consent="accept"):
        """What a person does: picks the account and answers the question for consent."""
        page = self.open(url)
        if isinstance(page, Page) and any(button[1] == user for form in page.forms for button in form.buttons):
            page = self.click(page, user)
        if isinstance(page, Page) and any(button[0] == "consent" for form in page.forms for button in form.buttons):
            page = self.click(page, consent)
        if isinstance(page, Page) and page.forms and not page.forms[0].buttons:
            page = self.click(page)
        return page


def answered(url, user, browser=None, consent="accept"):
    """Signs in and gives the parameters that the application is sent."""
    landed = (browser or Browser()).sign_in(url, user, consent)
    assert isinstance(landed, Landed), f"not sent back: {landed.status} {landed.says()}"
    return landed.values


_CASES = []


def case(name):
    """Marks a function as a case."""

    def registered(function):
        _CASES.append((name, function))
        return function

    return registered


def _report(**line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def passed(name):
    _report(case=name, outcome="passed")


def failed(name, detail):
    _report(case=name, outcome="failed", detail=detail)


def skipped(name, detail):
    _report(case=name, outcome="skipped", detail=detail)


def run(client):
    """Runs every case of this script; cases register apps and people of their own, so that none
    disturbs another."""
    wanted = os.environ.get("REFEREES_ONLY", "")
    for name, function in _CASES:
        full = f"{client}: {name}"
        if wanted not in full:
            continue
        try:
            function()
        except Skip as why:
            skipped(full, str(why))
        except Exception:  # noqa: BLE001 - whatever a client throws is a finding
            failed(full, traceback.format_exc())
        else:
            passed(full)
    _report(done=True)


def is_in(wanted, found):
    """Asserts that `found` holds what is wanted, with both in the message."""
    for name, value in wanted.items():
        got = found.get(name)
        if callable(value):
            assert value(got), f"{name} is {got!r} in {found}"
        else:
            assert got == value, f"{name} is {got!r}, not {value!r}, in {found}"
