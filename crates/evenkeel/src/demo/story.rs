//! The story: what happens to the sample backends and to the clients, in sentences, while it happens.

use std::time::{Duration, Instant};

use control::{Event, Handle, State, Status};
use tokio::time::{MissedTickBehavior, interval};

use crate::check::counted;
use crate::output;

/// Between two looks at the states.
const LOOK: Duration = Duration::from_millis(100);
/// Looks between two counts of what failed: many failures become one sentence.
const COUNT_EVERY: u32 = 10;

/// Who tells it.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    handle: Handle,
    began: Instant,
}

/// What is counted between two sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// By backend: its name and the attempts that failed there.
    backends: Vec<(String, u64)>,
    /// Attempts that repeated a failed one.
    retries: u64,
    /// Answers of the front door.
    answers: u64,
    /// Those of 500 to 599 among them.
    errors: u64,
}

impl Story {
    pub(crate) fn begin(handle: Handle) -> Self {
        Self { handle, began: Instant::now() }
    }

    /// Says a sentence with its time.
    pub(crate) fn tell(&self, sentence: &str) {
        // When nobody reads, the demo goes on all the same.
        let _ = output::print(&format!("{:>7.1} s  {sentence}", self.began.elapsed().as_secs_f64()));
    }

    /// Tells what happens, for ever.
    pub(crate) async fn go_on(self) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut last, mut before, mut looks) = (0, Counts::of(&self.handle.status()), 0_u32);
        loop {
            look.tick().await;
            for event in self.handle.events_after(last) {
                last = event.number;
                self.tell(&sentence(&event, &self.handle.status()));
            }
            looks += 1;
            if looks == COUNT_EVERY {
                looks = 0;
                let now = Counts::of(&self.handle.status());
                now.since(&before).iter().for_each(|sentence| self.tell(sentence));
                before = now;
            }
        }
    }

    /// The last sentence.
    pub(crate) fn end(&self) {
        let counts = Counts::of(&self.handle.status());
        let failed: u64 = counts.backends.iter().map(|(_, failures)| failures).sum();
        self.tell(&format!(
            "the end: {} to clients, {} of them 5xx; {} at backends failed, {} repeated",
            number(counts.answers, "answer"),
            counts.errors,
            number(failed, "attempt"),
            counts.retries
        ));
    }
}

impl Counts {
    fn of(status: &Status) -> Self {
        let backends = || status.pools.iter().flat_map(|pool| &pool.backends);
        let answers = |listener: &control::ListenerStatus| {
            listener.status_2xx + listener.status_3xx + listener.status_4xx + listener.status_5xx
        };
        Self {
            backends: backends().map(|backend| (backend.name.clone(), backend.failures)).collect(),
            retries: backends().map(|backend| backend.retries).sum(),
            answers: status.listeners.iter().map(answers).sum(),
            errors: status.listeners.iter().map(|listener| listener.status_5xx).sum(),
        }
    }

    /// What has failed since then, in sentences.
    fn since(&self, before: &Self) -> Vec<String> {
        let mut sentences = Vec::new();
        for ((name, failures), (_, failures_before)) in self.backends.iter().zip(&before.backends) {
            if failures > failures_before {
                sentences.push(format!("{} at {name} failed", number(failures - failures_before, "attempt")));
            }
        }
        let retries = self.retries - before.retries;
        let mut sentences: Vec<String> = match (sentences.is_empty(), retries) {
            (true, _) => Vec::new(),
            (false, 0) => vec![format!("{}.", sentences.join(", "))],
            (false, n) => vec![format!("{}; {n} repeated at another backend.", sentences.join(", "))],
        };
        if self.errors > before.errors {
            let clients = number(self.errors - before.errors, "client");
            sentences.push(format!("{clients} got an error (5xx): `evenkeel errors` says why."));
        }
        sentences
    }
}

fn number(n: u64, noun: &str) -> String {
    counted(usize::try_from(n).unwrap_or(usize::MAX), noun)
}

/// A change of a backend's state.
fn sentence(event: &Event, status: &Status) -> String {
    let states = status.pools.iter().flat_map(|pool| &pool.backends).map(|backend| backend.state);
    consequence_of(event, working(states))
}

/// How many of these take work: a slow start is work, too.
fn working(states: impl Iterator<Item = State>) -> usize {
    states.filter(|state| matches!(state, State::Ready | State::SlowStart)).count()
}

/// The sentence, where so many backends take work now.
fn consequence_of(event: &Event, working: usize) -> String {
    let consequence = match (event.from, event.to, working) {
        (State::Unknown, State::Ready, _) => "It takes requests.",
        (_, State::SlowStart, _) => "It takes a share that grows.",
        (_, State::Ready, _) => "It takes its share again.",
        (_, State::Ejected, 0) => "None is left: the ejected ones are asked even so.",
        (_, State::Ejected, _) => "The others take its share.",
        (_, State::Down, 0) => "None is left: clients get 503 until one is back.",
        (_, State::Down, _) => "The others take its share.",
        _ => "",
    };
    let sentence = format!("{} is {}: {}. {consequence}", event.backend, event.to.name(), event.reason);
    sentence.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_start_is_one_that_takes_the_share_of_another() {
        assert_eq!(working([State::SlowStart, State::Down, State::Ready, State::Ejected].into_iter()), 2);
        let event = Event {
            number: 1,
            at: std::time::SystemTime::UNIX_EPOCH,
            pool: "trees".to_owned(),
            backend: "oak".to_owned(),
            from: State::Ready,
            to: State::Down,
            reason: "dead".to_owned(),
        };
        assert!(consequence_of(&event, 1).ends_with("The others take its share."));
        assert!(consequence_of(&event, 0).contains("None is left"));
    }

    fn counts(failures: [u64; 2], retries: u64, errors: u64) -> Counts {
        let backends = ["oak", "elm"].iter().zip(failures).map(|(name, n)| ((*name).to_owned(), n)).collect();
        Counts { backends, retries, answers: 100, errors }
    }

    #[test]
    fn nothing_new_is_no_sentence() {
        assert_eq!(counts([3, 1], 4, 2).since(&counts([3, 1], 4, 2)), [""; 0]);
    }

    #[test]
    fn failures_retries_and_errors() {
        let before = counts([3, 1], 4, 2);
        assert_eq!(
            counts([4, 3], 7, 2).since(&before),
            ["1 attempt at oak failed, 2 attempts at elm failed; 3 repeated at another backend."]
        );
        assert_eq!(
            counts([4, 1], 4, 3).since(&before),
            ["1 attempt at oak failed.", "1 client got an error (5xx): `evenkeel errors` says why."]
        );
    }
}
