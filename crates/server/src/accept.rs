//! Connections taken in, for every listener alike.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections that a listener holds at once, handshakes included. More wait in the system's backlog.
pub(crate) const CONNECTIONS: usize = 1_024;

/// A listener with room for so many connections.
pub(crate) struct Entrance {
    listener: TcpListener,
    room: Arc<Semaphore>,
}

/// A connection's place, free again when it is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

impl Entrance {
    pub fn new(listener: TcpListener, connections: usize) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(connections)) }
    }

    /// The next connection, once there is room for one. Where none can be had, out of descriptors
    /// mostly, it waits for some to be returned.
    pub async fn next(&self) -> (TcpStream, SocketAddr, Place) {
        if self.room.available_permits() == 0 {
            tracing::warn!("no room for another connection");
        }
        let place = self.room.clone().acquire_owned().await.expect("never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => return (stream, address, place),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn beyond_its_room_a_listener_takes_nobody_in_until_somebody_goes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let entrance = Entrance::new(listener, 1);
        let _callers = (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
        let first = entrance.next().await;
        let second = entrance.next();
        tokio::pin!(second);
        assert!(tokio::time::timeout(Duration::from_millis(200), &mut second).await.is_err(), "there is no room");
        drop(first);
        let _second = tokio::time::timeout(Duration::from_secs(10), second).await.expect("there is room again");
    }
}
