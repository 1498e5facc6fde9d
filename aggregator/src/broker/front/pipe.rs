//! The two ways between a client that has logged in and the embedded broker.
//!
//! In: both ends of a connection. Out: what the client may say, to the broker; what the broker says, to
//! the client as it is. Each way holds one packet of the client's, or one buffer of the broker's.
//!
//! rumqttd leaves Nagle's algorithm on: a small packet of its waits until everything before it is
//! acknowledged, and the kernel puts an acknowledgement off by up to 40 ms. The front cannot mend the
//! first, so it mends the second: whatever it has read from the broker is acknowledged there and then.

use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, timeout, timeout_at};

use super::denial::Denial;
use super::inspector::Inspector;
use super::session::End;

/// Bytes that are carried to the client at once.
const BUFFER: usize = 16 * 1024;

/// Room for what a client says next; without it the buffer would grow in steps of 64 bytes.
const ROOM: usize = 4 * 1024;

/// How long a client may take to accept one buffer.
const TAKES_WITHIN: Duration = Duration::from_mins(1);

/// How long the broker has to finish what it was saying to a client that has hung up.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Carries bytes both ways until either side has ended. `said` came with or after the CONNECT; a client
/// must finish a packet every `silence`.
pub(super) async fn both_ways<C: AsyncRead + AsyncWrite + Unpin>(
    client: C,
    broker: TcpStream,
    said: BytesMut,
    inspector: Inspector,
    silence: Duration,
) -> Result<(), End> {
    let (from_client, to_client) = tokio::io::split(client);
    let (from_broker, to_broker) = broker.into_split();
    let mut down = pin!(to_the_client(from_broker, to_client));
    tokio::select! {
        up = to_the_broker(from_client, to_broker, said, inspector, silence) => {
            up?;
            // A client may hang up its own side only, and still want what it asked for.
            timeout(LAST_WORDS, down).await.unwrap_or(Ok(()))
        }
        ended = &mut down => ended,
    }
}

async fn to_the_broker(
    mut client: impl AsyncRead + Unpin,
    mut broker: OwnedWriteHalf,
    mut said: BytesMut,
    mut inspector: Inspector,
    silence: Duration,
) -> Result<(), End> {
    let mut due = Instant::now() + silence;
    loop {
        let (admitted, denial) = inspector.admit(&said);
        if admitted > 0 {
            due = Instant::now() + silence;
            broker.write_all(&said[..admitted]).await?;
            said.advance(admitted);
        }
        if let Some(denial) = denial {
            return Err(denial.into());
        }
        said.reserve(ROOM);
        let hung_up = inspector.said_goodbye()
            || timeout_at(due, client.read_buf(&mut said)).await.map_err(|_| Denial::Silent)?? == 0;
        if hung_up {
            return Ok(broker.shutdown().await?);
        }
    }
}

async fn to_the_client(mut broker: OwnedReadHalf, mut client: impl AsyncWrite + Unpin) -> Result<(), End> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = broker.read(&mut buffer).await?;
        #[cfg(target_os = "linux")]
        broker.as_ref().set_quickack(true)?;
        let taken = async {
            if n == 0 {
                return client.shutdown().await;
            }
            client.write_all(&buffer[..n]).await?;
            client.flush().await
        };
        timeout(TAKES_WITHIN, taken).await.map_err(|_| Denial::NotReading)??;
        if n == 0 {
            return Ok(());
        }
    }
}
