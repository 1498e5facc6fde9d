//! The front of the embedded broker: the only way to it.
//!
//! In: clients. Out: their bytes, to the port of the embedded broker that nobody else is told, and its
//! answers. The front ends with the value that stands for it.

mod pipe;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How long the listener rests when the system has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(100);

/// A front that is open as long as this lives.
#[derive(Debug)]
pub struct Front {
    /// Where it listens.
    pub address: SocketAddr,
    _open: JoinSet<()>,
}

impl Front {
    /// Takes clients from `listener`, which has `address`, to the broker on `broker`.
    pub fn open(listener: TcpListener, address: SocketAddr, broker: SocketAddr) -> Front {
        let mut open = JoinSet::new();
        open.spawn(accept(listener, broker));
        Front { address, _open: open }
    }
}

async fn accept(listener: TcpListener, broker: SocketAddr) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            client = listener.accept() => match client {
                Ok((client, _)) => {
                    connections.spawn(async move {
                        if let Err(error) = serve(client, broker).await {
                            tracing::debug!(%error, "a client's connection has ended");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "no client can be taken; trying again in {NO_ROOM:?}");
                    sleep(NO_ROOM).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(client: TcpStream, broker: SocketAddr) -> io::Result<()> {
    client.set_nodelay(true)?;
    let broker = TcpStream::connect(broker).await?;
    broker.set_nodelay(true)?;
    pipe::both_ways(client, broker).await
}
