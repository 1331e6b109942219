//! The gateway's own secrets, read once from files that only their owner may read, or left in the modules that
//! keep them; and which of its signing keys may sign now.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use jjj_custody::Place;
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
    /// Signs a second line under the log's heads; and instead of `signing` what the gateway states, where
    /// `sm2_statements`.
    pub sm2: Option<Arc<SigningKey>>,
    /// Takes over from `sm2`.
    pub sm2_next: Option<Arc<SigningKey>>,
    pub sm2_statements: bool,
    /// Takes over as soon as `signing` is not in force any more.
    pub next: Option<Arc<SigningKey>>,
    pub master: Arc<MasterKey>,
}

impl GatewayKeys {
    /// Blocks while a module is asked.
    pub fn load(files: &Keys) -> Result<Self, ConfigError> {
        let optional = |member, place: &Option<Place>, algorithm| {
            place.as_ref().map(|place| signing_key(member, place, algorithm)).transpose()
        };
        let signing = signing_key("keys.signing", &files.signing, Algorithm::EdDsa)?;
        let next = optional("keys.next", &files.next, Algorithm::EdDsa)?;
        let sm2 = optional("keys.sm2_signing", &files.sm2_signing, Algorithm::Sm2)?;
        let sm2_next = optional("keys.sm2_next", &files.sm2_next, Algorithm::Sm2)?;
        let sm2_statements = files.sm2_statements;
        let text = read_secret("keys.master", &files.master)?;
        let mut secret = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), secret.as_mut())
            .map_err(|_| fault("keys.master", "must be 64 hexadecimal digits"))?;
        Ok(Self { signing, next, sm2, sm2_next, sm2_statements, master: Arc::new(MasterKey::new(&secret)) })
    }
}

fn signing_key(member: &'static str, place: &Place, algorithm: Algorithm) -> Result<Arc<SigningKey>, ConfigError> {
    let key = jjj_custody::load(place).map_err(|e| fault(member, e))?;
    match algorithm {
        expected if key.algorithm() == expected => Ok(Arc::new(key)),
        Algorithm::Sm2 => Err(fault(member, "must be a key of SM2")),
        _ => Err(fault(member, "must be an Ed25519 key: heads of the log are signed with it (C2SP)")),
    }
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

    /// The key of what the gateway states: receipts, recognition tokens, status lists. `None` also while no head
    /// could be signed, which would cover it.
    pub fn current(&self) -> Option<Arc<SigningKey>> {
        let head = self.head()?;
        if self.keys.sm2_statements && self.registry.is_some() { self.second() } else { Some(head) }
    }

    /// The key of the log's heads: the first of the gateway's Ed25519 keys here that is registered for it and in
    /// force.
    pub fn head(&self) -> Option<Arc<SigningKey>> {
        let Some(registry) = &self.registry else { return Some(self.keys.signing.clone()) };
        std::iter::once(&self.keys.signing).chain(&self.keys.next).find(|key| in_force(registry, key)).cloned()
    }

    /// The key of the second line under the log's heads, while it is in force; else the next one.
    pub fn second(&self) -> Option<Arc<SigningKey>> {
        let registry = self.registry.as_ref()?;
        self.keys.sm2.iter().chain(&self.keys.sm2_next).find(|key| in_force(registry, key)).cloned()
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
    jjj_custody::read_secret(path).map_err(|e| fault(member, e))
}

/// Random bytes, for nonces and keys. Commands take them as parameters.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
