//! What anybody may read, over HTTPS: the newest checkpoint, hash tiles (C2SP
//! tlog-tiles), keys in force. Read-only; entries need authorisation and are not here.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jjj_store::StoreError;
use jjj_token::merkle::{TILE_WIDTH, Tile};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::gateway::Gateway;
use crate::status::Refused;
use crate::stop::{Stop, stopped};

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// An idle connection is closed after this time.
const LIFE: Duration = Duration::from_secs(60);

pub(crate) async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, gateway: Arc<Gateway>, mut stop: Stop) {
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
            () = stopped(&mut stop) => return,
        };
        let (acceptor, gateway) = (acceptor.clone(), gateway.clone());
        tokio::spawn(async move {
            let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await else { return };
            let service = service_fn(move |request| answer(request, gateway.clone()));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // Readers come and go; neither is an event.
            let _ = tokio::time::timeout(LIFE, connection).await;
        });
    }
}

async fn answer(request: Request<Incoming>, gateway: Arc<Gateway>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::GET {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, Bytes::new()));
    }
    let found = match request.uri().path() {
        "/checkpoint" => checkpoint(&gateway).await,
        "/keys" => Ok(Some(keys(&gateway))),
        path => match tile_of(path) {
            Some(tile) => read_tile(&gateway, tile).await,
            None => Ok(None),
        },
    };
    Ok(match found {
        Ok(Some(bytes)) => plain(StatusCode::OK, bytes),
        Ok(None) => plain(StatusCode::NOT_FOUND, Bytes::new()),
        Err(error) => {
            let _ = Refused::store("public reading", &error);
            plain(StatusCode::SERVICE_UNAVAILABLE, Bytes::new())
        }
    })
}

fn plain(status: StatusCode, bytes: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(bytes));
    *response.status_mut() = status;
    response
}

async fn checkpoint(gateway: &Gateway) -> Result<Option<Bytes>, StoreError> {
    let latest = gateway.store.read().await?.latest_checkpoint().await?;
    Ok(latest.map(|row| row.note.into()))
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

async fn read_tile(gateway: &Gateway, tile: Tile) -> Result<Option<Bytes>, StoreError> {
    let mut session = gateway.store.read().await?;
    // Only what a checkpoint covers is public.
    let size = session.latest_checkpoint().await?.map_or(0, |row| row.tree_size.unsigned_abs());
    match Tile::of_tree(tile.level, tile.index, size) {
        Some(known) if known.width >= tile.width => {}
        _ => return Ok(None),
    }
    let from = (tile.index * u64::from(TILE_WIDTH)) as i64;
    let to = from + i64::from(tile.width);
    let hashes = match tile.level {
        0 => session.leaf_hashes(from, to).await?,
        level => session.log_nodes(i64::from(level) * 8, from, to).await?,
    };
    Ok(hex::decode(hashes.concat()).ok().map(Bytes::from))
}

#[cfg(test)]
mod tests {
    use super::*;

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
