//! Whom TLS trusts: the system's authorities, and those of a connection's own file.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;

/// Authorities to trust beside the system's.
pub(crate) type Authorities = Vec<CertificateDer<'static>>;

/// Reads a file of PEM certificates.
///
/// # Errors
/// What is wrong with it, with its path.
pub(crate) fn read_ca_file(path: &Path) -> Result<Authorities, String> {
    let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let found = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Authorities, _>>()
        .map_err(|error| format!("{}: not a PEM file: {error}", path.display()))?;
    if found.is_empty() {
        return Err(format!(
            "{}: no certificate in it; it must be PEM, with lines that read BEGIN CERTIFICATE",
            path.display()
        ));
    }
    for (at, certificate) in found.iter().enumerate() {
        RootCertStore::empty()
            .add(certificate.clone())
            .map_err(|error| {
                format!(
                    "{}: certificate {} is not valid: {error}",
                    path.display(),
                    at + 1
                )
            })?;
    }
    Ok(found)
}

/// TLS 1.2 and 1.3 with ring, HTTP/2 preferred.
pub(super) fn config(authorities: &Authorities) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier::new_with_extra_roots(authorities.iter().cloned(), Arc::clone(&provider))
        .map_err(|error| {
            format!(
                "TLS has nobody to trust: {error}; install the system's certificates (Debian: apt-get install ca-certificates)"
            )
        })?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        // rustls calls every verifier but its own so; this one is the system's.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
