//! The gateway's own secrets, read once from files that only their owner may read; and which of its
//! signing keys may sign now.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use jjj_domain::names::{Actor, Participant};
use jjj_domain::participant::KeyState;
use jjj_token::seal::MasterKey;
use jjj_token::{Algorithm, SigningKey};
use zeroize::Zeroizing;

use crate::config::{ConfigError, Keys, fault};
use crate::registry::Registry;
use crate::stop::{Stop, stopped};

/// The signing keys and the master key. Clones share them.
#[derive(Clone, Debug)]
pub struct GatewayKeys {
    pub signing: Arc<SigningKey>,
    /// Signs a second line under the log's heads.
    pub sm2: Option<Arc<SigningKey>>,
    /// Takes over as soon as `signing` is not in force any more.
    pub next: Option<Arc<SigningKey>>,
    pub master: Arc<MasterKey>,
}

impl GatewayKeys {
    pub fn load(files: &Keys) -> Result<Self, ConfigError> {
        let signing = signing_key("keys.signing", &files.signing)?;
        let sm2 = files.sm2_signing.as_deref().map(|file| signing_key("keys.sm2_signing", file)).transpose()?;
        if sm2.as_ref().is_some_and(|key| key.algorithm() != Algorithm::Sm2) {
            return Err(fault("keys.sm2_signing", "must be a key of SM2"));
        }
        let next = files.next.as_ref().map(|path| signing_key("keys.next", path)).transpose()?;
        let text = read_secret("keys.master", &files.master)?;
        let mut secret = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), secret.as_mut())
            .map_err(|_| fault("keys.master", "must be 64 hexadecimal digits"))?;
        Ok(Self { signing, next, sm2, master: Arc::new(MasterKey::new(&secret)) })
    }
}

fn signing_key(member: &'static str, path: &Path) -> Result<Arc<SigningKey>, ConfigError> {
    let pem = read_secret(member, path)?;
    SigningKey::from_pkcs8_pem(&pem).map(Arc::new).map_err(|e| fault(member, e))
}

/// The gateway's pen: asked each time before something is signed, so that a key that was retired or
/// withdrawn signs nothing any more from the moment its end is seen: at once where it was recorded, within a
/// second at other replicas.
#[derive(Clone)]
pub struct Signer {
    keys: GatewayKeys,
    /// Absent while the gateway is founded, before anything is registered.
    registry: Option<Arc<Registry>>,
}

impl Signer {
    pub fn new(keys: GatewayKeys, registry: Option<Arc<Registry>>) -> Self {
        Self { keys, registry }
    }

    /// The first of the gateway's keys here that is registered for it and in force.
    pub fn current(&self) -> Option<Arc<SigningKey>> {
        let Some(registry) = &self.registry else { return Some(self.keys.signing.clone()) };
        std::iter::once(&self.keys.signing).chain(&self.keys.next).find(|key| in_force(registry, key)).cloned()
    }

    /// The key of the second line under the log's heads, while it is in force.
    pub fn second(&self) -> Option<Arc<SigningKey>> {
        let registry = self.registry.as_ref()?;
        self.keys.sm2.iter().find(|key| in_force(registry, key)).cloned()
    }

    /// Says in the log when another key takes over, or none is left; until told to stop.
    pub(crate) async fn watch(self, mut stop: Stop) {
        let Some(registry) = self.registry.clone() else { return };
        let mut changes = registry.changes();
        let kid = |key: Option<Arc<SigningKey>>| key.map(|key| key.kid().to_owned());
        let mut signing = kid(self.current());
        loop {
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = stopped(&mut stop) => return,
            }
            let now = kid(self.current());
            if now != signing {
                let (was, now) = (signing.unwrap_or_default(), now.clone().unwrap_or_default());
                if now.is_empty() {
                    tracing::error!(was, "no signing key is in force: nothing is recorded or signed (docs/keys.md)");
                } else {
                    tracing::warn!(was, now, "another signing key from now on");
                }
            }
            signing = now;
        }
    }
}

fn in_force(registry: &Registry, key: &SigningKey) -> bool {
    let own = Actor::system(Participant::gateway());
    let view = registry.believed();
    let known = view.as_ref().and_then(|view| view.key(key.kid()));
    known.is_some_and(|known| known.holder == own && known.state == KeyState::Active)
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
