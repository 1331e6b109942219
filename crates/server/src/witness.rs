//! `jjj witness`: one region's memory of the log (c2sp.org/tlog-witness). It remembers the last head of
//! each log it was told about, on disk before it signs, and cosigns only what extends that.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jjj_token::note::{CosignatureVerifier, NoteError, NoteVerifier};
use jjj_token::witness::{AddCheckpoint, Head, MAX_REQUEST_LEN, WitnessError, origin_unverified};
use jjj_token::{SignError, SigningKey};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::accept::{CONNECTIONS, Entrance};
use crate::clock::Clock;
use crate::config::{ConfigError, TlsListener};
use crate::status::chain;

/// One request, its handshake included.
const LIFE: Duration = Duration::from_secs(30);
/// How long its memory and its key are waited for.
const ANSWERS_WITHIN: Duration = jjj_custody::WITHIN;
const STATE_FILE: &str = "heads.json";
const LOCK_FILE: &str = "lock";

/// What a witness is told.
pub struct Config {
    /// Its name, a key name of C2SP notes: no space, no plus.
    pub name: String,
    /// An Ed25519 key of its own, used for nothing else.
    pub key: SigningKey,
    /// The logs it knows.
    pub logs: Vec<NoteVerifier>,
    /// A folder that only this witness uses; what it remembers.
    pub state: PathBuf,
    pub tls: TlsListener,
}

/// Why a witness does not work.
#[derive(Debug, thiserror::Error)]
pub enum WitnessFault {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Key(#[from] NoteError),
    #[error("{}: {problem}", path.display())]
    State { path: PathBuf, problem: String },
    #[error("the state folder is another witness's: only one process may remember")]
    Locked,
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: std::io::Error },
}

/// What it remembers, and the key that says so.
pub struct Witness {
    name: String,
    key: SigningKey,
    logs: Vec<NoteVerifier>,
    state: PathBuf,
    heads: Mutex<BTreeMap<String, Head>>,
    clock: Clock,
    /// Held as long as this lives.
    _lock: File,
}

/// Refused, or not able to remember.
#[derive(Debug)]
pub enum Answer {
    /// Signature lines, each ending in a newline.
    Cosigned(String),
    Refused(WitnessError),
    Failed,
    /// The module that keeps the key does not answer now.
    Unreachable,
}

