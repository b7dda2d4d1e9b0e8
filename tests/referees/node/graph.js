// Microsoft's Graph client for JavaScript works with mail in the simulated tenant.

"use strict";

const { createHash, randomBytes } = require("node:crypto");
const {
  BatchRequestContent, BatchResponseContent, Client, FileUpload, GraphError, LargeFileUploadTask, PageIterator,
} = require("@microsoft/microsoft-graph-client");
const { assert, FACTS, GRAPH, control, person, run, test } = require("./tenant.js");

const SCOPES = ["Mail.ReadWrite", "Mail.Send", "Mail.ReadWrite.Shared", "Mail.Send.Shared", "User.Read"];
const STAMP = "String {00020329-0000-0000-C000-000000000046} Name Referee";
// By its address, so that the upload origin, which is localhost, is another host, as it really is: the
// client must not send its token there.
const BASE = GRAPH.replace("localhost", "127.0.0.1");

/** A client of somebody who is signed in. */
async function clientOf(user, scopes = SCOPES) {
  const { access_token: token } = await control("POST", "tokens", { client_id: FACTS.client_id, user, scopes });
  return Client.init({
    baseUrl: `${BASE}/`,
    defaultVersion: "v1.0",
    customHosts: new Set(["127.0.0.1"]),
    authProvider: (done) => done(null, token),
  });
}

const mail = (subject, to) => ({
  subject,
  body: { contentType: "HTML", content: `<p>${subject}</p>` },
  toRecipients: [{ emailAddress: { address: to } }],
});

/** What lies in a mailbox, by the tenant itself. */
const stored = async (mailbox) => (await control("GET", `mailboxes/${mailbox}`)).mailboxes[0].messages;
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

/** Asserts that a promise fails with this status and code. */
async function refuses(promise, statusCode, code) {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof GraphError, `${error}`);
    assert.deepEqual([error.statusCode, error.code], [statusCode, code], error.message);
    assert.ok(error.requestId, "a failure has its request id");
    return true;
  });
}

test("who am I, and a list of folders by well-known name and by page", async () => {
  const user = await person({ folders: ["Inbox/2026", "Invoices", "Offers"] });
  const client = await clientOf(user);
  assert.equal((await client.api("/me").get()).userPrincipalName, user);
  const inbox = await client.api("/me/mailFolders/inbox").get();
  const children = await client.api(`/me/mailFolders/${inbox.id}/childFolders`).get();
  assert.deepEqual(children.value.map((folder) => folder.displayName), ["2026"]);
  const names = [];
  const first = await client.api("/me/mailFolders").top(3).get();
  await new PageIterator(client, first, (folder) => names.push(folder.displayName)).iterate();
  assert.ok(names.includes("Invoices") && names.includes("Sent Items") && names.length > 6, `${names}`);
});

test("a draft with a stamp, found again, changed, and sent", async () => {
  const [user, other] = [await person(), await person()];
  const client = await clientOf(user);
  const draft = await client
    .api("/me/messages")
    .header("Prefer", 'IdType="ImmutableId"')
    .post({ ...mail("stamped", other), singleValueExtendedProperties: [{ id: STAMP, value: "key-1" }] });
  assert.ok(draft.isDraft);
  const found = await client
    .api("/me/messages")
    .header("Prefer", 'IdType="ImmutableId"')
    .filter(`singleValueExtendedProperties/Any(ep: ep/id eq '${STAMP}' and ep/value eq 'key-1')`)
    .expand(`singleValueExtendedProperties($filter=id eq '${STAMP}')`)
    .get();
  assert.deepEqual(found.value.map((one) => one.id), [draft.id]);
  assert.equal(found.value[0].singleValueExtendedProperties[0].value, "key-1");
  const changed = await client.api(`/me/messages/${draft.id}`).patch({ subject: "changed", importance: "high" });
  assert.equal(changed.subject, "changed");
  await client.api(`/me/messages/${draft.id}/send`).post({});
  assert.deepEqual((await stored(other)).map((one) => one.subject), ["changed"]);
  const sent = await client.api(`/me/messages/${draft.id}`).header("Prefer", 'IdType="ImmutableId"').get();
  assert.equal(sent.isDraft, false);
  const folder = await client.api(`/me/mailFolders/${sent.parentFolderId}`).get();
  assert.equal(folder.displayName, "Sent Items");
});

