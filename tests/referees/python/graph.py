"""Microsoft's Graph SDK for Python works with mail in the simulated tenant."""

import asyncio
import hashlib
import io
import os
import urllib.parse

import httpx
from kiota_abstractions.api_error import APIError
from kiota_abstractions.authentication import AccessTokenProvider, AllowedHostsValidator
from kiota_abstractions.authentication import BaseBearerTokenAuthenticationProvider
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph import GraphServiceClient
from msgraph.generated.models.attachment_item import AttachmentItem
from msgraph.generated.models.attachment_type import AttachmentType
from msgraph.generated.models.body_type import BodyType
from msgraph.generated.models.email_address import EmailAddress
from msgraph.generated.models.file_attachment import FileAttachment
from msgraph.generated.models.importance import Importance
from msgraph.generated.models.item_body import ItemBody
from msgraph.generated.models.message import Message
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.recipient import Recipient
from msgraph.generated.models.single_value_legacy_extended_property import (
    SingleValueLegacyExtendedProperty,
)
from msgraph.generated.users.item.mail_folders.mail_folders_request_builder import (
    MailFoldersRequestBuilder,
)
from msgraph.generated.users.item.messages.item.attachments.create_upload_session.create_upload_session_post_request_body import (
    CreateUploadSessionPostRequestBody,
)
from msgraph.generated.users.item.messages.item.copy.copy_post_request_body import CopyPostRequestBody
from msgraph.generated.users.item.messages.item.create_reply.create_reply_post_request_body import (
    CreateReplyPostRequestBody,
)
from msgraph.generated.users.item.messages.item.move.move_post_request_body import MovePostRequestBody
from msgraph.generated.users.item.messages.messages_request_builder import MessagesRequestBuilder
from msgraph.generated.users.item.send_mail.send_mail_post_request_body import SendMailPostRequestBody
from msgraph.graph_request_adapter import GraphRequestAdapter, options
from msgraph_core import GraphClientFactory
from msgraph_core.tasks import LargeFileUploadTask, PageIterator

from tenant import CA, FACTS, GRAPH, case, control, person, run

SCOPES = ["Mail.ReadWrite", "Mail.Send", "Mail.ReadWrite.Shared", "Mail.Send.Shared", "User.Read"]
STAMP = "String {00020329-0000-0000-C000-000000000046} Name Referee"
# By its address, so that the upload origin, which is localhost, is another host, as it really is: the
# client must not send its token there.
BASE = GRAPH.replace("localhost", "127.0.0.1")


class Token(AccessTokenProvider):
    """A token that is there already, for Graph's host alone."""

    def __init__(self, user, scopes):
        asked = {"client_id": FACTS["client_id"], "user": user, "scopes": scopes}
        self.token = control("POST", "tokens", asked)["access_token"]
        self.hosts = AllowedHostsValidator([urllib.parse.urlsplit(BASE).netloc, "127.0.0.1"])

    async def get_authorization_token(self, uri, additional_authentication_context=None):
        return self.token if urllib.parse.urlsplit(uri).hostname == "127.0.0.1" else ""

    def get_allowed_hosts_validator(self):
        return self.hosts


def client_of(user, scopes=None):
    """The SDK's client of somebody who is signed in, and its adapter."""
    http = GraphClientFactory.create_with_default_middleware(
        client=httpx.AsyncClient(verify=httpx.create_ssl_context(verify=CA), trust_env=False, timeout=60),
        options=options,
    )
    provider = BaseBearerTokenAuthenticationProvider(Token(user, scopes or SCOPES))
    adapter = GraphRequestAdapter(provider, client=http)
    adapter.base_url = f"{BASE}/v1.0"
    return GraphServiceClient(request_adapter=adapter), adapter


def mail(subject, to):
    return Message(
        subject=subject,
        body=ItemBody(content_type=BodyType.Html, content=f"<p>{subject}</p>"),
        to_recipients=[Recipient(email_address=EmailAddress(address=to))],
    )


def stored(mailbox):
    """What lies in a mailbox, by the tenant itself."""
    return control("GET", f"mailboxes/{mailbox}")["mailboxes"][0]["messages"]


def arrive(mailbox, subject, sender="a@fabrikam.example"):
    control("POST", f"mailboxes/{mailbox}/messages", {"from": {"address": sender}, "subject": subject, "text": "t"})


def immutable(query=None):
    configuration = RequestConfiguration(query_parameters=query)
    configuration.headers.add("Prefer", 'IdType="ImmutableId"')
    return configuration


def together(function):
    """A case that waits: each has an event loop of its own."""
    return lambda: asyncio.run(function())


