//! What speaks for and against a backend: failures, counts, trials, probes.

use wire::grpc::Status;

/// How a backend failed a request. Clients' faults and our own are none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No connection.
    Connect,
    /// The connection broke before the answer began.
    Reset,
    /// No first byte in time.
    FirstByte,
    /// The answer is not HTTP.
    Malformed,
    /// The answer broke off, or stood still, in the middle.
    Truncated,
    /// A status of [`crate::plan::Eject::statuses`].
    Status(u16),
    /// One of [`crate::plan::Eject::grpc`].
    Grpc(Status),
}

/// Numbers of faults from here on, up to those of statuses, are those of gRPC.
const GRPC_CODES: u16 = 32;

impl Fault {
    /// A number for an atomic; never 0.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Connect => 1,
            Self::Reset => 2,
            Self::FirstByte => 3,
            Self::Malformed => 4,
            Self::Truncated => 5,
            Self::Status(status) => status.max(100),
            Self::Grpc(status) => GRPC_CODES + u16::from(status.code()),
        }
    }

    /// The fault of a number.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Some(match code {
            0 => return None,
            1 => Self::Connect,
            2 => Self::Reset,
            3 => Self::FirstByte,
            4 => Self::Malformed,
            5 => Self::Truncated,
            GRPC_CODES..100 => Self::Grpc(Status::from_code(u8::try_from(code - GRPC_CODES).unwrap_or(u8::MAX))),
            status => Self::Status(status),
        })
    }

    /// Whether it shows only when an answer ends, so that a good head says nothing against it.
    #[must_use]
    pub fn is_at_end(self) -> bool {
        matches!(self, Self::Truncated | Self::Grpc(_))
    }

    /// Whether both may have one cause.
    pub(super) fn is_like(self, other: Self) -> bool {
        let is_status = |fault| matches!(fault, Self::Status(_) | Self::Grpc(_));
        (is_status(self) && is_status(other)) || self == other
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect => write!(f, "no connection"),
            Self::Reset => write!(f, "connection closed before the answer"),
            Self::FirstByte => write!(f, "no first byte in time"),
            Self::Malformed => write!(f, "not an HTTP answer"),
            Self::Truncated => write!(f, "answer cut short"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Grpc(status) => write!(f, "gRPC status {}", status.name()),
        }
    }
}

/// What the workers know of a backend now, together; the totals count from the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// Failures in a row.
    pub failures: u32,
    /// The last one.
    pub fault: Option<Fault>,
    /// Attempts that ended, well or not.
    pub ended: u64,
    /// Those of them that failed by a [`Fault`].
    pub faults: u64,
    /// Answers that `first_byte_us` sums up.
    pub answers: u64,
    /// Microseconds from attempt to first byte.
    pub first_byte_us: u64,
}

/// How a trial went: one real request that was let through to an ejected backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// A good head came after so many microseconds.
    Head {
        /// From attempt to first byte.
        first_byte_us: u64,
    },
    /// The whole answer came.
    Whole,
    /// It failed.
    Failed(Fault),
}

/// How a probe went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
}
