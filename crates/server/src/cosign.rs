//! Cosignatures collected: every head goes to the configured witnesses (C2SP tlog-witness), and what
//! they sign is kept beside it. A head is public once enough of them have cosigned it.

use std::cmp::Ordering;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use jjj_domain::time::Timestamp;
use jjj_store::log_tables::{CheckpointRow, CosignatureRow};
use jjj_store::{Store, StoreError};
use jjj_token::merkle::consistency_proof;
use jjj_token::note::{CosignatureVerifier, NoteError, NoteSignature, SignedNote};
use jjj_token::witness::AddCheckpoint;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::config::{ConfigError, Peer, fault};
use crate::gateway::Gateway;
use crate::proof;
use crate::status::Refused;
use crate::stop::{Stop, step, stopped};
use crate::tls::provider;

/// How often the newest head is offered.
pub(crate) const EVERY: Duration = Duration::from_secs(1);
/// A witness has so long for an answer; the others do not wait for it.
const WITHIN: Duration = Duration::from_secs(10);
/// To compare the log with what a witness knows.
const MOST_OFFERS: u32 = 4;
const MAX_ANSWER_LEN: usize = 64 * 1024;
/// A witness that fails is said so once, and again after so many failures.
const SAY_EVERY: u32 = 60;

/// A witness and the way to it.
struct Witness {
    verifier: CosignatureVerifier,
    host: String,
    port: u16,
    path: String,
    name: ServerName<'static>,
    tls: TlsConnector,
    /// The size that it is thought to know.
    known: u64,
    failures: u32,
}

/// Why a witness did not cosign.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("the witness cannot be reached: {0}")]
    Unreachable(String),
    #[error("the witness did not answer in time")]
    TimedOut,
    #[error("the witness answered {0}")]
    Status(StatusCode),
    /// A database restored from a backup, or a log that forked: the witness is right until shown otherwise.
    #[error("the witness knows {known} leaves, this log has {ours}: was the database restored from a backup?")]
    Behind { known: u64, ours: u64 },
    #[error("the witness's answer has no good cosignature: {0}")]
    Line(#[from] NoteError),
    #[error("the database")]
    Store(#[from] StoreError),
    #[error("the proof could not be made")]
    Proof,
}

/// Offers heads to the witnesses until told to stop.
pub(crate) fn run(gateway: &Arc<Gateway>, peers: &[Peer], stop: &Stop) -> Result<(), ConfigError> {
    for peer in peers {
        let mut witness = Witness::new(peer)?;
        let (gateway, mut stop) = (gateway.clone(), stop.clone());
        tokio::spawn(async move {
            let mut cosigned = 0;
            loop {
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    () = stopped(&mut stop) => return,
                }
                match step("cosignatures", witness.offer(&gateway.store, &mut cosigned)).await {
                    None => {}
                    Some(Ok(())) => witness.failures = 0,
                    Some(Err(error)) => {
                        if witness.failures % SAY_EVERY == 0 {
                            let cause = crate::status::chain(&error);
                            tracing::warn!(witness = witness.verifier.name(), cause, "not cosigned");
                        }
                        witness.failures = witness.failures.wrapping_add(1);
                    }
                }
            }
        });
    }
    Ok(())
}

/// How this database stands to what a witness knows of its log.
pub(crate) enum Standing {
    /// It extends what the witness knows.
    Level,
    /// The witness knows more leaves.
    Behind { known: u64, ours: u64 },
    /// The witness knows other leaves.
    Forked { known: u64 },
    /// The witness could not be asked.
    Unknown { cause: String },
}

/// Offers each witness the newest head, by the witnesses' names. What they cosign is kept.
pub(crate) async fn compare(store: &Store, peers: &[&Peer]) -> Result<Vec<(String, Standing)>, CompareError> {
    let mut found = Vec::new();
    for peer in peers {
        let mut witness = Witness::new(peer)?;
        let mut cosigned = 0;
        // It may tell first what it knows, and again what another replica has just shown it: the next offer is
        // proven from there.
        let mut answered = Ok(());
        for _ in 0..MOST_OFFERS {
            answered = witness.offer(store, &mut cosigned).await;
            if answered.is_err() || cosigned > 0 {
                break;
            }
        }
        let standing = match answered {
            Ok(()) if cosigned > 0 => Standing::Level,
            Ok(()) => Standing::Unknown { cause: "it has cosigned no head of this database's".to_owned() },
            Err(Failed::Behind { known, ours }) => Standing::Behind { known, ours },
            Err(Failed::Status(StatusCode::UNPROCESSABLE_ENTITY)) => Standing::Forked { known: witness.known },
            Err(Failed::Store(error)) => return Err(error.into()),
            Err(error) => Standing::Unknown { cause: crate::status::chain(&error) },
        };
        found.push((witness.verifier.name().to_owned(), standing));
    }
    Ok(found)
}

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the database")]
    Store(#[from] StoreError),
}

