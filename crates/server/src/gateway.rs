//! The running gateway: everything put together, started, and stopped in the right order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jjj_domain::time::Timestamp;
use jjj_store::dialect::Dialect;
use jjj_store::{Store, StoreError};
use jjj_token::SigningKey;
use jjj_token::request::LEEWAY_S;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::engine::{Engine, FINISH_WITHIN, Tools, Workers};
use crate::identity::IdentifyLayer;
use crate::keys::{GatewayKeys, Signer};
use crate::registry::Registry;
use crate::seal::{LogWatch, Sealer};
use crate::status_list::StatusLists;
use crate::stop::{Stop, step, stopped};
use crate::tls::{Acceptor, ServerFiles};
use crate::turns::Turns;
use crate::{cosign, loopback, origin, public, query, reconcile, rpc, sweep};

/// How long a small write waits for its participant's others.
const SMALL_WRITE_WITHIN: Duration = Duration::from_secs(10);
/// How long calls may take to be answered, and the log to be sealed, when the gateway stops.
const STOP_WITHIN: Duration = Duration::from_secs(20);
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// How long stopping takes at most, where the database is away; whoever manages the process gives it as long.
pub const STOPPED_WITHIN: Duration =
    Duration::from_secs(2 * STOP_WITHIN.as_secs() + 2 * FINISH_WITHIN.as_secs() + CLOSE_WITHIN.as_secs());

/// What the services share.
pub struct Gateway {
    pub store: Store,
    pub engine: Engine,
    pub registry: Arc<Registry>,
    pub clock: Clock,
    pub keys: GatewayKeys,
    /// Whether keys of SM2 may be enrolled.
    pub takes_sm2_keys: bool,
    /// Which of them signs now.
    pub signer: Signer,
    /// The gateway's name: audience of tokens, origin of receipts and of the log.
    pub origin: String,
    /// URL of the public listener, without a slash at the end.
    pub public_base: String,
    /// How long a delivery stream lives; its client resumes at the cursor.
    pub stream_life: Duration,
    /// Within how many seconds whoever reads status lists sees a revocation.
    pub status_within_s: i64,
    pub status_lists: StatusLists,
    /// Of small writes beside the engine: acknowledgements and chunks of uploads.
    pub(crate) turns: Turns,
    /// How many witnesses make a head of the log public.
    pub quorum: i64,
    log: LogWatch,
    stop: Stop,
}

impl Gateway {
    /// Tells when the log has grown.
    pub fn log(&self) -> LogWatch {
        self.log.clone()
    }

    /// Returns when the gateway begins to stop.
    pub async fn stopping(&self) {
        stopped(&mut self.stop.clone()).await;
    }
}

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the database")]
    Store(#[from] StoreError),
    /// Tokens are judged by the one clock and recorded by the other.
    #[error(
        "this machine's clock and the database's are {apart_s} seconds apart, {LEEWAY_S} at most are tolerated: \
         synchronise them"
    )]
    Clocks { apart_s: i64 },
    #[error("comparing with the witnesses")]
    Compare(#[from] cosign::CompareError),
    #[error("{member}: cannot listen on {address}")]
    Listen { member: &'static str, address: SocketAddr, source: std::io::Error },
    /// Nobody would believe what it signs (docs/keys.md). Neither is `keys.next`, where there is one.
    #[error("{member}: the key {kid} is not registered as one of the gateway's in force")]
    SigningKey { member: &'static str, kid: String },
    #[error("this log is not {origin} any more, it goes on as {by}: say so in the configuration")]
    Succeeded { origin: String, by: String },
    /// Nothing could be compared with what witnesses know.
    #[error("the log {origin} has no signed head: its founding was broken off, found it anew on an empty database")]
    NoHead { origin: String },
    /// Whoever goes on from here makes a fork (docs/witnesses.md, "After a restore").
    #[error(
        "the witness {witness} knows {known} leaves of {origin}, this database has {ours}: it was restored from a backup. \
         Bring the missing leaves back, or open a new origin: jjj origin open"
    )]
    Behind { origin: String, witness: String, known: u64, ours: u64 },
    #[error(
        "the witness {witness} knows another log of the name {origin} than this database has: it was restored from a \
         backup, and went on. Bring the missing leaves back, or open a new origin: jjj origin open"
    )]
    Forked { origin: String, witness: String },
    #[error("told to stop before it had started")]
    Stopped,
    #[error("the reflection service's descriptors cannot be read")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// A started gateway.
