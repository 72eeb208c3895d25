//! Windows (RFC 9113, sections 5.2 and 6.9), of a stream or of a connection.
//!
//! Owns how far each side may go and when the other side is told that it may go on. Whose window it is belongs to
//! [`super::connection`].

/// What a window is before anybody changes it (RFC 9113, section 6.9.2).
pub(super) const INITIAL_WINDOW: u32 = 65_535;
/// No window may be larger.
pub(super) const MAX_WINDOW: u32 = 0x7fff_ffff;

/// The window is larger than a window may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overflow;

/// What we may send. Below 0 after the peer lowered its setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SendWindow(i32);

impl SendWindow {
    pub(super) const fn new(size: u32) -> Self {
        Self(if size > MAX_WINDOW { i32::MAX } else { size as i32 })
    }

    /// Bytes that may be sent now.
    #[inline]
    pub(super) fn available(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// So many bytes, no more than are available, were sent.
    #[inline]
    pub(super) fn take(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.available(), "the caller cut it to what is available");
        self.0 -= i32::try_from(bytes).unwrap_or(i32::MAX);
    }

    /// The peer takes more, or less after a change of its setting.
    #[inline]
    pub(super) fn grow(&mut self, by: i64) -> Result<(), Overflow> {
        self.0 = i32::try_from(i64::from(self.0) + by).map_err(|_| Overflow)?;
        Ok(())
    }
}

/// What the peer may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReceiveWindow {
    left: i32,
    /// Bytes that are done with and that the peer has not been told of.
    untold: u32,
}

impl ReceiveWindow {
    pub(super) const fn new(size: u32) -> Self {
        Self { left: if size > MAX_WINDOW { i32::MAX } else { size as i32 }, untold: 0 }
    }

    /// A frame of so many bytes came.
    #[inline]
    pub(super) fn take(&mut self, bytes: u32) -> Result<(), Overflow> {
        let left = i64::from(self.left) - i64::from(bytes);
        if left < 0 {
            return Err(Overflow);
        }
        self.left = i32::try_from(left).map_err(|_| Overflow)?;
        Ok(())
    }

    /// So many bytes are done with. Returns what to tell the peer: nothing until it is half of `size`, which is what the
    /// window should be.
    #[inline]
    pub(super) fn give_back(&mut self, bytes: u32, size: u32) -> Option<u32> {
        self.untold = self.untold.saturating_add(bytes);
        if self.untold < size.div_ceil(2) || self.untold == 0 {
            return None;
        }
        let told = self.untold;
        self.untold = 0;
        self.left = self.left.saturating_add(i32::try_from(told).unwrap_or(i32::MAX));
        Some(told)
    }

    /// Our setting took effect.
    pub(super) fn resize(&mut self, by: i64) {
        self.left = i32::try_from(i64::from(self.left) + by).unwrap_or(i32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9113_6_9_1_no_window_grows_beyond_2_31_minus_1() {
        let mut window = SendWindow::new(INITIAL_WINDOW);
        assert_eq!(window.grow(i64::from(MAX_WINDOW - INITIAL_WINDOW)), Ok(()));
        assert_eq!(window.available(), MAX_WINDOW as usize);
        assert_eq!(window.grow(1), Err(Overflow));
    }

    #[test]
    fn rfc9113_6_9_2_a_window_may_fall_below_nothing() {
        let mut window = SendWindow::new(INITIAL_WINDOW);
        window.take(60_000);
        assert_eq!(window.grow(16_384 - 65_535), Ok(()));
        assert_eq!(window.available(), 0);
        assert_eq!(window.grow(43_616), Ok(()));
        assert_eq!(window.available(), 0);
        assert_eq!(window.grow(1), Ok(()));
        assert_eq!(window.available(), 1);
    }

    #[test]
    fn the_peer_is_told_when_half_is_done_with() {
        let mut window = ReceiveWindow::new(100);
        assert_eq!(window.take(100), Ok(()));
        assert_eq!(window.take(1), Err(Overflow));
        assert_eq!(window.give_back(49, 100), None);
        assert_eq!(window.give_back(1, 100), Some(50));
        assert_eq!(window.take(51), Err(Overflow));
        assert_eq!(window.take(50), Ok(()));
        assert_eq!(window.give_back(0, 0), None);
        assert_eq!(window.give_back(1, 1), Some(1));
    }
}
