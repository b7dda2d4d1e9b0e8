"""Microsoft's client library for Python, MSAL, signs in against the simulated tenant.

The cases are named for what the library does. Where Entra ID refuses, the case asserts the OAuth
error and the AADSTS number (entra:reference-error-codes.md).
"""

import base64
import datetime
import json
import threading
import webbrowser

import msal
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tenant import (
    ANNA,
    AUTHORITY,
    BEN,
    CA,
    GRAPH,
    ORIGIN,
    TENANT,
    Browser,
    Landed,
    answered,
    case,
    control,
    decoded,
    graph,
    is_in,
    later,
    person,
    register,
    request,
    run,
)

SCOPES = ["Mail.Send", "Mail.ReadWrite"]
DEFAULT = ["https://graph.microsoft.com/.default"]
REDIRECT = "http://localhost:4711/callback"
WEB = [{"uri": "http://localhost/callback", "kind": "web"}]
PUBLIC = [{"uri": "http://localhost", "kind": "public"}]
DELEGATED = ["Mail.Send", "Mail.ReadWrite", "User.Read"]


def web(**settings):
    """A confidential app, registered, with a secret."""
    return register(**{"redirects": WEB, "secrets": 1, "delegated": DELEGATED, **settings})


def public(**settings):
    """A public app, registered, that may use device codes."""
    settings = {"redirects": PUBLIC, "delegated": DELEGATED, "allow_public_client": True, **settings}
    return register(**settings)


class Forgetful(dict):
    """MSAL remembers refusals for a minute and repeats them without asking; here it must ask."""

    def __setitem__(self, key, value):
        pass


def confidential(app, credential=None, authority=AUTHORITY, **more):
    if credential is None:
        credential = app["secrets"][0]["value"]
    return msal.ConfidentialClientApplication(
        app["client_id"],
        client_credential=credential,
        authority=authority,
        instance_discovery=False,
        verify=CA,
        http_cache=Forgetful(),
        **more,
    )


def public_client(app, **more):
    return msal.PublicClientApplication(
        app["client_id"],
        authority=AUTHORITY,
        instance_discovery=False,
        verify=CA,
        http_cache=Forgetful(),
        **more,
    )


def signed_in(client, user, scopes=SCOPES, redirect=REDIRECT, browser=None, **more):
    """The whole authorization code flow; gives MSAL's result."""
    flow = client.initiate_auth_code_flow(scopes, redirect_uri=redirect, **more)
    return client.acquire_token_by_auth_code_flow(flow, answered(flow["auth_uri"], user, browser))


def refreshed(client, **more):
    """What a refresh of the only account gives, errors included."""
    [account] = client.get_accounts()
    return client.acquire_token_silent_with_error(SCOPES, account, force_refresh=True, **more)


def refuses(result, error, number, **more):
    """Asserts a refusal: the OAuth error, the AADSTS number, and the ids for support."""
    assert result is not None, "no result at all"
    is_in({"error": error, "error_codes": [number], **more}, result)
    assert result["error_description"].startswith(f"AADSTS{number}: "), result
    assert result.get("correlation_id") and result.get("trace_id"), result