async def refuses(waiting, status, code):
    try:
        await waiting
    except ODataError as error:
        got = (error.response_status_code, error.error.code)
        assert got == (status, code), f"{got}: {error.error.message}"
        assert error.error.inner_error.request_id, "a failure has its request id"
    else:
        raise AssertionError(f"was not refused, though {code} was due")


@case("who am I, and folders by well-known name, by name and by page")
@together
async def _():
    user = person(folders=["Inbox/2026", "Invoices"])
    client, adapter = client_of(user)
    assert (await client.me.get()).user_principal_name == user
    inbox = await client.me.mail_folders.by_mail_folder_id("inbox").get()
    children = await client.me.mail_folders.by_mail_folder_id(inbox.id).child_folders.get()
    assert [folder.display_name for folder in children.value] == ["2026"]
    Query = MailFoldersRequestBuilder.MailFoldersRequestBuilderGetQueryParameters
    found = await client.me.mail_folders.get(RequestConfiguration(query_parameters=Query(filter="displayName eq 'Invoices'")))
    assert len(found.value) == 1
    names = []
    first = await client.me.mail_folders.get(RequestConfiguration(query_parameters=Query(top=3)))
    await PageIterator(first, adapter).iterate(lambda folder: names.append(folder.display_name) or True)
    assert {"Inbox", "Invoices", "Sent Items"} <= set(names), names


@case("a draft with a stamp, found again, changed, and sent")
@together
async def _():
    user, other = person(), person()
    client, _ = client_of(user)
    draft = mail("stamped", other)
    draft.single_value_extended_properties = [SingleValueLegacyExtendedProperty(id=STAMP, value="key-1")]
    made = await client.me.messages.post(draft, immutable())
    query = MessagesRequestBuilder.MessagesRequestBuilderGetQueryParameters(
        filter=f"singleValueExtendedProperties/Any(ep: ep/id eq '{STAMP}' and ep/value eq 'key-1')",
        expand=[f"singleValueExtendedProperties($filter=id eq '{STAMP}')"],
    )
    found = await client.me.messages.get(immutable(query))
    assert [one.id for one in found.value] == [made.id]
    assert found.value[0].single_value_extended_properties[0].value == "key-1"
    message = client.me.messages.by_message_id(made.id)
    changed = await message.patch(Message(subject="changed", importance=Importance.High))
    assert changed.subject == "changed"
    await message.send.post()
    assert [one["subject"] for one in stored(other)] == ["changed"]
    sent = await message.get(immutable())
    assert sent.is_draft is False
    folder = await client.me.mail_folders.by_mail_folder_id(sent.parent_folder_id).get()
    assert folder.display_name == "Sent Items"


@case("attachments: a small one by itself, a large one by the SDK's upload task")
@together
async def _():
    user, other = person(), person()
    client, adapter = client_of(user)
    draft = await client.me.messages.post(mail("files", other))
    message = client.me.messages.by_message_id(draft.id)
    await message.attachments.post(FileAttachment(odata_type="#microsoft.graph.fileAttachment", name="small.txt", content_bytes=b"small"))
    # One slice: of the next range, msgraph-core 1.5.2 understands "a-b" alone, and Outlook's answers say "a".
    large = os.urandom(4 * 1024 * 1024 + 7)
    item = AttachmentItem(attachment_type=AttachmentType.File, name="large.pdf", size=len(large))
    session = await message.attachments.create_upload_session.post(CreateUploadSessionPostRequestBody(attachment_item=item))
    task = LargeFileUploadTask(session, adapter, io.BytesIO(large))
    try:
        await task.upload()
    except APIError as error:
        # It sends the last slice once more, when the session is finished and gone.
        assert error.response_status_code == 404, error
    await message.send.post()
    [arrived] = stored(other)
    digests = {file["name"]: file["sha256"] for file in arrived["attachments"]}
    assert digests == {
        "small.txt": hashlib.sha256(b"small").hexdigest(),
        "large.pdf": hashlib.sha256(large).hexdigest(),
    }, digests


@case("pages, by the SDK's iterator")
@together
async def _():
    user = person()
    client, adapter = client_of(user)
    for number in range(25):
        arrive(user, f"m{number}")
    query = MessagesRequestBuilder.MessagesRequestBuilderGetQueryParameters(select=["subject"], count=True)
    first = await client.me.messages.get(RequestConfiguration(query_parameters=query))
    assert first.odata_count == 25
    seen = set()
    await PageIterator(first, adapter).iterate(lambda one: seen.add(one.subject) or True)
    assert len(seen) == 25, sorted(seen)


