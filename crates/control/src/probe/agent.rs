//! Agents: processes beside backends that say in a line what the backend asks for.
//!
//! Owns the connections to them and when they are made; a post takes the news to `policy::health`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use policy::ask::Ask;
use policy::plan::{Agent, PoolId};
use policy::rng::Rng;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

use super::once::{is_ours, reason};
use super::patience::within;
use super::post::Desk;
use crate::backends::Seat;

/// Bytes of a line.
const MAX_LINE: u64 = 256;

/// What is new of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It has not been asked.
    None,
    Said(Ask),
    /// It said nothing, or nothing that can be understood: why.
    Silent(String),
}

/// An agent to be asked.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) agent: Agent,
    /// For one line.
    pub(crate) patience: Duration,
    /// A backend on the agent's host.
    pub(crate) seat: Seat,
    pub(crate) news: watch::Sender<News>,
    pub(crate) rng: Rng,
}

impl Round {
    /// Asks for the life of the process, first at once: an agent may want a drain from the start.
    pub(crate) async fn keep(mut self, desk: Arc<Desk>) {
        loop {
            if let Some(host) = self.host(&desk) {
                let turn = desk.turns.acquire().await;
                let news = ask(SocketAddr::new(host, self.agent.port), self.patience).await;
                drop(turn);
                if let Some(news) = news {
                    // Only what is new; nobody listens any more when the process ends.
                    self.news.send_if_modified(|old| std::mem::replace(old, news.clone()) != news);
                }
            }
            sleep(self.pause()).await;
        }
    }

    /// Where the backend is; a name may not be known yet.
    fn host(&self, desk: &Desk) -> Option<IpAddr> {
        let Seat { pool: PoolId(pool), backend } = self.seat;
        desk.shared.pools[pool as usize].backends[backend].resolved().map(|addr| addr.ip())
    }

    fn pause(&mut self) -> Duration {
        let micros = u64::try_from(self.agent.interval.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(micros - micros / 10 + self.rng.below(micros / 5 + 1))
    }
}

/// What the agent says; `None` where this machine could not even ask.
async fn ask(agent: SocketAddr, patience: Duration) -> Option<News> {
    match within(patience, line(agent)).await {
        Some(Ok(line)) => Some(Ask::from_line(&line).map_or_else(News::Silent, News::Said)),
        Some(Err(error)) if is_ours(&error) => None,
        Some(Err(error)) => Some(News::Silent(reason(&error))),
        None => Some(News::Silent("no answer in time".to_owned())),
    }
}

/// Reads up to the end of the line, or of the connection.
async fn line(agent: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(agent).await?.take(MAX_LINE);
    let mut line = Vec::new();
    while stream.read_buf(&mut line).await? > 0 && !line.contains(&b'\n') {}
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(line).into_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use policy::ask::Wish;

    use super::*;

    /// An agent that says these bytes one by one, and then closes or waits.
    fn saying(bytes: &'static [u8], waits: Option<std::sync::mpsc::Receiver<()>>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for byte in bytes {
                stream.write_all(&[*byte]).ok();
            }
            waits.map(|waits| waits.recv());
        });
        addr
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn line_ends_with_its_end_or_with_the_connection() {
        let (_hold, waits) = std::sync::mpsc::channel();
        for addr in [saying(b"weight=50%\ndown\n", Some(waits)), saying(b"weight=50%", None)] {
            let Some(News::Said(said)) = ask(addr, PATIENCE).await else { panic!() };
            assert_eq!((said.wish, said.words.as_str()), (Wish::Part(500), "weight=50%"));
        }
    }

    #[tokio::test]
    async fn silence_and_nonsense_are_told() {
        let (_hold, waits) = std::sync::mpsc::channel();
        let half = ask(saying(b"weight=50", Some(waits)), Duration::from_millis(50)).await;
        assert_eq!(half, Some(News::Silent("no answer in time".to_owned())));
        let nonsense = ask(saying(b"hello\n", None), PATIENCE).await;
        assert!(matches!(&nonsense, Some(News::Silent(why)) if why.starts_with("`hello` is none of")), "{nonsense:?}");
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(ask(closed, PATIENCE).await, Some(News::Silent("connection refused".to_owned())));
    }

    #[tokio::test]
    async fn endless_line_is_cut() {
        let long: &[u8] = Box::leak(vec![b'x'; 4096].into_boxed_slice());
        assert!(matches!(ask(saying(long, None), PATIENCE).await, Some(News::Silent(_))));
    }
}
