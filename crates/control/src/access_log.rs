//! The access log's writer: a thread that may wait for a disk or a pipe, so that nobody else has to.
//!
//! Owns the target and a bounded queue before it. What does not fit is dropped and counted; write errors are counted
//! and told once a minute.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use policy::plan::LogTarget;

/// Batches of lines that wait for the writer.
const QUEUE: usize = 1024;
/// Between two reports of lost lines.
pub(crate) const REPORT_EVERY: Duration = Duration::from_secs(60);

/// The way to the writer.
#[derive(Debug)]
pub(crate) struct AccessLog {
    queue: SyncSender<Vec<u8>>,
    losses: Arc<Losses>,
    /// Ends with the writer.
    writing: Receiver<Never>,
    target: String,
}

/// Nothing is ever sent.
#[derive(Debug)]
enum Never {}

/// Lines that were not written.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    /// Lines dropped because the queue was full.
    dropped: AtomicU64,
    /// Lines in batches that could not be written.
    failed: AtomicU64,
}

impl Losses {
    /// All lines lost since the start.
    pub(crate) fn total(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed) + self.failed.load(Ordering::Relaxed)
    }
}

impl AccessLog {
    /// Opens the target and starts the writer.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub(crate) fn open(target: &LogTarget) -> io::Result<Self> {
        match target {
            LogTarget::Stdout => Self::to(io::stdout(), "standard output".to_owned()),
            LogTarget::File(path) => {
                let name = path.display().to_string();
                let opened = open_for_lines(path);
                Self::to(opened.map_err(|error| explain(&name, &error))?, name)
            }
        }
    }

    fn to(sink: impl Sink, target: String) -> io::Result<Self> {
        let (queue, batches) = sync_channel(QUEUE);
        let losses = Arc::new(Losses::default());
        let counted = Arc::clone(&losses);
        let (ended, writing) = sync_channel(0);
        std::thread::Builder::new().name("access-log".to_owned()).spawn(move || {
            write_all(sink, &batches, &counted);
            drop(ended);
        })?;
        Ok(Self { queue, losses, writing, target })
    }

    /// Queues whole lines; never waits.
    pub(crate) fn write(&self, lines: Vec<u8>) {
        if let Err(TrySendError::Full(lines) | TrySendError::Disconnected(lines)) = self.queue.try_send(lines) {
            self.losses.dropped.fetch_add(count_lines(&lines), Ordering::Relaxed);
        }
    }

    /// Where lost lines are counted.
    pub(crate) fn losses(&self) -> &Arc<Losses> {
        &self.losses
    }

    /// Where the lines go, for messages.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// Lets the writer end after what is queued, and waits for it, but not longer than `patience`: a pipe that nobody
    /// reads must not hold the end of the process up.
    pub(crate) fn close(self, patience: Duration) -> Closed {
        drop(self.queue);
        match self.writing.recv_timeout(patience) {
            Ok(never) => match never {},
            Err(RecvTimeoutError::Disconnected) => Closed::Whole,
            Err(RecvTimeoutError::Timeout) => Closed::Cut,
        }
    }
}

/// Whether everything queued was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    Whole,
    Cut,
}

/// Something that takes the log.
trait Sink: Write + Send + 'static {}
impl Sink for File {}
impl Sink for io::Stdout {}
#[cfg(test)]
impl Sink for tests::Valve {}

/// A FIFO that nobody reads would hold the start up without a word; asked not to wait, the system says so.
fn open_for_lines(path: &Path) -> io::Result<File> {
    let no_waiting = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    drop(options.clone().custom_flags(no_waiting).open(path)?);
    options.open(path)
}

fn explain(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot open the access log {name}: {error}; make its folder, or change [access_log] to"),
    )
}

fn write_all(mut sink: impl Sink, batches: &Receiver<Vec<u8>>, losses: &Losses) {
    for batch in batches {
        if sink.write_all(&batch).and_then(|()| sink.flush()).is_err() {
            losses.failed.fetch_add(count_lines(&batch), Ordering::Relaxed);
        }
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.iter().filter(|&&byte| byte == b'\n').count()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// A sink that waits for a word before each write, and fails when told so.
    pub(super) struct Valve {
        turns: Receiver<io::Result<()>>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Valve {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.turns.recv().unwrap_or(Ok(()))?;
            self.written.send(bytes.to_vec()).ok();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn valve() -> (AccessLog, mpsc::Sender<io::Result<()>>, Receiver<Vec<u8>>) {
        let ((turn, turns), (written, output)) = (mpsc::channel(), mpsc::channel());
        (AccessLog::to(Valve { turns, written }, "valve".to_owned()).unwrap(), turn, output)
    }

    #[test]
    fn appends_whole_lines_to_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        std::fs::write(&path, "old\n").unwrap();
        let log = AccessLog::open(&LogTarget::File(path.clone())).unwrap();
        log.write(b"one\ntwo\n".to_vec());
        log.write(b"three\n".to_vec());
        let losses = Arc::clone(log.losses());
        assert_eq!(log.close(PATIENCE), Closed::Whole);
        assert_eq!(std::fs::read_to_string(path).unwrap(), "old\none\ntwo\nthree\n");
        assert_eq!(losses.total(), 0);
    }

    #[test]
    fn file_that_cannot_be_opened_is_an_error_that_names_it() {
        let error = AccessLog::open(&LogTarget::File("/nonexistent/access.log".into())).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/access.log"), "{error}");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn full_queue_drops_and_counts_instead_of_waiting() {
        let (log, turn, output) = valve();
        for _ in 0..QUEUE + 10 {
            log.write(b"a\nb\n".to_vec());
        }
        let lost = log.losses().total();
        // The writer may have taken one batch already.
        assert!((18..=20).contains(&lost), "{lost}");
        drop(turn);
        assert_eq!(log.close(PATIENCE), Closed::Whole);
        assert_eq!(u64::try_from(output.iter().count()).unwrap() * 2 + lost, 2 * 1034);
    }

    #[test]
    fn stuck_sink_does_not_hold_the_end_up() {
        let (log, turn, _output) = valve();
        log.write(b"stuck\n".to_vec());
        assert_eq!(log.close(Duration::from_millis(20)), Closed::Cut);
        drop(turn);
    }

    #[test]
    fn failed_write_is_counted_and_the_next_is_tried() {
        let (log, turn, output) = valve();
        turn.send(Err(io::ErrorKind::StorageFull.into())).unwrap();
        turn.send(Ok(())).unwrap();
        log.write(b"lost\n".to_vec());
        log.write(b"kept\n".to_vec());
        let losses = Arc::clone(log.losses());
        assert_eq!(log.close(PATIENCE), Closed::Whole);
        assert_eq!(losses.total(), 1);
        assert_eq!(output.recv().unwrap(), b"kept\n");
    }
}
