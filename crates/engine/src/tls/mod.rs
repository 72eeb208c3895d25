//! TLS: handshakes by rustls, and the records after them.
//!
//! Owns what a connection over TLS is to the rest of the engine: a [`TlsStream`] behind [`crate::stream::Stream`]. A
//! handshake is rustls' from its first byte to its last; then its keys come here and rustls is gone but for what changes
//! keys ([`record`] says why). Files, certificates and what is wrong with them are for `certs` and `control`, which hand in
//! whole settings and swap them while connections live.

mod back;
mod fault;
mod front;
mod handshake;
mod identity;
mod line;
mod record;
mod stream;
mod tickets;

pub use back::{Back, BackError, Believed};
pub use fault::TlsFault;
pub use front::{Front, FrontError};
pub use tickets::TicketKeys;

pub(crate) use handshake::{Server, Stage, Step, poll_gather};
pub(crate) use identity::{Identity, identity_lines, is_identity_field};
pub(crate) use line::Line;
pub(crate) use stream::TlsStream;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use policy::plan::Plan;

/// The settings in force, by listener and by pool; empty where there is no TLS.
#[derive(Debug)]
pub struct Settings {
    fronts: Vec<ArcSwapOption<Front>>,
    backs: Vec<ArcSwapOption<Back>>,
}

impl Settings {
    /// None, in the shape of a plan.
    #[must_use]
    pub fn none(plan: &Plan) -> Self {
        Self {
            fronts: plan.listeners.iter().map(|_| ArcSwapOption::empty()).collect(),
            backs: plan.pools.iter().map(|_| ArcSwapOption::empty()).collect(),
        }
    }

    /// Connections to this listener use this from now on; those that are open keep what they have.
    pub fn set_front(&self, listener: usize, front: Front) {
        self.fronts[listener].store(Some(Arc::new(front)));
    }

    /// Connections to the backends of this pool use this from now on.
    pub fn set_back(&self, pool: usize, back: Back) {
        self.backs[pool].store(Some(Arc::new(back)));
    }

    /// What a listener shows.
    #[must_use]
    pub fn front(&self, listener: usize) -> Option<Arc<Front>> {
        self.fronts[listener].load_full()
    }

    /// What a pool believes.
    #[must_use]
    pub fn back(&self, pool: usize) -> Option<Arc<Back>> {
        self.backs[pool].load_full()
    }
}

/// What both sides of the engine use: suites and groups of a preset.
pub(crate) mod provider {
    use std::sync::Arc;

    use policy::plan::Preset;
    use rustls::crypto::CryptoProvider;
    use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
    use rustls::{SupportedProtocolVersion, version};

    /// What is offered, first what is preferred: a key exchange that holds against quantum computers, too.
    pub(crate) fn of(preset: Preset) -> Arc<CryptoProvider> {
        let mut provider = default_provider();
        provider.kx_groups = vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1];
        let modern = [
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ];
        let older = [
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ];
        provider.cipher_suites = match preset {
            Preset::Modern => modern.to_vec(),
            Preset::Intermediate => [&modern[..], &older].concat(),
        };
        Arc::new(provider)
    }

    pub(crate) fn versions(preset: Preset) -> &'static [&'static SupportedProtocolVersion] {
        const MODERN: &[&SupportedProtocolVersion] = &[&version::TLS13];
        const INTERMEDIATE: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
        match preset {
            Preset::Modern => MODERN,
            Preset::Intermediate => INTERMEDIATE,
        }
    }
}