impl Witness {
    fn new(peer: &Peer) -> Result<Self, ConfigError> {
        let bad = |problem: &str| fault("witnesses.peers.url", format!("{}: {problem}", peer.url));
        let verifier = CosignatureVerifier::from_vkey(&peer.vkey).map_err(|e| fault("witnesses.peers.vkey", e))?;
        let uri: Uri = peer.url.parse().map_err(|_| bad("is no URL"))?;
        if uri.scheme_str() != Some("https") || uri.query().is_some() {
            return Err(bad("must begin with https:// and have no query"));
        }
        let host = uri.host().ok_or_else(|| bad("has no host"))?.to_owned();
        let name =
            ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(|_| bad("has no host name"))?;
        let path = format!("{}/add-checkpoint", uri.path().trim_end_matches('/'));
        let (port, tls) = (uri.port_u16().unwrap_or(443), connector(&peer.authority)?);
        Ok(Self { verifier, host, port, path, name, tls, known: 0, failures: 0 })
    }

    /// Offers the newest head, unless this witness has cosigned it already.
    async fn offer(&mut self, store: &Store, cosigned: &mut i64) -> Result<(), Failed> {
        let mut session = store.read().await?;
        let Some(head) = session.latest_checkpoint().await?.filter(|head| head.tree_size > *cosigned) else {
            return Ok(());
        };
        let size = head.tree_size.unsigned_abs();
        if self.known > size {
            return Err(Failed::Behind { known: self.known, ours: size });
        }
        let from = self.known;
        let path = proof::over(&mut session, |source| consistency_proof(&source, from, size)).await;
        let proof = path.map_err(|_: Refused| Failed::Proof)?;
        drop(session);
        let mut note = SignedNote::parse(&head.note)?;
        let body = AddCheckpoint { old_size: from, proof, note: note.clone() }.to_string();
        let answered = tokio::time::timeout(WITHIN, self.post(body)).await.map_err(|_| Failed::TimedOut)?;
        let (status, text) = answered?;
        if status == StatusCode::CONFLICT {
            // It tells what it knows; the next head is proven from there.
            self.known = text.trim_end().parse().map_err(|_| Failed::Status(status))?;
            return match self.known.cmp(&size) {
                Ordering::Greater => {
                    // Another gateway on this database may have sealed and shown it more meanwhile.
                    let newest = store.read().await?.latest_checkpoint().await?;
                    let ours = newest.map_or(size, |head| head.tree_size.unsigned_abs());
                    if self.known > ours { Err(Failed::Behind { known: self.known, ours }) } else { Ok(()) }
                }
                // Proven from there, it would have been told otherwise.
                Ordering::Equal if from == size => Err(Failed::Status(StatusCode::UNPROCESSABLE_ENTITY)),
                Ordering::Equal | Ordering::Less => Ok(()),
            };
        }
        if status != StatusCode::OK {
            return Err(Failed::Status(status));
        }
        for line in text.lines() {
            note.add(NoteSignature::parse(line)?)?;
        }
        let time_s = note.cosigned_by(&self.verifier)?;
        let is_its = |line: &&NoteSignature| line.name == self.verifier.name() && line.id == self.verifier.id();
        let line = note.signatures().iter().rfind(is_its).ok_or(NoteError::Unsigned)?;
        self.keep(store, &head, line, time_s).await?;
        self.known = size;
        *cosigned = head.tree_size;
        Ok(())
    }

    async fn keep(
        &self,
        store: &Store,
        head: &CheckpointRow,
        line: &NoteSignature,
        time_s: u64,
    ) -> Result<(), StoreError> {
        let row = CosignatureRow {
            tree_size: head.tree_size,
            witness: self.verifier.name().to_owned(),
            line: line.to_string(),
            cosigned_at_us: Timestamp(i64::try_from(time_s).unwrap_or(i64::MAX).saturating_mul(1_000_000)),
        };
        let mut tx = store.begin_small_write().await?;
        tx.keep_cosignature(&row).await?;
        tx.commit().await
    }

    async fn post(&self, body: String) -> Result<(StatusCode, String), Failed> {
        let unreachable = |e: &dyn std::fmt::Display| Failed::Unreachable(e.to_string());
        let host = self.host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, self.port)).await.map_err(|e| unreachable(&e))?;
        let stream = self.tls.connect(self.name.clone(), stream).await.map_err(|e| unreachable(&e))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| unreachable(&e))?;
        // Its end is the answer's.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header(http::header::HOST, &self.host)
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| unreachable(&e))?;
        let answer = sender.send_request(request).await.map_err(|e| unreachable(&e))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_LEN).collect().await.map_err(|e| unreachable(&e))?;
        let text = String::from_utf8(body.to_bytes().to_vec()).map_err(|e| unreachable(&e))?;
        Ok((status, text))
    }
}

fn connector(authority: &Path) -> Result<TlsConnector, ConfigError> {
    let bad = |e: &dyn std::fmt::Display| fault("witnesses.peers.authority", format!("{}: {e}", authority.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority).map_err(|e| bad(&e))? {
        roots.add(certificate.map_err(|e| bad(&e))?).map_err(|e| bad(&e))?;
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|e| bad(&e))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// A head's note with the cosignatures that are kept for it.
pub(crate) fn with_cosignatures(note: String, cosignatures: &[CosignatureRow]) -> String {
    cosignatures.iter().fold(note, |note, row| note + &row.line + "\n")
}
