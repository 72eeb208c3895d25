//! Trailers (RFC 9113, section 8.1).

use super::{Common, HeadSlot, Section};
use crate::h1::Limits;
use crate::h1::chunked::may_come_late;
use crate::h2::error::ConnectionError;
use crate::h2::hpack::{Decoder, Kind};
use crate::head::Name;

/// Decodes a block of trailers into `slot`, without those that may not come late; or says why they are malformed.
pub(in crate::h2) fn read_trailers(
    decoder: &mut Decoder,
    block: &[u8],
    limits: &Limits,
    slot: &mut HeadSlot,
) -> Result<Result<(), &'static str>, ConnectionError> {
    let HeadSlot { buf, trailers, .. } = slot;
    buf.clear();
    trailers.clear();
    let mut common = Common::default();
    let mut section = Section::begin(decoder, block, limits)?;
    while let Some(line) = section.next(decoder, buf)? {
        if let Some(why) = line.fault.why() {
            common.blame(why);
        }
        match line.kind {
            Kind::Pseudo(_) => common.blame("pseudo-header field in trailers"),
            Kind::Field(Name::ContentLength) => {}
            Kind::Field(known) => {
                common.note(known, &line.field, buf);
                if may_come_late(&line.field, buf) {
                    trailers.push(line.field);
                }
            }
        }
    }
    if section.is_over {
        common.blame("trailer section too large");
    }
    Ok(common.fault.map_or(Ok(()), Err))
}
