//! One client, from its first byte to its last.
//!
//! In: a connection and its seat. Out: whether it came to a good end. A client is read only as far as
//! its CONNECT until it is known who it is; then it gets a connection of its own to the embedded broker.
//!
//! That connection is held until the broker has answered the CONNECT, whatever the client does: a login
//! that breaks off halfway leaves something in rumqttd over which the next one of the same client id
//! panics, and with it all logins end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::connect::{Connect, MAX_CONNECT};
use super::denial::Denial;
use super::frame::{CONNACK, CONNECT, frame};
use super::house::{Door, House};
use super::inspector::Inspector;
use super::pipe;
use super::rights::Rights;
use super::seats::Seat;
use super::trust::Credential;

/// How long a client may take from its connection to the end of its CONNECT.
const LOGS_IN_WITHIN: Duration = Duration::from_secs(10);

/// How long the broker may take to answer a CONNECT.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// How long a client may take to hear that it is turned away.
const HEARS_WITHIN: Duration = Duration::from_secs(1);

/// Why a connection ended that did not end well.
#[derive(Debug)]
pub(super) enum End {
    /// We ended it.
    Denied(Denial),
    /// It broke.
    Broke(io::Error),
}

impl From<Denial> for End {
    fn from(denial: Denial) -> End {
        End::Denied(denial)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Broke(error)
    }
}

/// One client's connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) house: Arc<House>,
    pub(super) door: Arc<Door>,
    /// None for the watchdog, which needs none.
    pub(super) seat: Option<Seat>,
}

/// A client that is let in.
struct Guest {
    rights: Rights,
    credential: Option<Credential>,
    silence: Duration,
    /// Its CONNECT, for the broker.
    connect: Vec<u8>,
}

impl Session {
    /// Serves the client; counts and logs how it ends.
    pub(super) async fn serve(self, client: TcpStream, from: SocketAddr) {
        let (house, listener) = (self.house.clone(), self.door.name());
        match self.through_the_door(client).await {
            Ok(()) => {}
            Err(End::Denied(denial)) => house.counts.deny(denial, listener, from),
            Err(End::Broke(error)) => tracing::debug!(%error, %from, "a client's connection broke"),
        }
    }

    async fn through_the_door(self, client: TcpStream) -> Result<(), End> {
        client.set_nodelay(true)?;
        let deadline = Instant::now() + LOGS_IN_WITHIN;
        let Door::Network { trust, .. } = &*self.door else { return self.talk(client, Vec::new(), deadline).await };
        let acceptor = TlsAcceptor::from(trust.borrow().tls.server.clone());
        let accepted = timeout_at(deadline, acceptor.accept(client));
        let client = tokio::select! {
            accepted = accepted => accepted.map_err(|_| Denial::Handshake)?.map_err(|_| Denial::Tls)?,
            () = crowded_out(self.seat.as_ref()) => return Err(Denial::CrowdedOut.into()),
        };
        let chain = client.get_ref().1.peer_certificates().unwrap_or_default();
        let chain = chain.iter().map(|certificate| certificate.clone().into_owned()).collect();
        self.talk(client, chain, deadline).await
    }

