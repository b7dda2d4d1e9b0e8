//! What Entra's numbers mean, and what to do about each (Entra: reference-error-codes.md).

use super::AuthErrorClass;

/// What a number means: class, message and remedy. `{…}` are the members of [`Subject`].
pub(super) type Row = (&'static [u32], AuthErrorClass, &'static str, &'static str);

pub(super) const AUTHORIZE: &str =
    "run `docket connections authorize {connection}{user}` and sign in as {account}";
pub(super) const CONSENT: &str = "ask an administrator to open {authority}/{tenant}/adminconsent?client_id={client_id} and agree, then run `docket connections authorize {connection}{user}`";
pub(super) const NEW_SECRET: &str = "in the Entra admin center open App registrations, the application {client_id}, Certificates & secrets, New client secret; copy its Value, and give it to `docket connections rotate-secret {connection}`";
pub(super) const ADMIN: &str = "ask an administrator of {tenant} to allow it";
pub(super) const CHECK: &str = "check connections.{connection} in docket.yaml against the application's registration in Entra ID";
pub(super) const LATER: &str = "nothing to do: it is tried again";

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = {
    use AuthErrorClass::*;
    &[
    (&[50173, 700082, 70008, 700084, 50089, 70000, 70043], SignInRequired,
        "the sign-in of {account} has ended", AUTHORIZE),
    (&[50055, 50132, 50133, 50144], SignInRequired,
        "the password of {account} has expired or was changed", AUTHORIZE),
    (&[50076, 50079, 50074, 50072, 50078, 50158], SignInRequired,
        "the directory asks {account} for a stronger sign-in", AUTHORIZE),
    (&[50196], SignInRequired,
        "the sign-in service refuses {account} for asking too often", "wait some minutes, then run `docket connections authorize {connection}{user}`"),
    (&[54005, 501481, 700005], SignInRequired,
        "the sign-in's code was not accepted", AUTHORIZE),
    (&[50057], Blocked,
        "the account {account} is disabled", "ask an administrator of {tenant} to enable it, then run `docket connections authorize {connection}{user}`"),
    (&[50053], Blocked,
        "the account {account} is locked", "wait, or ask an administrator of {tenant} to unlock it"),
    (&[53000, 53001, 53003, 530032, 530035], Blocked,
        "a conditional access policy of {tenant} blocks {account}", ADMIN),
    (&[50105], Blocked,
        "{account} is not assigned to the application {client_id}", "ask an administrator to assign it in Entra ID (Enterprise applications, Users and groups)"),
    (&[65004], ConsentRequired,
        "the consent was declined", AUTHORIZE),
    (&[65001, 90094, 90095, 650052, 650056, 650057], ConsentRequired,
        "nobody has agreed to what the application {client_id} asks for", CONSENT),
    // Entra's own words (Entra: reference-error-codes.md), so that they can be searched for.
    (&[7000222], Credential,
        "the client secret of {connection} has expired: AADSTS7000222: The provided client secret keys for app '{client_id}' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds.", NEW_SECRET),
    (&[7000215, 70002], Credential,
        "the client secret of {connection} is wrong; perhaps it is the secret's id and not its value", NEW_SECRET),
    (&[7000218], Credential,
        "the application {client_id} needs a client secret, and {connection} has none; for device codes, public client flows must be allowed instead", NEW_SECRET),
    (&[700027, 50012, 50013, 50048, 700030, 700023], Credential,
        "the sign-in service does not accept the certificate of {connection}", "upload the certificate to the application {client_id} in the Entra admin center (App registrations, Certificates & secrets, Certificates), and see that it has not expired"),
    (&[700024, 500133], Host,
        "the sign-in service finds the times of {connection}'s certificate assertion wrong: this machine's clock is off", "set the clock of this machine; it may be off by 5 minutes at most"),
    (&[700025], Configuration,
        "the application {client_id} is a public client and takes no client secret", "register its redirect as Web in Entra ID (Authentication)"),
    (&[700016, 700011, 7000112, 70001], Configuration,
        "the directory {tenant} does not know the application {client_id}, or has disabled it", CHECK),
    (&[90002, 50059, 90019, 50194], Configuration,
        "the sign-in service does not know the directory {tenant}", CHECK),
    (&[70011, 28002, 700022, 500011, 50001], Configuration,
        "a scope is asked for that does not exist", CHECK),
    (&[50011, 900971], Configuration,
        "the redirect is not registered", "add the redirect URI (`http://localhost/callback`, or the connection's redirect-uri) to the application {client_id} in Entra ID (Authentication, platform Web)"),
    (&[9001023], Configuration,
        "an application cannot sign in without a directory", "write the directory's id or domain as tenant of connections.{connection} in docket.yaml"),
    (&[90033, 50033, 90006, 90024, 90012, 90055], Transient,
        "the sign-in service is not available", LATER),
    ]
};
