//! The `Date` field line of a worker, written once in a while and not for each answer.

use std::cell::Cell;
use std::io::Write;
use std::time::SystemTime;

/// `Date: Tue, 15 Nov 1994 08:12:31 GMT` and the line's end: as long as any date (RFC 9110, section 5.6.7).
type DateLine = [u8; 37];

/// The line as of the last look at the clock, which the worker's housekeeping takes twice a second.
pub(crate) struct Calendar(Cell<DateLine>);

impl Calendar {
    pub(crate) fn new() -> Self {
        Self(Cell::new(line(SystemTime::now())))
    }

    /// One that stands still, so many seconds after 1970 began.
    #[cfg(test)]
    pub(crate) fn at(seconds: u64) -> Self {
        Self(Cell::new(line(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds))))
    }

    /// Looks at the clock.
    pub(crate) fn refresh(&self) {
        self.0.set(line(SystemTime::now()));
    }

    pub(crate) fn line(&self) -> DateLine {
        self.0.get()
    }
}

fn line(now: SystemTime) -> DateLine {
    let mut line = *b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n";
    // A clock that is not in the years from 1970 to 9999 has no date that could be written.
    let last_second = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(253_402_300_799);
    if (SystemTime::UNIX_EPOCH..=last_second).contains(&now) {
        // A date has always this length.
        let _ = write!(&mut line[6..35], "{}", httpdate::HttpDate::from(now));
    }
    line
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rfc9110_5_6_7_dates_have_one_form_and_one_length() {
        let at = |seconds| line(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(&at(784_887_151), b"Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n");
        assert_eq!(&at(253_402_300_799), b"Date: Fri, 31 Dec 9999 23:59:59 GMT\r\n");
        assert_eq!(&at(253_402_300_800), b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", "there is no year 10000");
    }

    #[test]
    fn a_look_at_the_clock_is_kept() {
        let calendar = Calendar::at(0);
        calendar.refresh();
        assert_ne!(calendar.line(), line(SystemTime::UNIX_EPOCH));
    }
}
