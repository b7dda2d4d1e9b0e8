//! The app registration that a connection needs, field by field.

use anyhow::Result;
use serde_json::Value;

use crate::administration::Desk;
use crate::exit::Exit;
use crate::render;

/// Shows what to enter where.
pub(super) async fn show(desk: &Desk, name: &str, as_json: bool) -> Result<Exit> {
    let app = desk.registration(name).await?;
    match as_json {
        true => render::line(&app.to_string()),
        false => print(&app),
    }
    Ok(Exit::Success)
}

/// Prints a registration.
pub(super) fn print(app: &Value) {
    let text = |name: &str| app[name].as_str().unwrap_or_default();
    let list = |name: &str| app[name].as_array().into_iter().flatten();
    let mut rows = vec![
        row("Where", text("portal")),
        row("Directory", text("tenant")),
        row("Name", text("name")),
        row("Application (client) ID", text("client-id")),
        row("Supported account types", text("account-types")),
    ];
    if let Some(platform) = app["platform"].as_str() {
        rows.push(row("Authentication > Platform", platform));
    }
    let uris = list("redirect-uris").filter_map(Value::as_str);
    rows.extend(uris.map(|uri| row("Authentication > Redirect URI", uri)));
    let public = match app["allow-public-client-flows"].as_bool() {
        Some(true) => "Yes",
        _ => "No",
    };
    rows.push(row("Authentication > Allow public client flows", public));
    rows.extend(list("permissions").map(|permission| {
        let name = permission["name"].as_str().unwrap_or_default();
        let kind = match permission["kind"].as_str() {
            Some("application") => "Application",
            _ => "Delegated",
        };
        row(
            "API permissions > Microsoft Graph",
            &format!("{name} ({kind})"),
        )
    }));
    rows.push(row("Admin consent", text("admin-consent")));
    rows.push(row("Certificates & secrets", text("credential")));
    render::line(&render::table(&["app registration", ""], &rows));
    render::line("\nThen:");
    for (number, step) in list("then").filter_map(Value::as_str).enumerate() {
        render::line(&format!("  {}. {step}", number + 1));
    }
}

fn row(field: &str, value: &str) -> Vec<String> {
    vec![field.to_owned(), value.to_owned()]
}
