//! The embedded broker: rumqttd on a loopback port that only [`super::front`] is told, MQTT 3.1.1, in
//! threads of its own.
//!
//! It keeps everything in memory and has no access control of its own but one login, made anew by every
//! process, so that no other program of the machine gets in beside the front. Nothing depends on what it remembers: feeds are seeded again at every
//! connection, and reports come again until they are receipted. It cannot be stopped; it ends with
//! the process.
//!
//! Settings follow what was measured: a large outgoing count (or many retained messages are cut
//! short), short logs for receipts (there is one for each hospital), a longer one for reports.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use rumqttd::{Config, ConnectionSettings, RouterConfig, SegmentConfig, ServerSettings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use vardpuls_service::event::Event;

use super::{BrokerError, MAX_PACKET};
use crate::operators::Token;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// How long it may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// The user name of the only login.
const USER: &str = "front";

/// How to reach it.
pub(super) struct Embedded {
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// The user name that it wants.
    pub(super) user: &'static str,
    /// The password that it wants.
    pub(super) password: Token,
}

/// Starts it on a free port and waits until it answers.
pub(super) async fn start() -> Result<Embedded, BrokerError> {
    // rumqttd only logs when it cannot listen, and cannot tell which port it took.
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let free = TcpListener::bind(any).and_then(|l| l.local_addr());
    let address = free.map_err(|e| BrokerError::Listen("broker.listen", any, e))?;
    let password = Token::make();
    let mut broker = rumqttd::Broker::new(config(address, password.text()));
    std::thread::Builder::new()
        .name("mqtt-broker".to_owned())
        .spawn(move || {
            if let Err(e) = broker.start() {
                tracing::error!(name: Event::BrokerEnded.name(),
                    "the embedded broker has ended: {e}; the process ends soon, for the service manager to start it again");
            }
        })
        .map_err(BrokerError::Thread)?;
    let deadline = Instant::now() + ANSWERS_WITHIN;
    while !answers(address, password.text()).await {
        if Instant::now() > deadline {
            return Err(BrokerError::Silent(address));
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(Embedded { address, user: USER, password })
}

/// Whether a login gets its CONNACK.
async fn answers(address: SocketAddr, password: &str) -> bool {
    // MQTT 3.1.1, clean session, user name and password, keep alive 10 s.
    let mut body = b"\x00\x04MQTT\x04\xc2\x00\x0a".to_vec();
    for field in ["own-start", USER, password] {
        body.extend([0, u8::try_from(field.len()).expect("a short text")]);
        body.extend_from_slice(field.as_bytes());
    }
    let login = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(&[0x10, u8::try_from(body.len()).expect("a short packet")]).await?;
        stream.write_all(&body).await?;
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).await?;
        stream.write_all(b"\xe0\x00").await?; // DISCONNECT
        std::io::Result::Ok(connack)
    };
    matches!(timeout(Duration::from_secs(1), login).await, Ok(Ok([0x20, 2, _, 0])))
}

fn config(listen: SocketAddr, password: &str) -> Config {
    let segments = |max_segment_size, max_segment_count| SegmentConfig { max_segment_size, max_segment_count };
    let router = RouterConfig {
        // Above all the seats of the front together: rumqttd does not survive to be full.
        max_connections: 40_000,
        max_outgoing_packet_count: 20_000,
        max_segment_size: MIB,
        max_segment_count: 4,
        custom_segment: Some(HashMap::from([
            ("vardpuls/v1/report/+".to_owned(), segments(4 * MIB, 4)),
            ("vardpuls/v1/receipt/+".to_owned(), segments(32 * KIB, 2)),
        ])),
        ..RouterConfig::default()
    };
    let server = ServerSettings {
        name: "vardpuls".to_owned(),
        listen,
        tls: None,
        next_connection_delay_ms: 0,
        connections: ConnectionSettings {
            connection_timeout_ms: 5_000, // the front sends its CONNECT at once
            max_payload_size: MAX_PACKET,
            max_inflight_count: 500,
            auth: Some(HashMap::from([(USER.to_owned(), password.to_owned())])),
            external_auth: None,
            dynamic_filters: false,
        },
    };
    Config { router, v4: Some(HashMap::from([("vardpuls".to_owned(), server)])), ..Config::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_answers_once_started() {
        let embedded = start().await.expect("starts");
        assert!(answers(embedded.address, embedded.password.text()).await);
        assert!(!answers(embedded.address, "guess").await);
    }
}
