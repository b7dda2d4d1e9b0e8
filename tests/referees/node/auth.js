// Microsoft's client library for Node, msal-node, signs in against the simulated tenant.

"use strict";

const { createHash, generateKeyPairSync, randomUUID, sign } = require("node:crypto");
const msal = require("@azure/msal-node");
const {
  assert, AUTHORITY, Browser, ORIGIN, TENANT, control, graph, person, register, run, says, test,
} = require("./tenant.js");

const SCOPES = ["Mail.Send", "Mail.ReadWrite"];
const DEFAULT = ["https://graph.microsoft.com/.default"];
const REDIRECT = "http://localhost:4711/callback";
const WEB = [{ uri: "http://localhost/callback", kind: "web" }];
const PUBLIC = [{ uri: "http://localhost", kind: "public" }];
const DELEGATED = ["Mail.Send", "Mail.ReadWrite", "User.Read"];

const web = (settings) => register({ redirects: WEB, secrets: 1, delegated: DELEGATED, ...settings });
const open = (settings) =>
  register({ redirects: PUBLIC, delegated: DELEGATED, allow_public_client: true, ...settings });

// The host with its port: the host alone is not taken for the authority's (endpoints_resolution_error).
const auth = (app, more) => ({
  clientId: app.client_id,
  authority: AUTHORITY,
  knownAuthorities: [new URL(ORIGIN).host],
  ...more,
});

const confidential = (app, more) =>
  new msal.ConfidentialClientApplication({ auth: auth(app, more ?? { clientSecret: app.secrets[0].value }) });
const publicClient = (app) => new msal.PublicClientApplication({ auth: auth(app) });

/** The whole authorization code flow with PKCE; gives msal-node's result. */
async function signedIn(client, user, more = {}) {
  const { verifier, challenge } = await new msal.CryptoProvider().generatePkceCodes();
  const asked = { scopes: SCOPES, redirectUri: REDIRECT, ...more };
  const url = await client.getAuthCodeUrl({ ...asked, codeChallenge: challenge, codeChallengeMethod: "S256", state: "s1" });
  const landed = await new Browser().signIn(url, user);
  assert.ok(landed.landed, `not sent back: ${landed.landed || says(landed)}`);
  assert.equal(landed.values.state, "s1");
  return client.acquireTokenByCode({ ...asked, code: landed.values.code, codeVerifier: verifier });
}

/** What a refresh of the only account gives. */
async function refreshed(client, more = {}) {
  const [account] = await client.getTokenCache().getAllAccounts();
  assert.ok(account, "no account in the cache");
  return client.acquireTokenSilent({ account, scopes: SCOPES, forceRefresh: true, ...more });
}

/** Asserts that a promise is refused with this class, OAuth error and AADSTS number. */
async function refuses(promise, kind, code, number) {
  let error;
  try {
    await promise;
  } catch (caught) {
    error = caught;
  }
  assert.ok(error, `was not refused, though AADSTS${number} was due`);
  assert.ok(error instanceof kind, `${error.name} in place of ${kind.name}: ${error.message}`);
  assert.equal(error.errorCode, code, error.message);
  assert.match(error.errorMessage, new RegExp(`AADSTS${number}:`));
  return error;
}

test("authorization code with PKCE and a client secret", async () => {
  const user = await person();
  const client = confidential(await web());
  const result = await signedIn(client, user);
  assert.equal(result.account.username, user);
  assert.equal(result.tenantId, TENANT);
  assert.equal(result.idTokenClaims.preferred_username, user);
  const { status, body } = await graph("GET", "/me/messages", result.accessToken);
  assert.equal(status, 200, JSON.stringify(body));
});

test("an interactive sign-in that ends at msal-node's own loopback server", async () => {
  const user = await person();
  const client = publicClient(await open());
  const result = await client.acquireTokenInteractive({
    scopes: SCOPES,
    loginHint: user,
    openBrowser: async (url) => {
      const landed = await new Browser().signIn(url, user);
      assert.ok(landed.landed, "the browser was not sent back");
      const answer = await landed.visit();
      assert.ok(answer.status < 400, `the loopback server answered ${answer.status}`);
    },
  });
  assert.equal(result.account.username, user);
});

