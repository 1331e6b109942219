//! Participants, authorities, keys and administrators in memory. The database is the
//! truth: read again when a leaf of these tables commits here, and every second for
//! what other replicas commit. A view that cannot be read again is believed for fifteen seconds.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use jjj_domain::names::{Actor, Participant, ParticipantKind};
use jjj_domain::participant::{AdministratorRow, AuthorityRow, KeyRow, KeyState, ParticipantRow, Standing};
use jjj_domain::row::Row;
use jjj_domain::time::Timestamp;
use jjj_store::{Session, Store, StoreError};
use jjj_token::{Jwk, VerifyingKey};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use tokio::sync::{Mutex, watch};

use crate::clock::Clock;
use crate::stop::{Stop, step, stopped};
use crate::tls::{Peer, provider};

/// How long another replica's change may go unseen.
const POLL: Duration = Duration::from_millis(900);
/// A view that could not be read again for this long is believed no more: who was suspended, or which key
/// was withdrawn since, is not known.
const BELIEVED_FOR: Duration = Duration::from_secs(15);
const READ_WITHIN: Duration = Duration::from_secs(5);
const PAGE: i64 = 1_000;
/// The tables that the view is made of.
const TABLES: [&str; 4] = ["participants", "authorities", "keys", "administrators"];

/// A public key as registered.
pub struct RegisteredKey {
    pub key: VerifyingKey,
    pub holder: Actor,
    pub state: KeyState,
}

/// The registry at one moment.
#[derive(Default)]
pub struct View {
    /// Grows with every change seen here; not the same on two replicas.
    version: u64,
    digest: u64,
    participants: HashMap<Participant, Standing>,
    administrators: HashMap<Actor, Standing>,
    keys: HashMap<String, RegisteredKey>,
    verifiers: HashMap<Participant, Arc<dyn ClientCertVerifier>>,
    any: Option<Arc<dyn ClientCertVerifier>>,
}

impl View {
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn key(&self, kid: &str) -> Option<&RegisteredKey> {
        self.keys.get(kid)
    }

    /// Keys that may sign, for the public key set.
    pub fn keys_in_force(&self) -> impl Iterator<Item = &RegisteredKey> {
        self.keys.values().filter(|k| k.state == KeyState::Active)
    }

    /// The gateway's own keys, in whatever state.
    pub fn own_keys(&self) -> impl Iterator<Item = &RegisteredKey> {
        let own = Actor::system(Participant::gateway());
        self.keys.values().filter(move |k| k.holder == own)
    }

    pub fn participant(&self, participant: &Participant) -> Option<Standing> {
        self.participants.get(participant).copied()
    }

    pub fn channels(&self) -> impl Iterator<Item = &Participant> {
        self.participants.keys().filter(|participant| participant.kind() == ParticipantKind::Channel)
    }

    pub fn administrator(&self, administrator: &Actor) -> Option<Standing> {
        self.administrators.get(administrator).copied()
    }

    /// Accepts a client certificate of any authority in force; `None` without one.
    pub(crate) fn any_authority(&self) -> Option<Arc<dyn ClientCertVerifier>> {
        self.any.clone()
    }

    /// Whether the peer's certificate chains to the participant's own authorities.
    pub(crate) fn chains_to(&self, peer: &Peer, participant: &Participant, now: UnixTime) -> bool {
        let wanted = (self.version, participant.clone());
        if peer.chained_to.lock().expect("no panic while held").as_ref() == Some(&wanted) {
            return true;
        }
        let Some(verifier) = self.verifiers.get(participant) else { return false };
        let good = verifier.verify_client_cert(&peer.chain[0], &peer.chain[1..], now).is_ok();
        if good {
            *peer.chained_to.lock().expect("no panic while held") = Some(wanted);
        }
        good
    }

    async fn read(store: &Store, now: Timestamp) -> jjj_store::Result<Self> {
        let mut session = store.read_apart().await?;
        let mut view = Self::default();
        let mut digest = DefaultHasher::new();
        for row in all::<ParticipantRow>(&mut session, &mut digest).await? {
            view.participants.insert(row.participant, row.standing);
        }
        for row in all::<AdministratorRow>(&mut session, &mut digest).await? {
            view.administrators.insert(row.administrator, row.standing);
        }
        for row in all::<KeyRow>(&mut session, &mut digest).await? {
            match Jwk::from_json(row.jwk.as_bytes()).and_then(|jwk| VerifyingKey::from_jwk(&jwk)) {
                Ok(key) => {
                    view.keys.insert(row.kid, RegisteredKey { key, holder: row.holder, state: row.state });
                }
                Err(error) => tracing::error!(kid = row.kid, %error, "a registered key cannot be read"),
            }
        }
        let mut roots: HashMap<Participant, RootCertStore> = HashMap::new();
        let mut any = RootCertStore::empty();
        for row in all::<AuthorityRow>(&mut session, &mut digest).await? {
            // A trust anchor's own end is nothing that a chain's verification looks at.
            let in_date = (row.not_before_us..=row.not_after_us).contains(&now);
            in_date.hash(&mut digest);
            if row.state != KeyState::Active || !in_date {
                continue;
            }
            let added = CertificateDer::from_pem_slice(row.certificate_pem.as_bytes()).is_ok_and(|certificate| {
                any.add(certificate.clone()).is_ok()
                    && roots
                        .entry(row.participant.clone())
                        .or_insert_with(RootCertStore::empty)
                        .add(certificate)
                        .is_ok()
            });
            if !added {
                tracing::error!(fingerprint = row.fingerprint, "a registered authority cannot be read");
            }
        }
        view.any = verifier(any);
        view.verifiers = roots.into_iter().filter_map(|(p, roots)| Some((p, verifier(roots)?))).collect();
        view.digest = digest.finish();
        Ok(view)
    }
}

