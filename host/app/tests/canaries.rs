//! No secret in anything that the real program writes: the whole demo, its failures, a kill in the
//! middle, with the most talkative log; and then a search for every secret that went over the wire.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use docket_e2e::Desk as Office;
use docket_hostile::Secrets;
use docket_tenant::{DEMO_CLIENT_ID, Fault, FaultAction, Tenant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use url::Url;

const ACCOUNT: &str = "svc-docket@contoso.example";
const CONFIRMATION: &str = "signed-contract-confirmation.yaml";
/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A desk, and everything that was printed there.
struct Desk {
    office: Office,
    printed: Vec<u8>,
}

impl Desk {
    async fn open() -> Self {
        let office = Office::with_examples().await;
        // Large enough for an upload session.
        fs::write(office.path("large.pdf"), vec![b'%'; 4 << 20]).unwrap();
        let printed = Vec::new();
        Self { office, printed }
    }

    fn tenant(&self) -> &Tenant {
        &self.office.tenant
    }

    fn project(&self) -> &Path {
        self.office.docket.project()
    }

    /// A command with the most talkative log.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.office.command(arguments);
        command.env("DOCKET_LOG", "trace");
        command
    }

    /// Runs the program to its end and keeps what it prints; whether it succeeded.
    async fn docket(&mut self, arguments: &[&str]) -> bool {
        let command = self.command(arguments);
        self.finish(command).await
    }

    async fn finish(&mut self, command: Command) -> bool {
        let output = Office::finish(command).await;
        self.printed.extend_from_slice(&output.stdout);
        self.printed.extend_from_slice(&output.stderr);
        output.status.success()
    }

    /// Signs somebody in at a browser, and keeps the page that the program shows there.
    async fn authorize(&mut self, user: &str) -> bool {
        let command = self.command(&["connections", "authorize", "contoso", "--no-browser"]);
        let page = std::sync::Mutex::new(String::new());
        let tenant = self.tenant();
        let signed_in = Office::authorize(command, async |link| {
            *page.lock().unwrap() = visit(tenant, link, user).await;
        });
        let signed_in = signed_in.await;
        self.printed.extend_from_slice(&signed_in.printed);
        let page = page.into_inner().unwrap();
        assert!(!page.is_empty(), "nobody was asked to sign in");
        self.printed.extend_from_slice(page.as_bytes());
        signed_in.code == Some(0)
    }

    /// A run of the confirmation, with a document that is large enough for an upload session.
    fn confirmation(&self, id: &str) -> Vec<String> {
        let file = |path: &Path| path.display().to_string();
        let certificate = "documents/signature-certificate-2026-117.pdf";
        vec![
            "run".to_owned(),
            file(&self.project().join(CONFIRMATION)),
            "--id".to_owned(),
            id.to_owned(),
            "-i".to_owned(),
            "title=Framework supply agreement".to_owned(),
            "-i".to_owned(),
            r#"signers=[{"name": "Anna", "email": "anna.berger@fabrikam.example"}]"#.to_owned(),
            "-i".to_owned(),
            format!("document=@{}", file(&self.office.path("large.pdf"))),
            "-i".to_owned(),
            format!("certificate=@{}", file(&self.project().join(certificate))),
        ]
    }

    async fn confirm(&mut self, id: &str) -> bool {
        let arguments = self.confirmation(id);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.docket(&arguments).await
    }

    fn fault(&self, method: &str, path: &str, action: FaultAction) {
        let state = self.tenant().state();
        state.clear_faults();
        state.add_fault(Fault::next(method, path, action));
    }

    /// Every secret so far: those of the wire, the vault's key, and the client secrets.
    fn secrets(&self) -> Vec<String> {
        let mut secrets = self.tenant().state().secrets();
        secrets.push(self.tenant().state().client_secret(DEMO_CLIENT_ID).unwrap());
        let key = fs::read_to_string(self.office.docket.key()).unwrap();
        secrets.push(key.trim().to_owned());
        secrets.push("a-canary-for-a-vault-key-that-is-none".to_owned());
        secrets
    }

    /// Searches everything that was written so far.
    fn search(&self, at_least: usize) {
        let secrets = self.secrets();
        assert!(
            secrets.len() >= at_least,
            "{} secrets are known",
            secrets.len()
        );
        let secrets = Secrets::new(&secrets).unwrap();
        assert_eq!(secrets.find(&self.printed), Vec::<String>::new(), "printed");
        for folder in [self.office.docket.data(), self.project()] {
            let (files, found) = secrets.find_in_folder(folder).unwrap();
            assert!(files > 5, "{files} files in {}", folder.display());
            assert_eq!(found, Vec::<String>::new());
        }
    }
}

