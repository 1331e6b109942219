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
use jjj_store::{Session, StoreError};
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
    reads: Semaphore,
    /// One reading of the head at a time: who comes meanwhile waits for its result.
    newest: Mutex<Option<(Instant, Option<Head>)>>,
}

/// The newest public head.
#[derive(Clone)]
struct Head {
    size: u64,
    note: Bytes,
}

pub(crate) async fn serve(listener: TcpListener, tls: PublicTls, gateway: Arc<Gateway>, mut stop: Stop) {
    let entrance = Entrance::new(listener, CONNECTIONS);
    let desk = Arc::new(Desk { gateway, reads: Semaphore::new(READS), newest: Mutex::new(None) });
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
    Ok(match found {
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
    })
}

/// What stands at a path: its media type, how long it may be kept, its bytes.
async fn read(desk: &Desk, path: &str) -> (&'static str, &'static str, Result<Option<Bytes>, Refused>) {
    let gateway = &*desk.gateway;
    match path {
        "/checkpoint" => (TEXT, NEVER, desk.head().await.map(|head| head.map(|head| head.note))),
        "/keys" => (JSON, NEVER, Ok(Some(keys(gateway)))),
        "/.well-known/jwks.json" => ("application/jwk-set+json", "max-age=60", Ok(Some(jwks(gateway)))),
        _ => match (list_of(path), tile_of(path)) {
            (Some(number), _) => {
                let list = status_list::of(gateway, number).await;
                let token = list.map(|list| list.map(|list| Bytes::from(list.token.clone())));
                (STATUS_LIST_MEDIA_TYPE, NEVER, token)
            }
            (None, Some(tile)) => (BYTES, FOREVER, desk.tile(tile).await),
            (None, None) => (TEXT, NEVER, Ok(None)),
        },
    }
}

fn plain(status: StatusCode, bytes: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(bytes));
    *response.status_mut() = status;
    response
}

impl Desk {
    /// A connection to the database, in turn.
    async fn session(&self) -> Result<(Session, SemaphorePermit<'_>), Refused> {
        let turn = tokio::time::timeout(TURN_WITHIN, self.reads.acquire()).await.map_err(|_| Refused::Busy)?;
        let turn = turn.map_err(|_| Refused::Stopping)?;
        Ok((self.gateway.store.read().await.map_err(failed)?, turn))
    }

    /// The newest head that enough witnesses have seen, at most [`HEAD_KEPT`] old.
    async fn head(&self) -> Result<Option<Head>, Refused> {
        let mut newest = self.newest.lock().await;
        if let Some((read_at, head)) = &*newest
            && read_at.elapsed() < HEAD_KEPT
        {
            return Ok(head.clone());
        }
        let (mut session, _turn) = self.session().await?;
        let read_at = Instant::now();
        let row = session.latest_public_checkpoint(self.gateway.quorum).await.map_err(failed)?;
        let head = match row {
            None => None,
            Some(row) => {
                let cosignatures = session.cosignatures(row.tree_size).await.map_err(failed)?;
                let note = with_cosignatures(row.note, &cosignatures).into();
                Some(Head { size: row.tree_size.unsigned_abs(), note })
            }
        };
        *newest = Some((read_at, head.clone()));
        Ok(head)
    }

    async fn tile(&self, tile: Tile) -> Result<Option<Bytes>, Refused> {
        // Only what a checkpoint covers is public.
        let size = self.head().await?.map_or(0, |head| head.size);
        match Tile::of_tree(tile.level, tile.index, size) {
            Some(known) if known.width >= tile.width => {}
            _ => return Ok(None),
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
    use super::*;

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
