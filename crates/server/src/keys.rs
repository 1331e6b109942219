//! The gateway's own secrets, read once from files that only their owner may read.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use jjj_token::seal::MasterKey;
use jjj_token::{Algorithm, SigningKey};
use zeroize::Zeroizing;

use crate::config::{ConfigError, Keys, fault};

/// The signing keys and the master key. Clones share them.
#[derive(Clone, Debug)]
pub struct GatewayKeys {
    pub signing: Arc<SigningKey>,
    /// Signs a second line under the log's heads.
    pub sm2: Option<Arc<SigningKey>>,
    pub master: Arc<MasterKey>,
}

impl GatewayKeys {
    pub fn load(files: &Keys) -> Result<Self, ConfigError> {
        let signing = signing_key("keys.signing", &files.signing)?;
        let sm2 = files.sm2_signing.as_deref().map(|file| signing_key("keys.sm2_signing", file)).transpose()?;
        if sm2.as_ref().is_some_and(|key| key.algorithm() != Algorithm::Sm2) {
            return Err(fault("keys.sm2_signing", "must be a key of SM2"));
        }
        let text = read_secret("keys.master", &files.master)?;
        let mut secret = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), secret.as_mut())
            .map_err(|_| fault("keys.master", "must be 64 hexadecimal digits"))?;
        Ok(Self { signing: Arc::new(signing), sm2: sm2.map(Arc::new), master: Arc::new(MasterKey::new(&secret)) })
    }
}

fn signing_key(member: &'static str, file: &Path) -> Result<SigningKey, ConfigError> {
    SigningKey::from_pkcs8_pem(&read_secret(member, file)?).map_err(|e| fault(member, e))
}

/// Reads a file that nobody but its owner may read.
pub fn read_secret(member: &'static str, path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    let named = |e: std::io::Error| fault(member, format!("{}: {e}", path.display()));
    let mode = std::fs::metadata(path).map_err(named)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(fault(member, format!("{} has mode {mode:04o}; it must be 0600", path.display())));
    }
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(named)
}

/// Random bytes, for nonces and keys. Commands take them as parameters.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
