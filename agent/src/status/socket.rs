//! The status socket: a Unix socket that answers with the document, and the asking of it.
//!
//! Whoever connects gets the document as JSON and the end of the stream; nothing is ever read from
//! it, so that nothing can be asked of the agent but how it is. The agent listens on no TCP port for
//! this. The socket is mode 0660: the agent's user and group may ask, so that a monitoring user in
//! that group needs no other right. Readers that hang hold one of a few places for a short while,
//! and harm neither the agent nor, for longer than that, each other.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use vardpuls_service::event::Event;
use vardpuls_shared::clock::Clock;

use super::{Board, Status};

/// How long a reader of the socket may take, and how long an asker waits for the next bytes.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many readers are answered at a time; more wait in the kernel's queue.
const READERS: usize = 16;
/// More than any agent says; an asker reads no further.
const MAX_ANSWER: u64 = 4 << 20;

/// Binds the socket. The outbox must be open: its lock makes this agent the only one here, so that
/// a socket that already lies there is left over. Anything else that lies there is left alone.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket lies there")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Answers on the socket until shutdown.
pub async fn serve(listener: UnixListener, board: Board, clock: Clock, shutdown: CancellationToken) {
    let mut readers = JoinSet::new();
    loop {
        while readers.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            _ = readers.join_next(), if readers.len() >= READERS => continue,
            accepted = listener.accept(), if readers.len() < READERS => accepted,
        };
        match accepted {
            Ok((mut stream, _)) => {
                let text = serde_json::to_vec_pretty(&board.read(clock.now())).unwrap_or_default();
                readers.spawn(async move {
                    // A reader that does not read only loses its own answer.
                    let _ = tokio::time::timeout(PATIENCE, async {
                        stream.write_all(&text).await?;
                        stream.shutdown().await
                    })
                    .await;
                });
            }
            Err(e) => {
                warn!(name: Event::StatusSocketFails.name(), error = %e, "status socket");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

/// Asks the agent behind `socket`; none when there is none.
pub fn ask(socket: &Path) -> io::Result<Option<Status>> {
    let stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => return Ok(None),
        Err(e) => return Err(e),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let deadline = Instant::now() + 5 * PATIENCE;
    let (mut text, mut part) = (Vec::new(), vec![0; 64 * 1024]);
    let mut stream = stream.take(MAX_ANSWER);
    loop {
        match stream.read(&mut part) {
            Ok(0) => return Ok(Some(serde_json::from_slice(&text)?)),
            Ok(n) => text.extend_from_slice(&part[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the answer does not end"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::status::tests::board;
    use vardpuls_shared::clock::Time;

    fn asked(path: &Path) -> Status {
        ask(path).expect("answers").expect("an agent is there")
    }

    #[tokio::test]
    async fn those_who_hang_or_write_rubbish_keep_nobody_else_from_an_answer() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("status.sock");
        let shutdown = CancellationToken::new();
        let listener = bind(&path).expect("bound");
        let serving = tokio::spawn(serve(listener, board(), Clock::standing_at(Time(9)), shutdown.clone()));
        let mut kept = Vec::new();
        for n in 0..3 * READERS {
            let mut stream = UnixStream::connect(&path).expect("connects");
            if n % 2 == 0 {
                let _ = stream.write_all(&vec![0xff; 70_000][..1000]);
            }
            kept.push(stream);
        }
        let there = path.clone();
        let status = tokio::task::spawn_blocking(move || asked(&there)).await.expect("no panic");
        assert_eq!((status.hospital.as_str(), status.now), ("h", Time(9)));
        drop(kept);
        shutdown.cancel();
        serving.await.expect("ends");
    }

    #[tokio::test]
    async fn a_socket_that_was_left_is_replaced_and_a_file_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("status.sock");
        drop(bind(&path).expect("bound"));
        assert_eq!(ask(&path).expect("nobody"), None);
        drop(bind(&path).expect("bound again"));
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o660);
        fs::remove_file(&path).expect("ours");
        fs::write(&path, "a file").expect("written");
        assert_eq!(bind(&path).expect_err("no socket").kind(), io::ErrorKind::AlreadyExists);
    }
}
