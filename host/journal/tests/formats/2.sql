-- A journal of schema version 2 and event format 2, with every kind of event. Never changed.
PRAGMA application_id = 1147366260;
PRAGMA user_version = 2;
CREATE TABLE runs (
        number      INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order of their starts
        id          TEXT NOT NULL UNIQUE,
        workflow    TEXT NOT NULL,
        started_at  TEXT NOT NULL,                     -- RFC 3339
        finished_at TEXT,
        result      BLOB                               -- JSON, once the run has ended
    , events INTEGER NOT NULL DEFAULT 0, head BLOB NOT NULL DEFAULT x'', plan BLOB, group_key TEXT, group_max INTEGER, parked INTEGER NOT NULL DEFAULT 0, wake_at INTEGER, state TEXT, ended INTEGER) STRICT;
CREATE INDEX runs_unfinished ON runs (number) WHERE finished_at IS NULL;
CREATE INDEX runs_by_workflow ON runs (workflow, number);
CREATE TABLE events (
        run    INTEGER NOT NULL REFERENCES runs (number),
        seq    INTEGER NOT NULL,                       -- from 0
        format INTEGER NOT NULL,
        body   BLOB NOT NULL, hash BLOB,
        PRIMARY KEY (run, seq)
    ) STRICT, WITHOUT ROWID;
