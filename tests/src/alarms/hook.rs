//! A webhook's receiver, alive while the centre dies: it notes every post, and strikes when it is told to.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// One post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// The number of the journal entry that it tells of.
    pub number: u64,
    /// The message id.
    pub id: String,
    /// How many times the centre had been started when it came.
    pub life: u32,
}

type Strike = Box<dyn FnOnce() + Send>;

/// What was heard.
#[derive(Default)]
struct Heard {
    posts: Vec<Post>,
    life: u32,
    /// Connections that have not ended.
    open: usize,
    /// Who has hung up.
    ended: BTreeSet<SocketAddr>,
    /// What is done when the next post comes, before it is answered.
    strike: Option<Strike>,
}

/// The receiver.
#[derive(Clone)]
pub struct Hook {
    /// Where it listens.
    pub addr: SocketAddr,
    heard: Arc<Mutex<Heard>>,
}

impl Hook {
    /// Listens until the process ends.
    pub fn listen() -> std::io::Result<Hook> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let hook = Hook { addr: listener.local_addr()?, heard: Arc::default() };
        let here = hook.clone();
        thread::spawn(move || {
            while let Ok((stream, from)) = listener.accept() {
                here.heard().open += 1;
                let here = here.clone();
                thread::spawn(move || {
                    // A broken connection is the centre's death.
                    let _ = here.serve(&stream);
                    let mut heard = here.heard();
                    heard.open -= 1;
                    heard.ended.insert(from);
                });
            }
        });
        Ok(hook)
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that came, in order.
    pub fn posts(&self) -> Vec<Post> {
        self.heard().posts.clone()
    }

    /// The dead centre begins another life. Waits until everything that the last one has sent was read.
    pub fn begin_life(&self) {
        // Connections are accepted in their order: once this one is, so are those of the dead.
        let last = TcpStream::connect(self.addr).and_then(|last| last.local_addr());
        let last = last.expect("the hook listens");
        let all_read = || {
            let heard = self.heard();
            heard.ended.contains(&last) && heard.open == 0
        };
        while !all_read() {
            thread::sleep(Duration::from_millis(1));
        }
        self.heard().life += 1;
    }

    /// Does this when the next post has come, before it is answered.
    pub fn strike_at_next(&self, strike: impl FnOnce() + Send + 'static) {
        self.heard().strike = Some(Box::new(strike));
    }

    fn serve(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let (mut id, mut length) = (String::new(), 0);
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            loop {
                line.clear();
                reader.read_line(&mut line).ok()?;
                let Some((name, value)) = line.trim().split_once(':') else { break };
                match name.to_ascii_lowercase().as_str() {
                    "webhook-id" => value.trim().clone_into(&mut id),
                    "content-length" => length = value.trim().parse().ok()?,
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            let number = id.split('.').next()?.parse().ok()?;
            let strike = {
                let mut heard = self.heard();
                let post = Post { number, id, life: heard.life };
                heard.posts.push(post);
                heard.strike.take()
            };
            if let Some(strike) = strike {
                strike();
            }
            let mut writer = stream;
            writer.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok()?;
        }
    }
}
