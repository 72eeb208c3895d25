//! The end of the process: signals, the grace, what happens when it runs out.
//!
//! Owns when the workers are told to finish and how long they are waited for. What a worker finishes, and how, is the
//! engine's. Driven by the binary, with what [`Control::start`] made.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::start::Control;

/// How long running exchanges may take to finish, unless told otherwise.
pub const GRACE: Duration = Duration::from_secs(30);
/// Beyond the grace: what the workers get to cut what is left and to write the last log lines.
const AFTERMATH: Duration = Duration::from_secs(5);

/// How the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The workers have ended: everything finished, or was cut when the grace ran out.
    Finished,
    /// A second signal cut it short.
    Cut,
    /// The workers did not end in time.
    Overdue,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Stop(&'static str),
    NotYet(&'static str),
}

/// The signals that the process takes. One that comes before [`Signals::listen`] ends the process, as the system has it.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user1: Signal,
    user2: Signal,
}

impl Signals {
    /// Takes signals from now on; what comes is kept until [`Control::run_until_stopped`]. Within a tokio runtime with I/O,
    /// and before anything is started that somebody could find running.
    ///
    /// # Errors
    /// Signals cannot be listened to.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Wish::Stop("SIGINT"),
            _ = self.hangup.recv() => Wish::NotYet("SIGHUP"),
            _ = self.user1.recv() => Wish::NotYet("SIGUSR1"),
            _ = self.user2.recv() => Wish::NotYet("SIGUSR2"),
        }
    }

    async fn stop(&mut self) -> &'static str {
        loop {
            match self.next().await {
                Wish::Stop(name) => return name,
                Wish::NotYet(name) => tracing::warn!("{name}: not available yet; ignored"),
            }
        }
    }
}

impl Control {
    /// Waits for SIGTERM or SIGINT, then lets running exchanges finish for at most `grace`; a second one stops at
    /// once. SIGHUP, SIGUSR1 and SIGUSR2 are harmless.
    pub async fn run_until_stopped(self, mut signals: Signals, grace: Duration) -> End {
        let name = signals.stop().await;
        tracing::info!("{name}: finishing, at most {} s for running exchanges; again to stop at once", grace.as_secs());
        tokio::select! {
            end = self.finish(grace) => end,
            name = signals.stop() => {
                tracing::warn!("{name} again: stopping at once");
                End::Cut
            }
        }
    }

    /// Takes no new connections, lets running exchanges finish for at most `grace`, and waits for the end.
    pub async fn finish(self, grace: Duration) -> End {
        let began = Instant::now();
        let shared = Arc::clone(&self.handle.record.shared);
        shared.stopping.store(true, Ordering::Release);
        let (ended, end) = oneshot::channel();
        // Joining blocks, and must not hold the runtime of the caller up when it is given up.
        let spawned = std::thread::Builder::new().name("finish".to_owned()).spawn(move || {
            self.join(grace);
            let _ = ended.send(());
        });
        if let Err(error) = spawned {
            tracing::warn!("stopping at once: {error}");
            return End::Cut;
        }
        match tokio::time::timeout(grace + AFTERMATH, end).await {
            Ok(_) => {
                tracing::info!("stopped after {:.1} s", began.elapsed().as_secs_f64());
                End::Finished
            }
            Err(_) => {
                tracing::warn!("the workers did not end in time; {} connections are cut", shared.connections());
                End::Overdue
            }
        }
    }

    fn join(self, grace: Duration) {
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(engine) = engine {
            engine.finish(grace);
            engine.join();
        }
        // The last sender goes: the control thread takes what is queued, closes the log and ends.
        drop(self.reports);
        if self.thread.join().is_err() {
            tracing::error!("the control thread had failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use rustix::process::{Signal as Kill, getpid, kill_process};

    use super::*;
    use crate::samples::{plan, pool};

    fn start() -> Control {
        Control::start(Arc::new(plan(vec![pool("app", 1)])), Vec::new(), 1).unwrap()
    }

    fn raise(signal: Kill) {
        kill_process(getpid(), signal).unwrap();
    }

    /// Polls `waiting` until it listens, then raises the signal and waits for it to be seen.
    async fn signal_during(waiting: impl Future<Output = End>, signals: &[Kill]) -> End {
        let mut waiting = pin!(waiting);
        for &signal in signals {
            let mut witness = Signals::listen().unwrap();
            tokio::select! {
                biased;
                end = &mut waiting => return end,
                _ = async { raise(signal); witness.next().await } => {}
            }
        }
        waiting.await
    }

    /// One test, since signals reach all tests of the process.
    #[tokio::test]
    async fn signals_stop_or_are_harmless() {
        let harmless = [Kill::HUP, Kill::USR1, Kill::USR2];
        let (signals, control) = (Signals::listen().unwrap(), start());
        let end =
            signal_during(control.run_until_stopped(signals, GRACE), &[&harmless[..], &[Kill::TERM]].concat()).await;
        assert_eq!(end, End::Finished);

        let (signals, control) = (Signals::listen().unwrap(), start());
        // While somebody can still report, the control thread does not end: the first signal waits.
        let reports = control.reports.clone();
        let end = signal_during(control.run_until_stopped(signals, GRACE), &[Kill::INT, Kill::HUP, Kill::TERM]).await;
        assert_eq!(end, End::Cut);
        drop(reports);
    }
}
