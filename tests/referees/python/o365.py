"""O365, a widely used client library for Python, works with mail in the simulated tenant.

Its sign-in cannot be pointed away from Microsoft's own, so that it gets a session with a token that
is there already.
"""

import requests
from O365 import Account, MSGraphProtocol

from tenant import CA, FACTS, GRAPH, case, control, person, run

SCOPES = ["Mail.ReadWrite", "Mail.Send", "User.Read"]


class Tenant(MSGraphProtocol):
    """Graph's protocol at the simulated tenant."""

    _protocol_url = f"{GRAPH}/"


def mailbox_of(user):
    """The library's mailbox of somebody who is signed in."""
    token = control("POST", "tokens", {"client_id": FACTS["client_id"], "user": user, "scopes": SCOPES})
    account = Account(("client", "secret"), protocol=Tenant())
    session = requests.Session()
    session.verify = CA
    session.trust_env = False
    session.headers["Authorization"] = f"Bearer {token['access_token']}"
    account.con.session = session
    account.con.get_session = lambda *_, **__: session
    account.con.oauth_request = lambda url, method, **more: account.con._internal_request(session, url, method, **more)
    return account.mailbox()


def subjects(user, folder):
    messages = control("GET", f"mailboxes/{user}")["mailboxes"][0]["messages"]
    return sorted(one["subject"] for one in messages if one["folder"] == folder)


@case("send, reply, move and mark")
def _():
    user, other = person(prefix="o365"), person(prefix="o365", folders=["Done"])
    message = mailbox_of(user).new_message()
    message.to.add(other)
    message.subject = "hello"
    message.body = "<p>Hello</p>"
    assert message.send()
    assert subjects(other, "Inbox") == ["hello"] and subjects(user, "Sent Items") == ["hello"]
    mailbox = mailbox_of(other)
    [received] = mailbox.inbox_folder().get_messages()
    assert received.mark_as_read()
    reply = received.reply()
    reply.body = "<p>Yes</p>"
    assert reply.send()
    assert subjects(user, "Inbox") == ["RE: hello"]
    assert received.move(mailbox.get_folder(folder_name="Done"))
    assert subjects(other, "Done") == ["hello"]


@case("drafts, queries and pages")
def _():
    user = person(prefix="o365")
    mailbox = mailbox_of(user)
    draft = mailbox.new_message()
    draft.subject = "later"
    draft.to.add("anna@contoso.example")
    assert draft.save_draft()
    assert subjects(user, "Drafts") == ["later"]
    for number in range(12):
        sender = "even@fabrikam.example" if number % 2 == 0 else "odd@fabrikam.example"
        control("POST", f"mailboxes/{user}/messages", {"from": {"address": sender}, "subject": f"m{number}", "text": "t"})
    seen = [one.subject for one in mailbox.inbox_folder().get_messages(limit=100, batch=5)]
    assert len(set(seen)) == 12, seen


if __name__ == "__main__":
    run("o365")
