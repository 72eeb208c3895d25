//! What the process uses of memory and descriptors, and what the operator hears of a shortage.
//!
//! Owns the looks: what is used against what may be used, told to the workers as shares to refuse. How large these are is
//! for [`policy::overload`] to say; that of CPU each worker finds for itself.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use engine::Shared;
use policy::overload::{Shortage, Use};
use policy::plan::{Overload, Plan};

use crate::descriptors::RESERVE;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A shortage is over when there has been none for so long; until then it is one and the same.
const OVER_AFTER: Duration = Duration::from_secs(3);

/// What was seen at the last look; zeros before the first, and for limits that are not known.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    memory_bytes: AtomicU64,
    memory_limit: AtomicU64,
    descriptors: AtomicU64,
    descriptors_limit: AtomicU64,
}

/// What the node is short of, and what it uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverloadStatus {
    /// What it is short of most; `None` while nothing is refused.
    pub short_of: Option<Shortage>,
    /// Share of requests that is refused, in thousandths: that of the worker that refuses most.
    pub share: u16,
    /// Longest that ready work of a worker waited for its turn when it was last measured.
    pub lag: Duration,
    /// Bytes of memory in use.
    pub memory_bytes: u64,
    /// Bytes that may be used; 0 is not known.
    pub memory_limit: u64,
    /// Descriptors in use, as connections tell.
    pub descriptors: u64,
    /// Descriptors that may be open; 0 is no limit.
    pub descriptors_limit: u64,
    /// Requests refused by shortage ([`Shortage::ALL`]) and urgency ([`policy::plan::Urgency::ALL`]).
    pub shed: [[u64; 3]; 3],
}

impl OverloadStatus {
    pub(crate) fn new(shared: &Shared, seen: &Seen) -> Self {
        let cpu = shared.workers.iter().map(|worker| worker.shortage.cpu.load(Ordering::Relaxed)).max();
        let memory = shared.shortage.memory.load(Ordering::Relaxed);
        let descriptors = shared.shortage.descriptors.load(Ordering::Relaxed);
        let shares = Shortage::ALL.into_iter().zip([cpu.unwrap_or_default(), memory, descriptors]);
        let (short_of, share) = shares.max_by_key(|(_, share)| *share).unwrap_or((Shortage::Cpu, 0));
        let lag_ms = shared.workers.iter().map(|worker| worker.shortage.lag_ms.load(Ordering::Relaxed)).max();
        let mut shed = [[0; 3]; 3];
        for counters in shared.workers.iter().map(|worker| &worker.counters.shed) {
            for (sums, counters) in shed.iter_mut().zip(counters) {
                sums.iter_mut().zip(counters).for_each(|(sum, counter)| *sum += counter.get());
            }
        }
        Self {
            short_of: (share > 0).then_some(short_of),
            share,
            lag: Duration::from_millis(lag_ms.unwrap_or_default().into()),
            memory_bytes: seen.memory_bytes.load(Ordering::Relaxed),
            memory_limit: seen.memory_limit.load(Ordering::Relaxed),
            descriptors: seen.descriptors.load(Ordering::Relaxed),
            descriptors_limit: seen.descriptors_limit.load(Ordering::Relaxed),
            shed,
        }
    }

    /// Requests refused for any shortage.
    #[must_use]
    pub fn shed_requests(&self) -> u64 {
        self.shed.iter().flatten().sum()
    }
}

/// Who looks.
pub(crate) struct Watch {
    shared: Arc<Shared>,
    seen: Arc<Seen>,
    wanted: Overload,
    memory_limit: Option<u64>,
    descriptors_limit: Option<u64>,
    /// Kept open: a look must not need a descriptor.
    memory: Option<fs::File>,
    story: Story,
}

/// What the operator has heard.
#[derive(Default)]
struct Story {
    /// Since when there is a shortage, and what had been refused before.
    began: Option<(Instant, u64)>,
    last: Option<Instant>,
}

