//! How long a probe may take: by the clock of who is asked, not by ours when we stood still.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::time::timeout;

/// Whoever is woken this much too late stood still (SIGSTOP, a frozen container, a suspended machine): nobody else is to
/// blame for that time.
const HELD_UP: Duration = Duration::from_millis(100);

/// What a future brings within this time; `None` if that is over. Who was held up gives it the whole time once more.
pub(super) async fn within<F: Future>(longest: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let began = Instant::now();
    match timeout(longest, future.as_mut()).await {
        Err(_) if began.elapsed() > longest + HELD_UP => timeout(longest, future).await.ok(),
        brought => brought.ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<F: Future>(test: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    /// Keeps the whole runtime from its work.
    fn stand_still() {
        std::thread::sleep(Duration::from_millis(400));
    }

    #[test]
    fn who_says_nothing_is_late_in_time() {
        let began = Instant::now();
        let brought = run(within(Duration::from_millis(50), std::future::pending::<()>()));
        assert_eq!(brought, None);
        assert!(began.elapsed() >= Duration::from_millis(50));
    }

    #[test]
    fn time_in_which_we_stood_still_is_nobody_elses() {
        let brought = run(within(Duration::from_millis(100), async {
            let (mut one, mut other) = tokio::io::duplex(8);
            tokio::spawn(async move {
                stand_still();
                tokio::task::yield_now().await;
                tokio::io::AsyncWriteExt::write_u8(&mut other, 7).await
            });
            tokio::io::AsyncReadExt::read_u8(&mut one).await.ok()
        }));
        assert_eq!(brought.flatten(), Some(7));
    }
}
