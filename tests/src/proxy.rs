//! A wire between the gateway and PostgreSQL that can be cut where it hurts: around a commit.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to the next transaction that carries a marked text.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Fault {
    /// Its commit never arrives, and the connection ends.
    CommitLost,
    /// Its commit arrives; the connection ends before the answer.
    AnswerLost,
    /// Its commit arrives; nothing is heard any more, and nothing ends.
    Silence,
}

/// Lets bytes through in both directions until told otherwise.
pub struct Proxy {
    port: u16,
    armed: Armed,
    frozen: watch::Sender<bool>,
    silenced: watch::Sender<()>,
}

type Armed = Arc<Mutex<Option<(&'static str, Fault)>>>;

impl Proxy {
    /// Listens before the server of a `postgres://user@host:port/database`.
    pub async fn before(url: &str) -> (Self, String) {
        let (rest, database) = url.rsplit_once('/').expect("a database");
        let (user, server) = rest.rsplit_once('@').expect("a host");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let proxy =
            Self { port, armed: Armed::default(), frozen: watch::channel(false).0, silenced: watch::channel(()).0 };
        let (armed, frozen, server) = (proxy.armed.clone(), proxy.frozen.clone(), server.to_owned());
        let silenced = proxy.silenced.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (armed, frozen, server) = (armed.clone(), frozen.subscribe(), server.clone());
                let mut silenced = silenced.subscribe();
                tokio::spawn(async move {
                    let Ok(mut database) = TcpStream::connect(&server).await else { return };
                    tokio::select! {
                        () = join(&mut client, &mut database, &armed, frozen) => {}
                        _ = silenced.changed() => tokio::time::sleep(Duration::from_secs(600)).await,
                    }
                });
            }
        });
        let url = format!("{user}@127.0.0.1:{}/{database}", proxy.port);
        (proxy, url)
    }

    /// The next transaction that carries the text meets the fault; one does.
    pub fn arm(&self, text: &'static str, fault: Fault) {
        *self.armed.lock().expect("no panic while held") = Some((text, fault));
    }

    /// Whether the fault has not happened yet.
    pub fn is_armed(&self) -> bool {
        self.armed.lock().expect("no panic while held").is_some()
    }

    /// Nothing passes any more, and nothing ends; or all goes on.
    pub fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }

    /// Nothing passes any more on the connections there are, and nothing ends; new ones are as good as ever.
    pub fn silence(&self) {
        self.silenced.send_replace(());
    }
}

/// One connection's two directions.
async fn join(client: &mut TcpStream, database: &mut TcpStream, armed: &Armed, mut frozen: watch::Receiver<bool>) {
    let ((mut from_client, mut to_client), (mut from_database, mut to_database)) = (client.split(), database.split());
    let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    // What this connection has sent since its last commit.
    let mut sent: Vec<u8> = Vec::new();
    loop {
        if frozen.wait_for(|frozen| !frozen).await.is_err() {
            return;
        }
        tokio::select! {
            _ = frozen.changed() => {}
            read = from_client.read(&mut asked) => {
                let Ok(n @ 1..) = read else { return };
                sent.extend_from_slice(&asked[..n]);
                match fault(armed, &mut sent) {
                    Some(Fault::CommitLost) => return,
                    Some(Fault::AnswerLost) => {
                        let _ = to_database.write_all(&asked[..n]).await;
                        // The server takes it before it sees the end.
                        let _ = from_database.read(&mut answered).await;
                        return;
                    }
                    Some(Fault::Silence) => {
                        let _ = to_database.write_all(&asked[..n]).await;
                        tokio::time::sleep(Duration::from_secs(600)).await;
                        return;
                    }
                    None if to_database.write_all(&asked[..n]).await.is_err() => return,
                    None => {}
                }
            }
            read = from_database.read(&mut answered) => {
                let Ok(n @ 1..) = read else { return };
                if to_client.write_all(&answered[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The fault of a connection that has just sent a commit, and carried the armed text before it.
fn fault(armed: &Armed, sent: &mut Vec<u8>) -> Option<Fault> {
    let has = |sent: &[u8], text: &[u8]| sent.windows(text.len()).any(|window| window == text);
    if !has(sent, b"COMMIT\0") {
        return None;
    }
    let carried = std::mem::take(sent);
    let mut armed = armed.lock().expect("no panic while held");
    let hit = armed.filter(|(text, _)| has(&carried, text.as_bytes())).map(|(_, fault)| fault)?;
    *armed = None;
    Some(hit)
}