test("silently from the cache, and by refresh", async () => {
  const user = await person();
  const client = confidential(await web());
  const first = await signedIn(client, user);
  const cached = await refreshed(client, { forceRefresh: false });
  assert.ok(cached.fromCache);
  assert.equal(cached.accessToken, first.accessToken);
  const fresh = await refreshed(client);
  assert.ok(!fresh.fromCache);
  assert.notEqual(fresh.accessToken, first.accessToken);
});

test("device code", async () => {
  const user = await person();
  const client = publicClient(await open());
  const result = await client.acquireTokenByDeviceCode({
    scopes: SCOPES,
    deviceCodeCallback: async (flow) => {
      assert.ok(flow.message.includes(flow.userCode), flow.message);
      const browser = new Browser();
      const typed = await browser.click(await browser.open(flow.verificationUri), undefined, { code: flow.userCode });
      await browser.click(typed, user);
    },
  });
  assert.equal(result.account.username, user);
  assert.ok((await refreshed(client)).accessToken);
});

test("device code: declined", async () => {
  const client = publicClient(await open());
  const declined = client.acquireTokenByDeviceCode({
    scopes: SCOPES,
    deviceCodeCallback: async (flow) => {
      const browser = new Browser();
      const typed = await browser.click(await browser.open(flow.verificationUri), undefined, { code: flow.userCode });
      await browser.click(typed, "");
    },
  });
  await assert.rejects(declined, (error) => error instanceof msal.AuthError && /authorization_declined/.test(error.message));
});

test("client secret, app-only, and several secrets at once", async () => {
  const app = await register({ secrets: 2, roles: ["Mail.Read"] });
  for (const { value } of app.secrets) {
    const result = await confidential(app, { clientSecret: value }).acquireTokenByClientCredential({ scopes: DEFAULT });
    const { status } = await graph("GET", "/users/anna@contoso.example/messages", result.accessToken);
    assert.equal(status, 200);
  }
});

test("certificate: PS256 with x5t#S256, and RS256 with x5t", async () => {
  const { privateKey, pem, der: raw } = certificate();
  const app = await register({ certificates: [pem], roles: ["Mail.Read"] });
  const print = (algorithm) => createHash(algorithm).update(raw).digest("hex");
  for (const [thumbprint, alg, mark] of [
    [{ thumbprintSha256: print("sha256"), x5c: pem }, "PS256", "x5t#S256"],
    [{ thumbprint: print("sha1") }, "RS256", "x5t"],
  ]) {
    const client = confidential(app, { clientCertificate: { privateKey, ...thumbprint } });
    const result = await client.acquireTokenByClientCredential({ scopes: DEFAULT });
    assert.ok(result.accessToken);
    const seen = (await control("GET", `apps/${app.client_id}`)).last_assertion;
    assert.deepEqual(seen, { alg, thumbprint: mark });
  }
  const foreign = confidential(app, { clientCertificate: { privateKey, thumbprintSha256: "ab".repeat(32) } });
  await refuses(foreign.acquireTokenByClientCredential({ scopes: DEFAULT }), msal.ServerError, "invalid_client", 700027);
});

test("client secret: wrong, expired, missing", async () => {
  const app = await web();
  const ask = (more) => confidential(app, more).acquireTokenByClientCredential({ scopes: DEFAULT });
  await refuses(ask({ clientSecret: "nonsense" }), msal.ServerError, "invalid_client", 7000215);
  await control("DELETE", `apps/${app.client_id}/secrets`);
  await refuses(ask(), msal.ServerError, "invalid_client", 7000222);
  await refuses(signedIn(publicClient(app), await person()), msal.ServerError, "invalid_client", 7000218);
});

test("the app or the tenant is unknown", async () => {
  const nobody = confidential({ client_id: randomUUID() }, { clientSecret: "x" });
  await refuses(nobody.acquireTokenByClientCredential({ scopes: DEFAULT }), msal.ServerError, "unauthorized_client", 700016);
  const elsewhere = confidential(await web(), { clientSecret: "x", authority: `${ORIGIN}/nosuch.example` });
  await assert.rejects(elsewhere.acquireTokenByClientCredential({ scopes: DEFAULT }));
});

