//! Answer heads (RFC 9113, section 8.3.2).

use super::{Common, HeadSlot, Section};
use crate::h1::Limits;
use crate::h1::encode::reason_phrase;
use crate::h2::error::ConnectionError;
use crate::h2::hpack::{Decoder, Kind, Pseudo};
use crate::head::{Answer, Field, Framing, Name, Span, Version};

/// What an answer is an answer to.
#[derive(Clone, Copy, Debug)]
pub(in crate::h2) struct Asked {
    /// The request was HEAD.
    pub(in crate::h2) head: bool,
    /// END_STREAM came with the head.
    pub(in crate::h2) ends: bool,
}

/// Decodes the block of an answer head into `slot`; gives back how much data must follow, if that is known, or why the
/// answer is malformed.
pub(in crate::h2) fn read_answer(
    decoder: &mut Decoder,
    block: &[u8],
    limits: &Limits,
    (slot, asked): (&mut HeadSlot, Asked),
) -> Result<Result<Option<u64>, &'static str>, ConnectionError> {
    let HeadSlot { buf, answer, .. } = slot;
    buf.clear();
    answer.clear();
    answer.version = Version::Http2;
    answer.keep_alive = true;
    let mut common = Common::default();
    let mut status = None;
    let mut section = Section::begin(decoder, block, limits)?;
    while let Some(line) = section.next(decoder, buf)? {
        if let Some(why) = line.fault.why() {
            common.blame(why);
        }
        match line.kind {
            Kind::Pseudo(Pseudo::Status) if answer.fields.is_empty() && status.is_none() => {
                status = Some(line.field.value);
            }
            Kind::Pseudo(_) => common.blame("misplaced pseudo-header field in an answer"),
            Kind::Field(known) => {
                common.note(known, &line.field, buf);
                answer.fields.push(line.field);
            }
        }
    }
    if section.is_over {
        common.blame("answer head too large");
    }
    Ok(judge(buf, status, common, (answer, asked)))
}

fn judge(
    buf: &mut Vec<u8>,
    status: Option<Span>,
    common: Common,
    (answer, asked): (&mut Answer, Asked),
) -> Result<Option<u64>, &'static str> {
    if let Some(why) = common.fault {
        return Err(why);
    }
    answer.status = match status.map(|status| status.of(buf)) {
        Some(&[a @ b'1'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9']) => {
            u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0')
        }
        _ => return Err("no valid :status"),
    };
    let is_interim = answer.status < 200;
    match answer.status {
        // RFC 9113, section 8.6.
        101 => return Err("101 in HTTP/2"),
        _ if is_interim && asked.ends => return Err("interim answer that ends the stream"),
        _ => {}
    }
    let left = frame(buf, common.length, (answer, asked))?;
    let start = buf.len();
    buf.extend_from_slice(reason_phrase(answer.status).as_bytes());
    answer.reason = Span::new(start, buf.len());
    Ok(if is_interim { None } else { left })
}

/// Finds how much data follows; the head says so to whoever it is forwarded to.
fn frame(
    buf: &mut Vec<u8>,
    length: Option<u64>,
    (answer, asked): (&mut Answer, Asked),
) -> Result<Option<u64>, &'static str> {
    let is_bodiless = matches!(answer.status, 100..200 | 204);
    if is_bodiless && length.is_some() {
        if length != Some(0) {
            return Err("Content-Length in an answer without a body");
        }
        let lengths = answer.fields.iter_mut().filter(|field| field.known == Name::ContentLength);
        lengths.for_each(|field| field.hop_by_hop = true);
    }
    if is_bodiless || answer.status == 304 || asked.head {
        answer.framing = Framing::None;
        return Ok(Some(0));
    }
    match (length, asked.ends) {
        (Some(length), true) if length > 0 => return Err("less data than Content-Length says"),
        (None, true) => {
            let start = buf.len();
            buf.extend_from_slice(b"content-length: 0\r\n");
            let (name, value) = (Span::new(start, start + 14), Span::new(start + 16, start + 17));
            answer.fields.push(Field { name, value, known: Name::ContentLength, ..Field::default() });
            answer.framing = Framing::Length(0);
        }
        (Some(length), _) => answer.framing = Framing::Length(length),
        (None, false) => answer.framing = Framing::Chunked,
    }
    Ok(length)
}