impl Watch {
    pub(crate) fn new(plan: &Plan, shared: Arc<Shared>, seen: Arc<Seen>, descriptors_limit: Option<u64>) -> Self {
        let wanted = plan.overload;
        let memory_limit = [wanted.memory_bytes, group_limit(), machine_memory()].into_iter().flatten().min();
        seen.memory_limit.store(memory_limit.unwrap_or_default(), Ordering::Relaxed);
        seen.descriptors_limit.store(descriptors_limit.unwrap_or_default(), Ordering::Relaxed);
        let memory = fs::File::open("/proc/self/status").ok();
        let story = Story::default();
        let mut watch = Self { shared, seen, wanted, memory_limit, descriptors_limit, memory, story };
        watch.look();
        watch
    }

    /// Looks for the life of the process.
    pub(crate) async fn keep(mut self) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        loop {
            looks.tick().await;
            self.look();
            if let Some(line) = self.story.go_on(&OverloadStatus::new(&self.shared, &self.seen), Instant::now()) {
                tracing::warn!("{line}");
            }
        }
    }

    fn look(&mut self) {
        let memory = self.memory.as_ref().and_then(resident_bytes);
        let descriptors = descriptors_in_use(&self.shared);
        self.seen.memory_bytes.store(memory.unwrap_or_default(), Ordering::Relaxed);
        self.seen.descriptors.store(descriptors, Ordering::Relaxed);
        let share = |percent: Option<u8>, used: Option<u64>, limit: Option<u64>| {
            percent.zip(used).zip(limit).map_or(0, |((percent, used), limit)| Use::new(percent).share(used, limit))
        };
        let short = &self.shared.shortage;
        short.memory.store(share(self.wanted.memory, memory, self.memory_limit), Ordering::Relaxed);
        let share = share(self.wanted.descriptors, Some(descriptors), self.descriptors_limit);
        short.descriptors.store(share, Ordering::Relaxed);
    }
}

impl Story {
    /// What is to be told now, if anything.
    fn go_on(&mut self, status: &OverloadStatus, now: Instant) -> Option<String> {
        match (status.short_of, self.began) {
            (Some(shortage), None) => {
                (self.began, self.last) = (Some((now, status.shed_requests())), Some(now));
                Some(begin(shortage, status))
            }
            (Some(_), Some(_)) => {
                self.last = Some(now);
                None
            }
            (None, Some((began, before))) if self.last.is_none_or(|last| now - last >= OVER_AFTER) => {
                self.began = None;
                let (lasted, refused) = ((now - began).as_secs(), status.shed_requests().saturating_sub(before));
                Some(format!("no longer overloaded, after {lasted} s in which {refused} requests were refused"))
            }
            (None, _) => None,
        }
    }
}

fn begin(shortage: Shortage, status: &OverloadStatus) -> String {
    let why = match shortage {
        Shortage::Cpu => format!(
            "short of CPU (ready work waits {} ms); give it more cores, or send it less",
            status.lag.as_millis()
        ),
        Shortage::Memory => format!(
            "short of memory ({} of {} MiB in use); give it more, or lower limits.connections",
            status.memory_bytes >> 20,
            status.memory_limit >> 20
        ),
        Shortage::Descriptors => format!(
            "short of descriptors (about {} of {} in use); raise the limit (LimitNOFILE=), or lower limits.connections",
            status.descriptors, status.descriptors_limit
        ),
    };
    format!("overloaded: {why}. Requests are refused, the least urgent first: {} % now", status.share / 10)
}

/// Descriptors as connections tell: counting them would take longer the more there are.
fn descriptors_in_use(shared: &Shared) -> u64 {
    let idle = |worker: &engine::WorkerShared| {
        worker.counters.pools.iter().flatten().map(|counters| counters.idle.get()).sum::<u64>()
    };
    let idle: u64 = shared.workers.iter().map(idle).sum();
    let active: u64 = shared.pools.iter().flat_map(|pool| &pool.backends).map(|b| u64::from(b.active())).sum();
    u64::try_from(shared.connections()).unwrap_or(u64::MAX).saturating_add(idle + active)
}

fn resident_bytes(status: &fs::File) -> Option<u64> {
    let mut text = [0; 4096];
    let n = status.read_at(&mut text, 0).ok()?;
    kibibytes(&String::from_utf8_lossy(&text[..n]), "VmRSS:")
}

fn machine_memory() -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

/// The value of a line such as `VmRSS:   1234 kB`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// What the control groups of this process allow, the inner and the outer ones.
fn group_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().flat_map(limit_files).filter_map(|file| limit_in(&file)).min()
}

