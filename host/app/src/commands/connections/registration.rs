//! The app registration that a connection needs, field by field.

use anyhow::Result;

use super::refused;
use crate::exit::Exit;
use crate::host::Host;
use crate::render;

/// Shows what to enter where.
pub(super) fn show(host: &Host, name: &str, as_json: bool) -> Result<Exit> {
    let app = host
        .connections
        .registration(name, &host.scopes(name))
        .map_err(refused)?;
    if as_json {
        render::line(&serde_json::to_string(&app)?);
        return Ok(Exit::Success);
    }
    let mut rows = vec![
        row("Where", app.portal.as_str()),
        row("Directory", &app.tenant),
        row("Name", &app.name),
        row("Application (client) ID", &app.client_id),
        row("Supported account types", app.account_types),
    ];
    if let Some(platform) = app.platform {
        rows.push(row("Authentication > Platform", platform));
    }
    rows.extend(
        app.redirect_uris
            .iter()
            .map(|uri| row("Authentication > Redirect URI", uri)),
    );
    let public = if app.allow_public_client_flows {
        "Yes"
    } else {
        "No"
    };
    rows.push(row("Authentication > Allow public client flows", public));
    rows.extend(app.permissions.iter().map(|permission| {
        let kind = match permission.kind {
            docket_connections::PermissionKind::Delegated => "Delegated",
            docket_connections::PermissionKind::Application => "Application",
        };
        row(
            "API permissions > Microsoft Graph",
            &format!("{} ({kind})", permission.name),
        )
    }));
    rows.push(row("Admin consent", app.admin_consent.as_str()));
    rows.push(row("Certificates & secrets", app.credential));
    render::line(&render::table(&["app registration", ""], &rows));
    render::line("\nThen:");
    for (number, step) in app.then.iter().enumerate() {
        render::line(&format!("  {}. {step}", number + 1));
    }
    Ok(Exit::Success)
}

fn row(field: &str, value: &str) -> Vec<String> {
    vec![field.to_owned(), value.to_owned()]
}
