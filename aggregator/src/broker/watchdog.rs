//! The watchdog: whether a message still gets through the embedded broker, by each of its listeners.
//!
//! In: the front. Out: nothing as long as all is well, else the reason to end the process, so that the
//! service manager starts it again. rumqttd's threads can die while the process lives, and it cannot be
//! started a second time. Agents keep every report until its receipt: a restart loses nothing.
//!
//! The watchdog needs no seat, so that a flood which takes them all is no reason for a restart.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::front::Front;
use super::front::house::{House, OWN_USER, own_address};
use super::front::tls::pinned;
use super::front::trust::Trust;

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(5);

/// Before a round that was missed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// How long one round may take.
const WITHIN: Duration = Duration::from_secs(5);

/// Rounds missed in a row that mean that the broker is dead.
const DEAD_AFTER: u32 = 3;

/// The embedded broker is dead.
#[derive(Debug, thiserror::Error)]
#[error(
    "the embedded broker does not work any more by its {listener} listener on {address} ({reason}): the process ends, for the service manager to start it again"
)]
pub struct Dead {
    listener: &'static str,
    address: SocketAddr,
    reason: String,
}

/// One listener under watch.
#[derive(Debug)]
struct Watched {
    listener: &'static str,
    address: SocketAddr,
    trust: Option<watch::Receiver<Arc<Trust>>>,
}

/// The watchdog of one front.
#[derive(Debug)]
pub struct Watchdog {
    house: Arc<House>,
    watched: Vec<Watched>,
}

impl Watchdog {
    /// Watches every listener of `front`.
    pub(super) fn new(front: &Front) -> Watchdog {
        let plain = |listener, address| Watched { listener, address, trust: None };
        let own = [plain("own", front.own)];
        let local = front.local.map(|address| plain("local", address));
        let trust = &front.trust;
        let network = front.network.map(|address| Watched { listener: "network", address, trust: trust.clone() });
        Watchdog { house: front.house.clone(), watched: own.into_iter().chain(local).chain(network).collect() }
    }

    /// Goes its rounds until `shutdown`, or until the broker is dead.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Dead> {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = sleep(EVERY) => {}
            }
            for watched in &self.watched {
                tokio::select! {
                    () = shutdown.cancelled() => return Ok(()),
                    alive = self.alive(watched) => alive?,
                }
            }
        }
    }

    async fn alive(&self, watched: &Watched) -> Result<(), Dead> {
        let Watched { listener, address, .. } = *watched;
        let mut missed = 0;
        loop {
            let round = timeout(WITHIN, self.round(watched)).await;
            let reason = match round {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(e)) => e.to_string(),
                Err(_) => format!("nothing came back within {WITHIN:?}"),
            };
            self.house.count_missed();
            missed += 1;
            if missed >= DEAD_AFTER {
                return Err(Dead { listener, address, reason });
            }
            tracing::warn!(listener, %address, reason, missed, "a message did not get through the embedded broker");
            sleep(AGAIN).await;
        }
    }

    /// Logs in, subscribes, publishes, and hears what it published.
    async fn round(&self, watched: &Watched) -> io::Result<()> {
        let to = SocketAddr::new(own_address(watched.address), watched.address.port());
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.bind(SocketAddr::new(to.ip(), 0))?;
        let _expected = self.house.expect(socket.local_addr()?);
        let stream = socket.connect(to).await?;
        stream.set_nodelay(true)?;
        match &watched.trust {
            None => self.through(stream, watched.listener).await,
            Some(trust) => self.through(encrypted(stream, to, trust).await?, watched.listener).await,
        }
    }

    async fn through(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, listener: &str) -> io::Result<()> {
        let topic = format!("vardpuls/v1/watchdog/{listener}");
        let word = fastrand::u64(..).to_be_bytes();
        let field = |text: &str| [&[0, u8::try_from(text.len()).expect("a short text")], text.as_bytes()].concat();
        let id = format!("watchdog-{listener}");
        let login = [field(OWN_USER), field(self.house.own_password())].concat();
        let connect = [field("MQTT"), vec![4, 0xc2, 0, 30], field(&id), login].concat();
        said(&mut stream, 0x10, &connect).await?;
        heard(&mut stream, 0x20, &[0, 0]).await?;
        said(&mut stream, 0x82, &[vec![0, 1], field(&topic), vec![0]].concat()).await?;
        heard(&mut stream, 0x90, &[0, 1, 0]).await?;
        let message = [field(&topic), word.to_vec()].concat();
        said(&mut stream, 0x30, &message).await?;
        heard(&mut stream, 0x30, &message).await?;
        said(&mut stream, 0xe0, &[]).await?;
        stream.shutdown().await
    }
}

async fn encrypted(
    stream: TcpStream,
    to: SocketAddr,
    trust: &watch::Receiver<Arc<Trust>>,
) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + use<>> {
    let certificate = trust.borrow().certificate();
    let config = pinned(certificate).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::from(to.ip()), stream).await
}

/// Every packet here is shorter than 128 bytes: one byte of length.
async fn said(stream: &mut (impl AsyncWrite + Unpin), first: u8, body: &[u8]) -> io::Result<()> {
    let length = u8::try_from(body.len()).ok().filter(|length| *length < 128).expect("a short packet");
    stream.write_all(&[&[first, length], body].concat()).await?;
    stream.flush().await
}

async fn heard(stream: &mut (impl AsyncRead + Unpin), first: u8, body: &[u8]) -> io::Result<()> {
    let mut packet = vec![0; body.len() + 2];
    stream.read_exact(&mut packet).await?;
    let right = packet[0] == first && usize::from(packet[1]) == body.len() && packet[2..] == *body;
    if right { Ok(()) } else { Err(io::Error::other(format!("not the answer to expect: {:02x?}", &packet[..2]))) }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;
    use vardpuls_shared::clock::Clock;

    use super::*;
    use crate::broker::front::counts::FrontCounts;
    use crate::broker::prepare;
    use crate::config::{BrokerConfig, BrokerPlace, EmbeddedBroker};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_broker_that_lives_is_left_alone_and_one_that_died_is_named() {
        let listen = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let place = BrokerPlace::Embedded(EmbeddedBroker { listen, network: None });
        let config = BrokerConfig { client_id: "centre".into(), place };
        let broker = prepare(&config, Clock::System, FrontCounts::default()).await.expect("a broker");
        let (front, watchdog) = (broker.front.expect("a front"), broker.watchdog.expect("a watchdog"));
        assert_eq!(watchdog.watched.len(), 2);
        for watched in &watchdog.watched {
            watchdog.round(watched).await.expect("it lives");
        }

        // Past the front, what kills the router: a publication outside ASCII while somebody subscribes to anything.
        let mut past = front.house.past_the_front("past").await.expect("the embedded broker");
        said(&mut past, 0x82, b"\x00\x01\x00\x01x\x00").await.expect("subscribes");
        heard(&mut past, 0x90, &[0, 1, 0]).await.expect("subscribed");
        said(&mut past, 0x30, b"\x00\x04\xc3\xa9/xx").await.expect("publishes");
        let start = Instant::now();
        let dead = watchdog.run(CancellationToken::new()).await.expect_err("it is dead");
        println!("found dead after {:?}: {dead}", start.elapsed());
        assert!(dead.to_string().contains("own listener"), "{dead}");
    }
}