/// The files that may hold a limit for a line of `/proc/self/cgroup`; in a container the path is that of the host, and
/// the limit at the top.
fn limit_files(line: &str) -> Vec<PathBuf> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { return Vec::new() };
    let (root, file) = match controllers {
        "" => ("/sys/fs/cgroup", "memory.max"),
        _ if controllers.split(',').any(|name| name == "memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return Vec::new(),
    };
    let inner = Path::new(path.trim_start_matches('/'));
    inner.ancestors().map(|path| Path::new(root).join(path).join(file)).collect()
}

/// A limit of a control group; "max" and what no machine has are none.
fn limit_in(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok().filter(|&bytes: &u64| bytes < 1 << 60)
}

/// Descriptors that the whole process may use for connections.
pub(crate) fn for_connections(allowed: Option<u64>) -> Option<u64> {
    // A part is for log, admin, runtimes and probes; where the limit is small, so is that part.
    allowed.map(|allowed| allowed - RESERVE.min(allowed / 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(short_of: Option<Shortage>, shed: u64) -> OverloadStatus {
        OverloadStatus { short_of, share: 120, shed: [[0, shed, 0], [0; 3], [0; 3]], ..OverloadStatus::default() }
    }

    #[test]
    fn a_shortage_is_one_line_when_it_begins_and_one_when_it_is_over() {
        let (mut story, start) = (Story::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(story.go_on(&status(None, 0), at(0)), None);
        let line = story.go_on(&status(Some(Shortage::Cpu), 5), at(250)).unwrap();
        assert!(line.starts_with("overloaded: short of CPU") && line.ends_with("12 % now"), "{line}");
        assert_eq!(story.go_on(&status(Some(Shortage::Memory), 50), at(500)), None);
        assert_eq!(story.go_on(&status(None, 60), at(750)), None, "it may come again at once");
        assert_eq!(story.go_on(&status(Some(Shortage::Cpu), 60), at(3_000)), None);
        assert_eq!(story.go_on(&status(None, 75), at(5_999)), None);
        let line = story.go_on(&status(None, 75), at(6_250)).unwrap();
        assert_eq!(line, "no longer overloaded, after 6 s in which 70 requests were refused");
        assert_eq!(story.go_on(&status(None, 75), at(9_000)), None);
    }

    #[test]
    fn each_shortage_says_what_to_do() {
        let seen = OverloadStatus {
            memory_bytes: 90 << 20,
            memory_limit: 100 << 20,
            descriptors: 900,
            descriptors_limit: 1000,
            ..status(None, 0)
        };
        assert!(begin(Shortage::Memory, &seen).contains("90 of 100 MiB in use); give it more"));
        assert!(begin(Shortage::Descriptors, &seen).contains("900 of 1000 in use); raise the limit (LimitNOFILE=)"));
    }

    #[test]
    fn what_the_system_says_is_read() {
        assert_eq!(kibibytes("Name:\tx\nVmRSS:\t   1234 kB\n", "VmRSS:"), Some(1234 * 1024));
        assert_eq!(kibibytes("VmRSS: many", "VmRSS:"), None);
        let resident = resident_bytes(&fs::File::open("/proc/self/status").unwrap());
        assert!(resident.is_some_and(|bytes| bytes > 100_000));
        assert!(machine_memory() > resident);
    }

    #[test]
    fn groups_of_both_versions_are_looked_for_up_to_the_top() {
        let names = |line| limit_files(line).iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        assert_eq!(
            names("0::/a/b"),
            ["/sys/fs/cgroup/a/b/memory.max", "/sys/fs/cgroup/a/memory.max", "/sys/fs/cgroup/memory.max"]
        );
        assert_eq!(names("7:cpu,memory:/"), ["/sys/fs/cgroup/memory/memory.limit_in_bytes"]);
        assert!(names("6:cpu:/").is_empty() && names("nonsense").is_empty());
        let folder = tempfile::tempdir().unwrap();
        let limit = |text: &str| {
            fs::write(folder.path().join("limit"), text).unwrap();
            limit_in(&folder.path().join("limit"))
        };
        assert_eq!([limit("1048576\n"), limit("max\n"), limit("9223372036854771712\n")], [Some(1 << 20), None, None]);
    }
}
