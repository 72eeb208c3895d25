//! Whose fault an attempt's failure was, for passive health and the breaker.
//!
//! Owns the step from how an attempt ended to a fault of its backend, or to nobody's. What follows from faults is
//! [`policy::outlier`]'s and [`policy::breaker`]'s to say. Driven by `proxied` and `hedge`, at each end of an attempt.

use policy::breaker::Outcome;
use policy::outlier::{Fault, Trial as Told};
use policy::retry::Failure;
use wire::grpc::Status;

use super::grpc;
use super::proxied::{Proxied, Upstream};
use crate::cause::Cause;
use crate::circuit::{self, Attempted};
use crate::report::Report;
use crate::seam::Downstream;
use crate::shared::BackendShared;

impl<D: Downstream> Proxied<'_, D> {
    fn tried(&self) -> (usize, &BackendShared) {
        let backend = self.facts.backend.unwrap_or(0);
        (backend, &self.worker.shared.pools[self.target.pool.0 as usize].backends[backend])
    }

    /// A head came: good, or with a status that counts as a failure.
    // Within the wait for a first attempt, although a second one needs it as well.
    #[inline(always)]
    pub(super) fn judge_head(&mut self) {
        if let Some(circuit) = circuit::of(self.worker, self.target.pool) {
            let is_ill = circuit.counts(self.answer.status, self.call_status());
            let attempted = if is_ill { Attempted::Ill } else { Attempted::Well };
            circuit::note(self.worker, self.target.pool, attempted);
        }
        let Some(terms) = &self.worker.plan.pool(self.target.pool).eject else { return };
        if terms.statuses.contains(&self.answer.status) {
            return self.blame(Fault::Status(self.answer.status));
        }
        if let Some(status) = self.call_status().filter(|status| terms.grpc.contains(*status)) {
            return self.blame(Fault::Grpc(status));
        }
        self.tried().1.passive.answered();
        if let (Some(trial), Some(first), Some(attempted)) =
            (&self.trial, self.facts.times.first_byte, self.facts.times.attempted)
        {
            trial.tell(Told::Head { first_byte_us: first.us_since(attempted) });
        }
    }

    fn call_status(&self) -> Option<Status> {
        self.facts.call?.status
    }

    /// The answer ended so. The status of a call that came with its head was judged with that.
    pub(super) fn note_and_judge_end(&mut self, up: &Upstream<'_>, outcome: Result<(), Cause>) {
        let was_known = self.call_status().is_some();
        self.note_call_end(up, outcome);
        let status = self.call_status();
        let is_fault = |status: &Status| {
            self.worker.plan.pool(self.target.pool).eject.as_ref().is_some_and(|terms| terms.grpc.contains(*status))
        };
        let fault = status.filter(is_fault);
        if outcome.is_ok() && !was_known {
            let circuit = circuit::of(self.worker, self.target.pool);
            if circuit.is_some_and(|circuit| circuit.counts(self.answer.status, status)) {
                circuit::note(self.worker, self.target.pool, Attempted::IllAfterAll);
            }
            if let Some(status) = fault {
                return self.blame(Fault::Grpc(status));
            }
        }
        if fault.is_none() || outcome.is_err() {
            self.judge_end(outcome);
        }
    }

    fn judge_end(&mut self, outcome: Result<(), Cause>) {
        match outcome {
            Ok(()) => {
                self.tried().1.passive.completed();
                if let Some(trial) = self.trial.take() {
                    trial.end(Told::Whole);
                }
            }
            Err(Cause::Truncated | Cause::IdleTimeout) => {
                circuit::note(self.worker, self.target.pool, Attempted::IllAfterAll);
                self.blame(Fault::Truncated);
            }
            Err(_) => {}
        }
    }

    /// An attempt failed before its answer.
    pub(super) fn judge_failure(&mut self, failure: Failure, cause: Cause, reused: bool) {
        let fault = match failure {
            Failure::Connect => match cause {
                // What we lack, and names, are no faults of a backend; nor was one that went out given its time.
                Cause::LocalExhausted | Cause::Unresolved | Cause::BackendDown => return,
                _ => Fault::Connect,
            },
            // A connection that had gone stale in our pool.
            Failure::NothingWritten | Failure::Reset if reused => return,
            Failure::NothingWritten | Failure::Reset => Fault::Reset,
            Failure::FirstByteTimeout => Fault::FirstByte,
            Failure::Malformed => Fault::Malformed,
            Failure::Status(status) => Fault::Status(status),
            Failure::Grpc(status) => Fault::Grpc(status),
            Failure::BackendDown => return,
        };
        circuit::note(self.worker, self.target.pool, Attempted::Ill);
        self.blame(fault);
    }

    /// What the attempts say of a pool that is being tried: its answer's head, or why there is none.
    pub(super) fn judge_pool(&mut self, outcome: Result<(), Cause>) {
        let Some(trial) = self.pool_trial.take() else { return };
        let counts =
            |status| circuit::of(self.worker, self.target.pool).is_some_and(|it| it.counts(status, self.call_status()));
        trial.end(match outcome.map_err(|cause| grpc::named(self.facts, cause)) {
            Ok(()) if counts(self.answer.status) => Outcome::Failed,
            Ok(()) => Outcome::Passed,
            Err(cause) if cause.is_pools() => Outcome::Failed,
            Err(_) => Outcome::Nothing,
        });
    }

    fn blame(&mut self, fault: Fault) {
        let pool = self.target.pool;
        let (backend, shared) = self.tried();
        if fault == Fault::Connect {
            self.worker.pool(pool).skip(backend);
        }
        let Some(terms) = &self.worker.plan.pool(pool).eject else { return };
        self.counters().faults.add(1);
        let failures = shared.passive.failed(fault);
        if let Some(trial) = self.trial.take() {
            trial.end(Told::Failed(fault));
        } else if failures.is_multiple_of(terms.failures) {
            self.worker.report(Report::Failing { pool, backend });
        }
    }
}
