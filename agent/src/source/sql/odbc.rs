//! Databases behind an ODBC driver, which is foreign code that blocks: Oracle, InterSystems and whatever else has one.
//!
//! All calls of a source are made by one thread of its own. A call that does not come back costs that thread and no other:
//! until it does, every further query is refused, and the agent goes on with its other sources. The thread ends with the
//! source; one that hangs is left behind, by a reload as by the end of the process.

mod fault;
mod string;
mod worker;

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

pub use string::ConnectionString;

use super::connection::Rows;
use super::fault::SqlFault;
use worker::Worker;

/// Where a driver leads, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OdbcSource {
    /// The driver or data source, and what it needs to know.
    pub connection: ConnectionString,
    /// Whom we log in as; none where the driver knows otherwise.
    pub username: Option<String>,
    /// The file that holds the password.
    pub password_file: Option<PathBuf>,
}

/// What the thread is asked, and where it answers.
struct Call {
    query: String,
    timeout: Duration,
    most: usize,
    answer: oneshot::Sender<Result<Rows, SqlFault>>,
}

/// A line to the thread.
#[derive(Debug)]
pub(super) struct Line {
    source: OdbcSource,
    /// Made when it is first needed, and anew where a driver has brought it to an end.
    calls: Option<SyncSender<Call>>,
    /// The answer that is awaited; kept where a turn was given up before it came.
    answer: Option<oneshot::Receiver<Result<Rows, SqlFault>>>,
}

impl Line {
    pub(super) fn new(source: OdbcSource) -> Line {
        Line { source, calls: None, answer: None }
    }

    /// The rows of one statement, at most `most`.
    pub(super) async fn query(&mut self, query: &str, timeout: Duration, most: usize) -> Result<Rows, SqlFault> {
        if let Some(earlier) = &mut self.answer
            && matches!(earlier.try_recv(), Err(TryRecvError::Empty))
        {
            return Err(SqlFault::Stuck);
        }
        let ended = || SqlFault::Unreachable("the driver has brought its thread to an end".to_owned());
        let (answer, awaited) = oneshot::channel();
        let call = Call { query: query.to_owned(), timeout, most, answer };
        let calls = match &self.calls {
            Some(calls) => calls,
            None => self.calls.insert(start(self.source.clone())?),
        };
        if calls.try_send(call).is_err() {
            self.calls = None;
            return Err(ended());
        }
        let result = self.answer.insert(awaited).await;
        self.answer = None;
        result.unwrap_or_else(|_| {
            self.calls = None;
            Err(ended())
        })
    }
}

fn start(source: OdbcSource) -> Result<SyncSender<Call>, SqlFault> {
    let (sender, receiver) = sync_channel(1);
    let thread = thread::Builder::new().name("odbc".to_owned());
    thread.spawn(move || work(&source, &receiver)).map_err(|e| SqlFault::Unreachable(format!("no thread ({e})")))?;
    Ok(sender)
}

fn work(source: &OdbcSource, calls: &Receiver<Call>) {
    let mut worker = Worker::default();
    while let Ok(call) = calls.recv() {
        let result = worker.rows(source, &call);
        let failed = result.is_err();
        // Nobody listens where the source is gone.
        let _ = call.answer.send(result);
        if failed {
            worker.close();
        }
    }
}