test("attachments: a small one by itself, a large one by the client's upload task", async () => {
  const [user, other] = [await person(), await person()];
  const client = await clientOf(user);
  const draft = await client.api("/me/messages").post(mail("files", other));
  const small = Buffer.from("small");
  await client.api(`/me/messages/${draft.id}/attachments`).post({
    "@odata.type": "#microsoft.graph.fileAttachment",
    name: "small.txt",
    contentBytes: small.toString("base64"),
  });
  const large = randomBytes(12 * 1024 * 1024 + 7);
  const session = await LargeFileUploadTask.createUploadSession(
    client,
    `/me/messages/${draft.id}/attachments/createUploadSession`,
    { AttachmentItem: { attachmentType: "file", name: "large.pdf", size: large.length } },
  );
  const seen = [];
  const task = new LargeFileUploadTask(client, new FileUpload(large, "large.pdf", large.length), session, {
    uploadEventHandlers: { progress: (range) => seen.push(range.maxValue) },
  });
  const result = await task.upload();
  assert.ok(result.location.includes("/Attachments('"), result.location);
  assert.ok(seen.length >= 2, `slices: ${seen}`);
  await client.api(`/me/messages/${draft.id}/send`).post({});
  const [arrived] = await stored(other);
  assert.deepEqual(
    arrived.attachments.map((file) => [file.name, file.sha256]),
    [["small.txt", sha256(small)], ["large.pdf", sha256(large)]],
  );
});

test("an upload that broke off is resumed where it stopped, and one is cancelled", async () => {
  const user = await person();
  const client = await clientOf(user);
  const draft = await client.api("/me/messages").post(mail("resumed", user));
  const large = randomBytes(11 * 1024 * 1024);
  const begin = async () => {
    const session = await LargeFileUploadTask.createUploadSession(
      client,
      `/me/messages/${draft.id}/attachments/createUploadSession`,
      { AttachmentItem: { attachmentType: "file", name: "large.bin", size: large.length } },
    );
    return new LargeFileUploadTask(client, new FileUpload(large, "large.bin", large.length), session, {});
  };
  const task = await begin();
  await control("POST", "faults", { method: "PUT", path: "*/AttachmentSessions*", skip: 1, action: { kind: "reset-before" } });
  await assert.rejects(task.upload());
  await task.upload();
  const [message] = await stored(user);
  assert.deepEqual(message.attachments.map((file) => file.sha256), [sha256(large)]);
  const cancelled = await begin();
  assert.equal((await cancelled.cancel()).status, 204);
  assert.equal((await stored(user))[0].attachments.length, 1);
});

test("pages, by the client's iterator, with what was selected", async () => {
  const user = await person();
  const client = await clientOf(user);
  for (let number = 0; number < 25; number += 1) {
    await control("POST", `mailboxes/${user}/messages`, { from: { address: "a@fabrikam.example" }, subject: `m${number}`, text: "t" });
  }
  const first = await client.api("/me/mailFolders/inbox/messages").select("subject").count(true).get();
  assert.equal(first["@odata.count"], 25);
  const seen = new Set();
  await new PageIterator(client, first, (one) => {
    assert.ok(one.body === undefined && one.id);
    seen.add(one.subject);
    return true;
  }).iterate();
  assert.equal(seen.size, 25);
});

test("delta: a first round, what changed since, and starting over after 410", async () => {
  const user = await person();
  const client = await clientOf(user);
  const arrive = (subject) =>
    control("POST", `mailboxes/${user}/messages`, { from: { address: "a@fabrikam.example" }, subject, text: "t" });
  for (const subject of ["one", "two", "three"]) await arrive(subject);
  const round = async (page) => {
    const rows = [];
    const iterator = new PageIterator(client, page, (one) => {
      rows.push(one);
      return true;
    });
    await iterator.iterate();
    return { rows, link: iterator.getDeltaLink() };
  };
  const start = () => client.api("/me/mailFolders/inbox/messages/delta").header("Prefer", "odata.maxpagesize=2").get();
  const first = await round(await start());
  assert.equal(first.rows.length, 3);
  await arrive("four");
  await client.api(`/me/messages/${first.rows[0].id}/move`).post({ destinationId: "archive" });
  const second = await round(await client.api(first.link).get());
  assert.deepEqual(second.rows.map((one) => one["@removed"]?.reason ?? one.subject).sort(), ["deleted", "four"]);
  await control("POST", `mailboxes/${user}/lose-delta`);
  await refuses(client.api(second.link).get(), 410, "SyncStateNotFound");
  assert.equal((await round(await start())).rows.length, 3);
});

