//! The embedded broker: rumqttd on a loopback port that only [`super::front`] is told, MQTT 3.1.1, in
//! threads of its own.
//!
//! It keeps everything in memory and has no access control: it is for trying Vardpuls out, for
//! tests, and for one machine. Nothing depends on what it remembers: feeds are seeded again at every
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

use super::{BrokerError, MAX_PACKET};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// How long it may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Starts it on a free port and waits until it answers.
pub async fn start() -> Result<SocketAddr, BrokerError> {
    // rumqttd only logs when it cannot listen, and cannot tell which port it took.
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let free = TcpListener::bind(any).and_then(|l| l.local_addr());
    let address = free.map_err(|e| BrokerError::Listen(any, e))?;
    let mut broker = rumqttd::Broker::new(config(address));
    std::thread::Builder::new()
        .name("mqtt-broker".to_owned())
        .spawn(move || {
            if let Err(e) = broker.start() {
                tracing::error!("the embedded broker has ended: {e}; restart the aggregator");
            }
        })
        .map_err(BrokerError::Thread)?;
    let deadline = Instant::now() + ANSWERS_WITHIN;
    while !answers(address).await {
        if Instant::now() > deadline {
            return Err(BrokerError::Silent(address));
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(address)
}

/// Whether a login gets its CONNACK.
async fn answers(address: SocketAddr) -> bool {
    // CONNECT: MQTT 3.1.1, clean session, keep alive 10 s, client id "vardpuls-start".
    const CONNECT: &[u8] = b"\x10\x1a\x00\x04MQTT\x04\x02\x00\x0a\x00\x0evardpuls-start";
    let login = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(CONNECT).await?;
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).await?;
        stream.write_all(b"\xe0\x00").await?; // DISCONNECT
        std::io::Result::Ok(connack)
    };
    matches!(timeout(Duration::from_secs(1), login).await, Ok(Ok([0x20, 2, _, 0])))
}

fn config(listen: SocketAddr) -> Config {
    let segments = |max_segment_size, max_segment_count| SegmentConfig { max_segment_size, max_segment_count };
    let router = RouterConfig {
        max_connections: 20_000,
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
            connection_timeout_ms: 5_000,
            max_payload_size: MAX_PACKET,
            max_inflight_count: 500,
            auth: None,
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
        let address = start().await.expect("starts");
        assert!(address.port() != 0 && answers(address).await);
    }
}