impl Witness {
    /// Reads what it remembers and locks the folder.
    pub fn open(config: Config, clock: Clock) -> Result<Self, WitnessFault> {
        // The name is checked where it is first needed: here.
        CosignatureVerifier::new(&config.name, config.key.verifying_key())?;
        let fault = |path: &Path, problem: String| WitnessFault::State { path: path.to_owned(), problem };
        fs::create_dir_all(&config.state).map_err(|e| fault(&config.state, e.to_string()))?;
        let lock_path = config.state.join(LOCK_FILE);
        let lock = File::create(&lock_path).map_err(|e| fault(&lock_path, e.to_string()))?;
        lock.try_lock().map_err(|_| WitnessFault::Locked)?;
        let path = config.state.join(STATE_FILE);
        let heads = match fs::read(&path) {
            Ok(bytes) => {
                read_heads(&bytes).ok_or_else(|| fault(&path, "is damaged: restore it; never start anew".into()))?
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(e) => return Err(fault(&path, e.to_string())),
        };
        let Config { name, key, logs, state, .. } = config;
        Ok(Self { name, key, logs, state, heads: Mutex::new(heads), clock, _lock: lock })
    }

    /// Answers a request for a cosignature. Blocks while the head is written.
    pub fn add_checkpoint(&self, body: &str) -> Answer {
        match self.check(body) {
            Ok(cosigned) => cosigned,
            Err(refused) => Answer::Refused(refused),
        }
    }

    fn check(&self, body: &str) -> Result<Answer, WitnessError> {
        let mut request = AddCheckpoint::parse(body)?;
        let origin = origin_unverified(&request).ok_or(WitnessError::Malformed)?;
        let mut refused = WitnessError::UnknownLog;
        // A log may have several keys, while one follows the other.
        for log in self.logs.iter().filter(|log| log.name() == origin) {
            let mut heads = self.heads.lock().expect("no panic while held");
            let known = heads.get(&origin).copied().unwrap_or(Head::EMPTY);
            match request.check(log, known) {
                Ok(head) => {
                    let mut next = heads.clone();
                    next.insert(origin, head);
                    // Not signed before it is remembered, and remembered again after a crash.
                    if next != *heads
                        && let Err(error) = persist(&self.state, &next)
                    {
                        tracing::error!(cause = chain(&error), "the head cannot be remembered; nothing is signed");
                        return Ok(Answer::Failed);
                    }
                    *heads = next;
                    drop(heads);
                    return Ok(self.cosigned(&mut request).unwrap_or_else(|error| {
                        tracing::warn!(cause = chain(&error), "remembered, and not cosigned");
                        if error == SignError::Unreachable { Answer::Unreachable } else { Answer::Failed }
                    }));
                }
                Err(error @ WitnessError::NotSigned(_)) => refused = error,
                Err(error) => {
                    tracing::warn!(origin, reason = error.reason(), known = known.size, "not cosigned");
                    return Err(error);
                }
            }
        }
        Err(refused)
    }

    fn cosigned(&self, request: &mut AddCheckpoint) -> Result<Answer, SignError> {
        let time_s = self.clock.now().0.div_euclid(1_000_000).max(1).unsigned_abs();
        let line = request
            .note
            .cosign(&self.name, &self.key, time_s)
            .map_err(|e| if let NoteError::Sign(e) = e { e } else { SignError::Failed })?;
        Ok(Answer::Cosigned(format!("{line}\n")))
    }
}

fn read_heads(bytes: &[u8]) -> Option<BTreeMap<String, Head>> {
    let stored: BTreeMap<String, (u64, String)> = serde_json::from_slice(bytes).ok()?;
    let head = |(size, root): (u64, String)| Some(Head { size, root: hex::decode(root).ok()?.try_into().ok()? });
    stored.into_iter().map(|(origin, stored)| Some((origin, head(stored)?))).collect()
}

/// The file is whole, or as it was before, whenever the power fails.
fn persist(dir: &Path, heads: &BTreeMap<String, Head>) -> std::io::Result<()> {
    let stored: BTreeMap<_, _> =
        heads.iter().map(|(origin, head)| (origin, (head.size, hex::encode(head.root)))).collect();
    let next = dir.join("heads.next");
    let mut file = File::create(&next)?;
    file.write_all(serde_json::to_string(&stored)?.as_bytes())?;
    file.sync_all()?;
    fs::rename(&next, dir.join(STATE_FILE))?;
    File::open(dir)?.sync_all()
}

/// Listens until `shutdown` completes; `ready` is told the address.
pub async fn serve(
    config: Config,
    clock: Clock,
    ready: impl FnOnce(SocketAddr),
    shutdown: impl Future<Output = ()>,
) -> Result<(), WitnessFault> {
    let tls = crate::tls::PublicTls::new(&config.tls)?;
    let address = config.tls.listen;
    let witness = Arc::new(Witness::open(config, clock)?);
    let failed = |source| WitnessFault::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    ready(listener.local_addr().map_err(failed)?);
    let entrance = Entrance::new(listener, CONNECTIONS);
    tokio::pin!(shutdown);
    loop {
        let (stream, _, place) = tokio::select! {
            incoming = entrance.next() => incoming,
            () = &mut shutdown => return Ok(()),
        };
        let (acceptor, witness) = (TlsAcceptor::from(tls.config()), witness.clone());
        tokio::spawn(async move {
            let _place = place;
            let connection = async {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(|request| answer(request, witness.clone()));
                // Who goes away early has no answer to miss.
                let http = hyper::server::conn::http1::Builder::new();
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
            };
            let _ = tokio::time::timeout(LIFE, connection).await;
        });
    }
}

async fn answer(request: Request<Incoming>, witness: Arc<Witness>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != "/add-checkpoint" {
        return Ok(plain(StatusCode::NOT_FOUND, String::new()));
    }
    if request.method() != Method::POST {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, String::new()));
    }
    let Ok(body) = Limited::new(request.into_body(), MAX_REQUEST_LEN).collect().await else {
        return Ok(plain(StatusCode::BAD_REQUEST, String::new()));
    };
    let Ok(body) = String::from_utf8(body.to_bytes().to_vec()) else {
        return Ok(plain(StatusCode::BAD_REQUEST, String::new()));
    };
    let answered = tokio::task::spawn_blocking(move || witness.add_checkpoint(&body));
    let answered = tokio::time::timeout(ANSWERS_WITHIN, answered).await;
    Ok(match answered.map_or(Answer::Unreachable, |answered| answered.unwrap_or(Answer::Failed)) {
        Answer::Cosigned(lines) => plain(StatusCode::OK, lines),
        Answer::Refused(error) => {
            let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::BAD_REQUEST);
            let Some(size) = error.known_size() else { return Ok(plain(status, format!("{error}\n"))) };
            let mut response = plain(status, format!("{size}\n"));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/x.tlog.size"));
            response
        }
        Answer::Failed => plain(StatusCode::INTERNAL_SERVER_ERROR, String::new()),
        Answer::Unreachable => plain(StatusCode::SERVICE_UNAVAILABLE, String::new()),
    })
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use jjj_token::merkle::{MemoryTree, consistency_proof, leaf_hash, root_of};
    use jjj_token::note::{Checkpoint, SignedNote, sign_checkpoint};

    use super::*;

    const ORIGIN: &str = "gateway.test";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_ed25519_seed(&[seed; 32]).unwrap()
    }

    fn open(state: &Path) -> Result<Witness, WitnessFault> {
        let logs = vec![NoteVerifier::new(ORIGIN, key(1).verifying_key()).unwrap()];
        let tls = TlsListener { listen: "127.0.0.1:0".parse().unwrap(), certificate: "".into(), key: "".into() };
        let config = Config { name: "witness.test".into(), key: key(2), logs, state: state.to_owned(), tls };
        Witness::open(config, Clock::default())
    }

    fn request(first: u8, old_size: u64, size: u64) -> String {
        let tree = MemoryTree::new((0..30u8).map(|n| leaf_hash(&[first, n])));
        let root = root_of(&tree, size).unwrap();
        let head = Checkpoint { origin: ORIGIN.into(), size, root, extensions: Vec::new() };
        let proof = consistency_proof(&tree, old_size, size).unwrap();
        AddCheckpoint { old_size, proof, note: sign_checkpoint(&key(1), &head).unwrap() }.to_string()
    }

    fn status(answer: Answer) -> u16 {
        match answer {
            Answer::Cosigned(_) => 200,
            Answer::Refused(error) => error.http_status(),
            Answer::Failed => 500,
            Answer::Unreachable => 503,
        }
    }

    #[test]
    fn what_was_cosigned_is_remembered_after_a_crash_and_a_fork_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let witness = open(dir.path()).unwrap();
        let asked = request(0, 0, 10);
        let Answer::Cosigned(lines) = witness.add_checkpoint(&asked) else { panic!("it is cosigned") };
        let note = asked.split_once("\n\n").unwrap().1;
        let cosigned = SignedNote::parse(&format!("{note}{lines}")).unwrap();
        let verifier = CosignatureVerifier::new("witness.test", key(2).verifying_key()).unwrap();
        cosigned.cosigned_by(&verifier).unwrap();
        assert!(matches!(open(dir.path()), Err(WitnessFault::Locked)), "one process remembers");
        drop(witness);

        let witness = open(dir.path()).unwrap();
        for (name, body, expected) in [
            ("the same again", request(0, 10, 10), 200),
            ("from the beginning", request(0, 0, 20), 409),
            ("a fork of the same size", request(9, 10, 10), 409),
            ("a longer fork", request(9, 10, 20), 422),
            ("another log", request(0, 10, 20).replace(ORIGIN, "other.test"), 404),
            ("not signed", request(0, 10, 20).replace("\n20\n", "\n21\n"), 403),
            ("no request", "hello".to_owned(), 400),
            ("a longer head", request(0, 10, 20), 200),
            ("rolled back", request(0, 10, 10), 409),
        ] {
            assert_eq!(status(witness.add_checkpoint(&body)), expected, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_remembered_is_not_signed() {
        let dir = tempfile::tempdir().unwrap();
        let witness = open(dir.path()).unwrap();
        // A folder in the way of the next state, for root writes what it may not.
        fs::create_dir(dir.path().join("heads.next")).unwrap();
        assert_eq!(status(witness.add_checkpoint(&request(0, 0, 10))), 500);
        fs::remove_dir(dir.path().join("heads.next")).unwrap();
        assert_eq!(status(witness.add_checkpoint(&request(0, 10, 20))), 409, "it remembers nothing");
        assert_eq!(status(witness.add_checkpoint(&request(0, 0, 10))), 200);
        drop(witness);
        fs::write(dir.path().join(STATE_FILE), "{").unwrap();
        assert!(matches!(open(dir.path()), Err(WitnessFault::State { .. })), "a damaged memory is no empty one");
    }
}
