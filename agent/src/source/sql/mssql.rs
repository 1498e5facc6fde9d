//! Microsoft SQL Server, by tiberius over a stream that we encrypt ourselves.
//!
//! tiberius is built without TLS, because it would bring a second crypto library; `handshake.rs` does what it would have done.
//!
//! Invariants: a login goes over TLS to a server that has proved its name, unless the config says otherwise. The session
//! announces that it only reads, gives way to others (it takes the losing side of a deadlock and waits for no lock
//! longer than the time-out), and its transaction is rolled back. SQL Server has no transaction that refuses to write:
//! a statement that ends the transaction by itself is found afterwards, not before. The grants are the lock.

mod fault;
pub mod fuzzing;
mod handshake;
mod prelogin;
mod value;
mod wire;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt as _, TryStreamExt as _};
use rustls::ClientConfig;
use tiberius::error::Error;
use tiberius::{AuthMethod, Client, Config, EncryptionLevel, QueryItem};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::client::TlsStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};
use tokio_util::either::Either;

use super::connection::Rows;
use super::fault::SqlFault;
use super::{MOST_BYTES, Server, ServerTls};
use crate::source::http::{roots, secret};
use handshake::Wrapped;
use wire::{Allowance, Wire};

/// How often we log in to be let in once: a listener sends us on to a replica, which is the last; where none may be read,
/// both once more without saying that we only want to read.
const MOST_LOGINS: usize = 4;

type Stream = Compat<Wire<Either<TcpStream, Box<TlsStream<Wrapped<TcpStream>>>>>>;

/// An open connection.
pub(super) struct Mssql {
    client: Client<Stream>,
    allowance: Allowance,
}

impl fmt::Debug for Mssql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // tiberius shows what it has received.
        f.debug_struct("Mssql").finish_non_exhaustive()
    }
}

impl Mssql {
    /// Logs in to the server, or to the one that it sends us on to.
    pub(super) async fn open(server: &Server, timeout: Duration) -> Result<Mssql, SqlFault> {
        let tls = server.tls.as_ref().map(tls).transpose()?;
        let password = server.password_file.as_deref().map(secret).transpose()?.unwrap_or_default();
        let (mut host, mut port, mut only_reads) = (server.host.clone(), server.port, true);
        for _ in 0..MOST_LOGINS {
            let mut config = Config::new();
            config.host(&host);
            config.port(port);
            config.database(&server.name);
            config.authentication(AuthMethod::sql_server(&server.username, &password));
            config.application_name("vardpuls-agent");
            config.readonly(only_reads);
            config.encryption(EncryptionLevel::NotSupported);
            // The reader's time-out holds for all of it; tiberius would start a thread for its own.
            config.handshake_timeout(None);
            config.command_timeout(None);
            let allowance = Allowance::new(MOST_BYTES.into());
            let stream = connect(&host, port, tls.clone()).await?;
            match Client::connect(config, Wire::new(stream, allowance.clone()).compat()).await {
                Ok(client) => {
                    let mut opened = Mssql { client, allowance };
                    opened.settle(timeout).await?;
                    return Ok(opened);
                }
                Err(Error::Routing { host: next, port: at }) => (host, port) = (next, at),
                Err(e) if only_reads && fault::is_for_intent(&e) => {
                    (host, port, only_reads) = (server.host.clone(), server.port, false);
                }
                Err(e) => return Err(fault::of(&e, timeout)),
            }
        }
        Err(SqlFault::Unreachable("the server sends us on again and again".to_owned()))
    }

    /// Says how the session is to behave beside those that work.
    async fn settle(&mut self, timeout: Duration) -> Result<(), SqlFault> {
        // READ COMMITTED holds no lock longer than it reads a row, and none where the database keeps versions; what does not lock
        // at all (READ UNCOMMITTED) counts rows twice or not at all while they move.
        let wishes = format!(
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED SET DEADLOCK_PRIORITY LOW SET LOCK_TIMEOUT {}",
            timeout.as_millis()
        );
        self.run(&wishes, timeout).await
    }

    /// The rows of one statement, at most `most`.
    pub(super) async fn query(&mut self, query: &str, timeout: Duration, most: usize) -> Result<Rows, SqlFault> {
        self.allowance.store(MOST_BYTES, Ordering::Relaxed);
        self.run("BEGIN TRANSACTION", timeout).await?;
        let rows = match self.collect(query, timeout, most).await {
            Err(SqlFault::Unreachable(_)) if self.allowance.load(Ordering::Relaxed) == 0 => Err(SqlFault::TooMuch),
            result => result,
        }?;
        // Refused where the query has ended the transaction by itself.
        self.run("ROLLBACK TRANSACTION", timeout).await?;
        Ok(rows)
    }

    async fn collect(&mut self, query: &str, timeout: Duration, most: usize) -> Result<Rows, SqlFault> {
        let failed = |e: Error| fault::of(&e, timeout);
        let mut given = self.client.simple_query(query).await.map_err(failed)?;
        let mut rows = Rows::default();
        let mut results = 0;
        while let Some(item) = given.try_next().await.map_err(failed)? {
            match item {
                QueryItem::Metadata(head) => {
                    results += 1;
                    rows.columns = head.columns().iter().map(|column| column.name().to_owned()).collect();
                }
                QueryItem::Row(row) => {
                    let values = (1..).zip(row.cells()).map(|(number, (_, value))| {
                        value::text(value).map_err(|value::NoText| SqlFault::Value(number.to_string()))
                    });
                    rows.push(values.collect::<Result<_, _>>()?, most)?;
                }
            }
        }
        if results > 1 { Err(SqlFault::Results(results)) } else { Ok(rows) }
    }

    async fn run(&mut self, statement: &str, timeout: Duration) -> Result<(), SqlFault> {
        let failed = |e: Error| fault::of(&e, timeout);
        self.client.simple_query(statement).await.map_err(failed)?.into_results().await.map_err(failed)?;
        Ok(())
    }
}

async fn connect(
    host: &str,
    port: u16,
    tls: Option<Arc<ClientConfig>>,
) -> Result<Either<TcpStream, Box<TlsStream<Wrapped<TcpStream>>>>, SqlFault> {
    let failed = |e: io::Error| SqlFault::Unreachable(e.to_string());
    let addresses = lookup_host((host, port)).await.map_err(failed)?;
    let mut stream = first(addresses).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    if let Some(tls) = tls {
        return Ok(Either::Right(Box::new(handshake::encrypted(stream, host, tls).await?)));
    }
    handshake::plain(&mut stream).await?;
    Ok(Either::Left(stream))
}

/// The first connection to any of these. All are tried at once: a listener of an availability group has an address in each subnet,
/// of which one answers, and what is sent to the others may be lost without a word.
async fn first(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut attempts: FuturesUnordered<_> = addresses.map(TcpStream::connect).collect();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(stream) => return Ok(stream),
            Err(e) => failed = e,
        }
    }
    Err(failed)
}

fn tls(tls: &ServerTls) -> Result<Arc<ClientConfig>, SqlFault> {
    handshake::client(roots(tls.ca_file.as_deref())?)
}

#[cfg(test)]
mod tests;
