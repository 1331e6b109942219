//! Metrics over plain HTTP, loopback only: Prometheus text.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::accept::{CONNECTIONS, Entrance};
use crate::gateway::Gateway;
use crate::stop::{Stop, stopped};

pub(crate) async fn serve(listener: TcpListener, gateway: Arc<Gateway>, mut stop: Stop) {
    let entrance = Entrance::new(listener, CONNECTIONS);
    loop {
        let (stream, _, place) = tokio::select! {
            incoming = entrance.next() => incoming,
            () = stopped(&mut stop) => return,
        };
        let gateway = gateway.clone();
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(move |request| answer(request, gateway.clone()));
            // A scraper that goes away early is no event.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, gateway: Arc<Gateway>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match request.uri().path() {
        "/metrics" => (200, metrics(&gateway)),
        _ => (404, String::new()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    Ok(response)
}

fn metrics(gateway: &Gateway) -> String {
    let room = gateway.engine.room();
    let version = gateway.registry.view().version();
    format!(
        "# HELP jjj_queue_room Mutations that the write path can still take.\n\
         # TYPE jjj_queue_room gauge\n\
         jjj_queue_room {room}\n\
         # HELP jjj_registry_version Changes of the registry seen by this process.\n\
         # TYPE jjj_registry_version counter\n\
         jjj_registry_version {version}\n"
    )
}