test("the sign-in ended: msal-node asks for an interactive one", async () => {
  const user = await person();
  const client = confidential(await web());
  await signedIn(client, user);
  await control("POST", `users/${user}/revoke`);
  // The token is refused for good; msal-node has it marked as a bad one and forgets it.
  await refuses(refreshed(client), msal.InteractionRequiredAuthError, "invalid_grant", 50173);
});

test("consent is missing: msal-node asks for an interactive sign-in", async () => {
  const user = await person();
  const app = await web({ admin_consented: false });
  const client = confidential(app);
  await signedIn(client, user);
  await control("DELETE", `apps/${app.client_id}/consents`);
  const error = await refuses(refreshed(client), msal.InteractionRequiredAuthError, "invalid_grant", 65001);
  assert.equal(error.subError, "consent_required");
});

test("conditional access: interaction_required with claims, which the next sign-in passes on", async () => {
  const user = await person();
  const client = confidential(await web());
  await signedIn(client, user);
  await control("PUT", `users/${user}/state`, { mfa_demanded: true });
  const error = await refuses(refreshed(client), msal.InteractionRequiredAuthError, "interaction_required", 50076);
  JSON.parse(error.claims);
  const again = await signedIn(client, user, { claims: error.claims });
  assert.equal(again.account.username, user);
  assert.ok((await refreshed(client)).accessToken);
});

test("the account is switched off, or blocked by policy", async () => {
  const user = await person();
  const client = confidential(await web());
  await signedIn(client, user);
  await control("PUT", `users/${user}/state`, { disabled: true });
  await refuses(refreshed(client), msal.ServerError, "invalid_grant", 50057);
  await control("PUT", `users/${user}/state`, { blocked_by_policy: true });
  await refuses(refreshed(client), msal.InteractionRequiredAuthError, "invalid_grant", 53003);
});

test("the code works once, and only with its verifier", async () => {
  const user = await person();
  const client = confidential(await web());
  const asked = { scopes: SCOPES, redirectUri: REDIRECT };
  const { verifier, challenge } = await new msal.CryptoProvider().generatePkceCodes();
  const url = await client.getAuthCodeUrl({ ...asked, codeChallenge: challenge, codeChallengeMethod: "S256" });
  const { values } = await new Browser().signIn(url, user);
  const redeem = (codeVerifier) => client.acquireTokenByCode({ ...asked, code: values.code, codeVerifier });
  await refuses(redeem("w".repeat(43)), msal.ServerError, "invalid_grant", 501481);
  await redeem(verifier);
  await refuses(redeem(verifier), msal.ServerError, "invalid_grant", 54005);
});

// A certificate in DER (X.690), since Node reads certificates and makes none.
const der = (tag, ...parts) => {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const size = [];
  for (let rest = body.length; rest > 0; rest >>= 8) size.unshift(rest & 255);
  const length = body.length < 128 ? [body.length] : [128 + size.length, ...size];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
};
const sequence = (...parts) => der(0x30, ...parts);

/** A key and its self-signed certificate, valid from yesterday for 30 days. */
function certificate() {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const sha256WithRsa = sequence(der(0x06, Buffer.from("2a864886f70d01010b", "hex")), der(0x05));
  const commonName = sequence(der(0x06, [0x55, 0x04, 0x03]), der(0x0c, Buffer.from("referee")));
  const name = sequence(der(0x31, commonName));
  const day = (days) => {
    const at = new Date(Date.now() + days * 86_400_000).toISOString();
    return der(0x17, Buffer.from(`${at.slice(2, 19).replace(/[-:T]/g, "")}Z`));
  };
  const about = sequence(
    der(0xa0, der(0x02, [2])),
    der(0x02, [1]),
    sha256WithRsa,
    name,
    sequence(day(-1), day(30)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
  );
  const signature = der(0x03, [0], sign("sha256", about, privateKey));
  const whole = sequence(about, sha256WithRsa, signature);
  const lines = whole.toString("base64").match(/.{1,64}/g).join("\n");
  return {
    privateKey: privateKey.export({ type: "pkcs8", format: "pem" }),
    pem: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
    der: whole,
  };
}

control("PUT", "timings", { device_interval_seconds: 1 }).then(() => run("msal-node"));
