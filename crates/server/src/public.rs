//! What anybody may read, over HTTPS: the newest checkpoint, hash tiles (C2SP
//! tlog-tiles), keys in force, the gateway's JWKS, status lists. Read-only; entries need
//! authorisation and are not here.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jjj_domain::participant::KeyState;
use jjj_store::{Session, Store, StoreError};
use jjj_token::merkle::{TILE_WIDTH, Tile};
use jjj_token::status_list::STATUS_LIST_MEDIA_TYPE;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio_rustls::TlsAcceptor;

use crate::accept::{CONNECTIONS, Entrance};
use crate::cosign::with_cosignatures;
use crate::gateway::Gateway;
use crate::registry::RegisteredKey;
use crate::status::Refused;
use crate::status_list;
use crate::stop::{Stop, stopped};
use crate::tls::PublicTls;

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";
const NEVER: &str = "no-cache";
/// A tile of a width never changes.
const FOREVER: &str = "max-age=31536000, immutable";
/// An idle connection is closed after this time.
const LIFE: Duration = Duration::from_secs(60);

/// A request's head must be there in this time, also a kept connection's next one.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Readings of the database at once: the rest of its connections is for those who say who they are.
const READS: usize = 2;
/// How long a reading may wait for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(5);
/// For how long the newest head is given out again: heads come about once a second.
const HEAD_KEPT: Duration = Duration::from_secs(1);

/// What all readers share.
struct Desk {
    gateway: Arc<Gateway>,
    log: Log,
}

/// The log's heads and tiles.
struct Log {
    store: Store,
    quorum: i64,
    reads: Semaphore,
    turn_within: Duration,
    head_kept: Duration,
    /// One reading of the head at a time: who comes meanwhile waits for its result.
    newest: Mutex<Option<HeadRead>>,
}

/// What came of reading the head. A fault is kept too: what waits must not try one after the other.
struct HeadRead {
    /// When it began; of a fault, when it ended.
    at: Instant,
    head: Result<Option<Head>, Refused>,
}

/// The newest public head.
#[derive(Clone)]
struct Head {
    size: u64,
    note: Bytes,
}

pub(crate) async fn serve(listener: TcpListener, tls: PublicTls, gateway: Arc<Gateway>, mut stop: Stop) {
    let entrance = Entrance::new(listener, CONNECTIONS);
    let log = Log::new(gateway.store.clone(), gateway.quorum, TURN_WITHIN, HEAD_KEPT);
    let desk = Arc::new(Desk { gateway, log });
    loop {
        let (stream, _, place) = tokio::select! {
            incoming = entrance.next() => incoming,
            () = stopped(&mut stop) => return,
        };
        let (acceptor, desk) = (TlsAcceptor::from(tls.config()), desk.clone());
        tokio::spawn(async move {
            let _place = place;
            let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await else { return };
            let service = service_fn(move |request| answer(request, desk.clone()));
            let mut http = hyper::server::conn::http1::Builder::new();
            let connection = http
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_WITHIN)
                .serve_connection(TokioIo::new(stream), service);
            // Readers come and go; neither is an event.
            let _ = tokio::time::timeout(LIFE, connection).await;
        });
    }
}

async fn answer(request: Request<Incoming>, desk: Arc<Desk>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::GET {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, Bytes::new()));
    }
    let (media_type, cache, found) = read(&desk, request.uri().path()).await;
    Ok(answered(media_type, cache, found))
}

fn answered(
    media_type: &'static str,
    cache: &'static str,
    found: Result<Option<Bytes>, Refused>,
) -> Response<Full<Bytes>> {
    match found {
        Ok(Some(bytes)) => {
            let mut response = plain(StatusCode::OK, bytes);
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
            // Verifiers run in browsers too, and nothing here is anybody's in particular.
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            response
        }
        Ok(None) => plain(StatusCode::NOT_FOUND, Bytes::new()),
        Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, Bytes::new()),
    }
}

/// What stands at a path: its media type, how long it may be kept, its bytes.
async fn read(desk: &Desk, path: &str) -> (&'static str, &'static str, Result<Option<Bytes>, Refused>) {
    let gateway = &*desk.gateway;
    match path {
        "/checkpoint" => (TEXT, NEVER, desk.log.newest_head().await.map(|head| head.map(|head| head.note))),
        "/keys" => (JSON, NEVER, Ok(Some(keys(gateway)))),
        "/.well-known/jwks.json" => ("application/jwk-set+json", "max-age=60", Ok(Some(jwks(gateway)))),
        _ => match (list_of(path), tile_of(path)) {
            (Some(number), _) => {
                let list = status_list::of(gateway, number).await;
                let token = list.map(|list| list.map(|list| Bytes::from(list.token.clone())));
                (STATUS_LIST_MEDIA_TYPE, NEVER, token)
            }
            (None, Some(tile)) => (BYTES, FOREVER, desk.log.tile(tile).await),
            (None, None) => (TEXT, NEVER, Ok(None)),
        },
    }
}

