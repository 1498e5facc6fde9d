//! The two ways between a client and the embedded broker.
//!
//! In: both ends of a connection. Out: the same bytes on the other side, at once.
//!
//! rumqttd leaves Nagle's algorithm on: a small packet of its waits until everything before it is
//! acknowledged, and the kernel puts an acknowledgement off by up to 40 ms. The front cannot mend the
//! first, so it mends the second: whatever it has read from the broker is acknowledged there and then.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Bytes that one way holds.
const BUFFER: usize = 16 * 1024;

/// Carries bytes both ways until either side has ended and the other has had the rest.
pub(super) async fn both_ways<C: AsyncRead + AsyncWrite + Unpin>(client: C, broker: TcpStream) -> io::Result<()> {
    let (from_client, to_client) = tokio::io::split(client);
    let (from_broker, to_broker) = broker.into_split();
    tokio::try_join!(to_the_broker(from_client, to_broker), to_the_client(from_broker, to_client))?;
    Ok(())
}

async fn to_the_broker(mut client: impl AsyncRead + Unpin, mut broker: OwnedWriteHalf) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match client.read(&mut buffer).await? {
            0 => return broker.shutdown().await,
            n => broker.write_all(&buffer[..n]).await?,
        }
    }
}

async fn to_the_client(mut broker: OwnedReadHalf, mut client: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = broker.read(&mut buffer).await?;
        #[cfg(target_os = "linux")]
        broker.as_ref().set_quickack(true)?;
        if n == 0 {
            return client.shutdown().await;
        }
        client.write_all(&buffer[..n]).await?;
        client.flush().await?;
    }
}