@case("delta: a first round, what changed since, and 410 where the state is lost")
@together
async def _():
    user = person()
    client, _ = client_of(user)
    for subject in ("one", "two", "three"):
        arrive(user, subject)
    delta = client.me.mail_folders.by_mail_folder_id("inbox").messages.delta

    async def walked(page):
        rows = list(page.value)
        while page.odata_next_link:
            page = await delta.with_url(page.odata_next_link).get()
            rows += page.value
        return rows, page.odata_delta_link

    configuration = RequestConfiguration()
    configuration.headers.add("Prefer", "odata.maxpagesize=2")
    rows, link = await walked(await delta.get(configuration))
    assert len(rows) == 3, rows
    arrive(user, "four")
    await client.me.messages.by_message_id(rows[0].id).move.post(MovePostRequestBody(destination_id="archive"))
    rows, link = await walked(await delta.with_url(link).get())
    removed = [one for one in rows if "@removed" in one.additional_data]
    assert len(rows) == 2 and len(removed) == 1, rows
    control("POST", f"mailboxes/{user}/lose-delta")
    await refuses(delta.with_url(link).get(), 410, "SyncStateNotFound")


@case("move and copy, and that an old id is gone")
@together
async def _():
    user = person()
    client, _ = client_of(user)
    draft = await client.me.messages.post(mail("moved", user))
    by_id = client.me.messages.by_message_id
    moved = await by_id(draft.id).move.post(MovePostRequestBody(destination_id="archive"))
    assert moved.id != draft.id
    await refuses(by_id(draft.id).get(), 404, "ErrorItemNotFound")
    copy = await by_id(moved.id).copy.post(CopyPostRequestBody(destination_id="inbox"))
    assert copy.id != moved.id and copy.parent_folder_id != moved.parent_folder_id


@case("reply in the thread, and sendMail without a copy")
@together
async def _():
    user, other = person(), person()
    client, _ = client_of(user)
    arrive(user, "question", other)
    [question] = (await client.me.messages.get()).value
    reply = await client.me.messages.by_message_id(question.id).create_reply.post(CreateReplyPostRequestBody(comment="Yes."))
    assert reply.subject == "RE: question" and reply.conversation_id == question.conversation_id
    await client.me.messages.by_message_id(reply.id).send.post()
    await client.me.send_mail.post(SendMailPostRequestBody(message=mail("no copy", other), save_to_sent_items=False))
    assert sorted(one["subject"] for one in stored(other)) == ["RE: question", "no copy"]
    assert [one["subject"] for one in stored(user) if one["folder"] == "Sent Items"] == ["RE: question"]


@case("another mailbox: with Full Access and Send As, and without")
@together
async def _():
    user, shared, other = person(), person(shared=True), person()
    client, _ = client_of(user)
    # The SDK leaves the copy out unless told otherwise, contrary to what user-sendmail.md says.
    body = SendMailPostRequestBody(message=mail("for all", other), save_to_sent_items=True)
    body.message.from_ = Recipient(email_address=EmailAddress(address=shared))
    path = client.users.by_user_id(shared)
    await refuses(path.messages.get(), 403, "ErrorAccessDenied")
    control("POST", "rights", {"user": user, "mailbox": shared, "kind": "full-access"})
    assert (await path.messages.get()).value == []
    await refuses(path.send_mail.post(body), 403, "ErrorSendAsDenied")
    control("POST", "rights", {"user": user, "mailbox": shared, "kind": "send-on-behalf"})
    await path.send_mail.post(body)
    control("POST", "rights", {"user": user, "mailbox": shared, "kind": "send-as"})
    await path.send_mail.post(body)
    assert sorted(one["sender"] for one in stored(other)) == sorted([user, shared])
    copies = [one["folder"] for one in stored(shared)]
    assert copies == ["Sent Items", "Sent Items"], copies


@case("the SDK's own retries after 429 and 503")
@together
async def _():
    user = person()
    client, _ = client_of(user)
    for action in ({"kind": "throttle", "retry_after": "1"}, {"kind": "unavailable", "retry_after": "1"}):
        control("POST", "faults", {"method": "GET", "path": "*/me/messages", "action": action})
        assert (await client.me.messages.get()).value == []


@case("refusals as the SDK's errors")
@together
async def _():
    user = person()
    client, _ = client_of(user)
    await refuses(client.users.by_user_id("nobody@contoso.example").messages.get(), 404, "ErrorInvalidUser")
    await refuses(client.me.messages.by_message_id("nonsense").get(), 400, "ErrorInvalidIdMalformed")
    nobody = SendMailPostRequestBody(message=Message(subject="to nobody"))
    await refuses(client.me.send_mail.post(nobody), 400, "ErrorInvalidRecipients")
    full = person(quota=10)
    client, _ = client_of(full)
    await refuses(client.me.messages.post(mail("a longer mail", user)), 507, "ErrorQuotaExceeded")


if __name__ == "__main__":
    run("graph-python")
