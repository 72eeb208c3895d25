//! The remote: `GET /NAME/ACT` changes a sample backend.

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::Instant;

use super::sample::{Condition, Sample};

/// The longest that a sample backend is slow or dead.
const LONGEST: Duration = Duration::from_secs(3600);
/// Unless told otherwise.
const DEAD_SECONDS: u64 = 20;
/// Unless told otherwise.
const SLOW_MS: u64 = 2000;
/// Unless told otherwise: one that is repeated elsewhere.
const SICK_STATUS: u64 = 503;

/// What came of a request to the remote.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    /// What has changed, for the story.
    pub(crate) change: Option<String>,
}

/// Carries out a request.
pub(crate) fn carry_out(samples: &[Arc<Sample>], path: &str, query: Option<&str>) -> Answer {
    if path == "/" {
        return Answer { status: StatusCode::OK, text: overview(samples), change: None };
    }
    let changed = path.trim_start_matches('/').split_once('/').and_then(|(name, act)| {
        let sample = samples.iter().find(|sample| sample.name == name)?;
        let condition = condition(act, query.unwrap_or_default())?;
        sample.turn(condition);
        Some(format!("{name} {}", words(condition)))
    });
    match changed {
        Some(change) => Answer { status: StatusCode::OK, text: format!("{change}\n"), change: Some(change) },
        None => Answer { status: StatusCode::NOT_FOUND, text: usage(samples), change: None },
    }
}

/// What `ACT?query` asks for.
fn condition(act: &str, query: &str) -> Option<Condition> {
    match act {
        "well" if query.is_empty() => Some(Condition::Well),
        "sick" => {
            let status = number(query, "status", SICK_STATUS)?;
            let status = u16::try_from(status).ok().filter(|status| (400..=599).contains(status))?;
            StatusCode::from_u16(status).ok().map(Condition::Sick)
        }
        "slow" => {
            let wait = Duration::from_millis(number(query, "ms", SLOW_MS)?);
            (wait <= LONGEST).then_some(Condition::Slow(wait))
        }
        "dead" => {
            let rest = Duration::from_secs(number(query, "seconds", DEAD_SECONDS)?);
            (rest <= LONGEST).then(|| Condition::Dead(Instant::now() + rest))
        }
        _ => None,
    }
}

/// The number of `name=NUMBER`, which is the whole query if there is one.
fn number(query: &str, name: &str, default: u64) -> Option<u64> {
    if query.is_empty() {
        return Some(default);
    }
    let (given, value) = query.split_once('=')?;
    if given == name { value.parse().ok() } else { None }
}

fn words(condition: Condition) -> String {
    match condition {
        Condition::Well => "is well: it answers as before".to_owned(),
        Condition::Sick(status) => format!("is sick: it answers {} to everything, probes included", status.as_u16()),
        Condition::Slow(wait) => {
            format!("is slow: it lets everything wait for {} ms, probes included", wait.as_millis())
        }
        Condition::Dead(until) => {
            let seconds = until.saturating_duration_since(Instant::now()).as_secs_f64().round();
            format!("is dead: its port is closed and its connections are cut, for {seconds} s")
        }
    }
}

fn overview(samples: &[Arc<Sample>]) -> String {
    let line = |sample: &Arc<Sample>| {
        format!("{} ({}, {} answers) {}\n", sample.name, sample.address, sample.answers(), words(sample.condition()))
    };
    let lines: String = samples.iter().map(line).collect();
    format!("{lines}\n{}", usage(samples))
}

fn usage(samples: &[Arc<Sample>]) -> String {
    let names: Vec<&str> = samples.iter().map(|sample| sample.name).collect();
    let names = names.join(", ");
    format!(
        "ask for /NAME/ACT\n  NAME: {names}\n  ACT: sick?status={SICK_STATUS}, slow?ms={SLOW_MS}, \
         dead?seconds={DEAD_SECONDS}, well\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_and_their_numbers() {
        assert_eq!(condition("well", ""), Some(Condition::Well));
        assert_eq!(condition("sick", ""), Some(Condition::Sick(StatusCode::SERVICE_UNAVAILABLE)));
        assert_eq!(condition("sick", "status=500"), Some(Condition::Sick(StatusCode::INTERNAL_SERVER_ERROR)));
        assert_eq!(condition("slow", "ms=30"), Some(Condition::Slow(Duration::from_millis(30))));
        assert!(matches!(condition("dead", "seconds=1"), Some(Condition::Dead(_))));
        for (act, query) in [
            ("sick", "status=200"),
            ("sick", "ms=5"),
            ("slow", "ms=-1"),
            ("slow", "ms=99999999999"),
            ("dead", "seconds"),
            ("well", "x=1"),
            ("happy", ""),
        ] {
            assert_eq!(condition(act, query), None, "{act}?{query}");
        }
    }

    #[tokio::test]
    async fn what_is_not_understood_is_explained_and_changes_nothing() {
        let (sample, _listener) = Sample::bind("oak").unwrap();
        let samples = [sample];
        for path in ["/oak", "/elm/sick", "/oak/sick/", "//"] {
            let answer = carry_out(&samples, path, None);
            assert_eq!((answer.status, answer.change), (StatusCode::NOT_FOUND, None), "{path}");
            assert!(answer.text.contains("NAME: oak\n"));
        }
        assert_eq!(samples[0].condition(), Condition::Well);
    }

    #[tokio::test]
    async fn a_change_is_told() {
        let (sample, _listener) = Sample::bind("oak").unwrap();
        let samples = [sample];
        let answer = carry_out(&samples, "/oak/slow", Some("ms=10"));
        assert_eq!(answer.change.as_deref(), Some("oak is slow: it lets everything wait for 10 ms, probes included"));
        assert!(carry_out(&samples, "/", None).text.contains("0 answers) is slow"));
    }
}
