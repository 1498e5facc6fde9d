//! The way to the broker's port: its name, and a TCP connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::config::Broker;

use super::finding::Finding;

const NAME: &str = "name";
const TCP: &str = "tcp";
const LOOKUP: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);

/// The addresses behind the broker's host.
pub(super) async fn lookup(broker: &Broker) -> (Finding, Vec<SocketAddr>) {
    let host = &broker.host;
    if let Ok(address) = host.parse::<IpAddr>() {
        return (Finding::ok(NAME, format!("{host} is an address")), vec![SocketAddr::new(address, broker.port)]);
    }
    let remedy =
        format!("correct broker.url if {host:?} is misspelt; else look at /etc/resolv.conf, try: getent hosts {host}");
    match timeout(LOOKUP, lookup_host((host.as_str(), broker.port))).await {
        Err(_) => {
            let what = format!("no answer about {host} within {} s", LOOKUP.as_secs());
            (
                Finding::failed(
                    NAME,
                    what,
                    "the name server does not answer: look at /etc/resolv.conf and the firewall",
                ),
                Vec::new(),
            )
        }
        Ok(Err(e)) => (Finding::failed(NAME, format!("{host} cannot be looked up: {e}"), remedy), Vec::new()),
        Ok(Ok(found)) => {
            let found: Vec<_> = found.collect();
            let shown: Vec<_> = found.iter().map(|a| a.ip().to_string()).collect();
            if found.is_empty() {
                (Finding::failed(NAME, format!("{host} has no address"), remedy), found)
            } else {
                (Finding::ok(NAME, format!("{host} is {}", shown.join(", "))), found)
            }
        }
    }
}

/// A connection to the first address that takes one.
pub(super) async fn connect(addresses: &[SocketAddr]) -> (Finding, Option<TcpStream>) {
    let mut last = None;
    for address in addresses {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return (Finding::ok(TCP, format!("{address} takes connections")), Some(stream)),
            Ok(Err(e)) => last = Some(refused(*address, &e)),
            Err(_) => last = Some(refused(*address, &io::ErrorKind::TimedOut.into())),
        }
    }
    (last.unwrap_or_else(|| Finding::not_tried(TCP, "name failed")), None)
}

/// What a refusal means; the three look alike to users, and are mended by different people.
fn refused(address: SocketAddr, e: &io::Error) -> Finding {
    match e.kind() {
        io::ErrorKind::ConnectionRefused => Finding::failed(
            TCP,
            format!(
                "{address} refuses connections: the machine is there, but nothing listens on port {}",
                address.port()
            ),
            "check the port in broker.url, and ask the broker's operator whether the broker runs",
        ),
        io::ErrorKind::TimedOut => Finding::failed(
            TCP,
            format!("{address} does not answer within {} s", CONNECT.as_secs()),
            format!("most often a firewall: let this machine connect out to TCP port {}", address.port()),
        ),
        _ => Finding::failed(
            TCP,
            format!("{address}: {e}"),
            "look at this machine's addresses and routes (ip addr, ip route get), and at the firewall",
        ),
    }
}
