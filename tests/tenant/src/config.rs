//! What a tenant is made of: users, rights, app registrations, timings, policies.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::faults::Fault;
use crate::store::message::{Attachment, Body, Recipient};
use crate::throttle::ThrottleConfig;

/// Everything that a tenant starts with.
#[derive(Debug, Clone)]
pub struct TenantConfig {
    /// The tenant's GUID.
    pub tenant_id: String,
    /// The tenant's domain; every address in it is internal.
    pub domain: String,
    /// The name on the sign-in page.
    pub display_name: String,
    /// People and shared mailboxes.
    pub users: Vec<UserConfig>,
    /// Who may use whose mailbox.
    pub rights: Vec<Right>,
    /// App registrations.
    pub apps: Vec<AppConfig>,
    /// Mail that is there from the start.
    pub mail: Vec<SeedMail>,
    /// How long things take and last.
    pub timings: Timings,
    /// Where Microsoft's behaviour varies, or is disputed.
    pub policies: Policies,
    /// The throttle engine; off by default.
    pub throttle: ThrottleConfig,
    /// Faults that are armed from the start.
    pub faults: Vec<Fault>,
    /// How many requests the recorder keeps.
    pub recorded_requests: usize,
}

impl Default for TenantConfig {
    /// A tenant `contoso.example` with nobody in it.
    fn default() -> Self {
        Self {
            tenant_id: crate::guid::named_guid("tenant contoso.example"),
            domain: "contoso.example".to_owned(),
            display_name: "Contoso".to_owned(),
            users: Vec::new(),
            rights: Vec::new(),
            apps: Vec::new(),
            mail: Vec::new(),
            timings: Timings::default(),
            policies: Policies::default(),
            throttle: ThrottleConfig::default(),
            faults: Vec::new(),
            recorded_requests: 4096,
        }
    }
}

/// A person or a shared mailbox.
#[derive(Debug, Clone)]
pub struct UserConfig {
    /// The sign-in name, which is also the mail address.
    pub upn: String,
    /// The display name.
    pub display_name: String,
    /// The object id.
    pub id: String,
    /// Whether somebody can sign in with it; shared mailboxes cannot.
    pub can_sign_in: bool,
    /// Whether it has a mailbox.
    pub has_mailbox: bool,
    /// Whether it may consent for the whole tenant.
    pub is_admin: bool,
    /// Folders to make beside the well-known ones: paths below the top, `Inbox/2026` or `Invoices`.
    pub folders: Vec<String>,
    /// Display names of well-known folders in the mailbox's language, by well-known name.
    pub localised: BTreeMap<String, String>,
    /// The administrator's "always keep a copy" of what delegates send.
    pub keeps_delegate_copies: bool,
    /// How much the mailbox may hold, in bytes; `None` is no limit.
    pub quota: Option<usize>,
}

impl UserConfig {
    /// A person with a mailbox; the object id is derived from the name.
    pub fn person(upn: &str, display_name: &str) -> Self {
        Self {
            upn: upn.to_owned(),
            display_name: display_name.to_owned(),
            id: crate::guid::named_guid(&upn.to_ascii_lowercase()),
            can_sign_in: true,
            has_mailbox: true,
            is_admin: false,
            folders: Vec::new(),
            localised: BTreeMap::new(),
            keeps_delegate_copies: false,
            quota: None,
        }
    }

    /// A shared mailbox: nobody signs in with it.
    pub fn shared(upn: &str, display_name: &str) -> Self {
        Self {
            can_sign_in: false,
            ..Self::person(upn, display_name)
        }
    }
}

/// A right on a mailbox, given in Exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RightKind {
    /// Read and write the mailbox.
    FullAccess,
    /// Send so that nobody sees who did.
    SendAs,
    /// Send visibly for the mailbox.
    SendOnBehalf,
}

/// `user` has `kind` on `mailbox`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Right {
    /// Who has it (UPN).
    pub user: String,
    /// On which mailbox (address).
    pub mailbox: String,
    /// Which right.
    pub kind: RightKind,
}

impl Right {
    /// `user` has `kind` on `mailbox`.
    pub fn new(user: &str, kind: RightKind, mailbox: &str) -> Self {
        Self {
            user: user.to_owned(),
            mailbox: mailbox.to_owned(),
            kind,
        }
    }
}

