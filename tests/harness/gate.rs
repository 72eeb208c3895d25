//! A gate in a backend's script, which the test opens and closes.

use std::sync::{Arc, Condvar, Mutex};

use super::patience::PATIENCE;

/// Open at first; its clones are the same gate.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    /// One that is closed.
    pub(crate) fn closed() -> Self {
        let gate = Self::default();
        gate.close();
        gate
    }

    pub(crate) fn close(&self) {
        *self.0.0.lock().unwrap() = true;
    }

    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = false;
        self.0.1.notify_all();
    }

    /// Waits until it is open, but not for ever: a test that fails while it is closed must end.
    pub(crate) fn pass(&self) {
        let is_closed = self.0.0.lock().unwrap();
        let _ = self.0.1.wait_timeout_while(is_closed, 3 * PATIENCE, |is_closed| *is_closed);
    }
}
