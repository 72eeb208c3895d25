//! Records after the handshake: one direction of a connection, its key and its count (RFC 8446, section 5; RFC 5246,
//! section 6.2; RFC 5288; RFC 7905).
//!
//! They are made here and not by rustls because of what each connection would keep while idle, and because a record is
//! opened straight into the buffer that is read and sealed straight into the one that is sent. rustls gives the keys away
//! for exactly this (its interface for kernels that seal records), and stays to make the next ones.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use rustls::{ConnectionTrafficSecrets, ProtocolVersion};

/// Bytes before each record.
pub(super) const HEADER: usize = 5;
/// Most bytes of plain text in a record.
pub(super) const MOST: usize = 16 * 1024;
/// Most bytes behind a header that are accepted (RFC 8446, section 5.2; RFC 5246, section 6.2.3).
const MOST_SEALED: usize = MOST + 2048;
const TAG: usize = 16;
/// What a record is longer than its plain text at most: header, nonce, type and tag.
pub(super) const OVERHEAD: usize = HEADER + 8 + 1 + TAG;
/// Records that one AES key may seal; some time before, the next key is taken (RFC 8446, section 5.5).
const MOST_RECORDS: u64 = 1 << 24;
const RENEW_AFTER: u64 = MOST_RECORDS / 2;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Alert = 21,
    Handshake = 22,
    Data = 23,
}

/// How a record cannot be opened or sealed: the description of the alert that says so (RFC 8446, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    UnexpectedMessage = 10,
    BadRecordMac = 20,
    RecordOverflow = 22,
    DecodeError = 50,
    InternalError = 80,
}

/// How nonces and additional data are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Tls13,
    /// AES-GCM of TLS 1.2: a part of the nonce goes with the record.
    Gcm12,
    Chacha12,
}

/// One direction.
pub(super) struct Half {
    key: LessSafeKey,
    iv: [u8; 12],
    count: u64,
    form: Form,
    is_aes: bool,
}

/// The length of the first record, header included, if its header is here; whether all of it is, is for the caller.
///
/// # Errors
/// It is longer than allowed.
pub(super) fn whole_length(bytes: &[u8]) -> Result<Option<usize>, Flaw> {
    let [_, _, _, high, low, ..] = *bytes else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MOST_SEALED { Err(Flaw::RecordOverflow) } else { Ok(Some(HEADER + length)) }
}

impl Half {
    /// `None` for a suite that is not offered.
    pub(super) fn new((count, secrets): (u64, ConnectionTrafficSecrets), version: ProtocolVersion) -> Option<Self> {
        let is_13 = version == ProtocolVersion::TLSv1_3;
        let aes = if is_13 { Form::Tls13 } else { Form::Gcm12 };
        let chacha = if is_13 { Form::Tls13 } else { Form::Chacha12 };
        let (algorithm, key, iv, form): (&'static Algorithm, _, _, _) = match &secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv, aes),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv, aes),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&CHACHA20_POLY1305, key, iv, chacha),
            _ => return None,
        };
        let key = LessSafeKey::new(UnboundKey::new(algorithm, key.as_ref()).ok()?);
        let iv = iv.as_ref().try_into().ok()?;
        Some(Self { key, iv, count, form, is_aes: *algorithm != CHACHA20_POLY1305 })
    }

    /// Whether the next key is due; TLS 1.2 has none.
    pub(super) fn is_worn(&self) -> bool {
        self.form == Form::Tls13 && self.is_aes && self.count >= RENEW_AFTER
    }

    fn nonce(&self) -> [u8; 12] {
        let mut nonce = self.iv;
        for (byte, count) in nonce[4..].iter_mut().zip(self.count.to_be_bytes()) {
            *byte ^= count;
        }
        nonce
    }

    /// The additional data of TLS 1.2.
    fn aad12(&self, kind: u8, length: usize) -> [u8; 13] {
        let [high, low] = short(length);
        let mut aad = [0; 13];
        aad[..8].copy_from_slice(&self.count.to_be_bytes());
        aad[8..].copy_from_slice(&[kind, 3, 3, high, low]);
        aad
    }