/// How a redirect URI is registered; decides whether a secret must be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RedirectKind {
    /// A confidential client's.
    Web,
    /// A mobile or desktop application's: no secret.
    Public,
    /// A single-page application's: refresh tokens end after 24 hours.
    Spa,
}

/// A registered redirect URI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectUri {
    /// The URI; the port of `localhost` is ignored when matching (reply-url.md).
    pub uri: String,
    /// Its kind.
    pub kind: RedirectKind,
}

/// A client secret. A value of `None` is made up at start.
#[derive(Clone)]
pub struct SecretConfig {
    /// The key id that the portal shows.
    pub id: String,
    /// The secret itself.
    pub value: Option<String>,
    /// When it ends; `None` is two years after the start.
    pub expires: Option<Timestamp>,
}

impl std::fmt::Debug for SecretConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretConfig")
            .field("id", &self.id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// A certificate that an app may sign assertions with.
#[derive(Debug, Clone)]
pub struct CertificateConfig {
    /// The certificate, DER.
    pub der: Vec<u8>,
}

/// An app-only grant of RBAC for Applications: a role over some mailboxes.
#[derive(Debug, Clone)]
pub struct RbacGrant {
    /// The Graph role, e.g. `Mail.Send`.
    pub role: String,
    /// The addresses in its management scope.
    pub mailboxes: Vec<String>,
}

/// An app registration.
#[derive(Debug, Clone)]
pub struct AppConfig {
    /// The application (client) id.
    pub client_id: String,
    /// The display name.
    pub name: String,
    /// Redirect URIs.
    pub redirects: Vec<RedirectUri>,
    /// Client secrets; several may be live at once.
    pub secrets: Vec<SecretConfig>,
    /// Certificates.
    pub certificates: Vec<CertificateConfig>,
    /// "Allow public client flows".
    pub allow_public_client: bool,
    /// Whether it may be used through `/common` and `/organizations`.
    pub is_multi_tenant: bool,
    /// Whether the app is enabled in the tenant.
    pub is_enabled: bool,
    /// Delegated scopes that it may ask for.
    pub delegated: Vec<String>,
    /// Whether an administrator consented to `delegated` for everybody.
    pub admin_consented: bool,
    /// Application roles with admin consent.
    pub roles: Vec<String>,
    /// An application access policy: the only mailboxes that app-only calls may use.
    pub access_policy: Option<Vec<String>>,
    /// RBAC for Applications, in addition to `roles`.
    pub rbac: Vec<RbacGrant>,
}

impl AppConfig {
    /// A registration with nothing but a name.
    pub fn new(client_id: &str, name: &str) -> Self {
        Self {
            client_id: client_id.to_owned(),
            name: name.to_owned(),
            redirects: Vec::new(),
            secrets: Vec::new(),
            certificates: Vec::new(),
            allow_public_client: false,
            is_multi_tenant: false,
            is_enabled: true,
            delegated: Vec::new(),
            admin_consented: true,
            roles: Vec::new(),
            access_policy: None,
            rbac: Vec::new(),
        }
    }
}

/// How long things take and last.
#[derive(Debug, Clone)]
pub struct Timings {
    /// An access token's life (Entra: 60 to 90 minutes).
    pub access_token: SignedDuration,
    /// A refresh token's life without use (90 days).
    pub refresh_token: SignedDuration,
    /// A sign-in-frequency policy: how long after a sign-in refreshing ends (AADSTS70043); none by default.
    pub sign_in_frequency: Option<SignedDuration>,
    /// An authorization code's life (about 10 minutes).
    pub code: SignedDuration,
    /// A device code's life (15 minutes).
    pub device_code: SignedDuration,
    /// The polling interval for device codes, in seconds.
    pub device_interval: u32,
    /// From 202 to the move from Drafts to Sent Items and the delivery.
    pub delivery: SignedDuration,
    /// An upload session's life.
    pub upload_session: SignedDuration,
    /// Extra time that every Graph request takes, so that concurrency limits bite.
    pub service: std::time::Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            access_token: SignedDuration::from_secs(4500),
            refresh_token: SignedDuration::from_hours(24 * 90),
            sign_in_frequency: None,
            code: SignedDuration::from_mins(10),
            device_code: SignedDuration::from_mins(15),
            device_interval: 5,
            delivery: SignedDuration::ZERO,
            upload_session: SignedDuration::from_hours(24),
            service: std::time::Duration::ZERO,
        }
    }
}

