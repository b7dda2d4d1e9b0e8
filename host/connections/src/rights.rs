//! The PowerShell that gives an account, or an application, its rights on mailboxes in Exchange.
//!
//! Everything that comes from outside stands in single quotes, in which PowerShell reads nothing but
//! quotes (about_Quoting_Rules); those are doubled, also the typographic ones that it takes for quotes.

use std::fmt::Write as _;

use docket_model::{Cloud, ConnectionKind};

use crate::registry::{Connections, UnknownConnection};

/// Who gets the rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acting<'a> {
    /// An account that signs in: Full Access and Send As.
    Account(&'a str),
    /// An application: RBAC for Applications, limited to the mailboxes.
    Application {
        /// Its application (client) id.
        client_id: &'a str,
        /// What its scope in Exchange is called after.
        name: &'a str,
        /// Its permissions in Graph's words, such as `Mail.Send`.
        permissions: &'a [String],
    },
}

/// The script. The mailboxes are addresses; the account's own needs no rights and is left out.
#[must_use]
pub fn rights_script(cloud: Cloud, acting: Acting<'_>, mailboxes: &[String]) -> String {
    let mut script = String::from(
        "# Needs the module ExchangeOnlineManagement (Install-Module ExchangeOnlineManagement)\n\
         # and an Exchange administrator.\n",
    );
    // Writing to a string cannot fail.
    let _ = match environment(cloud) {
        None => writeln!(script, "Connect-ExchangeOnline"),
        Some(name) => writeln!(
            script,
            "Connect-ExchangeOnline -ExchangeEnvironmentName {name}"
        ),
    };
    match acting {
        Acting::Account(account) => {
            let is_other = |mailbox: &&String| mailbox.to_lowercase() != account.to_lowercase();
            let account = quoted(account);
            for mailbox in mailboxes.iter().filter(is_other) {
                let mailbox = quoted(mailbox);
                let _ = writeln!(
                    script,
                    "Add-MailboxPermission -Identity {mailbox} -User {account} -AccessRights FullAccess -InheritanceType All -AutoMapping $false\n\
                     Add-RecipientPermission -Identity {mailbox} -Trustee {account} -AccessRights SendAs -Confirm:$false"
                );
            }
        }
        Acting::Application {
            client_id,
            name,
            permissions,
        } => application(&mut script, cloud, client_id, name, permissions, mailboxes),
    }
    script.push_str("Disconnect-ExchangeOnline -Confirm:$false\n");
    script
}

fn application(
    script: &mut String,
    cloud: Cloud,
    client_id: &str,
    name: &str,
    permissions: &[String],
    mailboxes: &[String],
) {
    let name = quoted(&format!("Docket {name}"));
    let id = quoted(client_id);
    let filter = mailboxes
        .iter()
        .map(|mailbox| format!("PrimarySmtpAddress -eq {}", quoted(mailbox)))
        .collect::<Vec<_>>()
        .join(" -or ");
    let connect = match graph_environment(cloud) {
        None => String::new(),
        Some(name) => format!(" -Environment {name}"),
    };
    let app_filter = quoted(&format!("appId eq {}", quoted(client_id)));
    let _ = writeln!(
        script,
        "# The enterprise application's object id; needs the module Microsoft.Graph.Applications.\n\
         Connect-MgGraph -Scopes 'Application.Read.All'{connect}\n\
         $app = Get-MgServicePrincipal -Filter {app_filter}\n\
         New-ServicePrincipal -AppId {id} -ObjectId $app.Id -DisplayName {name}\n\
         New-ManagementScope -Name {name} -RecipientRestrictionFilter {}",
        quoted(&filter)
    );
    for permission in permissions.iter().filter(|one| one.starts_with("Mail")) {
        let role = quoted(&format!("Application {permission}"));
        let _ = writeln!(
            script,
            "New-ManagementRoleAssignment -App $app.Id -Role {role} -CustomResourceScope {name}"
        );
    }
    for mailbox in mailboxes {
        let _ = writeln!(
            script,
            "Test-ServicePrincipalAuthorization -Identity $app.Id -Resource {}",
            quoted(mailbox)
        );
    }
    script.push_str(
        "# Then remove the application's Mail permissions in Entra ID (API permissions): what is granted\n\
         # there without a limit counts as well. It takes up to two hours until all of this holds.\n",
    );
}

/// A text as one argument.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("'");
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        // U+2018 to U+201B end such a string as the plain one does.
        if matches!(letter, '\'' | '\u{2018}'..='\u{201b}') {
            quoted.push(letter);
        }
        quoted.push(letter);
    }
    quoted.push('\'');
    quoted
}

const fn environment(cloud: Cloud) -> Option<&'static str> {
    match cloud {
        Cloud::Global => None,
        Cloud::UsGov => Some("O365USGovGCCHigh"),
        Cloud::UsGovDod => Some("O365USGovDoD"),
        Cloud::China => Some("O365China"),
    }
}

const fn graph_environment(cloud: Cloud) -> Option<&'static str> {
    match cloud {
        Cloud::Global => None,
        Cloud::UsGov => Some("USGov"),
        Cloud::UsGovDod => Some("USGovDoD"),
        Cloud::China => Some("China"),
    }
}

