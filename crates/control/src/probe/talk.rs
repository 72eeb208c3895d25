//! The TCP part of a probe: something said, something heard.

use std::io;

use policy::health::ProbeFailure;
use policy::plan::{Expected, Talk};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of a reply that are read.
const MAX_REPLY: usize = 16 << 10;
/// Bytes of it that are shown.
const SHOWN: usize = 40;

/// Says what is to be said and reads until what is expected has come. The caller bounds the time.
pub(super) async fn hold<S>(mut stream: S, talk: &Talk) -> Result<(), ProbeFailure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&talk.send).await.map_err(|error| broken(&error))?;
    let Some(expected) = &talk.expect else { return Ok(()) };
    let mut reply = Vec::new();
    loop {
        let read = (&mut stream).take(room(&reply)).read_buf(&mut reply).await;
        let read = read.map_err(|error| broken(&error))?;
        if expected.is_in(&reply) {
            return Ok(());
        }
        if read == 0 {
            return Err(lacking("reply", expected, &reply));
        }
    }
}

fn room(reply: &[u8]) -> u64 {
    MAX_REPLY.saturating_sub(reply.len()) as u64
}

/// Words for a reply that lacks what must be in it.
pub(super) fn lacking(what: &str, expected: &Expected, reply: &[u8]) -> ProbeFailure {
    let shown = reply[..reply.len().min(SHOWN)].escape_ascii();
    let came = match reply.len() {
        0 => "nothing came".to_owned(),
        1..=SHOWN => format!("it is `{shown}`"),
        _ => format!("it begins `{shown}`"),
    };
    ProbeFailure::Unexpected(format!("the {what} lacks {expected}: {came}"))
}

fn broken(error: &io::Error) -> ProbeFailure {
    let text = match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "connection reset before the reply".to_owned(),
        _ => error.to_string(),
    };
    ProbeFailure::Malformed(text)
}