fn plain(status: StatusCode, bytes: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(bytes));
    *response.status_mut() = status;
    response
}

impl Log {
    fn new(store: Store, quorum: i64, turn_within: Duration, head_kept: Duration) -> Self {
        let (reads, newest) = (Semaphore::new(READS), Mutex::new(None));
        Self { store, quorum, reads, turn_within, head_kept, newest }
    }

    /// A connection to the database, in turn.
    async fn session(&self) -> Result<(Session, SemaphorePermit<'_>), Refused> {
        let turn = tokio::time::timeout(self.turn_within, self.reads.acquire()).await.map_err(|_| Refused::Busy)?;
        let turn = turn.map_err(|_| Refused::Stopping)?;
        Ok((self.store.read().await.map_err(failed)?, turn))
    }

    async fn newest_head(&self) -> Result<Option<Head>, Refused> {
        self.head(self.head_kept).await
    }

    /// The newest head that enough witnesses have seen, read at most `kept` before it was asked for.
    async fn head(&self, kept: Duration) -> Result<Option<Head>, Refused> {
        let asked_at = Instant::now();
        let newest = tokio::time::timeout(self.turn_within, self.newest.lock());
        let mut newest = newest.await.map_err(|_| Refused::Busy)?;
        if let Some(HeadRead { at, head }) = &*newest
            && *at + if head.is_ok() { kept } else { self.head_kept } >= asked_at
        {
            return head.clone();
        }
        let began = Instant::now();
        let head = self.read_head().await;
        let at = if head.is_ok() { began } else { Instant::now() };
        *newest = Some(HeadRead { at, head: head.clone() });
        head
    }

    async fn read_head(&self) -> Result<Option<Head>, Refused> {
        let (mut session, _turn) = self.session().await?;
        let row = session.latest_public_checkpoint(self.quorum).await.map_err(failed)?;
        let Some(row) = row else { return Ok(None) };
        let cosignatures = session.cosignatures(row.tree_size).await.map_err(failed)?;
        let note = with_cosignatures(row.note, &cosignatures).into();
        Ok(Some(Head { size: row.tree_size.unsigned_abs(), note }))
    }

    /// Whether a head read at most so long ago covers a tile: only what one covers is public.
    async fn covers(&self, tile: &Tile, kept: Duration) -> Result<bool, Refused> {
        let size = self.head(kept).await?.map_or(0, |head| head.size);
        Ok(Tile::of_tree(tile.level, tile.index, size).is_some_and(|known| known.width >= tile.width))
    }

    async fn tile(&self, tile: Tile) -> Result<Option<Bytes>, Refused> {
        // Another replica may have given out a newer head than is known here.
        if !self.covers(&tile, self.head_kept).await? && !self.covers(&tile, Duration::ZERO).await? {
            return Ok(None);
        }
        let from = (tile.index * u64::from(TILE_WIDTH)) as i64;
        let to = from + i64::from(tile.width);
        let (mut session, _turn) = self.session().await?;
        let hashes = match tile.level {
            0 => session.leaf_hashes(from, to).await,
            level => session.log_nodes(i64::from(level) * 8, from, to).await,
        };
        Ok(hex::decode(hashes.map_err(failed)?.concat()).ok().map(Bytes::from))
    }
}

fn failed(error: StoreError) -> Refused {
    Refused::store("public reading", &error)
}

/// Public keys in force, each with its holder: `{"keys":[{"holder":…,"kid":…,"jwk":{…}}]}`.
fn keys(gateway: &Gateway) -> Bytes {
    let view = gateway.registry.view();
    let mut keys: Vec<serde_json::Value> = view
        .keys_in_force()
        .map(|k| serde_json::json!({"holder": k.holder.to_string(), "kid": k.key.kid(), "jwk": k.key.jwk()}))
        .collect();
    keys.sort_by_key(|k| k["kid"].to_string());
    serde_json::json!({ "keys": keys }).to_string().into()
}

/// The gateway's own keys as a JWK Set (RFC 7517 §5): those in force, a next one before its first use
/// too, and retired ones, for what they signed runs on. A withdrawn key is not there from that moment.
fn jwks(gateway: &Gateway) -> Bytes {
    let view = gateway.registry.view();
    let mut keys: Vec<serde_json::Value> = view
        .own_keys()
        .filter(|key| key.state != KeyState::Withdrawn)
        .map(|RegisteredKey { key, .. }| {
            let mut jwk = serde_json::to_value(key.jwk()).unwrap_or_default();
            jwk["kid"] = key.kid().into();
            jwk["alg"] = key.algorithm().jose_name().into();
            jwk["use"] = "sig".into();
            jwk
        })
        .collect();
    keys.sort_by_key(|jwk| jwk["kid"].to_string());
    serde_json::json!({ "keys": keys }).to_string().into()
}

