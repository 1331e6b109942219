//! The floor of single calls: a bare tonic echo over mutual TLS, in a process of its own, with
//! messages of the same size. No token, no rule, no database.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use jjj_cli::identity::Identity;
use jjj_cli::sandbox::{SERVER_NAME, Sandbox};
use jjj_tests::world::UNIONPAY;
use prost::Message;
use tokio::task::JoinSet;
use tonic::body::Body;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Server, ServerTlsConfig};
use tonic_prost::ProstCodec;
use tower::Service;

use crate::report::percentile;

const PATH: &str = "/bench.Echo/Echo";

#[derive(Clone, PartialEq, Message)]
struct Payload {
    /// How long the answer is to be.
    #[prost(uint32, tag = "1")]
    answer_bytes: u32,
    #[prost(bytes = "bytes", tag = "2")]
    filler: Bytes,
}

#[derive(Clone)]
struct Echo {
    /// Answers are cut from it.
    filler: Bytes,
}

impl tonic::server::NamedService for Echo {
    const NAME: &'static str = "bench.Echo";
}

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let filler = self.filler.clone();
        Box::pin(async move {
            let answer = tower::service_fn(move |request: tonic::Request<Payload>| {
                let length = filler.len().min(request.get_ref().answer_bytes as usize);
                let answer = Payload { answer_bytes: 0, filler: filler.slice(..length) };
                std::future::ready(Ok(tonic::Response::new(answer)))
            });
            Ok(tonic::server::Grpc::new(ProstCodec::<Payload, Payload>::default()).unary(answer, request).await)
        })
    }
}

/// Serves until killed; prints its address.
pub async fn serve(sandbox: &Path) -> anyhow::Result<()> {
    let sandbox = Sandbox::open(sandbox);
    let read = |path: &Path| std::fs::read_to_string(path).with_context(|| path.display().to_string());
    let identity = tonic::transport::Identity::from_pem(
        read(&sandbox.dir().join("gateway/server.pem"))?,
        read(&sandbox.dir().join("gateway/server-key.pem"))?,
    );
    let authority = Certificate::from_pem(read(&sandbox.authority_path(UNIONPAY))?);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    Server::builder()
        .tls_config(ServerTlsConfig::new().identity(identity).client_ca_root(authority))?
        // As the gateway's.
        .max_concurrent_streams(Some(2_048))
        .initial_stream_window_size(Some(1 << 20))
        .initial_connection_window_size(Some(4 << 20))
        .add_service(Echo { filler: vec![0x5a; 1 << 20].into() })
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}

/// The echo's server as a child.
pub struct EchoServer {
    child: Child,
    address: String,
    identity: Identity,
}

impl EchoServer {
    pub fn start(sandbox: &Path, identity: Identity) -> anyhow::Result<Self> {
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(std::env::current_exe()?)
            .args(["echo-server", "--sandbox"])
            .arg(sandbox)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("a pipe")?;
        let mut server = Self { child, address: String::new(), identity };
        BufReader::new(stdout).read_line(&mut server.address)?;
        Ok(server)
    }

    fn channel(&self) -> anyhow::Result<Channel> {
        let Identity { certificate_pem, tls_key_pem, gateway_ca_pem, .. } = &self.identity;
        let tls = ClientTlsConfig::new()
            .domain_name(SERVER_NAME)
            .ca_certificate(Certificate::from_pem(gateway_ca_pem))
            .identity(tonic::transport::Identity::from_pem(certificate_pem, tls_key_pem));
        Ok(Endpoint::from_shared(format!("https://{}", self.address.trim()))?.tls_config(tls)?.connect_lazy())
    }

    /// Calls, `in_flight` at once over `connections` connections; how long it took.
    pub async fn load(
        &self,
        calls: usize,
        in_flight: usize,
        connections: usize,
        sizes: Sizes,
    ) -> anyhow::Result<Echoed> {
        let channels: Vec<Channel> = (0..connections).map(|_| self.channel()).collect::<Result<_, _>>()?;
        run(&channels, channels.len() * 50, in_flight, sizes).await?;
        run(&channels, calls, in_flight, sizes).await
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lengths of the messages, as the gateway's are on average.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub request_bytes: usize,
    pub answer_bytes: usize,
}

pub struct Echoed {
    elapsed: Duration,
    latencies_us: Vec<u32>,
}

impl Echoed {
    pub fn per_second(&self) -> f64 {
        self.latencies_us.len() as f64 / self.elapsed.as_secs_f64()
    }

    pub fn p99_ms(&mut self) -> f64 {
        self.latencies_us.sort_unstable();
        f64::from(percentile(&self.latencies_us, 0.99)) / 1e3
    }
}

async fn run(channels: &[Channel], calls: usize, in_flight: usize, sizes: Sizes) -> anyhow::Result<Echoed> {
    // Tags and lengths take about seven bytes.
    let request = Payload {
        answer_bytes: sizes.answer_bytes.saturating_sub(4) as u32,
        filler: vec![0x5a; sizes.request_bytes.saturating_sub(7)].into(),
    };
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for i in 0..in_flight {
        let (channel, next, request) = (channels[i % channels.len()].clone(), next.clone(), request.clone());
        tasks.spawn(async move {
            let mut grpc = tonic::client::Grpc::new(channel);
            let mut latencies_us = Vec::new();
            while next.fetch_add(1, Ordering::Relaxed) < calls {
                let began = Instant::now();
                grpc.ready().await?;
                let request = tonic::Request::new(request.clone());
                let codec = ProstCodec::<Payload, Payload>::default();
                let answer = grpc.unary(request, PathAndQuery::from_static(PATH), codec).await;
                answer.map_err(|status| anyhow!("echo: {status:?}"))?;
                latencies_us.push(began.elapsed().as_micros() as u32);
            }
            Ok::<_, anyhow::Error>(latencies_us)
        });
    }
    let mut latencies_us = Vec::with_capacity(calls);
    while let Some(done) = tasks.join_next().await {
        latencies_us.extend(done??);
    }
    Ok(Echoed { elapsed: started.elapsed(), latencies_us })
}
