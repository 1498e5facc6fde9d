//! A client that says any bytes, over TCP or TLS, from any loopback address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::rig::Rig;

/// How long something may take that must happen.
const SOON: Duration = Duration::from_secs(30);

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// One connection.
pub(crate) struct Raw(pub(crate) Box<dyn Stream>);

/// Plain TCP from 127.0.`network`.`host`.
pub(crate) async fn tcp(port: u16, network: u8, host: u8) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, network, host], 0)))?;
    socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await
}

pub(crate) async fn tls(port: u16, network: u8, host: u8, config: Arc<ClientConfig>) -> std::io::Result<Raw> {
    let stream = tcp(port, network, host).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    Ok(Raw(Box::new(TlsConnector::from(config).connect(name, stream).await?)))
}

impl Raw {
    /// TLS without a certificate, from an address of its own.
    pub(crate) async fn connect(rig: &Rig) -> Raw {
        tls(rig.port, 9, 9, rig.tls(None)).await.expect("connects")
    }

    /// Mallory, logged in.
    pub(crate) async fn mallory(rig: &Rig) -> Raw {
        let mut raw = Raw::connect(rig).await;
        raw.say(&connect("mallory", Some(("mallory", &rig.password)))).await;
        assert_eq!(raw.connack().await, Some(0));
        raw
    }

    /// What is not taken is the other side's choice.
    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        let _closed_already = self.0.write_all(bytes).await;
        let _closed_already = self.0.flush().await;
    }

    /// The code of the CONNACK; none if the connection ended instead.
    pub(crate) async fn connack(&mut self) -> Option<u8> {
        let mut packet = [0; 4];
        let read = timeout(SOON, self.0.read_exact(&mut packet)).await.expect("an answer or an end");
        read.ok().map(|_| {
            assert_eq!(packet[..3], [0x20, 2, 0]);
            packet[3]
        })
    }

    /// The next bytes; none if the connection has ended.
    pub(crate) async fn hear(&mut self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 4096];
        let read = timeout(SOON, self.0.read(&mut bytes)).await.expect("an answer or an end");
        read.ok().filter(|n| *n > 0).map(|n| bytes[..n].to_vec())
    }

    /// Waits until the other side has ended the connection.
    pub(crate) async fn ended(&mut self) {
        while self.hear().await.is_some() {}
    }
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("short");
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let low = u8::try_from(length & 0x7f).expect("seven bits");
    let mut packet = match u8::try_from(length >> 7).expect("a packet of the tests is short") {
        0 => vec![first, low],
        high => vec![first, low | 0x80, high],
    };
    packet.extend_from_slice(body);
    packet
}

/// A CONNECT with a keep alive of a minute.
pub(crate) fn connect(client_id: &str, login: Option<(&str, &str)>) -> Vec<u8> {
    let flags = if login.is_some() { 0xc2 } else { 0x02 };
    let mut body = [text("MQTT"), vec![4, flags, 0, 60], text(client_id)].concat();
    if let Some((user, password)) = login {
        body.extend([text(user), text(password)].concat());
    }
    packet(0x10, &body)
}

pub(crate) fn publish(topic: &str, retain: bool, payload: &[u8]) -> Vec<u8> {
    packet(0x32 | u8::from(retain), &[&text(topic), &[0, 1][..], payload].concat())
}

pub(crate) fn subscribe(filter: &str) -> Vec<u8> {
    packet(0x82, &[vec![0, 1], text(filter), vec![1]].concat())
}