impl Connections {
    /// [`rights_script`] for a connection and all of its mailboxes. `permissions` are those of
    /// [`Connections::scopes`]; they count for app-only connections. Empty for per-user ones, whose
    /// users have rights of their own.
    ///
    /// # Errors
    /// When there is no connection of that name.
    pub fn rights_script(
        &self,
        connection: &str,
        permissions: &[String],
    ) -> Result<String, UnknownConnection> {
        let spec = &self.get(connection)?.spec;
        let mailboxes = spec.mailboxes.as_deref().unwrap_or_default();
        let acting = match (spec.kind, &spec.account) {
            (ConnectionKind::AppOnly, _) => Acting::Application {
                client_id: &spec.client_id,
                name: connection,
                permissions,
            },
            (_, Some(account)) => Acting::Account(account),
            (_, None) => return Ok(String::new()),
        };
        Ok(rights_script(spec.cloud, acting, mailboxes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a script says once its quoted texts are taken out, as PowerShell reads them.
    fn code(script: &str) -> String {
        let mut code = String::new();
        let mut is_quoted = false;
        let lines = script.split_inclusive('\n');
        let lines = lines.filter(|line| !line.starts_with('#'));
        for letter in lines.flat_map(str::chars) {
            match letter {
                '\'' | '\u{2018}'..='\u{201b}' => is_quoted = !is_quoted,
                _ if !is_quoted => code.push(letter),
                _ => {}
            }
        }
        assert!(!is_quoted, "a quote is left open: {script}");
        code
    }

    #[test]
    fn an_account_gets_its_rights() {
        let mailboxes = ["contracts@contoso.example", "SVC@contoso.example"].map(str::to_owned);
        let script = rights_script(
            Cloud::UsGov,
            Acting::Account("svc@contoso.example"),
            &mailboxes,
        );
        for line in [
            "Connect-ExchangeOnline -ExchangeEnvironmentName O365USGovGCCHigh\n",
            "Add-MailboxPermission -Identity 'contracts@contoso.example' -User 'svc@contoso.example' -AccessRights FullAccess -InheritanceType All -AutoMapping $false\n",
            "Add-RecipientPermission -Identity 'contracts@contoso.example' -Trustee 'svc@contoso.example' -AccessRights SendAs -Confirm:$false\n",
        ] {
            assert!(script.contains(line), "{script}");
        }
        assert!(!script.contains("SVC@"), "its own mailbox needs no right");
    }

    #[test]
    fn an_application_is_limited_to_its_mailboxes() {
        let acting = Acting::Application {
            client_id: "app-id",
            name: "robot",
            permissions: &["Mail.Send".to_owned(), "User.Read.All".to_owned()],
        };
        let script = rights_script(
            Cloud::Global,
            acting,
            &["a@x.example".to_owned(), "o'b@x.example".to_owned()],
        );
        for line in [
            "Get-MgServicePrincipal -Filter 'appId eq ''app-id'''\n",
            "New-ServicePrincipal -AppId 'app-id' -ObjectId $app.Id -DisplayName 'Docket robot'\n",
            "New-ManagementScope -Name 'Docket robot' -RecipientRestrictionFilter 'PrimarySmtpAddress -eq ''a@x.example'' -or PrimarySmtpAddress -eq ''o''''b@x.example'''\n",
            "New-ManagementRoleAssignment -App $app.Id -Role 'Application Mail.Send' -CustomResourceScope 'Docket robot'\n",
        ] {
            assert!(script.contains(line), "{script}");
        }
        assert!(!script.contains("User.Read"), "{script}");
    }

    #[test]
    fn nothing_breaks_out_of_its_quotes() {
        let plain = ["a@x.example".to_owned()];
        let (account, app) = ("svc@x.example", ["Mail.Send".to_owned()]);
        let evil = [
            "a'; Remove-Mailbox x; '@x.example",
            "a\u{2019}; Remove-Mailbox x; \u{2018}@x.example",
            "a\u{201b}+$(Remove-Mailbox x)+\u{201a}@x.example",
            "a\nRemove-Mailbox x\n@x.example",
            "$(Remove-Mailbox x)`n@x.example",
        ];
        for text in evil {
            let others = [text.to_owned()];
            let as_app = |client_id, mailboxes: &[String]| {
                let acting = Acting::Application {
                    client_id,
                    name: "robot",
                    permissions: &app,
                };
                rights_script(Cloud::Global, acting, mailboxes)
            };
            for (script, expected) in [
                (
                    rights_script(Cloud::Global, Acting::Account(account), &others),
                    rights_script(Cloud::Global, Acting::Account(account), &plain),
                ),
                (
                    rights_script(Cloud::Global, Acting::Account(text), &plain),
                    rights_script(Cloud::Global, Acting::Account(account), &plain),
                ),
                (as_app("id", &others), as_app("id", &plain)),
                (as_app(text, &plain), as_app("id", &plain)),
            ] {
                assert_eq!(code(&script), code(&expected), "{script}");
            }
        }
    }
}
