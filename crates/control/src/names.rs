//! Names of backends: where they are now, looked up at the start and again and again.
//!
//! One task for each name, however many pools use it. The last good answer stays in force while lookups fail, so that
//! a name server that is away takes no backend with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use policy::rng::Rng;
use tokio::sync::{Semaphore, watch};

/// Between two lookups of a name that has an answer; ± an eighth.
const INTERVAL: Duration = Duration::from_secs(30);
/// After the first failed lookup of a name without an answer; doubles up to [`INTERVAL`].
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The longest a lookup may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses of a name that are used; what a name server sends beyond is ignored.
const MAX_ADDRESSES: usize = 8;
/// Lookups at once, over all names.
pub(crate) const LOOKUPS_AT_ONCE: usize = 32;

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// The first lookup runs.
    Pending,
    /// Its addresses, in the resolver's order; at least one.
    Found(Vec<SocketAddr>),
    /// There never was an answer, and why.
    Failed(String),
}

/// A name to look up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Looks a name up for as long as anybody listens.
pub(crate) async fn follow(name: Name, answers: watch::Sender<Resolution>, turns: Arc<Semaphore>, mut rng: Rng) {
    let mut retry = FIRST_RETRY;
    loop {
        let Ok(turn) = turns.acquire().await else { return };
        let answer = look_up(&name).await;
        drop(turn);
        let wait = match &answer {
            Ok(_) => INTERVAL,
            Err(_) => retry,
        };
        retry = if answer.is_ok() { FIRST_RETRY } else { (retry * 2).min(INTERVAL) };
        publish(&name, &answers, answer);
        tokio::select! {
            () = tokio::time::sleep(jitter(wait, &mut rng)) => {}
            () = answers.closed() => return,
        }
    }
}

async fn look_up(name: &Name) -> Result<Vec<SocketAddr>, String> {
    let lookup = tokio::net::lookup_host((name.host.as_str(), name.port));
    match tokio::time::timeout(TIMEOUT, lookup).await {
        Err(_) => Err(format!("{}: no answer from the name server within {} s", name.host, TIMEOUT.as_secs())),
        Ok(Err(error)) => {
            let words = error.to_string();
            let why = words.strip_prefix("failed to lookup address information: ").unwrap_or(&words);
            Err(format!("{}: {why}", name.host))
        }
        Ok(Ok(found)) => {
            let mut addresses: Vec<SocketAddr> = Vec::new();
            for address in found {
                if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            if addresses.is_empty() { Err(format!("{}: it has no address", name.host)) } else { Ok(addresses) }
        }
    }
}

/// Tells the listeners what is new; a failure never replaces an answer, and a shuffled answer is the same answer.
fn publish(name: &Name, answers: &watch::Sender<Resolution>, answer: Result<Vec<SocketAddr>, String>) {
    answers.send_if_modified(|known| match (known, answer) {
        (Resolution::Found(_), Err(error)) => {
            tracing::warn!(name = name.host, "name lookup failed, the last answer stays in force: {error}");
            false
        }
        (Resolution::Found(old), Ok(new)) if same_set(old, &new) => false,
        (known, answer) => {
            let news = answer.map_or_else(Resolution::Failed, Resolution::Found);
            let changed = *known != news;
            *known = news;
            changed
        }
    });
}

fn same_set(a: &[SocketAddr], b: &[SocketAddr]) -> bool {
    a.len() == b.len() && a.iter().all(|address| b.contains(address))
}

/// `wait` ± an eighth of it.
fn jitter(wait: Duration, rng: &mut Rng) -> Duration {
    let eighth = u64::try_from(wait.as_millis() / 8).unwrap_or(0);
    wait - Duration::from_millis(eighth) + Duration::from_millis(rng.below(2 * eighth + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(host: &str) -> Name {
        Name { host: host.to_owned(), port: 80 }
    }

    fn found(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn localhost_is_loopback() {
        let (sender, mut answers) = watch::channel(Resolution::Pending);
        tokio::spawn(follow(name("localhost"), sender, Arc::new(Semaphore::new(1)), Rng::new(1)));
        answers.changed().await.unwrap();
        let Resolution::Found(addresses) = answers.borrow().clone() else { panic!("not found") };
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
    }

    #[tokio::test]
    async fn name_that_does_not_exist_says_why() {
        // RFC 6761, section 6.4: `.invalid` never resolves.
        let (sender, mut answers) = watch::channel(Resolution::Pending);
        tokio::spawn(follow(name("backend.invalid"), sender, Arc::new(Semaphore::new(1)), Rng::new(1)));
        answers.changed().await.unwrap();
        let Resolution::Failed(why) = answers.borrow().clone() else { panic!("found") };
        assert!(why.starts_with("backend.invalid: "), "{why}");
    }

    #[test]
    fn failure_keeps_the_last_answer() {
        let (sender, mut answers) = watch::channel(Resolution::Pending);
        publish(&name("a"), &sender, Ok(found(&["192.0.2.1:80"])));
        answers.mark_unchanged();
        publish(&name("a"), &sender, Err("gone".to_owned()));
        assert!(!answers.has_changed().unwrap());
        assert_eq!(*answers.borrow(), Resolution::Found(found(&["192.0.2.1:80"])));
    }

    #[test]
    fn only_another_set_of_addresses_is_news() {
        let (sender, mut answers) = watch::channel(Resolution::Pending);
        publish(&name("a"), &sender, Ok(found(&["192.0.2.1:80", "192.0.2.2:80"])));
        answers.mark_unchanged();
        publish(&name("a"), &sender, Ok(found(&["192.0.2.2:80", "192.0.2.1:80"])));
        assert!(!answers.has_changed().unwrap());
        publish(&name("a"), &sender, Ok(found(&["192.0.2.2:80"])));
        assert!(answers.has_changed().unwrap());
    }

    #[test]
    fn jitter_stays_within_an_eighth() {
        let mut rng = Rng::new(7);
        for _ in 0..1000 {
            let wait = jitter(Duration::from_secs(8), &mut rng);
            assert!((7..=9).contains(&wait.as_secs()) && wait <= Duration::from_secs(9), "{wait:?}");
        }
    }
}