/// What `/send` answers for a draft that is already on its way and still in Drafts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InFlightSend {
    /// 404 `ErrorItemNotFound`.
    NotFound,
    /// 202, and it goes out a second time: the worst case.
    SendsAgain,
}

/// Where Microsoft's behaviour varies or is disputed: one switch each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policies {
    /// The status of `ErrorFolderExists`: mostly 400, sometimes 409.
    pub folder_exists_status: u16,
    /// Whether sending a draft keeps its immutable id (disputed).
    pub sending_keeps_immutable_id: bool,
    /// Whether `createUploadSession` is refused with 403 in mailboxes other than one's own (disputed).
    pub shared_upload_refused: bool,
    /// Whether a stale id is answered 400 `ErrorInvalidIdMalformed` instead of 404.
    pub stale_id_is_malformed: bool,
    /// What sending an in-flight draft again does.
    pub in_flight_send: InFlightSend,
    /// Whether extended properties travel with the mail to recipients inside the tenant.
    pub properties_travel: bool,
    /// What Exchange's `size` of an attachment counts beyond its bytes.
    pub attachment_overhead: usize,
    /// Whether an upload may carry `Authorization`. The real one refuses; official clients send it only
    /// because here Graph and the upload origin share the host name `localhost`.
    pub upload_takes_authorization: bool,
    /// Whether uploads must come in multiples of 320 KiB (a OneDrive rule; off as for Outlook).
    pub strict_upload_chunks: bool,
    /// The smallest file that an upload session accepts, in bytes: documented as 3 MB, measured by users as
    /// 2,097,152 (msgraph-sdk-java#52).
    pub min_upload_session: u64,
    /// Whether users may consent for themselves.
    pub user_consent: bool,
    /// The largest message, in bytes (Exchange: 35 MB by default, up to 150 MB of attachments).
    pub max_message: usize,
    /// External addresses that bounce.
    pub bouncing: Vec<String>,
    /// Whether next and delta links name the mailbox by its object id, whatever the request named it by.
    pub links_by_object_id: bool,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            folder_exists_status: 400,
            sending_keeps_immutable_id: true,
            shared_upload_refused: false,
            stale_id_is_malformed: false,
            in_flight_send: InFlightSend::NotFound,
            properties_travel: false,
            attachment_overhead: 386,
            upload_takes_authorization: false,
            strict_upload_chunks: false,
            min_upload_session: 2 * 1024 * 1024,
            user_consent: true,
            max_message: 160 * 1024 * 1024,
            bouncing: Vec::new(),
            links_by_object_id: false,
        }
    }
}

/// A message to put into a mailbox.
#[derive(Debug, Clone)]
pub struct SeedMail {
    /// The mailbox's address.
    pub mailbox: String,
    /// A well-known name or a path of display names.
    pub folder: String,
    /// Who it is from.
    pub from: Recipient,
    /// To; the mailbox itself when empty.
    pub to: Vec<Recipient>,
    /// The subject.
    pub subject: String,
    /// The body.
    pub body: Body,
    /// Attachments.
    pub attachments: Vec<Attachment>,
    /// When it arrived, before the tenant's start.
    pub age: SignedDuration,
    /// Whether it was read.
    pub is_read: bool,
}

impl SeedMail {
    /// A plain text message in the Inbox of `mailbox`.
    pub fn text(mailbox: &str, from: Recipient, subject: &str, text: &str) -> Self {
        Self {
            mailbox: mailbox.to_owned(),
            folder: "inbox".to_owned(),
            from,
            to: Vec::new(),
            subject: subject.to_owned(),
            body: Body {
                is_html: false,
                content: text.to_owned(),
            },
            attachments: Vec::new(),
            age: SignedDuration::ZERO,
            is_read: false,
        }
    }
}
