//! No secret in anything that can be printed: the canary is looked for in all of it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use docket_connections::probe::ProbeRequest;
use docket_connections::{Connections, Credential, KeySource, Vault};
use docket_model::ConnectionSpec;
use docket_tenant::{DEMO_CLIENT_ID, Fault, FaultAction};
use jiff::SignedDuration;
use secrecy::ExposeSecret;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::*;

/// Where the log goes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// Everything that was printed, and what must not be in it.
#[derive(Default)]
struct Printed {
    text: String,
    secrets: Vec<String>,
}

impl Printed {
    fn add(&mut self, thing: impl Debug) {
        self.text.push_str(&format!("{thing:?}\n{thing:#?}\n"));
    }
}

/// The log is that of the whole process, with all its threads and all the tests that run meanwhile.
#[tokio::test]
async fn no_secret_is_printed() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let mut printed = Printed::default();
    let office = Office::closed(|_, _| {}).await;
    let state = office.tenant.state();
    let connections = &office.project.connections;
    printed
        .secrets
        .push(state.client_secret(DEMO_CLIENT_ID).unwrap());

    let begun = connections
        .begin_sign_in(NAME, None, Some(REDIRECT), &scopes())
        .unwrap();
    let query = choose(&office.tenant, &begun.authorize_url, ACCOUNT).await;
    let code = url::form_urlencoded::parse(query.as_bytes())
        .find_map(|(name, value)| (name == "code").then(|| value.into_owned()))
        .unwrap();
    printed.secrets.push(code);
    let callback = docket_connections::Callback::from_query(&query).unwrap();
    printed.add(&callback);
    printed.add(connections.finish_sign_in(callback).await);
    printed.add(connections);
    printed.add(connections.status());

    let grants = &["GET {graph}/**", "PUT {outlook}/**", "POST {graph}/**"];
    let binding = office.project.binding(grants);
    printed.add(&binding);
    printed.add(binding.account());
    let response = binding
        .send(signed(get(&office.mailbox_url("messages"))))
        .await
        .unwrap();
    printed.add(&response.headers);
    printed.text.push_str(&text(response).await.unwrap());

    let upload = format!(
        "{}canary-path?authtoken=canary-token",
        office.tenant.outlook()
    );
    printed
        .secrets
        .extend(["canary-path".to_owned(), "canary-token".to_owned()]);
    let sealed = binding.seal("place", &upload).unwrap();
    printed.text.push_str(&sealed);
    let opened = binding.open_sealed("place", &sealed).unwrap();
    printed.add(&opened);
    assert_eq!(opened.expose_secret(), upload);
    printed.add(binding.open_sealed("another place", &sealed));
    state.add_fault(Fault::next("PUT", "*", FaultAction::ResetBefore));
    let put = request("PUT", opened.expose_secret());
    printed.add(refused(binding.send(put).await));
    printed.add(refused(
        binding.send(request("GET", opened.expose_secret())).await,
    ));
    printed.add(refused(
        binding
            .send(signed(request("PUT", opened.expose_secret())))
            .await,
    ));

    office.project.clock.advance(SignedDuration::from_hours(2));
    state.add_fault(Fault::next(
        "POST",
        "*/token",
        FaultAction::Aadsts { code: 700_082 },
    ));
    printed.add(refused(
        binding
            .send(signed(get(&office.mailbox_url("messages"))))
            .await,
    ));
    office.project.clock.advance(SignedDuration::from_hours(1));
    printed.add(
        binding
            .send(signed(get(&office.mailbox_url("messages"))))
            .await
            .map(|r| r.status),
    );

    let device = connections
        .begin_device_sign_in(NAME, None, &scopes())
        .await
        .unwrap();
    // The user code is shown on purpose, and to nobody but the user.
    printed.secrets.push(device.user_code.clone());
    printed.add(&device);
    drop(device);
    printed.add(
        connections
            .rotate_secret(NAME, &"canary-rotated".into(), None)
            .await,
    );
    printed.add(connections.set_client_secret(NAME, &"canary\nlines".into(), None));
    printed.add(Credential::secret(&"canary-credential".into(), None));
    printed.add(Credential::certificate(&"canary-pem".into()));
    for secret in [
        "canary-rotated",
        "canary\nlines",
        "canary-credential",
        "canary-pem",
    ] {
        printed.secrets.push(secret.to_owned());
    }
    printed.add(
        connections
            .keep_alive("2027-01-01T00:00:00Z".parse().unwrap())
            .await,
    );
    printed.add(connections.forecast("2027-01-01T00:00:00Z".parse().unwrap()));
    printed.add(connections.probe(NAME, &ProbeRequest::default()).await);
    printed.add(connections.registration(NAME, &scopes()));
    let opened = vault(office.project.folder.path());
    let passphrase = "canary passphrase".into();
    printed.text.push_str(&opened.export(&passphrase).unwrap());
    printed.add(opened.import("canary backup", &passphrase, false));
    printed.secrets.push("canary passphrase".to_owned());

    let key = std::fs::read_to_string(office.project.folder.path().join("vault.key")).unwrap();
    printed.add(KeySource::Given(key.clone().into()));
    printed.secrets.extend(key.lines().map(str::to_owned));
    printed.add(Vault::open(
        &office.project.folder.path().join("vault"),
        &KeySource::Given("canary-key".into()),
    ));
    printed.secrets.push("canary-key".to_owned());

    // Whatever went over the wire between host and tenant.
    let wire = state.secrets();
    assert!(wire.len() > 5, "{} secrets", wire.len());
    printed.secrets.extend(wire);

    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("answered"), "the log was caught");
    for line in logged
        .lines()
        .filter(|line| line.contains("docket_connections"))
    {
        printed.text.push_str(line);
    }
    for secret in &printed.secrets {
        let at = printed.text.find(secret.as_str());
        let around = at.map(|at| &printed.text[at.saturating_sub(120)..at + secret.len()]);
        assert!(around.is_none(), "{secret:?} in …{around:?}");
    }
    // Tokens have no known text here, but a known shape around them.
    for shape in [
        "Bearer ",
        "access_token\":",
        "refresh_token\":",
        "\"refresh-token",
    ] {
        assert!(!printed.text.contains(shape), "{shape}");
        assert!(!logged.contains(shape), "{shape} in the log");
    }
    // Not even the libraries' own most talkative log has a credential.
    for secret in &printed.secrets {
        assert!(!logged.contains(secret.as_str()), "{secret:?} in the log");
    }
}

