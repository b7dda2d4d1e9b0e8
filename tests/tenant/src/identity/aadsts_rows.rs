//! The numbers of the sign-in service: the rows that clients meet (reference-error-codes.md).

/// Number, OAuth error, text. Which error goes with which number is field knowledge.
pub(crate) const ROWS: &[(u32, &str, &str)] = &[
    // The sign-in is over.
    (
        50173,
        "invalid_grant",
        "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password.",
    ),
    (
        700_082,
        "invalid_grant",
        "The refresh token has expired due to inactivity. The token was inactive for 90.00:00:00.",
    ),
    (
        70008,
        "invalid_grant",
        "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource.",
    ),
    (
        700_084,
        "invalid_grant",
        "The refresh token was issued to a single page app (SPA), and therefore has a fixed, limited lifetime of 1.00:00:00, which can't be extended.",
    ),
    (
        50089,
        "invalid_grant",
        "Authentication failed due to flow token expired.",
    ),
    (
        70000,
        "invalid_grant",
        "Provided grant is invalid or malformed.",
    ),
    (
        70043,
        "invalid_grant",
        "The refresh token has expired or is invalid due to sign-in frequency checks by conditional access.",
    ),
    (
        54005,
        "invalid_grant",
        "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.",
    ),
    (
        501_481,
        "invalid_grant",
        "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
    ),
    (
        700_005,
        "invalid_grant",
        "The provided authorization code is intended to use against other tenant, thus rejected.",
    ),
    (
        500_112,
        "invalid_grant",
        "The reply address does not match the reply address provided when requesting Authorization code.",
    ),
    (
        50196,
        "invalid_grant",
        "The server terminated an operation because it encountered a client request loop. Please contact your app vendor.",
    ),
    // Password and account.
    (50055, "invalid_grant", "The password is expired."),
    (
        50126,
        "invalid_grant",
        "Error validating credentials due to invalid username or password.",
    ),
    (
        50132,
        "invalid_grant",
        "The session is not valid due to the following reasons: password expiration or recent password change, SSO Artifact is invalid or expired, session is not fresh enough for application, or a silent sign-in request was sent but the user's session with Microsoft Entra ID is invalid or has expired.",
    ),
    (
        50133,
        "invalid_grant",
        "Session is invalid due to expiration or recent password change.",
    ),
    (
        50144,
        "invalid_grant",
        "User's Active Directory password has expired.",
    ),
    (50057, "invalid_grant", "The user account is disabled."),
    (
        50053,
        "invalid_grant",
        "The account is locked, you've tried to sign in too many times with an incorrect user ID or password.",
    ),
    (
        50034,
        "invalid_grant",
        "The user account does not exist in the directory.",
    ),
    (
        50058,
        "login_required",
        "A silent sign-in request was sent but no user is signed in.",
    ),
    (
        16000,
        "interaction_required",
        "Multiple accounts are signed in; the user must choose one.",
    ),
    // Stronger sign-in.
    (
        50076,
        "interaction_required",
        "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access '00000003-0000-0000-c000-000000000000'.",
    ),
    (
        50079,
        "interaction_required",
        "Due to a configuration change made by your administrator, or because you moved to a new location, you must enroll in multi-factor authentication to access '00000003-0000-0000-c000-000000000000'.",
    ),
    (
        50074,
        "interaction_required",
        "Strong Authentication is required.",
    ),
    (
        50072,
        "interaction_required",
        "User needs to enroll for second factor authentication (interactive).",
    ),
    (
        50078,
        "invalid_grant",
        "Presented multi-factor authentication has expired due to policies configured by your administrator, you must refresh your multi-factor authentication to access '00000003-0000-0000-c000-000000000000'.",
    ),
    (
        50158,
        "interaction_required",
        "External security challenge not satisfied. User will be redirected to another page or authentication provider to satisfy additional authentication challenges.",
    ),
    // Consent.
    (
        65001,
        "invalid_grant",
        "The user or administrator has not consented to use the application. Send an interactive authorization request for this user and resource.",
    ),
    (
        65004,
        "access_denied",
        "User declined to consent to access the app.",
    ),
    (
        90094,
        "consent_required",
        "An administrator of the tenant has set a policy that prevents you from granting the application the permissions it is requesting. Admin consent is required.",
    ),
    (
        90095,
        "consent_required",
        "Admin consent is required for the permissions requested by this application. An admin consent request may be sent to the admin.",
    ),
    (
        650_052,
        "consent_required",
        "The app is trying to access a service that your organization lacks a service principal for.",
    ),
    (
        650_056,
        "invalid_client",
        "Misconfigured application. This could be due to one of the following: the client has not listed any permissions for the resource in the requested permissions in the client's application registration.",
    ),
    (
        650_057,
        "invalid_resource",
        "Invalid resource. The client has requested access to a resource which is not listed in the requested permissions in the client's application registration.",
    ),
    // Policy.
    (
        53000,
        "invalid_grant",
        "Device is not in required device state: compliant. Conditional Access policy requires a compliant device, and the device is not compliant.",
    ),
    (
        53001,
        "invalid_grant",
        "Device is not in required device state: domain_joined.",
    ),
    (
        53003,
        "invalid_grant",
        "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
    ),
    (
        530_032,
        "access_denied",
        "Blocked by security policy: the tenant admin has configured a security policy that blocks this request.",
    ),
    (
        530_035,
        "access_denied",
        "Access has been blocked by security defaults.",
    ),
    (
        50105,
        "invalid_grant",
        "Your administrator has configured the application to block users unless they are specifically granted ('assigned') access to the application.",
    ),
    // The client's credential.
    (
        7_000_222,
        "invalid_client",
        "The provided client secret keys for the app are expired. Visit the Azure portal to create new keys for your app, or consider using certificate credentials for added security.",
    ),
    (
        7_000_215,
        "invalid_client",
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to the app.",
    ),
    (70002, "invalid_client", "Error validating credentials."),
    (
        7_000_218,
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    (
        700_025,
        "invalid_client",
        "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
    ),
    (
        700_027,
        "invalid_client",
        "The certificate with identifier used to sign the client assertion is not registered on application.",
    ),
    (
        50012,
        "invalid_client",
        "Authentication failed: the client assertion is invalid.",
    ),
    (
        50013,
        "invalid_client",
        "Assertion failed signature validation.",
    ),
    (
        500_133,
        "invalid_client",
        "Assertion is not within its valid time range. Ensure that the assertion is used only within its valid time range.",
    ),
    (
        50048,
        "invalid_client",
        "Subject doesn't match the client assertion's issuer.",
    ),
    (
        700_030,
        "invalid_client",
        "Invalid certificate: subject name in certificate isn't authorized.",
    ),
    (
        700_024,
        "invalid_client",
        "Client assertion is not within its valid time range.",
    ),
    (
        700_023,
        "invalid_client",
        "Client assertion audience claim does not match the endpoint.",
    ),
    // The app.
    (
        700_016,
        "unauthorized_client",
        "Application was not found in the directory. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant.",
    ),
    (
        700_011,
        "unauthorized_client",
        "Application was not found in the directory.",
    ),
    (7_000_112, "unauthorized_client", "Application is disabled."),
    (70001, "unauthorized_client", "The application is disabled."),
    (
        700_038,
        "unauthorized_client",
        "The application identifier is not valid.",
    ),
    (
        70003,
        "unsupported_grant_type",
        "The app returned an unsupported grant type.",
    ),
    // The tenant.
    (90002, "invalid_request", "Tenant not found."),
    (
        50059,
        "invalid_request",
        "No tenant-identifying information found in either the request or implied by any provided credentials.",
    ),
    (
        90019,
        "invalid_request",
        "No tenant-identifying information found in either the request or implied by any provided credentials.",
    ),
    (
        50194,
        "invalid_request",
        "Application is not configured as a multi-tenant application. Usage of the /common endpoint is not supported for such apps created after '10/15/2018'. Use a tenant-specific endpoint or configure the application to be multi-tenant.",
    ),
    (
        9_002_346,
        "invalid_request",
        "Application is configured for use by Microsoft Entra users only. Please do not use the /consumers endpoint to serve this request.",
    ),
    (
        9_001_023,
        "invalid_request",
        "The grant type is not supported over the /common or /consumers endpoints. Please use the /organizations or tenant-specific endpoint.",
    ),
    // Scope and resource.
    (
        70011,
        "invalid_scope",
        "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid.",
    ),
    (
        28002,
        "invalid_scope",
        "Provided value for the input parameter scope is not valid when requesting an access token.",
    ),
    (
        700_022,
        "invalid_scope",
        "Invalid value provided for the input parameter scope.",
    ),
    (
        1_002_012,
        "invalid_scope",
        "The provided value for scope is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).",
    ),
    (
        500_011,
        "invalid_resource",
        "The resource principal was not found in the tenant. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant.",
    ),
    (
        50001,
        "invalid_resource",
        "The resource is disabled or doesn't exist.",
    ),
    // Redirects, shown in the browser.
    (
        50011,
        "invalid_request",
        "The redirect URI specified in the request does not match the redirect URIs configured for the application. Make sure the redirect URI sent in the request matches one added to your application in the Azure portal.",
    ),
    (900_971, "invalid_request", "No reply address provided."),
    (
        900_144,
        "invalid_request",
        "The request body must contain a required parameter that is missing.",
    ),
    (
        900_023,
        "invalid_request",
        "Specified tenant identifier is neither a valid DNS name, nor a valid external domain.",
    ),
    (
        700_054,
        "unsupported_response_type",
        "response_type is not enabled for the application.",
    ),
    (
        9_002_325,
        "invalid_request",
        "Proof Key for Code Exchange is required for cross-origin authorization code redemption.",
    ),
    // Device code.
    (
        70016,
        "authorization_pending",
        "OAuth 2.0 device flow error. Authorization is pending. Continue polling.",
    ),
    (
        70018,
        "bad_verification_code",
        "Invalid verification code due to User typing in wrong user code for device code flow.",
    ),
    (70019, "expired_token", "Verification code expired."),
    (
        70020,
        "expired_token",
        "The provided value for the input parameter 'device_code' is not valid. This device code has expired.",
    ),
    (
        650_058,
        "authorization_declined",
        "The end user denied the authorization request.",
    ),
    // Transient.
    (
        90033,
        "temporarily_unavailable",
        "A transient error has occurred. Please try again.",
    ),
    (
        50033,
        "temporarily_unavailable",
        "A transient error has occurred. Please try again.",
    ),
    (90006, "server_error", "Service temporarily unavailable."),
    (
        90024,
        "temporarily_unavailable",
        "A transient error has occurred. Please try again.",
    ),
    (90012, "server_error", "The request has timed out."),
    (
        90055,
        "temporarily_unavailable",
        "The server terminated an operation because it encountered too many requests.",
    ),
];
