"""Requests made up from the OpenAPI description of Graph mail, by Schemathesis.

The description is not part of the repository; without it there is nothing to make requests from.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

from tenant import CA, FACTS, GRAPH, Skip, case, control, person, request, run

SCOPES = ["Mail.ReadWrite", "Mail.Send", "Mail.ReadWrite.Shared", "Mail.Send.Shared", "User.Read"]
DESCRIPTION = pathlib.Path(os.environ["REFEREES_SHARED"]) / "openapi-mail.json"


def made_up(checks, examples, path_values):
    """Runs Schemathesis with these checks, and with these values for what paths name."""
    if not DESCRIPTION.exists():
        raise Skip(f"there is no {DESCRIPTION}")
    user = path_values["user-id"]
    token = control("POST", "tokens", {"client_id": FACTS["client_id"], "user": user, "scopes": SCOPES})
    lines = [f'"path.{name}" = "{value}"' for name, value in path_values.items()]
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "schemathesis.toml"
        config.write_text("[parameters]\n" + "\n".join(lines) + "\n")
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", str(DESCRIPTION)),
            *("--url", f"{GRAPH}/v1.0", "--header", f"Authorization: Bearer {token['access_token']}"),
            *("--tls-verify", CA, "--seed", "1", "--max-examples", str(examples), "--no-color"),
            *("--max-time", "60", "--workers", "2"),
            *("--checks", ",".join(checks), "--phases", "examples,fuzzing"),
            *("--exclude-path-regex", "subscriptions", "--suppress-health-check", "all"),
            "--generation-database=none",
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]


@case("schemathesis: nothing that fits the description makes the tenant fail")
def _():
    user = person()
    made_up(["not_a_server_error"], 5, {"user-id": user})
    status, _, _ = request("GET", f"{GRAPH}/_tenant/clock")
    assert status == 200, "the tenant is still there"


@case("schemathesis: answers about what is there fit the description")
def _():
    user = person(folders=["Inbox/2026"])
    message = control("POST", f"mailboxes/{user}/messages", {
        "from": {"address": "a@fabrikam.example"},
        "subject": "m",
        "text": "t",
        "attachments": [{"name": "a.txt", "contentBytes": "aGk="}],
    })
    values = {"user-id": user, "mailFolder-id": "inbox", "message-id": message["id"]}
    made_up(["not_a_server_error", "response_schema_conformance", "content_type_conformance"], 5, values)


if __name__ == "__main__":
    run("fuzz")