fn verifier(roots: RootCertStore) -> Option<Arc<dyn ClientCertVerifier>> {
    // Fails without roots only.
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().ok()
}

async fn all<T: Row>(session: &mut Session, digest: &mut DefaultHasher) -> jjj_store::Result<Vec<T>> {
    let mut rows = Vec::new();
    let mut after = None;
    loop {
        let page = session.scan(T::spec(), after, PAGE).await?;
        let is_last = (page.len() as i64) < PAGE;
        after = page.last().map(|values| T::spec().key_of(values));
        for values in page {
            values.hash(digest);
            rows.push(T::from_values(values)?);
        }
        if is_last {
            return Ok(rows);
        }
    }
}

/// A view, and when it was last found to be what the database has.
struct Seen {
    view: Arc<View>,
    at: Instant,
}

/// The current view, and who waits for the next.
pub struct Registry {
    store: Store,
    clock: Clock,
    current: ArcSwap<Seen>,
    changed: watch::Sender<u64>,
    /// One reading at a time, or an older one could replace a newer.
    reading: Mutex<()>,
}

impl Registry {
    pub async fn load(store: &Store, clock: &Clock) -> jjj_store::Result<Arc<Self>> {
        let at = Instant::now();
        let view = Arc::new(View { version: 1, ..View::read(store, clock.now()).await? });
        let (changed, _) = watch::channel(1);
        Ok(Arc::new(Self {
            store: store.clone(),
            clock: clock.clone(),
            current: ArcSwap::from_pointee(Seen { view, at }),
            changed,
            reading: Mutex::new(()),
        }))
    }

    pub fn view(&self) -> Arc<View> {
        self.current.load().view.clone()
    }

    /// The view while it may be believed: what admits callers, and lets the gateway's own keys sign.
    pub fn believed(&self) -> Option<Arc<View>> {
        let seen = self.current.load();
        (seen.at.elapsed() < BELIEVED_FOR).then(|| seen.view.clone())
    }

    /// Wakes on every change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Whether writes to this table change the view.
    pub fn is_made_of(table: &str) -> bool {
        TABLES.contains(&table)
    }

    /// Reads the tables again.
    pub async fn refresh(&self) -> jjj_store::Result<()> {
        let _one = self.reading.lock().await;
        // A database that hangs must not keep every later change waiting behind this reading.
        let at = Instant::now();
        let read = tokio::time::timeout(READ_WITHIN, View::read(&self.store, self.clock.now())).await;
        let read = read.map_err(|_| StoreError::timed_out())??;
        let old = self.view();
        let (version, changed) = (old.version + 1, read.digest != old.digest);
        let view = if changed { Arc::new(View { version, ..read }) } else { old };
        self.current.store(Arc::new(Seen { view, at }));
        if changed {
            self.changed.send_replace(version);
        }
        Ok(())
    }

    /// As if the view could not be read again for too long.
    #[cfg(test)]
    pub(crate) fn lose_sight(&self) {
        let at = Instant::now().checked_sub(BELIEVED_FOR).expect("the machine has run for so long");
        self.current.store(Arc::new(Seen { view: self.view(), at }));
    }

    /// Polls until shutdown.
    pub async fn keep_current(self: Arc<Self>, mut stop: Stop) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = stopped(&mut stop) => return,
            }
            if let Some(Err(error)) = step("the registry", self.refresh()).await {
                tracing::warn!(
                    cause = crate::status::chain(&error),
                    "the registry could not be read; the last view stays for a while"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_view_that_cannot_be_read_again_is_not_believed_for_long() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", dir.path().join("jjj.db").display())).await.unwrap();
        store.migrate().await.unwrap();
        let registry = Registry::load(&store, &Clock::default()).await.unwrap();
        assert!(registry.believed().is_some());
        registry.lose_sight();
        assert!(registry.believed().is_none());
        registry.refresh().await.unwrap();
        assert!(registry.believed().is_some(), "read again, though nothing changed");
    }
}
