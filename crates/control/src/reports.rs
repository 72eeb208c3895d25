//! Takes the reports of the data plane: rings for probes, keeps failures, passes log lines on.
//!
//! Owns the one task that hears the workers. Each report goes to whoever it is for; nothing is decided here.

use std::sync::Arc;
use std::time::Duration;

use engine::Report;
use tokio::sync::mpsc::Receiver;
use tokio::time::{interval, sleep};

use crate::access_log::{AccessLog, REPORT_EVERY};
use crate::backends::Seat;
use crate::failures::{Admission, Rate, sentence};
use crate::probe::post::Desk;
use crate::probe::roster::Bells;
use crate::status::Handle;

/// Reports that wait to be taken; beyond it the data plane drops and counts.
pub(crate) const QUEUE: usize = 4096;

/// Who takes them.
#[derive(Debug)]
pub(crate) struct Clerk {
    pub(crate) handle: Handle,
    pub(crate) bells: Bells,
    pub(crate) log: Option<AccessLog>,
    desk: Arc<Desk>,
    rate: Rate,
    lost_before: u64,
}

impl Clerk {
    pub(crate) fn new(handle: Handle, bells: Bells, log: Option<AccessLog>, desk: Arc<Desk>) -> Self {
        Self { handle, bells, log, desk, rate: Rate::default(), lost_before: 0 }
    }

    /// Takes reports until the data plane has ended; then gives the access log back to be closed.
    pub(crate) async fn serve(mut self, mut reports: Receiver<Report>) -> Option<AccessLog> {
        let mut second = interval(Duration::from_secs(1));
        let mut minute = interval(REPORT_EVERY);
        loop {
            tokio::select! {
                report = reports.recv() => match report {
                    Some(report) => self.take(report),
                    None => break,
                },
                _ = second.tick() => {
                    self.tell_suppressed();
                    self.handle.expire_blocks();
                    self.desk.look();
                }
                () = until_due(self.desk.passive.next_due()) => self.desk.pass_time(),
                _ = minute.tick() => self.tell_losses(),
            }
        }
        self.tell_suppressed();
        self.tell_losses();
        self.log
    }

    fn take(&mut self, report: Report) {
        match report {
            Report::ConnectFailed { pool, backend } => self.bells.ring(Seat { pool, backend }),
            Report::Failing { pool, backend } => self.desk.failing(Seat { pool, backend }),
            Report::Trial { pool, backend, trial } => self.desk.trial_told(Seat { pool, backend }, trial),
            Report::Circuit { pool } => self.handle.tell_circuit(pool),
            Report::Failure(line) => {
                if self.rate.admit(self.handle.record.clock.uptime_ms()) == Admission::Write {
                    tracing::warn!("exchange failed: {}", sentence(&line));
                }
                self.handle.record.failures().push(line);
            }
            Report::LogLines(lines) => {
                if let Some(log) = &self.log {
                    log.write(lines);
                }
            }
        }
    }

    fn tell_suppressed(&mut self) {
        let suppressed = self.rate.take_suppressed();
        if suppressed > 0 {
            tracing::warn!("{suppressed} more failed exchanges; `evenkeel errors` shows the last ones");
        }
    }

    fn tell_losses(&mut self) {
        let lost = self.handle.record.access_log_lost();
        let new = lost - self.lost_before;
        self.lost_before = lost;
        if new > 0 {
            let target = self.log.as_ref().map_or("nowhere", AccessLog::target);
            tracing::warn!(
                "{new} access log lines were lost: {target} is full or too slow; make room, write less \
                 ([access_log] write = \"errors\"), or use a faster target"
            );
        }
    }
}

async fn until_due(due: Option<Duration>) {
    match due {
        Some(due) => sleep(due).await,
        None => std::future::pending().await,
    }
}
