//! The tenant's own certificate authority and the server certificate for `localhost`.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls_pki_types::PrivateKeyDer;

use crate::error::TenantError;

/// A fresh authority with a certificate that it issued.
pub(crate) struct Identity {
    /// The authority's certificate, for clients to trust.
    pub(crate) ca_pem: String,
    /// What the listeners serve with.
    pub(crate) server: Arc<ServerConfig>,
}

/// Makes a new authority and a certificate for `localhost` and `127.0.0.1`.
pub(crate) fn issue() -> Result<Identity, TenantError> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.distinguished_name
        .push(DnType::CommonName, "Docket simulated tenant CA");
    let ca_certificate = ca.self_signed(&ca_key)?;
    let ca_pem = ca_certificate.pem();
    let issuer = Issuer::new(ca, ca_key);

    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    leaf.distinguished_name
        .push(DnType::CommonName, "localhost");
    leaf.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    leaf.use_authority_key_identifier_extension = true;
    let certificate = leaf.signed_by(&key, &issuer)?;
    let private = PrivateKeyDer::try_from(key.serialize_der())
        .map_err(|reason| TenantError::Key(reason.to_owned()))?;

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Identity {
        ca_pem,
        server: Arc::new(server),
    })
}
