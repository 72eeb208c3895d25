//! Keys of session tickets (RFC 8446, section 4.6.1; RFC 5077): derived from a secret and the time, so that nodes with
//! the same secret agree without talking, and nothing is kept for a client.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;

/// How long one key seals tickets. The one before and the one after it open them, too: clocks differ.
const PERIOD_S: u64 = 6 * 60 * 60;
/// Bytes by which a ticket names its key.
const NAME: usize = 16;
const TAG: usize = 16;

/// What ticket keys are derived from; for one kind of sessions, since a session that was begun with a client certificate
/// must be taken up only where that certificate would be asked for.
pub struct TicketKeys {
    secret: Vec<u8>,
    context: Vec<u8>,
    /// The keys of the last period that was looked at.
    cached: Mutex<Option<(u64, std::sync::Arc<[Key; 3]>)>>,
}

/// Of one period.
struct Key {
    name: [u8; NAME],
    key: LessSafeKey,
}

/// Bytes to derive.
#[derive(Clone, Copy)]
struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

impl TicketKeys {
    /// Keys of a secret, for sessions of one kind.
    #[must_use]
    pub fn new(secret: &[u8], context: &[u8]) -> Self {
        Self { secret: secret.to_vec(), context: context.to_vec(), cached: Mutex::default() }
    }

    /// A secret of this process alone.
    ///
    /// # Panics
    /// Never: without randomness there is no TLS, and the zeros that stay then are refused by nobody but used by nobody.
    #[must_use]
    pub fn random_secret() -> Vec<u8> {
        let mut secret = vec![0; 32];
        // The same source makes all other keys; where it fails no handshake succeeds.
        let _ = rand::fill(&mut secret);
        secret
    }

    /// The keys of this period, of the one before and of the one after it.
    fn at(&self, period: u64) -> Option<std::sync::Arc<[Key; 3]>> {
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, keys)) = &*cached
            && *of == period
        {
            return Some(std::sync::Arc::clone(keys));
        }
        let keys = [self.key(period)?, self.key(period.wrapping_sub(1))?, self.key(period.wrapping_add(1))?];
        let keys = std::sync::Arc::new(keys);
        *cached = Some((period, std::sync::Arc::clone(&keys)));
        Some(keys)
    }

    fn key(&self, period: u64) -> Option<Key> {
        let salt = Salt::new(HKDF_SHA256, b"evenkeel session tickets 1");
        let derived = salt.extract(&self.secret);
        let info = [self.context.as_slice(), &period.to_be_bytes()];
        let mut bytes = [0; NAME + 32];
        derived.expand(&info, Bytes(bytes.len())).ok()?.fill(&mut bytes).ok()?;
        let (name, key) = bytes.split_first_chunk::<NAME>()?;
        Some(Key { name: *name, key: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?) })
    }

    fn seal(&self, plain: &[u8], period: u64) -> Option<Vec<u8>> {
        let keys = self.at(period)?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut ticket = Vec::with_capacity(NAME + NONCE_LEN + plain.len() + TAG);
        ticket.extend_from_slice(&keys[0].name);
        ticket.extend_from_slice(&nonce);
        let start = ticket.len();
        ticket.extend_from_slice(plain);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = keys[0].key.seal_in_place_separate_tag(nonce, Aad::from(keys[0].name), &mut ticket[start..]).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn open(&self, ticket: &[u8], period: u64) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let keys = self.at(period)?;
        let key = keys.iter().find(|key| key.name == *name)?;
        let mut plain = sealed.to_vec();
        let opened = key.key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(*name), &mut plain).ok()?;
        let length = opened.len();
        plain.truncate(length);
        Some(plain)
    }
}

fn period() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() / PERIOD_S)
}

impl ProducesTickets for TicketKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(PERIOD_S).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, period())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket, period())
    }
}

impl std::fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TicketKeys")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_with_one_secret_open_each_others_tickets() {
        let (one, other) = (TicketKeys::new(b"a secret", b"plain"), TicketKeys::new(b"a secret", b"plain"));
        let ticket = one.seal(b"session", 100).unwrap();
        for period in [99, 100, 101] {
            assert_eq!(other.open(&ticket, period).as_deref(), Some(&b"session"[..]));
        }
    }

    #[test]
    fn tickets_end_with_their_time_and_stay_with_their_kind() {
        let keys = TicketKeys::new(b"a secret", b"plain");
        let ticket = keys.seal(b"session", 100).unwrap();
        assert_eq!(keys.open(&ticket, 102), None);
        assert_eq!(keys.open(&ticket, 98), None);
        assert_eq!(TicketKeys::new(b"another", b"plain").open(&ticket, 100), None);
        assert_eq!(TicketKeys::new(b"a secret", b"with certificates").open(&ticket, 100), None);
    }

    #[test]
    fn tickets_that_were_changed_are_none() {
        let keys = TicketKeys::new(b"a secret", b"");
        let ticket = keys.seal(b"session", 1).unwrap();
        for length in 0..ticket.len() {
            assert_eq!(keys.open(&ticket[..length], 1), None);
        }
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(keys.open(&changed, 1), None);
        }
    }

    #[test]
    fn nothing_is_shown() {
        assert_eq!(format!("{:?}", TicketKeys::new(b"a secret", b"")), "TicketKeys");
    }
}