    async fn talk<C: AsyncRead + AsyncWrite + Unpin>(
        mut self,
        mut client: C,
        chain: Vec<CertificateDer<'static>>,
        deadline: Instant,
    ) -> Result<(), End> {
        let mut said = BytesMut::with_capacity(1024);
        let read = tokio::select! {
            read = timeout_at(deadline, connect_packet(&mut client, &mut said)) => read.unwrap_or(Err(Denial::Handshake.into())),
            () = crowded_out(self.seat.as_ref()) => Err(Denial::CrowdedOut.into()),
        };
        let len = read?;
        let guest = match self.welcome(&said[..len], &chain) {
            Ok(guest) => guest,
            Err(denial) => return turn_away(client, denial).await,
        };
        said.advance(len);
        if self.seat.as_mut().is_some_and(|seat| !seat.log_in()) {
            return turn_away(client, Denial::CrowdedOut).await;
        }
        let Ok(Ok(broker)) = timeout(ANSWERS_WITHIN, self.house.enter(&guest.connect)).await else {
            return turn_away(client, Denial::Broker).await;
        };
        client.write_all(&[CONNACK, 2, 0, 0]).await?;
        client.flush().await?;
        let _connected = self.house.counts.enter(self.door.name());
        let inspector = Inspector::new(guest.rights.clone(), self.house.filters(&guest.rights));
        tokio::select! {
            ended = pipe::both_ways(client, broker, said, inspector, guest.silence) => ended,
            () = self.revoked(&guest) => Err(Denial::Revoked.into()),
        }
    }

    /// Who it is, and what the broker is told of it.
    fn welcome(&self, packet: &[u8], chain: &[CertificateDer<'static>]) -> Result<Guest, Denial> {
        let frame = frame(packet, MAX_CONNECT)?.ok_or(Denial::Malformed)?;
        let connect = Connect::read(frame.body)?;
        let (rights, credential) = self.rights(&connect, chain)?;
        if connect.will.as_ref().is_some_and(|will| !rights.publish(will.topic)) {
            return Err(Denial::Topic);
        }
        Ok(Guest {
            connect: self.house.rewritten(&connect, rights.prefix()),
            silence: Duration::from_secs(connect.keep_alive.into()) * 3 / 2,
            rights,
            credential,
        })
    }

    fn rights(
        &self,
        connect: &Connect<'_>,
        chain: &[CertificateDer<'static>],
    ) -> Result<(Rights, Option<Credential>), Denial> {
        if let Some(own) = self.house.own(connect.login) {
            return own.then_some((Rights::Own, None)).ok_or(Denial::LoginWrong);
        }
        match &*self.door {
            Door::Own { .. } => Err(Denial::LoginMissing),
            Door::Local { .. } => Ok((Rights::Local, None)),
            Door::Network { trust, .. } => {
                let (name, credential) = trust.borrow().judge(connect, chain, self.house.clock.now())?;
                Ok((Rights::Named(name), Some(credential)))
            }
        }
    }

    /// Done when the guest is believed no more.
    async fn revoked(&self, guest: &Guest) {
        if let (Door::Network { trust, .. }, Rights::Named(name), Some(credential)) =
            (&*self.door, &guest.rights, &guest.credential)
        {
            let mut trust = trust.clone();
            while trust.changed().await.is_ok() {
                let now = self.house.clock.now();
                if !trust.borrow_and_update().holds(name, credential, now) {
                    return;
                }
            }
        }
        std::future::pending::<()>().await;
    }
}

/// Reads until a whole CONNECT is there; its length.
async fn connect_packet(client: &mut (impl AsyncRead + Unpin), said: &mut BytesMut) -> Result<usize, End> {
    loop {
        match said.first() {
            Some(&first) if first != CONNECT => return Err(Denial::Malformed.into()),
            _ => {}
        }
        if let Some(frame) = frame(said, MAX_CONNECT)? {
            return Ok(frame.len);
        }
        if client.read_buf(said).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

/// Tells a client why, as far as MQTT 3.1.1 has a code for it.
async fn turn_away(mut client: impl AsyncWrite + Unpin, denial: Denial) -> Result<(), End> {
    if denial != Denial::Malformed {
        let heard = async {
            client.write_all(&[CONNACK, 2, 0, denial.code()]).await?;
            client.shutdown().await
        };
        // It is turned away whether it hears why or not.
        drop(timeout(HEARS_WITHIN, heard).await);
    }
    Err(denial.into())
}

async fn crowded_out(seat: Option<&Seat>) {
    match seat {
        Some(seat) => seat.crowded_out().cancelled_owned().await,
        None => std::future::pending().await,
    }
}
