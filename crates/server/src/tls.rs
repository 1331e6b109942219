//! Connections: TLS 1.3 only, a client certificate required and checked against the
//! authorities in force. Certificates and authorities reload without a restart.
//!
//! The handshake accepts any active authority; that a certificate belongs to the
//! caller's own is checked per call, in [`crate::identity`].

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use jjj_domain::names::Participant;
use jjj_token::Hash;
use jjj_token::thumbprint::certificate_sha256;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::accept::{self, Entrance, Place};
use crate::clock::Clock;
use crate::config::{ConfigError, TlsListener, fault};
use crate::identity::UNREAD_LEN;
use crate::keys::read_secret;
use crate::registry::{Registry, View};
use crate::stop::{Stop, stopped};

/// A client that does not finish its handshake in this time is dropped.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How often a certificate's files are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// Handshaken connections that wait for the server to take them.
const ACCEPTED: usize = 64;

/// The one crypto provider of the whole process.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The client's side of a connection.
pub struct Peer {
    /// As presented, leaf first; never empty.
    pub chain: Vec<CertificateDer<'static>>,
    pub certificate_sha256: Hash,
    /// When every presented certificate is in date, UTC seconds, both ends inclusive.
    pub in_date: (i64, i64),
    /// The last registry version and participant for which the chain was found good: verifying
    /// a chain costs as much as verifying a token.
    pub(crate) chained_to: Mutex<Option<(u64, Participant)>>,
    /// Room for messages that are not whole yet, in bytes.
    pub(crate) unread: Semaphore,
}

impl Peer {
    fn of(stream: &TlsStream<TcpStream>) -> Option<Self> {
        let chain: Vec<CertificateDer<'static>> =
            stream.get_ref().1.peer_certificates()?.iter().map(|c| c.clone().into_owned()).collect();
        let certificate_sha256 = certificate_sha256(chain.first()?);
        let mut in_date = (i64::MIN, i64::MAX);
        for certificate in &chain {
            let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
            let validity = parsed.validity();
            in_date.0 = in_date.0.max(validity.not_before.timestamp());
            in_date.1 = in_date.1.min(validity.not_after.timestamp());
        }
        Some(Self {
            chain,
            certificate_sha256,
            in_date,
            chained_to: Mutex::new(None),
            unread: Semaphore::new(UNREAD_LEN),
        })
    }
}

/// A handshaken connection, as the gRPC server takes it.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    peer: Arc<Peer>,
    _place: Place,
}

impl Connected for Connection {
    type ConnectInfo = Arc<Peer>;
    fn connect_info(&self) -> Arc<Peer> {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A server certificate's files, and when they were last read.
pub struct ServerFiles {
    member: &'static str,
    files: TlsListener,
    read_at: Option<(SystemTime, SystemTime)>,
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl ServerFiles {
    pub fn new(member: &'static str, files: &TlsListener) -> Self {
        Self { member, files: files.clone(), read_at: None }
    }

    fn modified(&self) -> Option<(SystemTime, SystemTime)> {
        let of = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).ok();
        Some((of(&self.files.certificate)?, of(&self.files.key)?))
    }

    fn changed(&self) -> bool {
        self.modified().is_some_and(|now| Some(now) != self.read_at)
    }

    fn read(&mut self) -> Result<Identity, ConfigError> {
        let read_at = self.modified();
        let chain = CertificateDer::pem_file_iter(&self.files.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|e| fault(self.member, format!("{}: {e}", self.files.certificate.display())))?;
        let pem = read_secret(self.member, &self.files.key)?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|e| fault(self.member, format!("{}: {e}", self.files.key.display())))?;
        self.read_at = read_at;
        Ok((chain, key))
    }
}

/// The mutual-TLS configuration for a registry's authorities.
fn mutual(identity: &Identity, view: &View, clock: &Clock) -> Result<Arc<ServerConfig>, ConfigError> {
    let bad = |e: &dyn std::fmt::Display| fault("grpc", format!("certificate and key: {e}"));
    let verifier = view.any_authority().ok_or_else(|| fault("grpc", "the registry has no authority in force"))?;
    let mut config = ServerConfig::builder_with_details(provider(), Arc::new(clock.clone()))
        .with_protocol_versions(&[&TLS13])
        .map_err(|e| bad(&e))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.0.clone(), identity.1.clone_key())
        .map_err(|e| bad(&e))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would keep a certificate that a fresh handshake refuses.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// TLS without client certificates, for what anybody may read.
pub(crate) struct PublicTls {
    current: ArcSwap<ServerConfig>,
    /// The files, and when they were last looked at.
    files: Mutex<(ServerFiles, Instant)>,
}

impl PublicTls {
    pub fn new(files: &TlsListener) -> Result<Self, ConfigError> {
        let mut files = ServerFiles::new("public", files);
        let current = ArcSwap::new(public(files.read()?)?);
        Ok(Self { current, files: Mutex::new((files, Instant::now())) })
    }

    /// The configuration for the next connection. The files are looked at now and then: damaged ones would be read for
    /// each connection. On a fault the old one stays.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config_at(Instant::now())
    }

    fn config_at(&self, now: Instant) -> Arc<ServerConfig> {
        let mut held = self.files.lock().expect("no panic while held");
        let (files, looked_at) = &mut *held;
        if now.duration_since(*looked_at) >= LOOK {
            *looked_at = now;
            if files.changed() {
                match files.read().and_then(public) {
                    Ok(config) => self.current.store(config),
                    Err(error) => {
                        tracing::error!(cause = crate::status::chain(&error), "TLS keeps its old configuration");
                    }
                }
            }
        }
        self.current.load_full()
    }
}

