//! An identity folder: who signs, with which certificate and key. `jjj init`
//! writes one per participant and administrator; any client in any language can
//! use the same files.

use std::fs;
use std::path::{Path, PathBuf};

use jjj_token::suite::SigningKey;

/// `actor.txt`: the participant or administrator.
pub const ACTOR_FILE: &str = "actor.txt";
/// The TLS client certificate and its key.
pub const CERTIFICATE_FILE: &str = "tls-cert.pem";
pub const TLS_KEY_FILE: &str = "tls-key.pem";
/// The key that signs request tokens, PKCS#8 PEM; its public JWK stands beside it.
pub const SIGNING_KEY_FILE: &str = "signing-key.pem";
pub const PUBLIC_JWK_FILE: &str = "signing-key.jwk.json";
/// The authority of the gateway's server certificate.
pub const GATEWAY_CA_FILE: &str = "gateway-ca.pem";

/// A loaded identity.
pub struct Identity {
    pub actor: String,
    pub certificate_pem: String,
    pub tls_key_pem: String,
    pub gateway_ca_pem: String,
    pub signing: SigningKey,
    /// SHA-256 of the certificate's DER: what request tokens are bound to.
    pub certificate_sha256: [u8; 32],
}

/// Why an identity folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} holds no usable {what}")]
    Unusable { path: PathBuf, what: &'static str },
}

impl Identity {
    /// Reads an identity folder.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        Self::load_with(dir, None)
    }

    /// Reads an identity folder whose signing key is kept elsewhere, where one is given.
    pub fn load_with(dir: &Path, signing: Option<SigningKey>) -> Result<Self, IdentityError> {
        let read = |file: &str| {
            let path = dir.join(file);
            fs::read_to_string(&path).map_err(|source| IdentityError::Read { path, source })
        };
        let unusable = |file: &str, what| IdentityError::Unusable { path: dir.join(file), what };
        let certificate_pem = read(CERTIFICATE_FILE)?;
        let certificate_sha256 =
            certificate_sha256(&certificate_pem).ok_or_else(|| unusable(CERTIFICATE_FILE, "certificate"))?;
        let signing = match signing {
            Some(signing) => signing,
            None => SigningKey::from_pkcs8_pem(&read(SIGNING_KEY_FILE)?)
                .map_err(|_| unusable(SIGNING_KEY_FILE, "signing key"))?,
        };
        Ok(Self {
            actor: read(ACTOR_FILE)?.trim().to_owned(),
            tls_key_pem: read(TLS_KEY_FILE)?,
            gateway_ca_pem: read(GATEWAY_CA_FILE)?,
            certificate_pem,
            certificate_sha256,
            signing,
        })
    }
}

fn certificate_sha256(pem: &str) -> Option<[u8; 32]> {
    use rustls_pki_types::CertificateDer;
    use rustls_pki_types::pem::PemObject;
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    Some(jjj_token::thumbprint::certificate_sha256(&der))
}