    /// Appends a record that holds the two pieces, which are no more than [`MOST`] together.
    pub(super) fn seal(&mut self, kind: Kind, pieces: [&[u8]; 2], out: &mut Vec<u8>) -> Result<(), Flaw> {
        if self.is_aes && self.count >= MOST_RECORDS {
            return Err(Flaw::InternalError);
        }
        let (length, nonce) = (pieces[0].len() + pieces[1].len(), self.nonce());
        let (outer, explicit, inner) = match self.form {
            Form::Tls13 => (Kind::Data as u8, &nonce[..0], &[kind as u8][..]),
            Form::Gcm12 => (kind as u8, &nonce[4..], &[][..]),
            Form::Chacha12 => (kind as u8, &nonce[..0], &[][..]),
        };
        let [high, low] = short(explicit.len() + length + inner.len() + TAG);
        let header = [outer, 3, 3, high, low];
        out.extend_from_slice(&header);
        out.extend_from_slice(explicit);
        let start = out.len();
        out.extend_from_slice(pieces[0]);
        out.extend_from_slice(pieces[1]);
        out.extend_from_slice(inner);
        let unique = Nonce::assume_unique_for_key(nonce);
        let sealed = match self.form {
            Form::Tls13 => self.key.seal_in_place_separate_tag(unique, Aad::from(header), &mut out[start..]),
            Form::Gcm12 | Form::Chacha12 => {
                let aad = Aad::from(self.aad12(kind as u8, length));
                self.key.seal_in_place_separate_tag(unique, aad, &mut out[start..])
            }
        };
        let tag = sealed.map_err(|_| Flaw::InternalError)?;
        out.extend_from_slice(tag.as_ref());
        self.count += 1;
        Ok(())
    }

    /// Opens a whole record into `room`, which is at least as long as the record. What it is, and how long.
    pub(super) fn open(&mut self, record: &[u8], room: &mut [u8]) -> Result<(Kind, usize), Flaw> {
        let (header, body) = record.split_first_chunk::<HEADER>().ok_or(Flaw::DecodeError)?;
        let mut nonce = self.nonce();
        let sealed = match self.form {
            Form::Tls13 | Form::Chacha12 => body,
            Form::Gcm12 => {
                let (explicit, sealed) = body.split_at_checked(8).ok_or(Flaw::DecodeError)?;
                nonce[4..].copy_from_slice(explicit);
                sealed
            }
        };
        let length = sealed.len().checked_sub(TAG).ok_or(Flaw::DecodeError)?;
        let (sealed, tag) = sealed.split_at(length);
        let plain = room.get_mut(..length).ok_or(Flaw::InternalError)?;
        let unique = Nonce::assume_unique_for_key(nonce);
        let opened = match self.form {
            Form::Tls13 if header[0] != Kind::Data as u8 => return Err(Flaw::UnexpectedMessage),
            Form::Tls13 => self.key.open_separate_gather(unique, Aad::from(*header), sealed, tag, plain),
            Form::Gcm12 | Form::Chacha12 => {
                let aad = Aad::from(self.aad12(header[0], length));
                self.key.open_separate_gather(unique, aad, sealed, tag, plain)
            }
        };
        opened.map_err(|_| Flaw::BadRecordMac)?;
        self.count += 1;
        let (kind, length) = match self.form {
            Form::Tls13 => inner(plain)?,
            Form::Gcm12 | Form::Chacha12 => (header[0], length),
        };
        if length > MOST {
            return Err(Flaw::RecordOverflow);
        }
        let kind = [Kind::Alert, Kind::Handshake, Kind::Data].into_iter().find(|known| *known as u8 == kind);
        Ok((kind.ok_or(Flaw::UnexpectedMessage)?, length))
    }
}

/// The type of a record and the length of what is in it: behind that, there may be zeros (RFC 8446, section 5.4).
fn inner(plain: &[u8]) -> Result<(u8, usize), Flaw> {
    let at = plain.iter().rposition(|byte| *byte != 0).ok_or(Flaw::UnexpectedMessage)?;
    Ok((plain[at], at))
}

/// A length as records have it; no more than [`MOST_SEALED`] is asked for.
fn short(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests;