test("move and copy, and that an old id is gone", async () => {
  const user = await person({ folders: ["Done"] });
  const client = await clientOf(user);
  const draft = await client.api("/me/messages").post(mail("moved", user));
  const [done] = (await client.api("/me/mailFolders").filter("displayName eq 'Done'").get()).value;
  const moved = await client.api(`/me/messages/${draft.id}/move`).post({ destinationId: done.id });
  assert.equal(moved.parentFolderId, done.id);
  assert.notEqual(moved.id, draft.id);
  await refuses(client.api(`/me/messages/${draft.id}`).get(), 404, "ErrorItemNotFound");
  const copy = await client.api(`/me/messages/${moved.id}/copy`).post({ destinationId: "archive" });
  assert.notEqual(copy.id, moved.id);
  await refuses(client.api(`/me/messages/${moved.id}/move`).post({ destinationId: "Done" }), 400, "ErrorInvalidIdMalformed");
});

test("reply, forward and sendMail without a copy", async () => {
  const [user, other] = [await person(), await person()];
  const client = await clientOf(user);
  await control("POST", `mailboxes/${user}/messages`, { from: { address: other }, subject: "question", text: "?" });
  const { value: [question] } = await client.api("/me/mailFolders/inbox/messages").get();
  const reply = await client.api(`/me/messages/${question.id}/createReply`).post({ comment: "Yes." });
  assert.equal(reply.subject, "RE: question");
  assert.equal(reply.conversationId, question.conversationId);
  await client.api(`/me/messages/${reply.id}/send`).post({});
  await client.api(`/me/messages/${question.id}/forward`).post({ comment: "fyi", toRecipients: [{ emailAddress: { address: other } }] });
  await client.api("/me/sendMail").post({ message: mail("no copy", other), saveToSentItems: false });
  assert.deepEqual((await stored(other)).map((one) => one.subject).sort(), ["FW: question", "RE: question", "no copy"]);
  const sent = (await stored(user)).filter((one) => one.folder === "Sent Items").map((one) => one.subject).sort();
  assert.deepEqual(sent, ["FW: question", "RE: question"]);
});

test("refusals as the client's errors", async () => {
  const user = await person();
  const client = await clientOf(user);
  await refuses(client.api("/users/anna@contoso.example/messages").get(), 403, "ErrorAccessDenied");
  await refuses(client.api("/users/nobody@contoso.example/messages").get(), 404, "ErrorInvalidUser");
  await refuses(client.api("/me/sendMail").post({ message: { subject: "nobody" } }), 400, "ErrorInvalidRecipients");
  const from = { ...mail("as another", user), from: { emailAddress: { address: "contracts@contoso.example" } } };
  await refuses(client.api("/me/sendMail").post({ message: from }), 403, "ErrorSendAsDenied");
  const reader = await clientOf(user, ["Mail.Read"]);
  await refuses(reader.api("/me/messages").post(mail("x", user)), 403, "ErrorAccessDenied");
});

test("the client's own retries after 429, 503 and 504, and what a retried send costs", async () => {
  const [user, other] = [await person(), await person()];
  const client = await clientOf(user);
  for (const action of [{ kind: "throttle", retry_after: "1" }, { kind: "unavailable", retry_after: "1" }]) {
    await control("POST", "faults", { method: "GET", path: "*/me/messages", action });
    assert.ok((await client.api("/me/messages").get()).value);
  }
  // A 504 after the mail was taken: the client sends it once more, so that it goes out twice.
  await control("POST", "faults", { method: "POST", path: "*/sendMail", action: { kind: "timeout-after-accept" } });
  await client.api("/me/sendMail").post({ message: mail("twice", other) });
  assert.deepEqual((await stored(other)).map((one) => one.subject), ["twice", "twice"]);
});

test("a batch, with one part that fails", async () => {
  const user = await person();
  const client = await clientOf(user);
  const steps = ["/me/mailFolders/inbox", "/me/messages/nonsense", "/me"];
  const content = new BatchRequestContent(
    steps.map((path, at) => ({ id: `${at}`, request: new Request(`${BASE}/v1.0${path}`, { method: "GET" }) })),
  );
  const answer = await client.api("/$batch").post(await content.getContent());
  const responses = new BatchResponseContent(answer);
  const statuses = steps.map((_, at) => responses.getResponseById(`${at}`).status);
  assert.deepEqual(statuses, [200, 400, 200]);
});

run("graph-javascript");