def certificate(days=365):
    """A key and its certificate: private key PEM, certificate PEM, SHA-1 thumbprint."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "referee")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    pem = made.public_bytes(serialization.Encoding.PEM).decode()
    return private, pem, made.fingerprint(hashes.SHA1()).hex()


# Signing in


@case("authorization code with PKCE and a client secret")
def _():
    app, user = web(), person()
    client = confidential(app)
    result = signed_in(client, user)
    assert "error" not in result, result
    is_in({"preferred_username": user, "tid": TENANT, "aud": app["client_id"]}, result["id_token_claims"])
    assert {"Mail.Send", "Mail.ReadWrite"} <= set(result["scope"].split()), result["scope"]
    status, me = graph("GET", "/me/messages", result["access_token"])
    assert status == 200, me
    assert len(client.get_accounts(user)) == 1


@case("an interactive sign-in that ends at MSAL's own loopback server")
def _():
    app, user = public(), person()
    client = public_client(app)

    class Scripted(webbrowser.BaseBrowser):
        def open(self, url, new=0, autoraise=True):
            # MSAL listens only after it opened the browser, which is a process of its own.
            threading.Thread(target=lambda: Browser().sign_in(url, user).visit(), daemon=True).start()
            return True

    webbrowser.register("referee", None, Scripted(), preferred=True)
    result = client.acquire_token_interactive(SCOPES, timeout=30, login_hint=user)
    is_in({"preferred_username": user}, result["id_token_claims"])


@case("the answer as a form that posts itself")
def _():
    app, user = web(), person()
    result = signed_in(confidential(app), user, response_mode="form_post")
    is_in({"preferred_username": user}, result["id_token_claims"])


@case("a person who picks another account than the hinted one is seen in the id token")
def _():
    app = web()
    client = confidential(app)
    result = signed_in(client, BEN, login_hint=ANNA)
    is_in({"preferred_username": BEN}, result["id_token_claims"])
    assert not client.get_accounts(ANNA)


@case("single sign-on with a browser that is signed in, and prompt=none without one")
def _():
    app, user = web(), person()
    browser, client = Browser(), confidential(app)
    signed_in(client, user, browser=browser)
    flow = client.initiate_auth_code_flow(SCOPES, redirect_uri=REDIRECT, prompt="none", login_hint=user)
    landed = browser.open(flow["auth_uri"])
    result = client.acquire_token_by_auth_code_flow(flow, landed.values)
    is_in({"preferred_username": user}, result["id_token_claims"])
    flow = client.initiate_auth_code_flow(SCOPES, redirect_uri=REDIRECT, prompt="none")
    is_in({"error": "login_required"}, Browser().open(flow["auth_uri"]).values)
    page = browser.open(f"{AUTHORITY}/oauth2/v2.0/logout")
    assert "signed out" in page.says(), page.says()
    landed = browser.open(client.initiate_auth_code_flow(SCOPES, redirect_uri=REDIRECT, prompt="none")["auth_uri"])
    is_in({"error": "login_required"}, landed.values)


@case("silently from the cache, and by refresh, with rotation that leaves the old token alive")
def _():
    app, user = web(), person()
    client = confidential(app)
    first = signed_in(client, user)
    [account] = client.get_accounts()
    cached = client.acquire_token_silent(SCOPES, account)
    assert cached["access_token"] == first["access_token"] and cached["token_source"] == "cache"
    fresh = refreshed(client)
    assert fresh["access_token"] != first["access_token"], fresh
    other = confidential(app)
    again = other.acquire_token_by_refresh_token(first["refresh_token"], SCOPES)
    assert "access_token" in again and again["refresh_token"] != first["refresh_token"], again


@case("device code")
def _():
    app, user = public(), person()
    client = public_client(app)
    flow = client.initiate_device_flow(SCOPES)
    assert flow["user_code"] in flow["message"] and flow["verification_uri"] in flow["message"], flow
    assert "verification_uri_complete" not in flow
    waiting = client.acquire_token_by_device_flow(flow, exit_condition=lambda flow: True)
    refuses(waiting, "authorization_pending", 70016)
    browser = Browser()
    page = browser.open(flow["verification_uri"])
    page = browser.click(page, code=flow["user_code"])
    page = browser.click(page, user)
    assert "signed in" in page.says(), page.says()
    result = client.acquire_token_by_device_flow(flow)
    is_in({"preferred_username": user}, result["id_token_claims"])
    assert "access_token" in refreshed(client)


@case("device code: declined, expired, mistyped, and where public clients are not allowed")
def _():
    app, user = public(), person()
    client = public_client(app)
    browser = Browser()
    flow = client.initiate_device_flow(SCOPES)
    page = browser.click(browser.open(flow["verification_uri"]), code=flow["user_code"])
    browser.click(page, "")
    refuses(client.acquire_token_by_device_flow(flow), "authorization_declined", 650058)

    flow = client.initiate_device_flow(SCOPES)
    page = browser.click(browser.open(flow["verification_uri"]), code="NOSUCHCOD")
    assert "didn’t work" in page.says(), page.says()
    with later(minutes=16):
        late = client.acquire_token_by_device_flow(flow, exit_condition=lambda flow: True)
    refuses(late, "expired_token", 70020)

    app = public(allow_public_client=False)
    client = public_client(app)
    flow = client.initiate_device_flow(SCOPES)
    page = browser.click(browser.open(flow["verification_uri"]), code=flow["user_code"])
    browser.click(page, user)
    refuses(client.acquire_token_by_device_flow(flow), "invalid_client", 7000218)


@case("client secret, app-only, and that Graph decides about roles")
def _():
    app = register(secrets=1, roles=["Mail.Read"])
    result = confidential(app).acquire_token_for_client(DEFAULT)
    assert "access_token" in result and "refresh_token" not in result, result
    status, found = graph("GET", f"/users/{ANNA}/messages", result["access_token"])
    assert status == 200, found
    status, found = graph("POST", f"/users/{ANNA}/messages", result["access_token"], {"subject": "x"})
    assert (status, found["error"]["code"]) == (403, "ErrorAccessDenied"), found
    bare = confidential(register(secrets=1)).acquire_token_for_client(DEFAULT)
    assert "access_token" in bare, "a token without roles is issued"
    status, found = graph("GET", f"/users/{ANNA}/messages", bare["access_token"])
    assert (status, found["error"]["code"]) == (403, "ErrorAccessDenied"), found


@case("certificate: PS256 with x5t#S256, and RS256 with x5t")
def _():
    private, pem, thumbprint = certificate()
    app = register(certificates=[pem], roles=["Mail.Read"])
    # A certificate without a thumbprint is what makes MSAL use SHA-256.
    modern = {"private_key": private, "public_certificate": pem}
    old = {"private_key": private, "thumbprint": thumbprint}
    for name, credential, algorithm, mark in (
        ("modern", modern, "PS256", "x5t#S256"),
        ("old", old, "RS256", "x5t"),
    ):
        result = confidential(app, credential).acquire_token_for_client(DEFAULT)
        assert "access_token" in result, (name, result)
        seen = control("GET", f"apps/{app['client_id']}")["last_assertion"]
        is_in({"alg": algorithm, "thumbprint": mark}, seen)


@case("certificate for a delegated sign-in, and its refresh")
def _():
    private, pem, _ = certificate()
    app, user = web(secrets=0, certificates=[pem]), person()
    client = confidential(app, {"private_key": private, "public_certificate": pem})
    is_in({"preferred_username": user}, signed_in(client, user)["id_token_claims"])
    assert "access_token" in refreshed(client)


@case("two secrets at once: either works, until one ends")
def _():
    app = register(secrets=2)
    first, second = app["secrets"]
    for secret in (first, second):
        assert "access_token" in confidential(app, secret["value"]).acquire_token_for_client(DEFAULT)
    control("DELETE", f"apps/{app['client_id']}/secrets/{first['id']}")
    result = confidential(app, first["value"]).acquire_token_for_client(DEFAULT)
    refuses(result, "invalid_client", 7000222)
    assert "access_token" in confidential(app, second["value"]).acquire_token_for_client(DEFAULT)


@case("a client that can answer claims challenges gets one from Graph, and signs in afresh by it")
def _():
    app, user = web(), person()
    able = confidential(app, client_capabilities=["cp1"])
    plain = confidential(app)
    tokens = [signed_in(client, user)["access_token"] for client in (able, plain)]
    control("PUT", f"users/{user}/state", {"mfa_demanded": True})
    status, headers, body = request("GET", f"{GRAPH}/v1.0/me/messages", token=tokens[0])
    assert status == 401, body
    challenge = headers["WWW-Authenticate"]
    assert 'error="insufficient_claims"' in challenge, challenge
    encoded = challenge.split('claims="')[1].split('"')[0]
    claims = base64.b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    json.loads(claims)
    status, _ = graph("GET", "/me/messages", tokens[1])
    assert status == 200, "a client that did not declare cp1 keeps its token until it expires"
    refuses(refreshed(able, claims_challenge=claims), "interaction_required", 50076)
    result = signed_in(able, user, claims_challenge=claims)
    status, found = graph("GET", "/me/messages", result["access_token"])
    assert status == 200, found


# Refusals: the client's credential


@case("client secret: wrong, its id in place of its value, expired, missing, not wanted")
def _():
    app = register(secrets=1, redirects=WEB, delegated=DELEGATED)
    [secret] = app["secrets"]
    for wrong in ("nonsense", secret["id"]):
        result = confidential(app, wrong).acquire_token_for_client(DEFAULT)
        refuses(result, "invalid_client", 7000215)
    control("DELETE", f"apps/{app['client_id']}/secrets")
    refuses(confidential(app).acquire_token_for_client(DEFAULT), "invalid_client", 7000222)
    with_days = register(secrets=1, secret_days=30)
    assert "access_token" in confidential(with_days).acquire_token_for_client(DEFAULT)
    with later(days=31):
        result = confidential(with_days).acquire_token_for_client(DEFAULT)
    refuses(result, "invalid_client", 7000222)
    refuses(signed_in(public_client(web()), person()), "invalid_client", 7000218)
    both = register(redirects=PUBLIC, secrets=1, delegated=DELEGATED)
    result = signed_in(confidential(both), person(), redirect="http://localhost:4711")
    refuses(result, "invalid_client", 700025)


@case("certificate: not registered, expired, signed with another key, clock an hour off")
def _():
    private, pem, _ = certificate(days=30)
    other_private, other_pem, _ = certificate()
    app = register(certificates=[pem])
    mine = {"private_key": private, "public_certificate": pem}
    unknown = {"private_key": other_private, "public_certificate": other_pem}
    refuses(confidential(app, unknown).acquire_token_for_client(DEFAULT), "invalid_client", 700027)
    forged = {"private_key": other_private, "public_certificate": pem}
    refuses(confidential(app, forged).acquire_token_for_client(DEFAULT), "invalid_client", 50013)
    with later(hours=1):
        refuses(confidential(app, mine).acquire_token_for_client(DEFAULT), "invalid_client", 700024)
    with later(days=31):
        refuses(confidential(app, mine).acquire_token_for_client(DEFAULT), "invalid_client", 700027)


@case("the app: unknown, switched off, of another tenant")
def _():
    nobody = {"client_id": "99999999-9999-4999-8999-999999999999"}
    result = confidential(nobody, "x").acquire_token_for_client(DEFAULT)
    refuses(result, "unauthorized_client", 700016)
    app = register(secrets=1, is_enabled=False)
    result = confidential(app).acquire_token_for_client(DEFAULT)
    refuses(result, "unauthorized_client", 7000112)
    app = web()
    client = confidential(app, authority=f"{ORIGIN}/common")
    flow = client.initiate_auth_code_flow(SCOPES, redirect_uri=REDIRECT)
    page = Browser().open(flow["auth_uri"])
    assert "AADSTS50194" in page.says(), page.says()
    try:
        client = confidential(app, authority=f"{ORIGIN}/nosuch.example")
        client.initiate_auth_code_flow(SCOPES, redirect_uri=REDIRECT)
    except ValueError as error:
        assert "nosuch.example" in str(error), error
    else:
        raise AssertionError("an unknown tenant was discovered")


@case("scopes: another resource, no resource, not .default")
def _():
    app = register(secrets=1)
    client = confidential(app)
    other = client.acquire_token_for_client(["https://vault.azure.net/.default"])
    refuses(other, "invalid_resource", 500011)
    refuses(client.acquire_token_for_client(["Mail.Send"]), "invalid_scope", 1002012)


# Refusals: the person


@case("the sign-in ended: revoked, idle for 90 days, by sign-in frequency, by a password change")
def _():
    app, user = web(), person()
    client = confidential(app)
    signed_in(client, user)
    control("POST", f"users/{user}/change-password")
    assert "access_token" in refreshed(client), "confidential clients outlive a changed password"
    control("POST", f"users/{user}/revoke")
    refuses(refreshed(client), "invalid_grant", 50173, suberror="bad_token")

    client = confidential(app)
    signed_in(client, user)
    with later(days=91):
        refuses(refreshed(client), "invalid_grant", 700082)
    control("PUT", "timings", {"sign_in_frequency_seconds": 3600})
    with later(hours=2):
        refuses(refreshed(client), "invalid_grant", 70043)
    control("PUT", "timings", {"sign_in_frequency_seconds": None})

    client = public_client(public())
    signed_in(client, user, redirect="http://localhost:4711")
    control("POST", f"users/{user}/change-password")
    refuses(refreshed(client), "invalid_grant", 50173)
    client = confidential(app)
    signed_in(client, user)
    control("POST", f"users/{user}/reset-password")
    refuses(refreshed(client), "invalid_grant", 50173)


@case("the account: switched off, locked, blocked by policy, not assigned, password run out")
def _():
    app, user = web(), person()
    client = confidential(app)
    signed_in(client, user)
    for state, number in (
        ({"disabled": True}, 50057),
        ({"locked": True}, 50053),
        ({"blocked_by_policy": True}, 53003),
        ({"unassigned": True}, 50105),
        ({"password_expired": True}, 50055),
    ):
        control("PUT", f"users/{user}/state", state)
        refuses(refreshed(client), "invalid_grant", number)
    control("PUT", f"users/{user}/state", {})
    assert "access_token" in refreshed(client)


@case("conditional access: interaction_required with claims, which the next sign-in passes on")
def _():
    app, user = web(), person()
    client = confidential(app)
    signed_in(client, user)
    control("PUT", f"users/{user}/state", {"mfa_demanded": True})
    result = refreshed(client)
    refuses(result, "interaction_required", 50076, suberror="basic_action")
    claims = result["claims"]
    json.loads(claims)
    again = signed_in(client, user, claims_challenge=claims)
    assert "access_token" in again, again
    assert "access_token" in refreshed(client)


@case("consent: missing, given by the person, declined, and only an administrator may")
def _():
    app, user = web(admin_consented=False), person()
    client = confidential(app)
    flow = client.initiate_auth_code_flow(SCOPES, redirect_uri=REDIRECT)
    declined = answered(flow["auth_uri"], user, consent="decline")
    result = client.acquire_token_by_auth_code_flow(flow, declined)
    is_in({"error": "access_denied", "error_description": lambda text: "AADSTS65004" in text}, result)
    assert "access_token" in signed_in(client, user)
    control("PATCH", f"apps/{app['client_id']}", {"delegated": [*DELEGATED, "Mail.Send.Shared"]})
    [account] = client.get_accounts()
    more = client.acquire_token_silent_with_error(["Mail.Send.Shared"], account)
    refuses(more, "invalid_grant", 65001, suberror="consent_required")
    more = signed_in(client, user, scopes=["Mail.Send.Shared"])
    assert "Mail.Send.Shared" in more["scope"], more
    control("DELETE", f"apps/{app['client_id']}/consents")
    refuses(refreshed(client), "invalid_grant", 65001)

    flow = client.initiate_auth_code_flow(["Mail.ReadWrite.Shared"], redirect_uri=REDIRECT)
    page = Browser().sign_in(flow["auth_uri"], user)
    assert not isinstance(page, Landed) and "AADSTS90094" in page.says(), "not registered"


@case("admin consent: an administrator accepts for everybody, or cancels; nobody else may")
def _():
    admin, user = person(admin=True), person()
    app = web(admin_consented=False)
    link = f"{AUTHORITY}/v2.0/adminconsent?client_id={app['client_id']}&state=s1&redirect_uri={REDIRECT}&scope=https://graph.microsoft.com/.default"
    browser = Browser()
    page = browser.click(browser.open(link), user)
    assert "AADSTS90094" in page.says() or "administrator" in page.says(), page.says()
    browser = Browser()
    landed = browser.click(browser.click(browser.open(link), admin), "cancel")
    is_in({"error": "permission_denied", "state": "s1"}, landed.values)
    browser = Browser()
    landed = browser.click(browser.click(browser.open(link), admin), "accept")
    is_in({"admin_consent": "True", "tenant": TENANT, "state": "s1"}, landed.values)
    flow = confidential(app).initiate_auth_code_flow(SCOPES, redirect_uri=REDIRECT)
    browser = Browser()
    landed = browser.click(browser.open(flow["auth_uri"]), user)
    assert "code" in landed.values, "nobody is asked any more"


# Refusals: the exchange


@case("the code: used twice, too late, with another verifier, redirect or tenant")
def _():
    app, user = web(), person()
    client = confidential(app)

    def tried(change=lambda flow: None):
        flow = client.initiate_auth_code_flow(SCOPES, redirect_uri=REDIRECT)
        answer = answered(flow["auth_uri"], user)
        change(flow)
        return flow, answer

    flow, answer = tried()
    assert "access_token" in client.acquire_token_by_auth_code_flow(flow, answer)
    refuses(client.acquire_token_by_auth_code_flow(flow, answer), "invalid_grant", 54005)
    flow, answer = tried()
    with later(minutes=11):
        refuses(client.acquire_token_by_auth_code_flow(flow, answer), "invalid_grant", 70008)
    flow, answer = tried(lambda flow: flow.update(code_verifier="w" * 43))
    refuses(client.acquire_token_by_auth_code_flow(flow, answer), "invalid_grant", 501481)
    flow, answer = tried(lambda flow: flow.update(redirect_uri="http://localhost:4712/callback"))
    refuses(client.acquire_token_by_auth_code_flow(flow, answer), "invalid_grant", 500112)
    flow, answer = tried()
    by_name = confidential(app, authority=f"{ORIGIN}/contoso.example")
    refuses(by_name.acquire_token_by_auth_code_flow(flow, answer), "invalid_grant", 700005)
    flow, answer = tried()
    try:
        client.acquire_token_by_auth_code_flow(flow, {**answer, "state": "forged"})
    except ValueError as error:
        assert "state" in str(error), error
    else:
        raise AssertionError("MSAL took a forged state")


@case("a redirect URI that is not registered is shown and not redirected to")
def _():
    client = confidential(web())
    for other in ("http://localhost:4711/Callback", "http://127.0.0.1:4711/callback", "https://evil.example/callback"):
        flow = client.initiate_auth_code_flow(SCOPES, redirect_uri=other)
        page = Browser().open(flow["auth_uri"])
        assert not isinstance(page, Landed) and "AADSTS50011" in page.says(), other


@case("a transient failure is told as one, and the next try succeeds")
def _():
    app = register(secrets=1)
    client = confidential(app)
    control("POST", "faults", {"path": "*/token", "action": {"kind": "aadsts", "code": 90033}})
    try:
        client.acquire_token_for_client(DEFAULT)
    except msal.exceptions.MsalServiceError as error:
        assert "503" in str(error), error
    else:
        raise AssertionError("MSAL did not tell of the failure")
    assert "access_token" in client.acquire_token_for_client(DEFAULT)


if __name__ == "__main__":
    control("PUT", "timings", {"device_interval_seconds": 1})
    run("msal-python")
