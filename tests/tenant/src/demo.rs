//! `contoso()`: the tenant of the demo, with people, shared mailboxes, an app and some invoices.

use jiff::SignedDuration;

use crate::config::{
    AppConfig, RedirectKind, RedirectUri, Right, RightKind, SecretConfig, SeedMail, TenantConfig,
    UserConfig,
};
use crate::store::message::{Attachment, Body, Recipient};

/// The client id of the demo's app registration `docket`.
pub const DEMO_CLIENT_ID: &str = "7d0c4e1a-5b2f-4c8e-9a63-d0c4e7000001";

/// The demo's delegated permissions, consented for everybody.
const DELEGATED: [&str; 10] = [
    "Mail.Read",
    "Mail.Read.Shared",
    "Mail.ReadWrite",
    "Mail.Send",
    "Mail.ReadWrite.Shared",
    "Mail.Send.Shared",
    "User.Read",
    "offline_access",
    "openid",
    "profile",
];

impl TenantConfig {
    /// The demo tenant: `contoso.example` with a service account, two shared mailboxes and two people.
    pub fn contoso() -> Self {
        let service = "svc-docket@contoso.example";
        let (contracts, invoices) = ("contracts@contoso.example", "invoices@contoso.example");
        let mut invoices_user = UserConfig::shared(invoices, "Contoso Invoices");
        invoices_user.folders = vec!["Invoices".to_owned(), "Processed".to_owned()];
        let rights = [contracts, invoices]
            .into_iter()
            .flat_map(|mailbox| {
                [RightKind::FullAccess, RightKind::SendAs]
                    .map(|kind| Right::new(service, kind, mailbox))
            })
            .collect();
        Self {
            users: vec![
                UserConfig::person(service, "Docket Service"),
                UserConfig::shared(contracts, "Contoso Contracts"),
                invoices_user,
                UserConfig::person("anna@contoso.example", "Anna Berg"),
                UserConfig::person("ben@contoso.example", "Ben Castle"),
                UserConfig {
                    is_admin: true,
                    has_mailbox: false,
                    ..UserConfig::person("admin@contoso.example", "Contoso Administrator")
                },
            ],
            rights,
            apps: vec![demo_app()],
            mail: demo_mail(invoices),
            ..Self::default()
        }
    }
}

fn demo_app() -> AppConfig {
    let mut app = AppConfig::new(DEMO_CLIENT_ID, "docket");
    app.redirects = vec![RedirectUri {
        uri: "http://localhost/callback".to_owned(),
        kind: RedirectKind::Web,
    }];
    app.secrets = vec![SecretConfig {
        id: crate::guid::named_guid("demo secret"),
        value: None,
        expires: None,
    }];
    app.delegated = DELEGATED.map(str::to_owned).to_vec();
    app
}

fn demo_mail(mailbox: &str) -> Vec<SeedMail> {
    let fabrikam = Recipient::named("Fabrikam Billing", "billing@fabrikam.example");
    let northwind = Recipient::named("Northwind Accounts", "accounts@northwind.example");
    let litware = Recipient::named("Litware Finance", "finance@litware.example");
    let invoice =
        |name: &str, lines: &[&str]| Attachment::file(name, "application/pdf", pdf(lines));
    let base = |from: &Recipient, subject: &str, html: &str, hours: i64| SeedMail {
        folder: "Invoices".to_owned(),
        body: Body {
            is_html: true,
            content: format!("<html><body>{html}</body></html>"),
        },
        age: SignedDuration::from_hours(hours),
        ..SeedMail::text(mailbox, from.clone(), subject, "")
    };
    vec![
        SeedMail {
            attachments: vec![invoice(
                "INV-2041.pdf",
                &["Fabrikam", "Invoice INV-2041", "Total: EUR 1,250.00"],
            )],
            ..base(
                &fabrikam,
                "Invoice INV-2041",
                "<p>Dear Contoso,</p><p>please find attached invoice <b>INV-2041</b>.</p>",
                30,
            )
        },
        SeedMail {
            attachments: vec![
                invoice(
                    "NW-778.pdf",
                    &["Northwind", "Invoice NW-778", "Total: EUR 320.40"],
                ),
                invoice(
                    "NW-778 delivery note.pdf",
                    &["Northwind", "Delivery note for NW-778"],
                ),
            ],
            ..base(
                &northwind,
                "Invoice NW-778 and delivery note",
                "<p>Invoice and delivery note are attached.</p>",
                20,
            )
        },
        SeedMail {
            attachments: vec![
                Attachment::file("logo.png", "image/png", PIXEL).inline("logo"),
                invoice(
                    "LIT-15.pdf",
                    &["Litware", "Invoice LIT-15", "Total: EUR 89.90"],
                ),
            ],
            ..base(
                &litware,
                "Your invoice LIT-15",
                "<p><img src=\"cid:logo\" alt=\"Litware\" width=\"32\"></p><p>Thank you for your order.</p>",
                10,
            )
        },
        base(
            &fabrikam,
            "Our new bank details from next month",
            "<p>No invoice this time, only a notice.</p>",
            5,
        ),
    ]
}

/// A 1×1 PNG.
const PIXEL: &[u8] = &[
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, 0x49, 0x48, 0x44, 0x52, 0, 0, 0,
    1, 0, 0, 0, 1, 8, 6, 0, 0, 0, 0x1f, 0x15, 0xc4, 0x89, 0, 0, 0, 0x0d, 0x49, 0x44, 0x41, 0x54,
    0x78, 0x9c, 0x63, 0x60, 0x60, 0xf8, 0x5f, 0x0f, 0, 0x02, 0x87, 0x01, 0x80, 0xeb, 0x47, 0xba,
    0x92, 0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
];

/// A one-page PDF with a few lines of text; a real one, which viewers open.
pub fn pdf(lines: &[&str]) -> Vec<u8> {
    let mut text = String::from("BT /F1 18 Tf 72 770 Td 26 TL\n");
    for line in lines {
        let safe: String = line
            .chars()
            .filter(|letter| letter.is_ascii() && !matches!(letter, '(' | ')' | '\\'))
            .collect();
        text.push_str(&format!("({safe}) Tj T*\n"));
    }
    text.push_str("ET\n");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>".to_owned(),
        format!("<< /Length {} >>\nstream\n{text}endstream", text.len()),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut out = String::from("%PDF-1.4\n");
    let mut offsets = Vec::new();
    for (number, object) in (1..).zip(&objects) {
        offsets.push(out.len());
        out.push_str(&format!("{number} 0 obj\n{object}\nendobj\n"));
    }
    let start = out.len();
    out.push_str(&format!(
        "xref\n0 {}\n0000000000 65535 f \n",
        objects.len() + 1
    ));
    for offset in offsets {
        out.push_str(&format!("{offset:010} 00000 n \n"));
    }
    out.push_str(&format!(
        "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n",
        objects.len() + 1
    ));
    out.into_bytes()
}