/// `/status/{number}`, in one spelling.
fn list_of(path: &str) -> Option<u64> {
    let digits = path.strip_prefix("/status/")?;
    let number: u64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

/// `/tile/{level}/{index}[.p/{width}]`, the index in steps of three digits.
fn tile_of(path: &str) -> Option<Tile> {
    let (level, rest) = path.strip_prefix("/tile/")?.split_once('/')?;
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => (index, width.parse::<u16>().ok()?),
        None => (rest, TILE_WIDTH),
    };
    let digits: String = index.split('/').map(|step| step.trim_start_matches('x')).collect();
    let tile = Tile { level: level.parse().ok()?, index: digits.parse().ok()?, width };
    // One spelling only.
    (tile.path() == path[1..] && (1..=TILE_WIDTH).contains(&width)).then_some(tile)
}

#[cfg(test)]
mod tests {
    use jjj_domain::time::Timestamp;
    use jjj_store::log_tables::CheckpointRow;

    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    /// Whatever was read stays for the whole test.
    async fn log() -> (tempfile::TempDir, Log) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", dir.path().join("jjj.db").display())).await.unwrap();
        store.migrate().await.unwrap();
        (dir, Log::new(store, 0, SOON, Duration::from_secs(3_600)))
    }

    async fn seal(log: &Log, tree_size: i64) {
        let (root, note) = (String::new(), format!("{tree_size} leaves"));
        let row = CheckpointRow { tree_size, root, note, sealed_at_us: Timestamp(tree_size) };
        let mut tx = log.store.begin_write().await.unwrap();
        tx.put(&[row]).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn size(log: &Log) -> Option<u64> {
        log.newest_head().await.unwrap().map(|head| head.size)
    }

    #[tokio::test]
    async fn a_head_is_kept_and_no_tile_is_denied_for_that() {
        let (_dir, mut log) = log().await;
        seal(&log, 1).await;
        assert_eq!(size(&log).await, Some(1));
        seal(&log, 2).await;
        assert_eq!(size(&log).await, Some(1), "kept");
        let tile = |width| log.tile(Tile { level: 0, index: 0, width });
        assert!(tile(2).await.unwrap().is_some(), "of a head that another replica gave out");
        assert!(tile(3).await.unwrap().is_none());
        seal(&log, 3).await;
        assert_eq!(size(&log).await, Some(2));
        log.head_kept = Duration::ZERO;
        assert_eq!(size(&log).await, Some(3));
    }

    #[tokio::test]
    async fn nobody_waits_long_for_a_reading_and_a_fault_is_not_tried_by_each() {
        let (_dir, mut log) = log().await;
        seal(&log, 1).await;
        let reading = log.newest.lock().await;
        assert!(matches!(log.newest_head().await, Err(Refused::Busy)), "another's reading hangs");
        drop(reading);
        let taken = log.reads.acquire_many(READS as u32).await.unwrap();
        assert!(matches!(log.newest_head().await, Err(Refused::Busy)), "no turn");
        drop(taken);
        assert!(matches!(log.head(Duration::ZERO).await, Err(Refused::Busy)), "the same fault");
        log.head_kept = Duration::ZERO;
        assert_eq!(size(&log).await, Some(1));
    }

    #[test]
    fn who_is_to_come_again_is_told_so() {
        let of = |found| answered("text/plain", NEVER, found).status();
        assert_eq!(of(Err(Refused::Busy)), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(of(Ok(None)), StatusCode::NOT_FOUND);
        assert_eq!(of(Ok(Some(Bytes::new()))), StatusCode::OK);
    }

    #[test]
    fn lists_have_one_path() {
        assert_eq!(list_of("/status/17"), Some(17));
        for bad in ["/status/", "/status/01", "/status/+1", "/status/-1", "/status/1/", "/status/18446744073709551616"]
        {
            assert_eq!(list_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn tiles_have_one_path() {
        assert_eq!(tile_of("/tile/0/x001/x234/067").map(|t| t.index), Some(1_234_067));
        assert_eq!(tile_of("/tile/1/000.p/5").map(|t| (t.level, t.width)), Some((1, 5)));
        for bad in [
            "/tile/0/67",
            "/tile/0/x067",
            "/tile/8/000",
            "/tile/0/000.p/0",
            "/tile/0/000.p/257",
            "/tile/0/000.p/256",
            "/tile/-1/000",
        ] {
            let tile = tile_of(bad);
            assert!(tile.is_none() || tile.is_some_and(|t| t.level > 7), "{bad}");
        }
    }
}
