//! A small Graph client and a tenant to use it on.

use std::sync::{Arc, Once};

use docket_tenant::{DEMO_CLIENT_ID, ManualClock, Tenant, TenantConfig};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;

pub(crate) const SERVICE: &str = "svc-docket@contoso.example";
pub(crate) const CONTRACTS: &str = "contracts@contoso.example";
pub(crate) const INVOICES: &str = "invoices@contoso.example";
pub(crate) const ANNA: &str = "anna@contoso.example";
pub(crate) const BEN: &str = "ben@contoso.example";

/// Every delegated mail scope.
pub(crate) const ALL: [&str; 5] = [
    "Mail.ReadWrite",
    "Mail.Send",
    "Mail.ReadWrite.Shared",
    "Mail.Send.Shared",
    "User.Read",
];

/// A started tenant and a client that trusts it.
pub(crate) struct World {
    pub(crate) tenant: Tenant,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) http: reqwest::Client,
    pub(crate) token: String,
}

/// An HTTP client that trusts `tenant` and follows no redirects.
pub(crate) fn http_client(tenant: &Tenant) -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let ca = reqwest::Certificate::from_pem(tenant.ca_pem().as_bytes()).unwrap();
    reqwest::Client::builder()
        .tls_certs_only([ca])
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .unwrap()
}

impl World {
    /// The demo tenant, with the service account signed in.
    pub(crate) async fn contoso() -> Self {
        Self::with(TenantConfig::contoso()).await
    }

    pub(crate) async fn with(config: TenantConfig) -> Self {
        let clock = Arc::new(ManualClock::default());
        let tenant = Tenant::start(config, clock.clone()).await.unwrap();
        let http = http_client(&tenant);
        let token = tenant
            .state()
            .access_token(DEMO_CLIENT_ID, Some(SERVICE), &ALL)
            .unwrap();
        Self {
            tenant,
            clock,
            http,
            token,
        }
    }

    /// The same tenant, used by somebody else.
    pub(crate) fn token_for(&self, user: Option<&str>, scopes: &[&str]) -> String {
        self.tenant
            .state()
            .access_token(DEMO_CLIENT_ID, user, scopes)
            .unwrap()
    }

    /// A request to Graph with the service account's token.
    pub(crate) fn graph(&self, method: Method, path: &str) -> RequestBuilder {
        let base = self.tenant.graph().as_str();
        self.http
            .request(method, format!("{base}v1.0{path}"))
            .bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.graph(Method::GET, path).send().await.unwrap();
        expect(answer, StatusCode::OK).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value, status: u16) -> Value {
        let answer = self
            .graph(Method::POST, path)
            .json(body)
            .send()
            .await
            .unwrap();
        expect(answer, StatusCode::from_u16(status).unwrap()).await
    }

    /// Subjects of the messages in a folder.
    pub(crate) fn subjects(&self, mailbox: &str, folder: &str) -> Vec<String> {
        let messages = self.tenant.state().messages(mailbox, Some(folder)).unwrap();
        messages
            .iter()
            .map(|one| one.message.subject.clone().unwrap_or_default())
            .collect()
    }
}

/// The JSON body of an answer that must have this status (`Null` for an empty one).
pub(crate) async fn expect(answer: Response, status: StatusCode) -> Value {
    let got = answer.status();
    let text = answer.text().await.unwrap();
    assert_eq!(got, status, "{text}");
    if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).unwrap()
    }
}

/// The error's status and code.
pub(crate) async fn refusal(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    (
        status,
        body["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    )
}

/// A message to `to`.
pub(crate) fn mail(subject: &str, to: &str) -> Value {
    serde_json::json!({
        "subject": subject,
        "body": {"contentType": "HTML", "content": "<p>Hello</p>"},
        "toRecipients": [{"emailAddress": {"address": to}}],
    })
}
