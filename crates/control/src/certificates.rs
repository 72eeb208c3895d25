//! Certificates: read at the start, watched, and replaced while connections live.
//!
//! Owns the files' side of TLS. A listener or pool whose files changed is made anew whole, and then swapped; where that
//! fails, what was there stays and the reason is told, in the log, in the status and by a counter. Files are looked at
//! every two seconds through whatever links lead to them, so that it does not matter how they are replaced.

mod disk;
mod warnings;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use certs::Store;
use engine::Shared;
use engine::tls::{Back, Believed, Front, Settings, TicketKeys};
use policy::plan::{Address, BackendTls, CertSource, ListenerTls, Plan};
use rustls::pki_types::CertificateDer;
use tokio::time::sleep;

use disk::{Disk, Print};
use warnings::Warned;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(2);

/// What is told of a listener's certificates.
#[derive(Clone, Debug, Default)]
pub struct TlsStatus {
    /// Its preset.
    pub preset: &'static str,
    /// Its certificates, the default first.
    pub certificates: Vec<CertificateStatus>,
    /// Times that its files changed and were taken.
    pub reloads: u64,
    /// Times that they changed and could not be taken.
    pub failed_reloads: u64,
    /// Why the last change was not taken; what was there before is in force.
    pub error: Option<String>,
}

/// A certificate.
#[derive(Clone, Debug)]
pub struct CertificateStatus {
    /// Its first name, else its subject.
    pub name: String,
    /// Host names it is for.
    pub names: Vec<String>,
    /// `ecdsa`, `rsa` or `ed25519`.
    pub kind: &'static str,
    /// Who issued it.
    pub issuer: String,
    /// Its serial number in hexadecimal.
    pub serial: String,
    /// The file it came from.
    pub file: PathBuf,
    /// Until when it is valid, in seconds since 1970.
    pub not_after: i64,
    /// Whether an OCSP answer is stapled to it.
    pub stapled: bool,
}

/// The records by listener, and reasons by pool; empty where there is no TLS.
#[derive(Debug, Default)]
pub(crate) struct Records {
    listeners: Mutex<Vec<Option<TlsStatus>>>,
}

impl Records {
    fn all(&self) -> MutexGuard<'_, Vec<Option<TlsStatus>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is told of a listener.
    pub(crate) fn of(&self, listener: usize) -> Option<TlsStatus> {
        self.all().get(listener)?.clone()
    }
}

/// Whose files are watched.
#[derive(Clone, Copy, Debug)]
enum Whose {
    Listener(usize),
    Pool(usize),
}

/// Files that make one thing together.
#[derive(Debug)]
struct Bundle {
    whose: Whose,
    /// What the files were when they were read.
    print: Print,
    /// What they were at the last look, if that was another: half a change must not be taken.
    moving: Option<Print>,
}

/// Keeps what is in force up to date with the files.
pub(crate) struct Keeper {
    plan: Arc<Plan>,
    secret: Vec<u8>,
    bundles: Vec<Bundle>,
    records: Arc<Records>,
    warned: Warned,
}

impl Keeper {
    /// Reads everything that a plan names.
    ///
    /// # Errors
    /// Something cannot be used: what, with file names. `config` has judged it before, so that this is rare.
    pub(crate) fn new(plan: &Arc<Plan>) -> io::Result<(Self, Settings)> {
        let settings = Settings::none(plan);
        let secret = plan.secret.as_ref().map(|secret| secret.reveal().as_bytes().to_vec());
        let records: Arc<Records> = Arc::default();
        *records.all() =
            plan.listeners.iter().map(|listener| listener.tls.as_ref().map(|_| TlsStatus::default())).collect();
        let mut keeper = Self {
            plan: Arc::clone(plan),
            secret: secret.unwrap_or_else(TicketKeys::random_secret),
            bundles: Vec::new(),
            records,
            warned: Warned::default(),
        };
        let listeners = plan.listeners.iter().enumerate();
        let pools = plan.pools.iter().enumerate();
        let with_tls = listeners.filter(|(_, it)| it.tls.is_some()).map(|(index, _)| Whose::Listener(index));
        let whose = with_tls.chain(pools.filter(|(_, it)| it.tls.is_some()).map(|(index, _)| Whose::Pool(index)));
        for whose in whose {
            let print = Print::of(&keeper.paths(whose));
            keeper.take(whose, &settings).map_err(|why| io::Error::other(format!("{}: {why}", keeper.title(whose))))?;
            keeper.bundles.push(Bundle { whose, print, moving: None });
        }
        Ok((keeper, settings))
    }

    pub(crate) fn records(&self) -> Arc<Records> {
        Arc::clone(&self.records)
    }

    /// Watches for the life of the process.
    pub(crate) async fn keep(mut self, shared: Arc<Shared>) {
        if self.bundles.is_empty() {
            return;
        }
        loop {
            sleep(LOOK).await;
            // Many files take a while, for which nobody else is to wait.
            let shared = Arc::clone(&shared);
            let looked = tokio::task::spawn_blocking(move || {
                self.look(&shared.tls);
                self
            });
            let Ok(back) = looked.await else { return };
            self = back;
        }
    }

    /// Takes what has changed since the last look, and has not since.
    fn look(&mut self, settings: &Settings) {
        for index in 0..self.bundles.len() {
            let whose = self.bundles[index].whose;
            let now = Print::of(&self.paths(whose));
            let bundle = &mut self.bundles[index];
            if now == bundle.print {
                bundle.moving = None;
            } else if bundle.moving.replace(now) == bundle.moving {
                let print = bundle.moving.take().unwrap_or_default();
                bundle.print = print;
                self.reload(whose, settings);
            }
        }
        self.warned.look(&self.records, now_s());
    }