/// Picks `user` on the tenant's page, follows the redirect, and gives the page at its end.
async fn visit(tenant: &Tenant, link: &Url, user: &str) -> String {
    let plain = tenant.plain().port().unwrap();
    let body: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("choice", user)
        .append_pair("consent", "accept")
        .finish();
    let head = format!(
        "POST {}?{} HTTP/1.1\r\nHost: localhost:{plain}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        link.path(),
        link.query().unwrap(),
        body.len()
    );
    let answer = talk(plain, &head).await;
    let target = answer
        .split("\r\n")
        .find_map(|line| line.strip_prefix("location: "))
        .unwrap_or_else(|| panic!("no redirect: {answer}"));
    let target = Url::parse(target).unwrap();
    let port = target.port().unwrap();
    let head = format!(
        "GET {}?{} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n",
        target.path(),
        target.query().unwrap()
    );
    talk(port, &head).await
}

async fn talk(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_writes_no_secret() {
    let mut desk = Desk::open().await;
    let secret = desk.office.secret().display().to_string();
    let add = ["connections", "add", "contoso", "--secret-file", &secret];
    assert!(desk.docket(&add).await);
    assert!(
        !desk.authorize("anna@contoso.example").await,
        "another account"
    );
    assert!(desk.authorize(ACCOUNT).await);
    assert!(desk.confirm("first").await);
    let import = desk.project().join("import-invoices.yaml");
    let import = import.display().to_string();
    assert!(desk.docket(&["run", &import, "--id", "imported"]).await);
    desk.search(8);

    // Failures, each on another road.
    let reset = [
        ("PUT", "*", FaultAction::ResetAfter),
        (
            "POST",
            "*/createUploadSession",
            FaultAction::CutOff { bytes: 200 },
        ),
        ("POST", "*/messages", FaultAction::AccessTokenExpired),
        ("POST", "*/send", FaultAction::TimeoutAfterAccept),
        ("POST", "*/token", FaultAction::CutOff { bytes: 300 }),
        ("POST", "*/token", FaultAction::Aadsts { code: 700_082 }),
        (
            "PUT",
            "*",
            FaultAction::Refuse {
                status: 400,
                code: "ErrorInvalidRequest".to_owned(),
                message: "no".to_owned(),
            },
        ),
    ];
    for (n, (method, path, action)) in reset.into_iter().enumerate() {
        desk.fault(method, path, action);
        let id = format!("faulty-{n}");
        desk.confirm(&id).await;
        desk.tenant().state().clear_faults();
        desk.docket(&["runs", "resume", &id]).await;
    }
    desk.tenant()
        .state()
        .expire_secret(DEMO_CLIENT_ID, None)
        .unwrap();
    assert!(!desk.confirm("no-secret").await, "the secret has expired");
    let later = "2036-01-01T00:00:00Z".parse().unwrap();
    desk.tenant()
        .state()
        .add_secret(DEMO_CLIENT_ID, later)
        .unwrap();
    let _newest = desk.office.secret();
    assert!(desk.docket(&add).await);
    desk.tenant().state().revoke_sign_ins(ACCOUNT).unwrap();
    assert!(!desk.confirm("no-sign-in").await, "the sign-in was revoked");
    assert!(desk.authorize(ACCOUNT).await);
    assert!(desk.docket(&["runs", "resume", "no-sign-in"]).await);
    let mut wrong_key = desk.command(&["connections", "list"]);
    wrong_key.env("DOCKET_VAULT_KEY", "a-canary-for-a-vault-key-that-is-none");
    wrong_key.env_remove("DOCKET_VAULT_KEY_FILE");
    desk.finish(wrong_key).await;

    killed_in_the_middle(&mut desk).await;

    // Everything that shows what happened.
    for arguments in [
        &["runs", "list"][..],
        &["runs", "list", "--json"],
        &["runs", "show", "first", "--effects"],
        &["runs", "show", "first", "--json"],
        &["runs", "show", "faulty-0", "--effects"],
        &["runs", "show", "faulty-6", "--json"],
        &["runs", "documents", "imported", "--json"],
        &["plan", &import],
        &["plan", &import, "--json"],
        &["validate"],
        &["plugins", "list"],
        &["plugins", "inspect", "exchange", "--json"],
        &["connections", "list"],
        &["connections", "list", "--json"],
    ] {
        assert!(desk.docket(arguments).await, "{arguments:?}");
    }
    assert!(
        desk.printed.windows(5).any(|part| part == b"DEBUG"),
        "the log was as talkative as it can be"
    );
    desk.search(30);
}

/// The process is killed while a request is under way: what lies in the journal's log then counts too.
async fn killed_in_the_middle(desk: &mut Desk) {
    desk.fault("POST", "*/send", FaultAction::Latency { millis: 5_000 });
    let arguments = desk.confirmation("killed");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut child = desk
        .command(&arguments)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let struck = async {
        while desk
            .tenant()
            .state()
            .faults()
            .iter()
            .all(|fault| fault.hits == 0)
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, struck).await.unwrap();
    child.kill().await.unwrap();
    desk.search(20);
    desk.tenant().state().clear_faults();
    assert!(desk.docket(&["runs", "resume", "killed"]).await);
}