pub struct Handle {
    pub grpc: SocketAddr,
    pub public: Option<SocketAddr>,
    pub metrics: Option<SocketAddr>,
    pub gateway: Arc<Gateway>,
    join: JoinHandle<Ended>,
}

impl Handle {
    /// Returns when everything accepted is answered, numbered and sealed. The gateway stops when
    /// the future given to [`run`] completes, or when it cannot go on.
    pub async fn join(self) -> Ended {
        // A panic while stopping has been printed by its own task.
        self.join.await.unwrap_or(Ended::Broken)
    }
}

/// Why a gateway has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Told,
    /// One of its tasks ended that lives as long as the gateway: a bug of ours. Half a gateway that answers is
    /// worse than none, which is started again.
    Broken,
}

/// Starts a gateway on a prepared database (see [`crate::bootstrap`]); it stops when `shutdown` completes.
pub async fn run(
    config: Config,
    clock: Clock,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Handle, StartError> {
    config.check()?;
    if config.clock_offset_s != 0 {
        clock.advance_us(config.clock_offset_s.saturating_mul(1_000_000));
    }
    let places = config.keys.clone();
    let loaded = tokio::task::spawn_blocking(move || GatewayKeys::load(&places)).await;
    let keys = loaded.expect("loading keys does not panic")?;
    let store = Store::open(&config.database.url).await?;
    store.check_schema().await?;
    let database = store.read().await?.now().await?;
    check_clocks(clock.now(), clock.shift(database))?;
    let registry = Registry::load(&store, &clock).await?;
    let signer = Signer::new(keys.clone(), Some(registry.clone()));
    let unregistered = |member, key: &SigningKey| StartError::SigningKey { member, kid: key.kid().to_owned() };
    if signer.head().is_none() {
        return Err(unregistered("keys.signing", &keys.signing));
    }
    if let Some(key) = &keys.sm2
        && signer.second().is_none()
    {
        return Err(unregistered("keys.sm2_signing", key));
    }

    let mut shutdown = Box::pin(shutdown);
    tokio::select! {
        checked = origin::check(&store, &config) => checked?,
        () = &mut shutdown => return Err(StartError::Stopped),
    }

    let (stop_sender, stop) = watch::channel(false);
    let committed = Arc::new(Notify::new());
    let sealer = Sealer::new(store.clone(), clock.clone(), signer.clone(), config.origin.clone(), committed.clone());
    let log = sealer.watch();
    let (engine, workers) = Engine::start(Tools {
        store: store.clone(),
        clock: clock.clone(),
        keys: keys.clone(),
        origin: config.origin.clone(),
        limits: config.limits,
        registry: Some(registry.clone()),
        committed,
    });
    let gateway = Arc::new(Gateway {
        store,
        engine,
        registry: registry.clone(),
        clock: clock.clone(),
        keys,
        takes_sm2_keys: config.keys.sm2,
        signer: signer.clone(),
        origin: config.origin.clone(),
        public_base: config.public_url.clone().unwrap_or_else(|| format!("https://{}", config.origin)),
        stream_life: Duration::from_secs(config.limits.stream_s),
        status_within_s: config.limits.status_s as i64,
        status_lists: StatusLists::default(),
        turns: Turns::new(1, SMALL_WRITE_WITHIN),
        quorum: config.witnesses.quorum as i64,
        log,
        stop: stop.clone(),
    });

    let mut living = JoinSet::new();
    let acceptor = Acceptor::new(ServerFiles::new("grpc", &config.grpc), registry.clone(), &clock)?;
    let (listener, grpc) = listen("grpc.listen", config.grpc.listen).await?;
    let public = match &config.public {
        None => None,
        Some(files) => {
            let (listener, address) = listen("public.listen", files.listen).await?;
            let tls = crate::tls::PublicTls::new(files)?;
            living.spawn(public::serve(listener, tls, gateway.clone(), stop.clone()));
            Some(address)
        }
    };
    let metrics = match &config.metrics {
        None => None,
        Some(plain) => {
            let (listener, address) = listen("metrics.listen", plain.listen).await?;
            living.spawn(loopback::serve(listener, gateway.clone(), stop.clone()));
            Some(address)
        }
    };
    // Until the last head is signed: a view that is not read again is not believed.
    let (seal_stop, seal_stopped) = watch::channel(false);
    living.spawn(registry.clone().keep_current(seal_stopped.clone()));
    living.spawn(signer.watch(stop.clone()));
    living.spawn(acceptor.clone().keep_current(stop.clone()));
    living.spawn(query::run(gateway.clone(), stop.clone()));
    living.spawn(reconcile::run(gateway.clone(), stop.clone()));
    living.spawn(sweep::run(gateway.clone(), stop.clone()));
    if gateway.store.dialect() == Dialect::Sqlite {
        living.spawn(checkpoint_wal(gateway.clone(), stop.clone()));
    }
    cosign::run(&gateway, &config.witnesses.peers, &stop)?;

    let connections = acceptor.accept(listener, stop.clone());
    let server = serve(&gateway, connections, stop.clone())?;
    let sealing = tokio::spawn(sealer.run(seal_stopped));
    let tasks = Tasks { living, server, workers, sealing, seal_stop };
    let join = tokio::spawn(stop_in_order(shutdown, stop_sender, gateway.store.clone(), tasks));
    Ok(Handle { grpc, public, metrics, gateway, join })
}

/// How often SQLite's write-ahead log is moved into the database. Under load it grows by a hundred megabytes a second: moved
/// seldom, it is so much at once that commits wait for the disk.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(50);

/// Moves it until told to stop.
async fn checkpoint_wal(gateway: Arc<Gateway>, mut stop: Stop) {
    let mut fails = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(CHECKPOINT_EVERY) => {}
            () = stopped(&mut stop) => return,
        }
        let done = step("the write-ahead log", gateway.store.checkpoint_wal()).await;
        if let (Some(Err(error)), false) = (&done, fails) {
            tracing::warn!(cause = crate::status::chain(error), "the write-ahead log could not be checkpointed");
        }
        fails = !matches!(done, Some(Ok(_)));
    }
}