CREATE TABLE blobs (
        digest BLOB PRIMARY KEY,
        body   BLOB NOT NULL
    , unused INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX runs_ready ON runs (number) WHERE finished_at IS NULL AND parked = 0;
CREATE INDEX runs_to_wake ON runs (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX runs_in_groups ON runs (number)
        WHERE finished_at IS NULL AND parked = 1 AND group_max IS NOT NULL;
CREATE INDEX runs_ended ON runs (ended) WHERE ended IS NOT NULL;
CREATE INDEX runs_by_plan ON runs (plan);
CREATE TABLE waits (
        run     INTEGER NOT NULL REFERENCES runs (number),
        path    TEXT NOT NULL,
        kind    TEXT NOT NULL,
        account TEXT,                                  -- with kind sign-in
        seen    INTEGER,                               -- its sign-ins before
        since   INTEGER NOT NULL,
        body    BLOB NOT NULL,                         -- JSON
        PRIMARY KEY (run, path)
    ) STRICT, WITHOUT ROWID;
CREATE INDEX waits_by_age ON waits (since);
CREATE INDEX waits_by_kind ON waits (kind, since);
CREATE INDEX waits_by_account ON waits (account, since) WHERE account IS NOT NULL;
CREATE TABLE sign_ins (
        account TEXT PRIMARY KEY,
        count   INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
CREATE TABLE documents (
        digest BLOB NOT NULL,
        run    INTEGER NOT NULL REFERENCES runs (number),
        PRIMARY KEY (digest, run)
    ) STRICT, WITHOUT ROWID;
CREATE INDEX documents_by_run ON documents (run);
CREATE TABLE cursors (
        name   TEXT PRIMARY KEY,
        cursor TEXT
    ) STRICT, WITHOUT ROWID;
CREATE TABLE items (
        name TEXT NOT NULL,                            -- of the trigger
        key  TEXT NOT NULL,
        run  TEXT NOT NULL,
        PRIMARY KEY (name, key)
    ) STRICT, WITHOUT ROWID;
INSERT INTO sign_ins VALUES ('contoso ann@contoso.example', 4);
INSERT INTO cursors VALUES ('inbox', 'c-1');
INSERT INTO items VALUES ('inbox', 'm-1', 'r-open');
INSERT INTO runs VALUES (1, 'r-failed', 'confirm', '2026-11-21T09:00:00.5Z', '2026-11-21T09:00:25.5Z', CAST('{"state":"failed","path":{"step":"each","item":1},"failure":{"class":"crashed","code":"trap","message":"unreachable","backtrace":["send","main"]}}' AS BLOB), 26, x'81536da12ef2ce3c209977c4ea3f817eeab0a2ea842098cab934a8638e461314', x'abababababababababababababababababababababababababababababababab', NULL, NULL, 0, NULL, 'failed', 1795251625500000);
INSERT INTO runs VALUES (2, 'r-succeeded', 'empty', '2026-11-21T10:00:00Z', '2026-11-21T10:00:01Z', CAST('{"state":"succeeded","outputs":{"n":1}}' AS BLOB), 2, x'b796cab4b4d122ed4fb07f1b62827a0681354e312845886f70f5c0c4d881af2a', x'abababababababababababababababababababababababababababababababab', NULL, NULL, 0, NULL, 'succeeded', 1795255201000000);
INSERT INTO runs VALUES (3, 'r-cancelled', 'empty', '2026-11-21T10:00:02Z', '2026-11-21T10:00:03Z', CAST('{"state":"cancelled"}' AS BLOB), 2, x'94884a00d1a96f13e0fb00f7ebecc03a124922d64d62058906acccdd1d92c9c0', x'abababababababababababababababababababababababababababababababab', NULL, NULL, 0, NULL, 'cancelled', 1795255203000000);
INSERT INTO runs VALUES (4, 'r-open', 'empty', '2026-11-21T10:00:04Z', NULL, NULL, 14, x'28bc91ecab7dbb20efa6c73f680c156a300070df6fc053d2ce867512c2c6574b', x'abababababababababababababababababababababababababababababababab', 'c-1', 2, 0, NULL, NULL, NULL);
INSERT INTO events VALUES (1, 0, 2, CAST('{"at":"2026-11-21T09:00:00.5Z","type":"run-started","workflow":"confirm","plan":"sha256:abababababababababababababababababababababababababababababababab","inputs":{"document":{"$document":"sha256:abababababababababababababababababababababababababababababababab","name":"contract.pdf","mediaType":"application/pdf","size":3},"list":["a","b"]}}' AS BLOB), x'2a6fb9f61404087539a12489fb5f43b650c5926e4525584bc7f3765f72f5f96f');
INSERT INTO events VALUES (1, 1, 2, CAST('{"at":"2026-11-21T09:00:01.5Z","type":"step-started","path":{"step":"send"},"attempt":1,"input":{"to":["ann@contoso.example"]}}' AS BLOB), x'c36638b4fd7fce7ef686441dbed18621f553543ba8c0f1cf43c9749ce275fe60');
INSERT INTO events VALUES (1, 2, 2, CAST('{"at":"2026-11-21T09:00:02.5Z","type":"effect-done","path":{"step":"send"},"attempt":1,"index":0,"call":{"requests":[{"method":"GET","url":"https://graph.microsoft.com/v1.0/me/messages","headers":[["prefer","IdType=\"ImmutableId\""]],"sent-as":{"connection":"contoso","account":"service@contoso.example"},"repeatable":true},{"method":"GET","url":"https://graph.microsoft.com/v1.0/me/mailFolders","repeatable":true}]},"outcomes":[{"answered":{"status":200,"headers":[["content-type","application/json"]],"body":{"text":"{\"value\":[]}"}}},{"failed":{"unreachable":"no route"}}]}' AS BLOB), x'df56b605c61109fbca30a286238721b70a947cb18c264c545e56b97ba3aa5b15');
INSERT INTO events VALUES (1, 3, 2, CAST('{"at":"2026-11-21T09:00:03.5Z","type":"effect-intended","path":{"step":"send"},"attempt":1,"index":1,"call":{"requests":[{"method":"POST","url":"https://graph.microsoft.com/v1.0/me/messages","body":[{"bytes":{"digest":"sha256:abababababababababababababababababababababababababababababababab","size":3}},{"document":{"digest":"sha256:abababababababababababababababababababababababababababababababab","range":[0,3]}},{"document":{"digest":"sha256:abababababababababababababababababababababababababababababababab"}},{"base64":{"digest":"sha256:abababababababababababababababababababababababababababababababab"}}],"sent-as":{"connection":"contoso","account":"service@contoso.example"}}]}}' AS BLOB), x'e36f04e00401daa31cd89d2d2b303533c67445a8351e0a610a9e9bb25d079432');
INSERT INTO events VALUES (1, 4, 2, CAST('{"at":"2026-11-21T09:00:04.5Z","type":"effect-done","path":{"step":"send"},"attempt":1,"index":1,"outcomes":["in-doubt"]}' AS BLOB), x'05dc551df841fddeebb3437e4a37d20a51ff406147ac8defb97ec5395e3bc136');
INSERT INTO events VALUES (1, 5, 2, CAST('{"at":"2026-11-21T09:00:05.5Z","type":"step-finished","path":{"step":"send"},"attempt":1,"result":{"failed":{"failure":{"class":"throttled","code":"ErrorServerBusy","message":"busy","remedy":"wait","retry-after":{"secs":7,"nanos":0}},"retry-at":"2026-11-21T09:01:00Z"}}}' AS BLOB), x'b7503bf05431bee3aeabd146afcde0814ab789eac94d6c929ee8d739269ef867');
INSERT INTO events VALUES (1, 6, 2, CAST('{"at":"2026-11-21T09:00:06.5Z","type":"step-started","path":{"step":"send"},"attempt":2,"input":{"to":["ann@contoso.example"]}}' AS BLOB), x'ba02581e7d7fc1d3986e83a1786e8c3e4a2b2c81b66001a4637bde5b68bd960f');
INSERT INTO events VALUES (1, 7, 2, CAST('{"at":"2026-11-21T09:00:07.5Z","type":"effect-intended","path":{"step":"send"},"attempt":2,"index":0,"call":{"requests":[{"method":"POST","url":"https://graph.microsoft.com/v1.0/me/messages","body":[{"bytes":{"digest":"sha256:abababababababababababababababababababababababababababababababab","size":3}},{"document":{"digest":"sha256:abababababababababababababababababababababababababababababababab","range":[0,3]}},{"document":{"digest":"sha256:abababababababababababababababababababababababababababababababab"}},{"base64":{"digest":"sha256:abababababababababababababababababababababababababababababababab"}}],"sent-as":{"connection":"contoso","account":"service@contoso.example"}}]}}' AS BLOB), x'dae181828fd53c0a6b1e55d0cd45856f11dee204c01896b3f94c28d3b72af292');
INSERT INTO events VALUES (1, 8, 2, CAST('{"at":"2026-11-21T09:00:08.5Z","type":"effect-done","path":{"step":"send"},"attempt":2,"index":0,"outcomes":[{"answered":{"status":201,"headers":[],"body":{"inline":{"$document":"sha256:abababababababababababababababababababababababababababababababab","name":"contract.pdf","mediaType":"application/pdf","size":3}},"sealed":["c2VhbGVk"]}}]}' AS BLOB), x'bb6b48a3e6c990ed6a0d335cc6bc90c50c68ffb37e20fb0eaf1e41a849e73a52');
INSERT INTO events VALUES (1, 9, 2, CAST('{"at":"2026-11-21T09:00:09.5Z","type":"effect-intended","path":{"step":"send"},"attempt":2,"index":1,"call":{"requests":[{"method":"POST","url":"https://graph.microsoft.com/v1.0/me/messages","body":[{"bytes":{"digest":"sha256:abababababababababababababababababababababababababababababababab","size":3}},{"document":{"digest":"sha256:abababababababababababababababababababababababababababababababab","range":[0,3]}},{"document":{"digest":"sha256:abababababababababababababababababababababababababababababababab"}},{"base64":{"digest":"sha256:abababababababababababababababababababababababababababababababab"}}],"sent-as":{"connection":"contoso","account":"service@contoso.example"}}]}}' AS BLOB), x'963247468da4c8bbb6548d319b731407b817e8dcb5868ae9cb187758b837f819');
INSERT INTO events VALUES (1, 10, 2, CAST('{"at":"2026-11-21T09:00:10.5Z","type":"effect-done","path":{"step":"send"},"attempt":2,"index":1,"outcomes":[{"failed":{"denied":{"what":"POST x","remedy":"grant it"}}}]}' AS BLOB), x'f09f52ab613852b490ba6c826304c5142f6217986f2ee9381a26d397fea7c14f');
INSERT INTO events VALUES (1, 11, 2, CAST('{"at":"2026-11-21T09:00:11.5Z","type":"effect-intended","path":{"step":"send"},"attempt":2,"index":2,"call":{"requests":[{"method":"POST","url":"https://graph.microsoft.com/v1.0/me/messages","body":[{"bytes":{"digest":"sha256:abababababababababababababababababababababababababababababababab","size":3}},{"document":{"digest":"sha256:abababababababababababababababababababababababababababababababab","range":[0,3]}},{"document":{"digest":"sha256:abababababababababababababababababababababababababababababababab"}},{"base64":{"digest":"sha256:abababababababababababababababababababababababababababababababab"}}],"sent-as":{"connection":"contoso","account":"service@contoso.example"}}]}}' AS BLOB), x'4c229214d62c1e9a6b5165b9cbf0233efb491fb6eb743d289534e1eec298a589');
INSERT INTO events VALUES (1, 12, 2, CAST('{"at":"2026-11-21T09:00:12.5Z","type":"effect-done","path":{"step":"send"},"attempt":2,"index":2,"outcomes":[{"failed":{"invalid":"a header"}}]}' AS BLOB), x'872a36a7225e85c9a5b8e925880d7a631a2cb139002fa71b1a20567699986057');
INSERT INTO events VALUES (1, 13, 2, CAST('{"at":"2026-11-21T09:00:13.5Z","type":"effect-intended","path":{"step":"send"},"attempt":2,"index":3,"call":{"requests":[{"method":"POST","url":"https://graph.microsoft.com/v1.0/me/messages","body":[{"bytes":{"digest":"sha256:abababababababababababababababababababababababababababababababab","size":3}},{"document":{"digest":"sha256:abababababababababababababababababababababababababababababababab","range":[0,3]}},{"document":{"digest":"sha256:abababababababababababababababababababababababababababababababab"}},{"base64":{"digest":"sha256:abababababababababababababababababababababababababababababababab"}}],"sent-as":{"connection":"contoso","account":"service@contoso.example"}}]}}' AS BLOB), x'7153df333f309c6de2d42b4607f2ab98dbed6044277f5b68fcf88c4ddaf73f80');
INSERT INTO events VALUES (1, 14, 2, CAST('{"at":"2026-11-21T09:00:14.5Z","type":"effect-done","path":{"step":"send"},"attempt":2,"index":3,"outcomes":[{"failed":{"interrupted":"reset"}}]}' AS BLOB), x'69486b6bd645cce6b6d6de2acdda2dbcb1e0a4e58db13e4e2cc0d1865a6c6f50');
INSERT INTO events VALUES (1, 15, 2, CAST('{"at":"2026-11-21T09:00:15.5Z","type":"effect-intended","path":{"step":"send"},"attempt":2,"index":4,"call":{"requests":[{"method":"POST","url":"https://graph.microsoft.com/v1.0/me/messages","body":[{"bytes":{"digest":"sha256:abababababababababababababababababababababababababababababababab","size":3}},{"document":{"digest":"sha256:abababababababababababababababababababababababababababababababab","range":[0,3]}},{"document":{"digest":"sha256:abababababababababababababababababababababababababababababababab"}},{"base64":{"digest":"sha256:abababababababababababababababababababababababababababababababab"}}],"sent-as":{"connection":"contoso","account":"service@contoso.example"}}]}}' AS BLOB), x'0dffa115fdf41cdd2415695bbad703b92493fdec06ec876d5e6c417647d365e6');
INSERT INTO events VALUES (1, 16, 2, CAST('{"at":"2026-11-21T09:00:16.5Z","type":"effect-done","path":{"step":"send"},"attempt":2,"index":4,"outcomes":[{"failed":{"too-large":4194304}}]}' AS BLOB), x'd8cf159b14db1bf35798c53b331d6f927ac1167a58164005ba4e97d3a43bc4ba');
INSERT INTO events VALUES (1, 17, 2, CAST('{"at":"2026-11-21T09:00:17.5Z","type":"effect-intended","path":{"step":"send"},"attempt":2,"index":5,"call":{"requests":[{"method":"POST","url":"https://graph.microsoft.com/v1.0/me/messages","body":[{"bytes":{"digest":"sha256:abababababababababababababababababababababababababababababababab","size":3}},{"document":{"digest":"sha256:abababababababababababababababababababababababababababababababab","range":[0,3]}},{"document":{"digest":"sha256:abababababababababababababababababababababababababababababababab"}},{"base64":{"digest":"sha256:abababababababababababababababababababababababababababababababab"}}],"sent-as":{"connection":"contoso","account":"service@contoso.example"}}]}}' AS BLOB), x'dba8152ce73f7e89b64d53432f8ebb80f2c488f3deb9c8b972d23dafdf436530');
INSERT INTO events VALUES (1, 18, 2, CAST('{"at":"2026-11-21T09:00:18.5Z","type":"effect-done","path":{"step":"send"},"attempt":2,"index":5,"outcomes":[{"failed":{"sign-in-required":"contoso"}}]}' AS BLOB), x'7650b23895e0a1537a6512c029aa6125be12d3f98759b51aa7fd8506b120d755');
INSERT INTO events VALUES (1, 19, 2, CAST('{"at":"2026-11-21T09:00:19.5Z","type":"effect-done","path":{"step":"send"},"attempt":2,"index":6,"call":{"requests":[{"method":"GET","url":"sealed:0-0","repeatable":true}]},"outcomes":[{"answered":{"status":200,"headers":[],"body":{"document":{"$document":"sha256:abababababababababababababababababababababababababababababababab","name":"contract.pdf","mediaType":"application/pdf","size":3}}}}]}' AS BLOB), x'4d79989c4f19bf806479a77319edacfe6322e713083f9d8cd86c41a864f1a64b');
INSERT INTO events VALUES (1, 20, 2, CAST('{"at":"2026-11-21T09:00:20.5Z","type":"step-finished","path":{"step":"send"},"attempt":2,"result":{"done":{"value":{"id":"m-1"},"cursor":"c-1"}}}' AS BLOB), x'cfd37e5e2edd5ee94192074a8d38d16e23c83964db38338ce2dcf4c7e55bd87f');
INSERT INTO events VALUES (1, 21, 2, CAST('{"at":"2026-11-21T09:00:21.5Z","type":"items-expanded","step":"each","items":["a","b"]}' AS BLOB), x'e9aeaec4fde5116423081dc700d1c41db818a2242170620de3ae1fb7297d23cc');
INSERT INTO events VALUES (1, 22, 2, CAST('{"at":"2026-11-21T09:00:22.5Z","type":"step-skipped","path":{"step":"each","item":0}}' AS BLOB), x'4ec41fad053ebfd72e197c4beec896dfadf447dc847e7770dd2942ce376c98d0');
INSERT INTO events VALUES (1, 23, 2, CAST('{"at":"2026-11-21T09:00:23.5Z","type":"step-started","path":{"step":"each","item":1},"attempt":1,"input":null}' AS BLOB), x'6db825e4cacc460433f38cae7c2e56fdf3fcec9a4f3838f65a0580301e618d0c');
INSERT INTO events VALUES (1, 24, 2, CAST('{"at":"2026-11-21T09:00:24.5Z","type":"step-finished","path":{"step":"each","item":1},"attempt":1,"result":{"failed":{"failure":{"class":"crashed","code":"trap","message":"unreachable","backtrace":["send","main"]}}}}' AS BLOB), x'024aac44f3e8390374bf77a4d438dab45906e1cbf613af0af7bd92f3f3de7b42');
INSERT INTO events VALUES (1, 25, 2, CAST('{"at":"2026-11-21T09:00:25.5Z","type":"run-finished","result":{"state":"failed","path":{"step":"each","item":1},"failure":{"class":"crashed","code":"trap","message":"unreachable","backtrace":["send","main"]}}}' AS BLOB), x'81536da12ef2ce3c209977c4ea3f817eeab0a2ea842098cab934a8638e461314');
INSERT INTO events VALUES (2, 0, 2, CAST('{"at":"2026-11-21T10:00:00Z","type":"run-started","workflow":"empty","plan":"sha256:abababababababababababababababababababababababababababababababab","inputs":{}}' AS BLOB), x'c176a61502572bb7d5bf4c26166a34cabed44503528eedd5e759fd3c861fd102');
INSERT INTO events VALUES (2, 1, 2, CAST('{"at":"2026-11-21T10:00:01Z","type":"run-finished","result":{"state":"succeeded","outputs":{"n":1}}}' AS BLOB), x'b796cab4b4d122ed4fb07f1b62827a0681354e312845886f70f5c0c4d881af2a');
INSERT INTO events VALUES (3, 0, 2, CAST('{"at":"2026-11-21T10:00:02Z","type":"run-started","workflow":"empty","plan":"sha256:abababababababababababababababababababababababababababababababab","inputs":{}}' AS BLOB), x'f91389bcdeb432f822088bf8a973e0a3f232a0de5d57685b6f480c07a7e4b673');
INSERT INTO events VALUES (3, 1, 2, CAST('{"at":"2026-11-21T10:00:03Z","type":"run-finished","result":{"state":"cancelled"}}' AS BLOB), x'94884a00d1a96f13e0fb00f7ebecc03a124922d64d62058906acccdd1d92c9c0');
INSERT INTO events VALUES (4, 0, 2, CAST('{"at":"2026-11-21T10:00:04Z","type":"run-started","workflow":"empty","plan":"sha256:abababababababababababababababababababababababababababababababab","inputs":{},"group":{"key":"c-1","max":2}}' AS BLOB), x'5c04a7b97026791a10038611eb669153604fe2be7fb84aeea39d5e75bccf0dd8');
INSERT INTO events VALUES (4, 1, 2, CAST('{"at":"2026-11-21T10:01:01Z","type":"step-started","path":{"step":"send"},"attempt":1,"input":{},"connection":"shared","as":"ann@contoso.example"}' AS BLOB), x'e616206419e14761e389f244585f98113484656ba5f0fc4aae3ec72d228e5450');
INSERT INTO events VALUES (4, 2, 2, CAST('{"at":"2026-11-21T10:01:02Z","type":"step-waiting","path":{"step":"send"},"attempt":1,"wait":{"for":{"kind":"sign-in","account":{"connection":"contoso","user":"ann@contoso.example"},"seen":3,"failure":{"class":"sign-in-required","code":"SignIn","message":"sign in","remedy":"docket connections authorize contoso"}},"until":"2026-12-21T10:01:02Z"}}' AS BLOB), x'880c12b21ad7f1fe7a6e9c1efe846e728e56311d0b67485284409b1bd392a52a');
INSERT INTO events VALUES (4, 3, 2, CAST('{"at":"2026-11-21T10:01:03Z","type":"signed-in","account":{"connection":"contoso","user":"ann@contoso.example"}}' AS BLOB), x'896dc291f3ca0d91927ac6983f801ea5e8eb03ccf9928f3e3debfb9e687f993d');
INSERT INTO events VALUES (4, 4, 2, CAST('{"at":"2026-11-21T10:01:04Z","type":"signed-in","account":{"connection":"contoso"}}' AS BLOB), x'3048cc69969be46d39f71cc8554267a2609a16b44f358ab955a75fc59dc57e96');
INSERT INTO events VALUES (4, 5, 2, CAST('{"at":"2026-11-21T10:01:05Z","type":"step-waiting","path":{"step":"pause"},"attempt":1,"wait":{"for":{"kind":"timer"},"until":"2026-12-21T10:01:02Z"}}' AS BLOB), x'7ba0c6327c8ff5bc732d68980378a10620b02ec3200fc44973e37bc937b5826a');
INSERT INTO events VALUES (4, 6, 2, CAST('{"at":"2026-11-21T10:01:06Z","type":"step-waiting","path":{"step":"each","item":0},"attempt":1,"wait":{"for":{"kind":"event","name":"signed"}}}' AS BLOB), x'b1106b2ee3afde7f78199640eed98e8b3f140f8ee86ae00cf48dfd4241a786dd');
INSERT INTO events VALUES (4, 7, 2, CAST('{"at":"2026-11-21T10:01:07Z","type":"step-waiting","path":{"step":"ask"},"attempt":1,"wait":{"for":{"kind":"approval","message":"ok?","approvers":["legal"]}}}' AS BLOB), x'402dc81378b10c26dfccad4bab1a61b3005999745edcb4b3ca871054c6140dfe');
INSERT INTO events VALUES (4, 8, 2, CAST('{"at":"2026-11-21T10:01:08Z","type":"signalled","id":"e-1","signal":{"kind":"event","name":"signed","payload":{"$document":"sha256:abababababababababababababababababababababababababababababababab","name":"a.pdf","mediaType":"application/pdf","size":3}}}' AS BLOB), x'901171867d0f1972b56c9968d216b7d4443062f99188a201baf8ef1a5037d34d');
INSERT INTO events VALUES (4, 9, 2, CAST('{"at":"2026-11-21T10:01:09Z","type":"signalled","id":"d-1","signal":{"kind":"decision","path":{"step":"ask"},"approved":true,"by":"ann","comment":"read"}}' AS BLOB), x'7fc0d1bb4225419b9bf0a6af93df5e5813d844617cd5c1a6114dcdb9bb7241eb');
INSERT INTO events VALUES (4, 10, 2, CAST('{"at":"2026-11-21T10:01:10Z","type":"run-failing","path":{"step":"each","item":0},"failure":{"class":"denied","code":"ErrorSendAsDenied","message":"no"}}' AS BLOB), x'66d3be2cc49bb34a254e7f887c1ee1d40e711dcc4a74396a93a4a0521dc37cda');
INSERT INTO events VALUES (4, 11, 2, CAST('{"at":"2026-11-21T10:01:11Z","type":"run-finished","result":{"state":"failed","path":{"step":"each","item":0},"failure":{"class":"denied","code":"ErrorSendAsDenied","message":"no"}}}' AS BLOB), x'91fe816894753e2616a9c38f9e9c16c010847b0f9f0b9fe47d5f00ecac3e2a27');
INSERT INTO events VALUES (4, 12, 2, CAST('{"at":"2026-11-21T10:01:12Z","type":"run-resumed"}' AS BLOB), x'c553e68f8d66f75285ba6bce37ff95dddee27f585660525815d3f17ee72d5cd0');
INSERT INTO events VALUES (4, 13, 2, CAST('{"at":"2026-11-21T10:01:13Z","type":"run-failing","path":null,"failure":{"class":"denied","code":"ErrorSendAsDenied","message":"no"}}' AS BLOB), x'28bc91ecab7dbb20efa6c73f680c156a300070df6fc053d2ce867512c2c6574b');
INSERT INTO documents VALUES (x'abababababababababababababababababababababababababababababababab', 1);
INSERT INTO documents VALUES (x'abababababababababababababababababababababababababababababababab', 4);