    fn reload(&mut self, whose: Whose, settings: &Settings) {
        let title = self.title(whose);
        let taken = self.take(whose, settings);
        match &taken {
            Ok(()) => tracing::info!("{title}: certificates changed and are in force"),
            Err(why) => tracing::error!("{title}: certificates changed and cannot be used: {why}; the old ones stay"),
        }
        if let Whose::Listener(index) = whose
            && let Some(Some(record)) = self.records.all().get_mut(index)
        {
            record.reloads += u64::from(taken.is_ok());
            record.failed_reloads += u64::from(taken.is_err());
            record.error = taken.err();
        }
    }

    fn title(&self, whose: Whose) -> String {
        match whose {
            Whose::Listener(index) => format!("listener {}", self.plan.listeners[index].name),
            Whose::Pool(index) => format!("pool {}", self.plan.pools[index].name),
        }
    }

    /// Every place that one thing is made of.
    fn paths(&self, whose: Whose) -> Vec<PathBuf> {
        match whose {
            Whose::Listener(index) => self.plan.listeners[index].tls.as_deref().map(of_listener).unwrap_or_default(),
            Whose::Pool(index) => self.plan.pools[index].tls.as_ref().map(of_pool).unwrap_or_default(),
        }
    }

    /// Reads it, and puts it into force if it is whole.
    fn take(&self, whose: Whose, settings: &Settings) -> Result<(), String> {
        match whose {
            Whose::Listener(index) => {
                let Some(tls) = &self.plan.listeners[index].tls else { return Ok(()) };
                let front = self.front(tls, &self.title(whose))?;
                if let Some(Some(record)) = self.records.all().get_mut(index) {
                    record.preset = tls.preset.name();
                    record.certificates = front.store().identities().iter().map(CertificateStatus::from).collect();
                }
                settings.set_front(index, front);
            }
            Whose::Pool(index) => {
                let Some(tls) = &self.plan.pools[index].tls else { return Ok(()) };
                settings.set_back(index, self.back(index, tls)?);
            }
        }
        Ok(())
    }

    fn front(&self, tls: &ListenerTls, title: &str) -> Result<Front, String> {
        let loaded = certs::load(&tls.certs, &Disk, now_s());
        if let Some(problem) = loaded.error() {
            return Err(problem.message.clone());
        }
        for problem in &loaded.problems {
            tracing::warn!("{title}: {}", problem.message);
        }
        let authorities = match &tls.client {
            Some(client) => certs::authorities(&client.ca, &Disk)?,
            None => Vec::new(),
        };
        let store = Store::new(loaded.identities, now_s());
        Front::new(tls, store, &authorities, &self.secret).map_err(|error| error.to_string())
    }

    fn back(&self, pool: usize, tls: &BackendTls) -> Result<Back, String> {
        let pool = &self.plan.pools[pool];
        let believed = if tls.unverified {
            tracing::warn!("pool {}: backends are not verified: whoever is on the way can be one of them", pool.name);
            Believed::Everybody
        } else if tls.ca.is_empty() {
            Believed::IssuedBy(of_the_system()?)
        } else {
            Believed::IssuedBy(certs::authorities(&tls.ca, &Disk)?)
        };
        let identity = match &tls.identity {
            Some((cert, key)) => Some(certs::identity(cert, key, &Disk)?),
            None => None,
        };
        let host = |address: &Address| match address {
            Address::Ip(addr) => Some(addr.ip().to_string()),
            Address::Name(host, _) => Some(host.clone()),
            Address::Unix(_) => None,
        };
        let hosts: Vec<_> =
            pool.backends.iter().map(|backend| host(&backend.address).filter(|_| backend.tls)).collect();
        let back = Back::new(tls, &hosts, believed, identity).map_err(|error| error.to_string())?;
        Ok(back.speaking_http2(|backend| pool.backends[backend].http2))
    }
}

/// What the system trusts.
fn of_the_system() -> Result<Vec<CertificateDer<'static>>, String> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(format!(
            "cannot read the certificates that the system trusts: {why}; install ca-certificates, or name `tls = {{ ca = … }}`"
        ));
    }
    Ok(found.certs)
}

fn of_listener(tls: &ListenerTls) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = tls.client.iter().flat_map(|client| client.ca.clone()).collect();
    for source in &tls.certs {
        match source {
            CertSource::Place(path) => paths.push(path.clone()),
            CertSource::Pair { cert, key, ocsp } => {
                paths.extend([cert.clone(), key.clone()]);
                paths.extend(ocsp.clone());
            }
        }
    }
    paths
}

fn of_pool(tls: &BackendTls) -> Vec<PathBuf> {
    let identity = tls.identity.iter().flat_map(|(cert, key)| [cert.clone(), key.clone()]);
    tls.ca.iter().cloned().chain(identity).collect()
}

fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

impl From<&certs::Identity> for CertificateStatus {
    fn from(identity: &certs::Identity) -> Self {
        Self {
            name: identity.title().to_owned(),
            names: identity.names.clone(),
            kind: identity.kind(),
            issuer: identity.issuer.clone(),
            serial: identity.serial.clone(),
            file: identity.file.clone(),
            not_after: identity.not_after,
            stapled: identity.key.ocsp.is_some(),
        }
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("bundles", &self.bundles).finish_non_exhaustive()
    }
}