#[test]
fn every_problem_of_every_connection_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(folder.path());
    let bad = ConnectionSpec {
        tenant: "common".to_owned(),
        client_id: String::new(),
        account: Some("a b".to_owned()),
        authority: "http://login.test".to_owned(),
        allow_addresses: vec!["localhost".to_owned()],
        ca_file: Some(folder.path().join("vault.key")),
        ..spec(&[
            ("graph", "https://user:canary@graph.test"),
            ("x", "ftp://a"),
            ("y", "https://a/?b"),
        ])
    };
    let specs = BTreeMap::from([
        ("bad".to_owned(), bad),
        (
            "good".to_owned(),
            spec(&[("graph", "https://graph.test/base/")]),
        ),
        (
            "worse".to_owned(),
            ConnectionSpec {
                ca_file: Some("/no/such/file".into()),
                ..spec(&[])
            },
        ),
    ]);
    let error = Connections::open(&specs, vault, clock()).unwrap_err();
    let text = error.to_string();
    for part in [
        "connections.bad.tenant",
        "connections.bad.client-id",
        "connections.bad.account",
        "connections.bad.authority",
        "connections.bad.allow-addresses",
        "connections.bad.ca-file",
        "no certificate in it",
        "user name",
        "no query",
        "connections.worse.ca-file",
        "/no/such/file",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert_eq!(error.problems.len(), 10, "{text}");
    assert!(!text.contains("canary") && !text.contains("good"), "{text}");
}