fn public((chain, key): Identity) -> Result<Arc<ServerConfig>, ConfigError> {
    let bad = |e: rustls::Error| fault("public", format!("certificate and key: {e}"));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(bad)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(bad)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The mutual-TLS side of the gRPC listener.
pub struct Acceptor {
    current: ArcSwap<Current>,
    registry: Arc<Registry>,
    files: Mutex<(ServerFiles, Identity)>,
    clock: Clock,
}

/// A configuration, and the version of the registry that it was made from.
struct Current {
    version: u64,
    config: Arc<ServerConfig>,
}

impl Current {
    fn new(identity: &Identity, view: &View, clock: &Clock) -> Result<Arc<Self>, ConfigError> {
        Ok(Arc::new(Self { version: view.version(), config: mutual(identity, view, clock)? }))
    }
}

impl Acceptor {
    pub fn new(mut files: ServerFiles, registry: Arc<Registry>, clock: &Clock) -> Result<Arc<Self>, ConfigError> {
        let identity = files.read()?;
        let current = ArcSwap::new(Current::new(&identity, &registry.view(), clock)?);
        Ok(Arc::new(Self { current, registry, files: Mutex::new((files, identity)), clock: clock.clone() }))
    }

    /// Takes in new authorities and, when the files changed, a new certificate. On a fault the
    /// old ones stay and the fault is the caller's to log.
    fn reload(&self) -> Result<(), ConfigError> {
        let mut held = self.files.lock().expect("no panic while held");
        if held.0.changed() {
            held.1 = held.0.read()?;
        }
        self.current.store(Current::new(&held.1, &self.registry.view(), &self.clock)?);
        Ok(())
    }

    fn reload_or_log(&self) {
        if let Err(error) = self.reload() {
            tracing::error!(cause = crate::status::chain(&error), "TLS keeps its old configuration");
        }
    }

    /// The configuration for the registry as it is now: who has just been told of her enrolment may
    /// connect before [`Self::keep_current`] wakes.
    fn config(&self) -> Arc<ServerConfig> {
        if self.current.load().version != self.registry.view().version() {
            self.reload_or_log();
        }
        self.current.load().config.clone()
    }

    fn certificate_changed(&self) -> bool {
        self.files.lock().expect("no panic while held").0.changed()
    }

    /// Keeps the configuration current until shutdown.
    pub async fn keep_current(self: Arc<Self>, mut stop: Stop) {
        let mut changes = self.registry.changes();
        loop {
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK) => if !self.certificate_changed() { continue },
                () = stopped(&mut stop) => return,
            }
            self.reload_or_log();
        }
    }

    /// Accepts until shutdown. Handshakes run on their own tasks, so that a slow one delays nobody.
    pub fn accept(self: Arc<Self>, listener: TcpListener, mut stop: Stop) -> mpsc::Receiver<io::Result<Connection>> {
        let (accepted, connections) = mpsc::channel(ACCEPTED);
        let entrance = Entrance::new(listener, accept::CONNECTIONS);
        tokio::spawn(async move {
            loop {
                let (stream, address, place) = tokio::select! {
                    incoming = entrance.next() => incoming,
                    () = stopped(&mut stop) => return,
                    () = accepted.closed() => return,
                };
                let (acceptor, accepted) = (self.clone(), accepted.clone());
                tokio::spawn(async move {
                    if let Some(connection) = acceptor.handshake(stream, address, place).await {
                        let _ = accepted.send(Ok(connection)).await;
                    }
                });
            }
        });
        connections
    }

    async fn handshake(&self, stream: TcpStream, address: SocketAddr, place: Place) -> Option<Connection> {
        let _ = stream.set_nodelay(true);
        let acceptor = TlsAcceptor::from(self.config());
        match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                let peer = Arc::new(Peer::of(&stream)?);
                Some(Connection { stream, peer, _place: place })
            }
            Ok(Err(error)) => {
                tracing::info!(%address, %error, "handshake refused");
                None
            }
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_certificate_is_taken_in_and_a_damaged_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("server.pem"), dir.path().join("server.key"));
        // A file's time may be no finer than the test is quick.
        let put = |path: &Path, text: &str, at_s: u64| {
            std::fs::write(path, text).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(at_s)).unwrap();
        };
        let renew = |at_s| {
            let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
            put(&certificate, &made.cert.pem(), at_s);
            put(&key, &made.signing_key.serialize_pem(), at_s);
        };
        renew(1);
        let listen = "127.0.0.1:0".parse().unwrap();
        let files = TlsListener { listen, certificate: certificate.clone(), key: key.clone() };
        let tls = PublicTls::new(&files).unwrap();
        let began = Instant::now();
        let config = |looks: u32| tls.config_at(began + looks * LOOK);
        let first = config(1);
        assert!(Arc::ptr_eq(&first, &config(2)), "unchanged files are not read again");
        renew(2);
        assert!(Arc::ptr_eq(&first, &config(2)), "nor looked at for each connection");
        let second = config(3);
        assert!(!Arc::ptr_eq(&first, &second), "the renewed certificate is shown");
        put(&certificate, "no certificate", 3);
        assert!(Arc::ptr_eq(&second, &config(4)), "the last good one stays");
        renew(4);
        assert!(Arc::ptr_eq(&second, &config(4)));
        assert!(!Arc::ptr_eq(&second, &config(5)));
    }
}