fn check_clocks(own: Timestamp, database: Timestamp) -> Result<(), StartError> {
    let apart_s = (own.0 - database.0).abs() / 1_000_000;
    if apart_s > LEEWAY_S { Err(StartError::Clocks { apart_s }) } else { Ok(()) }
}

async fn listen(member: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { member, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Every service behind the identity layer.
fn serve(
    gateway: &Arc<Gateway>,
    connections: tokio::sync::mpsc::Receiver<std::io::Result<crate::tls::Connection>>,
    mut stop: Stop,
) -> Result<JoinHandle<()>, StartError> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(jjj_wire::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (health_reporter, health) = tonic_health::server::health_reporter();
    let layer = IdentifyLayer::new(gateway.registry.clone(), gateway.clock.clone(), gateway.origin.clone());
    let routes = rpc::routes(gateway)
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?);
    let mut server = Server::builder()
        .layer(layer)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .max_concurrent_streams(Some(2_048))
        .initial_stream_window_size(Some(1 << 20))
        .initial_connection_window_size(Some(4 << 20));
    let stopped = async move {
        stopped(&mut stop).await;
        health_reporter.set_service_status("", tonic_health::ServingStatus::NotServing).await;
    };
    Ok(tokio::spawn(async move {
        let served =
            server.add_routes(routes).serve_with_incoming_shutdown(ReceiverStream::new(connections), stopped).await;
        if let Err(error) = served {
            tracing::error!(cause = crate::status::chain(&error), "the gRPC server ended");
        }
    }))
}

/// The tasks that live as long as the gateway.
struct Tasks {
    living: JoinSet<()>,
    server: JoinHandle<()>,
    workers: Workers,
    sealing: JoinHandle<()>,
    seal_stop: watch::Sender<bool>,
}

impl Tasks {
    /// Returns when one of them has ended.
    async fn any_ended(&mut self) {
        tokio::select! {
            _ = self.living.join_next() => {}
            _ = &mut self.server => {}
            () = self.workers.any_ended() => {}
            _ = &mut self.sealing => {}
        }
    }
}

/// Calls are answered before the engine goes, and numbered and sealed before the process does. A database that is
/// away is not waited for without end: what it lacks was not answered, and its leaves are numbered by whoever is next.
async fn stop_in_order(
    shutdown: impl Future<Output = ()> + Send + 'static,
    stop: watch::Sender<bool>,
    store: Store,
    mut tasks: Tasks,
) -> Ended {
    let ended = tokio::select! {
        () = shutdown => Ended::Told,
        () = tasks.any_ended() => {
            tracing::error!("a task that the gateway cannot do without has ended: the gateway stops");
            Ended::Broken
        }
    };
    stop.send_replace(true);
    // The server waits for its calls; a client that holds an idle connection open is not waited for.
    if !tasks.server.is_finished() {
        let _ = tokio::time::timeout(STOP_WITHIN, tasks.server).await;
    }
    tasks.workers.finish().await;
    tasks.seal_stop.send_replace(true);
    if !tasks.sealing.is_finished() {
        let _ = tokio::time::timeout(STOP_WITHIN, tasks.sealing).await;
    }
    // Everything is durable: a connection on which the database has fallen silent is not waited for.
    let _ = tokio::time::timeout(CLOSE_WITHIN, store.close()).await;
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tasks that end when they are told to, but for one of this name, which has ended.
    fn tasks(ended: &str, stop: &watch::Sender<bool>) -> Tasks {
        let told = |name: &str, stop: Stop| {
            let (has_ended, mut stop) = (name == ended, stop);
            async move {
                if !has_ended {
                    stopped(&mut stop).await;
                }
            }
        };
        let seal_stop = watch::channel(false).0;
        let mut living = JoinSet::new();
        living.spawn(told("living", stop.subscribe()));
        Tasks {
            living,
            server: tokio::spawn(told("server", stop.subscribe())),
            workers: Workers::idle(ended == "worker"),
            sealing: tokio::spawn(told("sealing", seal_stop.subscribe())),
            seal_stop,
        }
    }

    #[tokio::test]
    async fn without_one_of_its_tasks_a_gateway_stops() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("jjj.db").display());
        for ended in ["living", "server", "worker", "sealing"] {
            let (store, stop) = (Store::open(&url).await.unwrap(), watch::channel(false).0);
            let tasks = tasks(ended, &stop);
            let told = std::future::pending();
            let stopping = tokio::time::timeout(STOP_WITHIN, stop_in_order(told, stop, store, tasks));
            assert_eq!(stopping.await.expect(ended), Ended::Broken, "{ended}");
        }
        let (store, stop) = (Store::open(&url).await.unwrap(), watch::channel(false).0);
        let tasks = tasks("none", &stop);
        let stopping = stop_in_order(tokio::time::sleep(Duration::from_millis(50)), stop, store, tasks);
        assert_eq!(tokio::time::timeout(STOP_WITHIN, stopping).await.expect("an end"), Ended::Told);
    }

    #[test]
    fn clocks_may_differ_by_the_leeway() {
        let at = |s: i64| Timestamp(s * 1_000_000);
        assert!(check_clocks(at(1_000), at(1_000 + LEEWAY_S)).is_ok());
        assert!(check_clocks(at(1_000), at(1_000 - LEEWAY_S)).is_ok());
        assert!(matches!(check_clocks(at(1_000), at(900)), Err(StartError::Clocks { apart_s: 100 })));
        assert!(matches!(check_clocks(at(900), at(1_000)), Err(StartError::Clocks { apart_s: 100 })));
    }
}
